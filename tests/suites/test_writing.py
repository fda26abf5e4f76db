"""What is said of a server whose disk is full: make test-mysql."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from app import database
from app.settings import Settings
from smoke_tests import test_writing
from tests import mysql
from tests.conftest import needs_mysql

RUNBOOK = "docs/runbooks/DatabaseVolumeNearlyFull.md says how"
pytestmark = pytest.mark.mysql


@dataclass
class Server:
    """A server of one's own, with a small disk."""

    container: str
    settings: Settings

    @contextmanager
    def full(self) -> Iterator[None]:
        """Until its end there is no room on the disk."""
        self.sh("cat /dev/zero > /var/lib/mysql/filler || true")
        yield
        self.sh("rm /var/lib/mysql/filler")

    def sh(self, line: str) -> None:
        mysql.docker("exec", self.container, "sh", "-c", line)

    def connect(self) -> pymysql.Connection[Any]:
        """As the smoke tests do, with less patience."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.settings.db_port,
            user=self.settings.db_user,
            password=self.settings.db_password.get_secret_value(),
            database=self.settings.db_name,
            ssl=ssl._create_unverified_context(),  # noqa: S323 (the server is in a container beside)
            read_timeout=5,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    container = f"school-scheduler-full-{secrets.token_hex(3)}"
    with mysql.server(os.environ.get("MYSQL_IMAGE") or mysql.pinned_image(), container, "400m") as given:
        yield Server(container, Settings.model_validate({name.lower(): value for name, value in given.items()}))


@needs_mysql
def test_a_migration_that_finds_no_room_names_the_runbook_and_passes_once_there_is(server: Server) -> None:
    engine = database.connect(server.settings)
    with server.full(), pytest.raises(DBAPIError) as raised:
        database.migrate(engine, wait=600)
    said = database.explain(raised.value, server.settings)
    assert said.startswith("migration 0001 failed at CREATE TABLE ")
    assert said.endswith(RUNBOOK)
    database.migrate(engine)
    engine.dispose()


@needs_mysql
def test_the_smoke_test_finds_its_rows_and_leaves_none(server: Server) -> None:
    database.migrate(database.connect(server.settings))
    assert test_writing.written(server.connect()) == (test_writing.ROWS, 0)


@needs_mysql
def test_a_full_disk_fails_the_smoke_test_in_one_line(server: Server) -> None:
    database.migrate(database.connect(server.settings))
    line = rf"^the database takes no data: .*; where its volume is full, {RUNBOOK} to make room$"
    with server.full(), pytest.raises(pytest.fail.Exception, match=line):
        test_writing.test_the_database_keeps_what_is_written(server.connect())

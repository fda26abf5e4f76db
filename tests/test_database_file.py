"""The file of an embedded installation, and what is said where it cannot be used."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app import database
from app.database import DatabaseError
from app.settings import Settings
from tests.conftest import Run

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="needs the permissions of POSIX")


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user who may not write where others may not: the superuser always may."""
    superuser = os.geteuid() == 0
    if superuser:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if superuser:
            os.setresuid(0, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"PK\x03\x04 a worksheet" * 1000,
            "file is not a database; put a copy in the place of {file}, or move it away",
        ),
        (None, "database disk image is malformed; put a copy in the place of {file}"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_stays_as_it_is(
    run: Run, sessions: sessionmaker[Session], engine: Engine, settings: Settings, content: bytes | None, reason: str
) -> None:
    file = settings.data_dir / "school-schedule.db"
    engine.dispose()
    # The head of the file is as it was, and its pages are not.
    file.write_bytes(content or file.read_bytes()[:4096] + b"\xff" * 40_960)
    before = file.read_bytes()
    for command in (("serve", "--port", "0"), ("migrate",), ("account",), ("check",)):
        done = run(*command)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"school_schedule: the database cannot be used: {reason.format(file=file)}")
    assert file.read_bytes() == before


def test_a_full_disk_loses_nothing(engine: Engine, settings: Settings) -> None:
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 12"))
    with pytest.raises(OperationalError) as raised:
        database.migrate(engine)
    line = database.explain(raised.value, settings)
    assert line.startswith("migration 0002 failed at CREATE TABLE ")
    assert line.endswith(
        ": database or disk is full; make room on the disk of "
        f"{settings.data_dir / 'school-schedule.db'} and start again; nothing of what was under way was stored"
    )
    assert inspect(engine).get_table_names() == []


@needs_modes
@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_what_this_user_may_not_write_is_named(migrated: Path, folder_mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), Settings(data_dir=Path(name), db_host=None)
        shutil.copy(migrated, folder)
        (folder / migrated.name).chmod(0o444)
        folder.chmod(folder_mode)
        reason = "school-schedule.db may only be read" if folder_mode == 0o777 else "Permission denied"
        line = re.escape(f"cannot write to the data folder {folder.resolve()}: {reason}; set DATA_DIR")
        with as_nobody(), pytest.raises(DatabaseError, match=line):
            database.connect(settings)


@needs_modes
def test_a_file_beside_that_this_user_may_not_write_is_told_of(migrated: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), Settings(data_dir=Path(name), db_host=None)
        shutil.copy(migrated, folder)
        (folder / migrated.name).chmod(0o666)
        (folder / f"{migrated.name}-wal").touch(0o600)
        folder.chmod(0o777)
        with as_nobody(), pytest.raises(OperationalError) as raised:
            database.migrate(database.connect(settings))
        assert database.explain(raised.value, settings).endswith("the files beside it have to be this user's to write")


def test_whoever_writes_for_long_is_told_of(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    waiting = database.connect(settings)
    with closing(sqlite3.connect(str(engine.url.database))) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OperationalError) as raised:
            database.migrate(waiting)
    waiting.dispose()
    assert "database is locked; another process writes to" in database.explain(raised.value, settings)

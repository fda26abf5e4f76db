from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app import commands, database
from app.database import DatabaseError
from app.models import Base, Generation, StoredInstance
from app.settings import Settings
from tests.conftest import needs_mysql

pytestmark = pytest.mark.mysql

MOMENT = datetime(2026, 1, 31, 12, 30, 15, 123456)


def add_instance(sessions: sessionmaker[Session], xhstt: str = "") -> None:
    with sessions.begin() as session:
        session.add(StoredInstance(name="Escola", xhstt=xhstt, sha256="0" * 64, created_at=MOMENT))


def revise(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_migrations_make_what_the_models_declare(engine: Engine) -> None:
    database.migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_keeps_the_rows(engine: Engine, sessions: sessionmaker[Session]) -> None:
    add_instance(sessions)
    database.migrate(engine)
    with sessions() as session:
        assert session.scalar(select(func.count(StoredInstance.id))) == 1


def test_a_newer_schema_is_left_alone(engine: Engine, sessions: sessionmaker[Session]) -> None:
    revise(engine, "9999")
    database.migrate(engine)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "9999"


def test_a_newer_schema_is_usable(engine: Engine, sessions: sessionmaker[Session]) -> None:
    revise(engine, "9999")
    assert database.problem(engine) is None


def test_a_migrated_database_has_no_problem(engine: Engine, sessions: sessionmaker[Session]) -> None:
    assert database.problem(engine) is None


def test_an_empty_database_has_to_be_migrated(engine: Engine) -> None:
    assert database.problem(engine) == "the database has no schema yet; run migrate"


def test_an_older_schema_has_to_be_migrated(
    engine: Engine, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_revisions", lambda: ("9999", "0003"))
    assert database.problem(engine) == "the schema is at revision 0003, this code needs 9999; run migrate"


def test_a_server_that_is_not_there_is_an_error() -> None:
    nowhere = database.connect(Settings(db_host="127.0.0.1", db_port=1, db_password="x"))
    with pytest.raises(OperationalError) as raised:
        database.migrate(nowhere)
    assert database.explain(raised.value, Settings(db_host="127.0.0.1")).startswith(
        """the database does not answer: (2003, "Can't connect to MySQL server on '127.0.0.1'"""
    )


def test_migration_waits_for_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "later"
    engine = create_engine(f"sqlite:///{folder / 'school-schedule.db'}")
    monkeypatch.setattr("app.database.time.sleep", lambda _: folder.mkdir())
    database.migrate(engine, wait=60)
    assert database.problem(engine) is None
    engine.dispose()


def test_a_large_instance_and_a_fraction_of_a_second_come_back(sessions: sessionmaker[Session]) -> None:
    xhstt = "ção 🙂" * 200_000
    add_instance(sessions, xhstt)
    with sessions() as session:
        stored = session.scalars(select(StoredInstance)).one()
        assert (stored.xhstt, stored.created_at) == (xhstt, MOMENT)


@needs_mysql
def test_migrations_at_the_same_time_import_the_examples_once(engine: Engine, settings: Settings) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: commands.migrate(engine, settings), range(4)))
    with sessionmaker(engine)() as session:
        assert session.scalar(select(func.count(Generation.id))) == 2


@needs_mysql
def test_mysql_is_spoken_to_over_tls(engine: Engine) -> None:
    with engine.connect() as connection:
        _, cipher = connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()
        assert cipher


@needs_mysql
def test_now_is_by_the_servers_clock(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        session.execute(text("SET TIMESTAMP = 86400.5"))
        assert database.now(session) == datetime(1970, 1, 2, 0, 0, 0, 500_000)
        session.execute(text("SET TIMESTAMP = DEFAULT"))


def test_a_schema_of_no_release_is_left_alone_and_told(engine: Engine, sessions: sessionmaker[Session]) -> None:
    revise(engine, "3f2a")
    line = "the schema is at revision 3f2a, which no release has; nothing was changed: bring a copy back"
    with pytest.raises(DatabaseError, match=line):
        database.migrate(engine)
    assert (database.problem(engine) or "").startswith(line)


def test_an_error_of_the_statement_s_own_is_not_tried_again(engine: Engine) -> None:
    calls: list[None] = []

    def fail() -> None:
        calls.append(None)
        with engine.connect() as connection:
            connection.execute(text("CREATE nonsense"))

    with pytest.raises(DBAPIError):
        database.patiently(fail, wait=600)
    assert len(calls) == 1


def test_a_connection_that_is_not_to_be_had_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.database.time.sleep", lambda _: None)
    nowhere = database.connect(Settings(db_host="127.0.0.1", db_port=1, db_password="x"))
    calls: list[None] = []

    def succeed_at_last() -> None:
        calls.append(None)
        if len(calls) < 3:
            nowhere.connect()

    database.patiently(succeed_at_last, wait=600)
    assert len(calls) == 3

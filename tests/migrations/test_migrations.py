"""Every schema that was ever on main is brought to this code's, whatever ends a migration on the way."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, event, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from app import check, database
from app.database import DatabaseError
from app.models import Generation
from app.settings import Settings
from tests.conftest import ROOT, Run, Start, address, needs_mysql

SCHEMAS = Path(__file__).with_name("schemas")
NAMES = ("0001", "0002-first", "0002-second", "0002")
# As they came to main. Whoever wants another schema adds a migration, and its hash here.
HASHES = {
    "0001_instance_and_generation.py": "74a0a6e08a90dfe338aa5f1cee4ad8196ca017911408141c4649c810e78dd9ca",
    "0002_school_and_account.py": "e5418393940b1ee0b5fcb03b4236ca8e79c09d8093518bb11b45801e6f675e0f",
    "0003_columns_of_generation.py": "a261d113fee47880908cf3cd8d1e4eb959fea87f047507601836683270308ef8",
}
SERVER = ("HOST", "PORT", "USER", "PASSWORD")
READS = ("SELECT", "PRAGMA", "SHOW", "DESCRIBE", "SET")
Rows = dict[str, list[dict[str, Any]]]
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")


def fill(engine: Engine, name: str) -> None:
    """Makes the database that a release of long ago has filled; none where there is no name."""
    tables = MetaData()
    tables.reflect(engine)
    tables.drop_all(engine)
    if not name:
        return
    dump = (SCHEMAS / f"{name}.{engine.dialect.name}.sql").read_text(encoding="utf-8")
    if engine.dialect.name == "sqlite":
        engine.dispose()
        with closing(sqlite3.connect(str(engine.url.database))) as connection:
            connection.executescript(dump)
        return
    with engine.begin() as server:
        for statement in dump.split(";\n"):
            if statement:
                server.exec_driver_sql(statement.replace("%", "%%"))


def rows(engine: Engine) -> Rows:
    """Every row of every table, but for the revision."""
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: sorted(map(dict, connection.execute(select(table)).mappings()), key=str)
            for table in tables.sorted_tables
            if table.name != "alembic_version"
        }


def schema(engine: Engine) -> dict[str, object]:
    """What the tables are made of, in an order that does not depend on how they came to be."""
    found = inspect(engine)

    def listed(entries: list[Any]) -> list[str]:
        return sorted(str(sorted(entry.items(), key=str)) for entry in entries)

    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            listed(found.get_foreign_keys(table)),
            listed(found.get_unique_constraints(table)),
            listed(found.get_indexes(table)),
        )
        for table in sorted(found.get_table_names())
    }


def kept(before: Rows, after: Rows) -> bool:
    """Whether every row of before is there, with the values that it had."""
    return all(
        [{name: row[name] for name in before[table][0]} for row in after[table]] == before[table]
        for table in before
        if before[table]
    )


def ended_after(settings: Settings, number: int) -> bool:
    """Has a process migrate, and killed after so many statements that write; False where it came to its end before."""
    child = os.fork()
    if child == 0:
        try:
            engine, written = database.connect(settings), 0

            @event.listens_for(engine, "after_cursor_execute")
            def kill(connection: Connection, cursor: object, statement: str, *_: object) -> None:
                nonlocal written
                written += not statement.lstrip().startswith(READS)
                if written == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            database.migrate(engine)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the migration itself failed: {status}"
    return status != 0


@pytest.fixture
def newest(engine: Engine) -> dict[str, object]:
    """The schema that this code makes of nothing."""
    database.migrate(engine)
    made = schema(engine)
    fill(engine, "")
    return made


def test_a_migration_that_was_on_main_never_changes() -> None:
    folder = ROOT / "app" / "migrations" / "versions"
    found = {file.name: hashlib.sha256(file.read_text().encode()).hexdigest() for file in folder.glob("*.py")}
    assert found == HASHES, "the schemas that it made are out there: leave it as it was, and add another migration"


@pytest.mark.mysql
@pytest.mark.parametrize("name", NAMES)
def test_every_schema_of_main_becomes_this_codes_with_all_its_rows(
    engine: Engine, newest: dict[str, object], name: str
) -> None:
    fill(engine, name)
    before = rows(engine)
    assert len(before["generation"]) >= 2
    database.migrate(engine)
    assert schema(engine) == newest
    assert kept(before, rows(engine))
    assert check.check(engine)[1] >= 1


@needs_fork
@pytest.mark.mysql
@pytest.mark.parametrize("name", ["", "0001", "0002-first"])
def test_a_migration_that_is_killed_after_any_statement_goes_on(
    engine: Engine, settings: Settings, newest: dict[str, object], name: str
) -> None:
    fill(engine, name)
    before, states, number = rows(engine), [schema(engine)], 1
    engine.dispose()
    # Each process goes on from where the one before was killed, and is killed after the first statement that lasts.
    while ended_after(settings, number):
        states.append(schema(engine))
        number = 1 if states[-1] != states[-2] else number + 1
        engine.dispose()
    assert (schema(engine), kept(before, rows(engine))) == (newest, True)
    assert len(states) > 2


def failed_at(engine: Engine, settings: Settings, number: int) -> str:
    """What is said where the statement of that number that writes is none; nothing where there are not so many."""
    written = 0

    def spoil(connection: Connection, cursor: object, statement: str, parameters: Any, *_: object) -> tuple[str, Any]:
        nonlocal written
        writes = not statement.lstrip().startswith((*READS, "BEGIN"))
        written += writes
        return ("nonsense " + statement if writes and written == number else statement), parameters

    event.listen(engine, "before_cursor_execute", spoil, retval=True)
    try:
        database.migrate(engine, wait=600)
    except DBAPIError as error:
        return database.explain(error, settings)
    finally:
        event.remove(engine, "before_cursor_execute", spoil)
    return ""


def revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return database._revision(connection)


@pytest.mark.mysql
@pytest.mark.parametrize("name", ["", "0001", "0002-first"])
def test_a_migration_that_fails_at_any_statement_says_which_and_leaves_nothing(
    engine: Engine, settings: Settings, newest: dict[str, object], name: str
) -> None:
    fill(engine, name)
    before, number = rows(engine), 1
    states: dict[str | None, dict[str, object]] = {}
    while line := failed_at(engine, settings, number):
        there, made = revision(engine), schema(engine)
        made.pop("alembic_version", None)
        assert re.match(r"migration \d{4} failed at nonsense [A-Z]+ .*: ", line), line
        assert states.setdefault(there, made) == made, line
        number += 1
    assert (schema(engine), kept(before, rows(engine))) == (newest, True)
    assert number > 2


@pytest.mark.mysql
def test_an_error_of_a_migration_is_told_at_once_in_one_line(engine: Engine, settings: Settings, run: Run) -> None:
    fill(engine, "0001")
    with engine.begin() as connection:
        # In the place of a table of 0002, and nothing that can have an index.
        connection.execute(text("CREATE VIEW login AS SELECT id AS account_id FROM instance"))
    engine.dispose()
    variables = {} if settings.embedded else {f"DB_{name}": os.environ[f"DB_{name}"] for name in SERVER}
    done = run("migrate", "--wait", "600", **variables)
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW login"))
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(
        "school_schedule: migration 0002 failed at CREATE INDEX ix_login_account_id ON login (account_id): "
    )
    assert "trying again" not in done.stderr


@pytest.fixture
def other(settings: Settings) -> Iterator[Connection]:
    """Somebody else's connection."""
    engine = database.connect(settings)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@needs_mysql
@pytest.mark.mysql
def test_a_connection_that_is_lost_after_any_statement_is_made_again(
    engine: Engine, other: Connection, newest: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.time.sleep", lambda _: None)
    fill(engine, "0001")
    before, killed = rows(engine), [""]

    @event.listens_for(engine, "after_cursor_execute")
    def kill(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith(("ALTER", "CREATE", "UPDATE")) and statement != killed[-1]:
            killed.append(statement)
            driver: Any = connection.connection.driver_connection
            other.exec_driver_sql(f"KILL {driver.thread_id()}")

    database.migrate(engine, wait=600)
    assert (schema(engine), kept(before, rows(engine))) == (newest, True)
    assert len(killed) > 10


@needs_mysql
@pytest.mark.mysql
def test_a_migration_that_others_keep_waiting_says_so_and_waits(
    engine: Engine,
    other: Connection,
    settings: Settings,
    newest: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(database, "BLOCKED", 1)
    fill(engine, "0001")
    other.execute(text("SELECT COUNT(*) FROM instance"))
    with pytest.raises(OperationalError) as raised:
        database.migrate(engine)
    line = database.explain(raised.value, settings)
    assert line.startswith("migration 0002 failed at ALTER TABLE instance ADD COLUMN ")
    assert line.endswith("; another connection holds what it needs; SHOW PROCESSLIST, by root, says whose")
    monkeypatch.setattr("app.database.time.sleep", lambda _: other.rollback())
    database.migrate(engine, wait=600)
    assert schema(engine) == newest
    assert any(message.startswith("trying again: migration 0002 ") for message in caplog.messages)


@needs_mysql
@pytest.mark.mysql
def test_a_migration_waits_for_another_one_as_long_as_that_may_take(
    engine: Engine, other: Connection, newest: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TURN", 0)
    waited = []

    def wait(*words: str) -> None:
        waited.append(words)
        if len(waited) == 100:
            other.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": database.LOCK})

    monkeypatch.setattr(database.log, "info", wait)
    other.execute(text("SELECT GET_LOCK(:name, 0)"), {"name": database.LOCK})
    database.migrate(engine)
    assert (schema(engine), len(waited)) == (newest, 100)
    other.execute(text("SELECT GET_LOCK(:name, 0)"), {"name": database.LOCK})
    monkeypatch.setattr(database, "MIGRATION", 0)
    with pytest.raises(DatabaseError, match=r"has held school_schedule\.migrate for 0 s"):
        database.migrate(engine)


@needs_fork
@pytest.mark.parametrize("name", ["", "0001"])
def test_what_a_killed_migration_of_v0_1_0_has_left_is_finished(
    engine: Engine, settings: Settings, newest: dict[str, object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def as_before(engine: Engine) -> Iterator[Connection]:
        with engine.connect() as connection:
            yield connection
            connection.commit()

    number, left = 1, set()
    while True:
        fill(engine, name)
        before = rows(engine)
        engine.dispose()
        with monkeypatch.context() as patched:
            patched.setattr(database, "_alone", as_before)
            if not ended_after(settings, number):
                break
        left |= set(inspect(engine).get_table_names())
        database.migrate(engine)
        assert (schema(engine), kept(before, rows(engine))) == (newest, True), f"after statement {number}"
        number += 1
    assert name == "" or "_alembic_tmp_instance" in left


def test_five_processes_make_one_database_of_an_empty_folder(start: Start, engine: Engine, settings: Settings) -> None:
    engine.dispose()
    Path(str(engine.url.database)).unlink()
    settings.data_dir.rmdir()
    drawn, processes = random.Random(25), []  # noqa: S311
    for _ in range(5):
        processes.append(start("migrate", IMPORT_EXAMPLES="true"))
        time.sleep(drawn.uniform(0, 0.2))
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, errors
    with Session(engine) as session:
        assert session.scalar(select(func.count(Generation.id))) == 2


def test_two_servers_on_an_empty_folder_both_come_up(start: Start) -> None:
    servers = [start("serve", "--port", "0", IMPORT_EXAMPLES="true") for _ in range(2)]
    assert len({address(server) for server in servers}) == 2


def test_rows_that_refer_to_none_are_told_with_what_takes_them_out(engine: Engine) -> None:
    fill(engine, "0001")
    with closing(sqlite3.connect(str(engine.url.database))) as connection:
        connection.execute("DELETE FROM instance")
        connection.commit()
        before, made = rows(engine), schema(engine)
        with pytest.raises(
            DatabaseError, match="2 rows of generation refer to rows of instance that are not there"
        ) as raised:
            database.migrate(engine)
        assert (rows(engine), schema(engine)) == (before, made)
        change = re.findall("run (DELETE .*) in it, and start again", str(raised.value))[0]
        connection.execute(change)
        connection.commit()
    database.migrate(engine)
    assert rows(engine)["generation"] == []


def test_a_row_that_lost_only_its_author_is_kept(engine: Engine) -> None:
    fill(engine, "0002")
    with closing(sqlite3.connect(str(engine.url.database))) as connection:
        connection.execute("DELETE FROM account")
        connection.execute("DELETE FROM login")
        connection.execute("DELETE FROM membership")
        connection.commit()
        for _ in ("publication", "revision"):
            with pytest.raises(DatabaseError) as raised:
                database.migrate(engine)
            connection.execute(re.findall("run (UPDATE .*) in it, and start again", str(raised.value))[0])
            connection.commit()
    before = rows(engine)
    database.migrate(engine)
    assert kept(before, rows(engine)) and before["revision"]

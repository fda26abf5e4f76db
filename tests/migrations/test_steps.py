"""A migration that moves rows and drops what they were in goes on wherever it ended, and no row is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Engine, Integer, inspect, text

from app.migrations import steps

pytestmark = pytest.mark.mysql
ROWS = [(1, 10), (2, 20)]


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """To a database with two tables."""
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE thing (id INTEGER PRIMARY KEY, old INTEGER)"))
        connection.execute(text("CREATE TABLE useless (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO thing VALUES (1, 10), (2, 20)"))
        connection.execute(text("INSERT INTO useless VALUES (10), (20)"))
        connection.commit()
        yield connection
        connection.rollback()


def move(connection: Connection) -> Iterator[None]:
    """The statements of the migration, one by one."""
    run = Operations(MigrationContext.configure(connection))
    run.create_table("more", Column("id", Integer, primary_key=True))
    yield
    run.add_column("thing", Column("new", Integer))
    yield
    run.create_index("ix_thing_new", "thing", ["new"])
    yield
    if "old" in [column["name"] for column in inspect(connection).get_columns("thing")]:
        run.execute("UPDATE thing SET new = old")
        yield
        run.drop_column("thing", "old")
        yield
    run.create_index("ix_thing_both", "thing", ["new", "id"])
    yield
    run.drop_index("ix_thing_new", "thing")
    yield
    run.drop_table("useless")
    yield


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("number", range(9))
def test_rows_are_moved_once_whatever_ends_the_migration(connection: Connection, number: int, failed: bool) -> None:
    made = steps.record(connection)
    for _ in zip(range(number), move(connection), strict=False):
        connection.commit()
    if failed:
        steps.take_back(connection, made)
    for _ in move(connection):
        connection.commit()
    assert connection.execute(text("SELECT id, new FROM thing ORDER BY id")).all() == ROWS
    there = inspect(connection)
    assert {column["name"] for column in there.get_columns("thing")} == {"id", "new"}
    assert [index["name"] for index in there.get_indexes("thing")] == ["ix_thing_both"]
    assert set(there.get_table_names()) == {"more", "thing"}


@pytest.mark.parametrize("number", range(4))
def test_what_only_adds_is_taken_back(connection: Connection, number: int) -> None:
    made = steps.record(connection)
    for _ in zip(range(number), move(connection), strict=False):
        connection.commit()
    steps.take_back(connection, made)
    there = inspect(connection)
    if connection.dialect.name == "mysql":
        assert set(there.get_table_names()) == {"thing", "useless"}
        assert [column["name"] for column in there.get_columns("thing")] == ["id", "old"]


def test_constraints_are_known_by_their_names(connection: Connection) -> None:
    if connection.dialect.name != "mysql":
        pytest.skip("SQLite cannot add a constraint")
    run = Operations(MigrationContext.configure(connection))
    made = steps.record(connection)
    for _ in range(2):
        run.create_foreign_key("fk_old", "thing", "useless", ["old"], ["id"])
        run.create_check_constraint("ck_old", "thing", "old > 5")
        run.create_unique_constraint("uq_old", "thing", ["old"])
    assert len(made) == 3
    for _ in range(2):
        run.drop_constraint("ck_old", "thing", type_="check")
    assert len(made) == 4

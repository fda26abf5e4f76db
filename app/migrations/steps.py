"""What makes a migration resumable: a statement whose outcome is there already is left out.

MySQL commits each statement that changes the schema by itself, so a migration that is killed has made some of its
changes. Its statements are run again from the first one; a migration that writes rows, or changes the schema by
statements in SQL, has to bear that as well. One that fails by an error of its own drops what it has just made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from alembic.ddl.base import AddColumn, DropColumn
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.mysql import MySQLImpl
from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy import Connection, Table, inspect
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.schema import (
    AddConstraint,
    CreateIndex,
    CreateTable,
    DropConstraint,
    DropIndex,
    DropTable,
    ExecutableDDLElement,
)

log = logging.getLogger(__name__)
MADE = "made by the migration"
DROPS = (DropConstraint, DropIndex, DropColumn, DropTable)


def done(connection: Connection, statement: object) -> bool:
    """Whether the database has what the statement makes, or lacks what it drops."""
    database = inspect(connection)
    match statement:
        case CreateTable(element=table) | DropTable(element=table):
            there = database.has_table(table.name)
        case CreateIndex(element=index) | DropIndex(element=index) if index.table is not None:
            there = index.name in _names(index.table.name, database.get_indexes)
        case AddColumn(table_name=name, column=column) | DropColumn(table_name=name, column=column):
            there = column.name in _names(name, database.get_columns)
        case AddConstraint(element=key) | DropConstraint(element=key):
            kinds = (database.get_foreign_keys, database.get_unique_constraints, database.get_check_constraints)
            there = key.name in _names(key.table.name, *kinds)
        case _:
            return False
    return there is not isinstance(statement, DROPS)


def _names(table: str, *kinds: Callable[[str], Iterable[Any]]) -> set[str]:
    try:
        return {found["name"] for kind in kinds for found in kind(table)}
    except NoSuchTableError:
        return set()


def record(connection: Connection) -> list[object]:
    """The statements that a migration runs from now on, one by one."""
    made: list[object] = []
    connection.info[MADE] = made
    return made


def take_back(connection: Connection, made: Sequence[object]) -> None:
    """Drops what the last of these statements have made, up to one that did something else: rows may be moved by then.

    A statement that fails, too, ends in the log, and its migration goes on from there the next time.
    """
    if connection.dialect.name == "sqlite":
        # It is one transaction, which whoever began it rolls back.
        return
    connection.rollback()
    drops: list[ExecutableDDLElement] = []
    for statement in reversed(made):
        if (drop := _inverse(statement)) is None:
            break
        drops.append(drop)
    # A foreign key needs its index.
    for drop in sorted(drops, key=lambda drop: DROPS.index(type(drop))):
        try:
            connection.execute(drop)
        except DBAPIError as error:
            log.warning("%s of the migration stays: %s", error.statement, error.orig)


def _inverse(statement: object) -> ExecutableDDLElement | None:
    match statement:
        case CreateTable(element=table):
            return DropTable(table)
        case CreateIndex(element=index):
            return DropIndex(index)
        case AddColumn(table_name=name, column=column):
            return DropColumn(name, column)
        case AddConstraint(element=constraint):
            return DropConstraint(constraint)
    return None


class Resumable(DefaultImpl):
    """Runs the statements of a migration; Alembic takes a subclass for its dialect as soon as it is defined."""

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        if self.connection is None:
            return super()._exec(construct, *arguments, **options)
        if done(self.connection, construct):
            return None
        result = super()._exec(construct, *arguments, **options)
        self.connection.info.get(MADE, []).append(construct)
        return result


class ResumableMySQL(Resumable, MySQLImpl):
    """On MySQL."""

    __dialect__ = "mysql"


class ResumableSQLite(Resumable, SQLiteImpl):
    """On SQLite, where one transaction has all of it, and only releases until v0.1.0 have left anything half done."""

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl: Any, table: Table) -> None:
        """Removes the copy of a table that was begun; the table itself is still there."""
        self._exec(DropTable(batch_impl.new_table, if_exists=True))

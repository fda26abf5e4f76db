"""What makes a migration resumable: a statement whose outcome is there already is left out.

MySQL commits each statement that changes the schema by itself, so a migration that is killed has made some of its
changes. Its statements are run again from the first one; a migration that writes rows has to bear that as well.
"""

from __future__ import annotations

from typing import Any

from alembic.ddl.base import AddColumn
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.mysql import MySQLImpl
from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy import Connection, ForeignKeyConstraint, Table, inspect
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable, DropTable


def there(connection: Connection, statement: object) -> bool:
    """Whether the database has what the statement makes."""
    database = inspect(connection)
    match statement:
        case CreateTable(element=table):
            return database.has_table(table.name)
        case CreateIndex(element=index) if index.table is not None:
            return index.name in {found["name"] for found in database.get_indexes(index.table.name)}
        case AddColumn(table_name=name, column=column):
            return column.name in {found["name"] for found in database.get_columns(name)}
        case AddConstraint(element=ForeignKeyConstraint() as key):
            return key.name in {found["name"] for found in database.get_foreign_keys(key.table.name)}
    return False


class Resumable(DefaultImpl):
    """Runs the statements of a migration; Alembic takes a subclass for its dialect as soon as it is defined."""

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        if self.connection is not None and there(self.connection, construct):
            return None
        return super()._exec(construct, *arguments, **options)


class ResumableMySQL(Resumable, MySQLImpl):
    """On MySQL."""

    __dialect__ = "mysql"


class ResumableSQLite(Resumable, SQLiteImpl):
    """On SQLite, where one transaction has all of it, and only releases until v0.1.0 have left anything half done."""

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl: Any, table: Table) -> None:
        """Removes the copy of a table that was begun; the table itself is still there."""
        self._exec(DropTable(batch_impl.new_table, if_exists=True))

"""The database: SQLite in a file or MySQL over TLS, with the same code on both."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from app.credentials import REMEDY
from app.settings import Settings

log = logging.getLogger(__name__)
LOCK = "school_schedule.migrate"
FILE = "school-schedule.db"
# Seconds for a statement, and on SQLite for whoever else writes.
PATIENCE = 30
# For one of a migration, which may copy a table.
MIGRATION = 3600
# What one process may open at most, a third of them kept.
CONNECTIONS = 15


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""


def connect(settings: Settings, patience: int = PATIENCE) -> Engine:
    """The engine; nothing is sent to the database yet. MySQL is given `patience` seconds for each statement.

    Raises:
        DatabaseError: the data folder cannot be written to, or the server's user, password or authority is missing.
    """
    if settings.embedded:
        return _sqlite(settings.data_dir)
    password = settings.db_password.get_secret_value()
    for name, given in (("user", settings.db_user), ("password", password)):
        if not given and settings.secrets_dir:
            raise DatabaseError(f"Secret db-credentials has no {settings.db_account}-{name}; {REMEDY}")
        if not given:
            raise DatabaseError(f"DB_{name.upper()} is empty; {settings.db_host} lets nobody in without")
    url = URL.create(
        "mysql+pymysql",
        username=settings.db_user,
        host=settings.db_host,
        port=settings.db_port,
        database=settings.db_name,
        query={"charset": "utf8mb4"},
    )
    # As bytes: PyMySQL would encode text as Latin-1, which is not what the server has.
    options = {"password": password.encode(), "ssl": _tls(settings.db_tls_ca)}
    options |= {"connect_timeout": 3, "read_timeout": patience, "write_timeout": 30}
    # READ COMMITTED: a claim must see what other workers have committed, and gap locks would only make them wait.
    return create_engine(
        url,
        connect_args=options,
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_size=CONNECTIONS // 3,
        max_overflow=CONNECTIONS - CONNECTIONS // 3,
        isolation_level="READ COMMITTED",
        # What a statement carries is about people; it has no place in an error that is logged.
        hide_parameters=True,
    )


def now(session: Session) -> datetime:
    """UTC without a zone, by the server's clock: workers' own clocks may differ."""
    if session.get_bind().dialect.name == "mysql":
        moment: datetime = session.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
        return moment
    return datetime.now(UTC).replace(tzinfo=None)


def migrate(engine: Engine, wait: float = 0, fill: Callable[[Session], None] = lambda _: None) -> None:
    """Brings the schema to this code's revision, a newer one is left as it is; `fill` then adds what has to be in it.

    At most one process does so at a time, the others wait for it. The database is given `wait` seconds to come up.

    Raises:
        DatabaseError: the MySQL server did not come up, or the lock was not to be had within a minute; or the schema is
            no release's, or rows in it contradict it, and nothing was changed.
        DBAPIError: the SQLite file cannot be used, and nothing was changed; `explain` says why.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            with _alone(engine) as connection:
                _upgrade(connection)
                with Session(connection) as session:
                    fill(session)
                    session.commit()
            return
        except OperationalError as error:
            if time.monotonic() < deadline:
                log.info("waiting for the database: %s", error.orig)
                time.sleep(2)
            elif engine.dialect.name == "sqlite":
                raise
            else:
                raise DatabaseError(f"the database does not answer: {error.orig}") from error


def problem(engine: Engine) -> str | None:
    """Why the database is not usable by this code, or None if it is; OperationalError where it does not answer."""
    with engine.connect() as connection:
        try:
            current = _revision(connection)
        except DatabaseError as error:
            return str(error)
    if current is None:
        return "the database has no schema yet; run migrate"
    # One that this code does not know is a newer one: the next release is being rolled out.
    if current in _revisions() and current != _revisions()[0]:
        return f"the schema is at revision {current}, this code needs {_revisions()[0]}; run migrate"
    return None


def explain(error: DBAPIError, settings: Settings) -> str:
    """One line on a database that cannot be used, with what to do where that is known."""
    # Extended codes begin with the name of what they are a kind of: SQLITE_READONLY_DIRECTORY.
    code = "_".join(getattr(error.orig, "sqlite_errorname", "").split("_")[:2])
    what, remedy = f"the database cannot be used: {error.orig}", REMEDIES.get(code)
    return f"{what}; {remedy.format(settings.data_dir / FILE)}" if remedy else what


BROKEN_REFERENCES = """
SELECT broken."table", reference."from", fkid, parent, on_delete, COUNT(*)
FROM pragma_foreign_key_check AS broken JOIN pragma_foreign_key_list(broken."table") AS reference ON id = fkid
GROUP BY broken."table", fkid ORDER BY broken."table", fkid
"""
# Both are shown to a person.
SET_NULL, DELETE = "UPDATE {table} SET {column} = NULL", "DELETE FROM {table}"
THOSE = "rowid IN (SELECT rowid FROM pragma_foreign_key_check('{table}') WHERE fkid = {number})"
REMEDIES = {
    "SQLITE_BUSY": "another process writes to {}; wait for it or end it, then start again",
    "SQLITE_CANTOPEN": "{} and the files beside it have to be this user's to write",
    "SQLITE_CORRUPT": "put a copy in the place of {}; nothing was changed",
    "SQLITE_FULL": "make room on the disk of {} and start again; nothing of what was under way was stored",
    "SQLITE_NOTADB": "put a copy in the place of {}, or move it away to begin anew; nothing was changed",
    "SQLITE_READONLY": "{} and the files beside it have to be this user's to write",
}


def _sqlite(folder: Path) -> Engine:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        # To open it would take the locks from whoever in this process has it open.
        if (folder / FILE).exists() and not os.access(folder / FILE, os.W_OK):
            raise PermissionError(errno.EACCES, f"{FILE} may only be read")
    except OSError as error:
        raise DatabaseError(
            f"cannot write to the data folder {folder.resolve()}: {error.strerror}; set DATA_DIR"
        ) from None
    engine = create_engine(f"sqlite:///{folder / FILE}", connect_args={"timeout": PATIENCE}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        # Readers and the one writer do not wait for one another; what a crash may cost is the last moment's progress.
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switches the file over to a write-ahead log, unless it is; where two do that at once SQLite has none wait."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _tls(authority: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise DatabaseError(f"{authority}: {reason}; it is ca.crt of Secret db-credentials: {REMEDY}") from None
    if authority is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


@cache
def _revisions() -> tuple[str, ...]:
    """All revisions that this code knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _revision(connection: Connection) -> str | None:
    """The revision of the schema; DatabaseError for one that is neither known nor newer than all that are."""
    heads = MigrationContext.configure(connection).get_current_heads()
    if not heads:
        return None
    current, known = " and ".join(heads), _revisions()
    newer = current.isdecimal() and len(current) == len(known[0]) and current > known[0]
    if current not in known and not newer:
        raise DatabaseError(
            f"the schema is at revision {current}, which no release has; nothing was changed: bring a copy back, "
            "or use another database"
        )
    return current


def _upgrade(connection: Connection) -> None:
    current, newest = _revision(connection), _revisions()[0]
    if current is not None and current > newest:
        log.warning("the schema is at revision %s, newer than this code; leaving it as it is", current)
    elif current != newest:
        command.upgrade(_config(connection), "head")
        if connection.dialect.name == "sqlite":
            _check_references(connection)


def _check_references(connection: Connection) -> None:
    """What SQLite does not look at while foreign keys are off; DatabaseError for rows that refer to none."""
    broken = connection.execute(text(BROKEN_REFERENCES)).first()
    if broken is None:
        return
    table, column, number, parent, on_delete, count = broken
    change = f"{SET_NULL if on_delete == 'SET NULL' else DELETE} WHERE {THOSE}"
    raise DatabaseError(
        f"{connection.engine.url.database}: {count} rows of {table} refer to rows of {parent} that are not there; "
        "nothing was changed: copy the file, "
        f"run {change.format(table=table, column=column, number=number)} in it, and start again"
    )


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection for what one process does at a time; what it has done is committed in the end.

    On SQLite that is one transaction, and a process that is killed has changed nothing. There a table is altered by
    copying it, so foreign keys are off: with the old table the rows that refer to it would go.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "mysql":
            with lock(connection, LOCK):
                yield connection
                connection.commit()
            return
        # Closed in the end rather than used again, as it is unlike the others.
        connection.detach()
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        # Python's driver would begin a transaction only before the first row is written.
        driver: Any = connection.connection.dbapi_connection
        driver.isolation_level = None
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.commit()


@contextmanager
def lock(connection: Connection, name: str) -> Iterator[None]:
    """An advisory lock of the MySQL server.

    Raises:
        DatabaseError: it was not to be had within a minute.
    """
    # Three times, as each wait has to be shorter than the connection's read timeout.
    waits = (connection.scalar(text("SELECT GET_LOCK(:name, 20)"), {"name": name}) for _ in range(3))
    if 1 not in waits:
        raise DatabaseError(f"another process has held {name} for more than a minute; look at its log, then try again")
    connection.commit()
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
        connection.commit()

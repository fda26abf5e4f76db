"""The database: SQLite in a file or MySQL over TLS, with the same code on both."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import ssl
import tempfile
import textwrap
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
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.credentials import REMEDY
from app.migrations import steps
from app.settings import Settings

log = logging.getLogger(__name__)
LOCK = "school_schedule.migrate"
# Seconds for which a lock of the server is asked for at a time.
TURN = 20
FILE = "school-schedule.db"
# Seconds for a statement, and on SQLite for whoever else writes.
PATIENCE = 30
# For one of a migration, which may copy a table, and for whoever waits for another migration.
MIGRATION = 3600
# For a lock that one of a migration waits for: meanwhile whoever wants the same table waits behind it.
BLOCKED = 15
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

    At most one process does so at a time, the others wait for it. A migration that fails by an error of its own ends
    all, and drops what it has just made; one that was only interrupted is gone on with. The database is given `wait`
    seconds to come up, and whatever keeps a migration waiting to end.

    Raises:
        DatabaseError: the lock was not to be had; or the schema is no release's, or rows in it contradict it, and
            nothing was changed.
        DBAPIError: the database did not come up, or a statement failed; `explain` says which, and why.
    """

    def attempt() -> None:
        with _alone(engine) as connection:
            _upgrade(connection)
            with Session(connection) as session:
                fill(session)
                session.commit()

    patiently(attempt, wait)


def patiently(action: Callable[[], None], wait: float) -> None:
    """Does something that can be done again, until no error is in its way that may pass, for up to `wait` seconds.

    Raises:
        DBAPIError: its own, or the last of those that did not pass.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return action()
        except DBAPIError as error:
            if not passing(error) or time.monotonic() >= deadline:
                raise
            log.info("trying again: %s", _words(error))
            time.sleep(2)


def passing(error: Exception) -> bool:
    """Whether an error says nothing about the statement: there was no connection, or others are in its way."""
    if not isinstance(error, DBAPIError):
        return False
    # What fails before there is a connection has no statement.
    return error.statement is None or error.connection_invalidated or _code(error) in PASSING


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
    """One line on a database that cannot be used, or on a migration's error, with what to do where that is known."""
    what, remedy = _words(error), REMEDIES.get(_code(error))
    return f"{what}; {remedy.format(settings.data_dir / FILE)}" if remedy else what


BROKEN_REFERENCES = """
SELECT broken."table", reference."from", fkid, parent, on_delete, COUNT(*)
FROM pragma_foreign_key_check AS broken JOIN pragma_foreign_key_list(broken."table") AS reference ON id = fkid
GROUP BY broken."table", fkid ORDER BY broken."table", fkid
"""
# Both are shown to a person.
SET_NULL, DELETE = "UPDATE {table} SET {column} = NULL", "DELETE FROM {table}"
THOSE = "rowid IN (SELECT rowid FROM pragma_foreign_key_check('{table}') WHERE fkid = {number})"
# The server is being stopped, a lock was not to be had, a deadlock.
PASSING = (1053, 1205, 1213)
ROOM = "make room on its volume, docs/runbooks/DatabaseVolumeNearlyFull.md says how"
# By what SQLite calls its error, or by the number of MySQL's:
# https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html
REMEDIES: dict[object, str] = {
    **dict.fromkeys((3, 20, 1021, 1026, 1114, 3675), ROOM),
    1205: "another connection holds what it needs; SHOW PROCESSLIST, by root, says whose",
    "SQLITE_BUSY": "another process writes to {}; wait for it or end it, then start again",
    "SQLITE_CANTOPEN": "{} and the files beside it have to be this user's to write",
    "SQLITE_CORRUPT": "put a copy in the place of {}; nothing was changed",
    "SQLITE_FULL": "make room on the disk of {} and start again; nothing of what was under way was stored",
    "SQLITE_NOTADB": "put a copy in the place of {}, or move it away to begin anew; nothing was changed",
    "SQLITE_READONLY": "{} and the files beside it have to be this user's to write",
}


def _code(error: DBAPIError) -> object:
    """What kind of error it is, by its number, or in the words of SQLite."""
    # Extended codes begin with the name of what they are a kind of: SQLITE_READONLY_DIRECTORY.
    if name := getattr(error.orig, "sqlite_errorname", ""):
        return "_".join(name.split("_")[:2])
    return error.orig.args[0] if error.orig and error.orig.args else None


def _words(error: DBAPIError) -> str:
    """What failed, and the database's own words, in one line."""
    if error.detail:
        statement = textwrap.shorten(error.statement or "COMMIT", 150, placeholder=" ...")
        what = f"{error.detail[0]} failed at {statement}"
    elif error.statement is None and not isinstance(error.orig, sqlite3.Error):
        what = "the database does not answer"
    else:
        what = "the database cannot be used"
    return f"{what}: {error.orig}"


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
        return
    known = _revisions()
    for revision in reversed(known[: known.index(current) if current else None]):
        _run(connection, revision)
    if current != newest and connection.dialect.name == "sqlite":
        _check_references(connection)


def _run(connection: Connection, revision: str) -> None:
    """One migration. On SQLite all are of one transaction, which is not ended here."""
    made = steps.record(connection)
    try:
        command.upgrade(_config(connection), revision)
        if connection.dialect.name == "mysql":
            connection.commit()
    except Exception as error:
        if isinstance(error, DBAPIError):
            error.add_detail(f"migration {revision}")
        if not passing(error):
            steps.take_back(connection, made)
        raise


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
            connection.exec_driver_sql(f"SET lock_wait_timeout = {BLOCKED}, innodb_lock_wait_timeout = {BLOCKED}")
            with lock(connection, LOCK, MIGRATION):
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
def lock(connection: Connection, name: str, wait: float = 60) -> Iterator[None]:
    """An advisory lock of the MySQL server; what its holder has not committed in the end is rolled back.

    Raises:
        DatabaseError: it was not to be had within `wait` seconds.
    """
    deadline = time.monotonic() + wait
    # Again and again, as each wait has to be shorter than the connection's read timeout.
    while not connection.scalar(text("SELECT GET_LOCK(:name, :turn)"), {"name": name, "turn": TURN}):
        if time.monotonic() >= deadline:
            raise DatabaseError(f"another process has held {name} for {wait:.0f} s; look at its log, then try again")
        log.info("waiting for another process, which holds %s", name)
    connection.commit()
    try:
        yield
    finally:
        # With the connection the lock is lost too.
        if not connection.invalidated:
            connection.rollback()
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
            connection.commit()

"""The database: SQLite in a file or MySQL over TLS, with the same code on both."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.credentials import REMEDY
from app.settings import Settings

log = logging.getLogger(__name__)
LOCK = "school_schedule.migrate"
# What one process may open at most, a third of them kept.
CONNECTIONS = 15


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""


def connect(settings: Settings) -> Engine:
    """The engine; nothing is sent to the database yet.

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
    options |= {"connect_timeout": 3, "read_timeout": 30, "write_timeout": 30}
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


def migrate(engine: Engine, wait: float = 0, fill: Callable[[], None] = lambda: None) -> None:
    """Brings the schema to this code's revision, a newer one is left as it is; `fill` then adds what has to be in it.

    At most one process does so at a time, the others wait for it. The database is given `wait` seconds to come up.

    Raises:
        DatabaseError: the database did not come up, or the lock was not to be had within a minute.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            with engine.connect() as connection, lock(connection, LOCK):
                _upgrade(connection)
                fill()
            return
        except OperationalError as error:
            if time.monotonic() >= deadline:
                raise DatabaseError(f"the database does not answer: {error.orig}") from error
            log.info("waiting for the database: %s", error.orig)
            time.sleep(2)


def problem(engine: Engine) -> str | None:
    """Why the database is not usable by this code, or None if it is; OperationalError where it does not answer."""
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        return "the database has no schema yet; run migrate"
    # A revision that this code does not know is a newer one: the next release is being rolled out.
    if current in _revisions() and current != _revisions()[0]:
        return f"the schema is at revision {current}, this code needs {_revisions()[0]}; run migrate"
    return None


def _sqlite(folder: Path) -> Engine:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise DatabaseError(
            f"cannot write to the data folder {folder.resolve()}: {error.strerror}; set DATA_DIR"
        ) from None
    engine = create_engine(f"sqlite:///{folder / 'school-schedule.db'}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        # Readers and the one writer do not wait for one another; what a crash may cost is the last moment's progress.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


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


def _revisions() -> list[str]:
    """All revisions that this code knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _upgrade(connection: Connection) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in _revisions():
        log.warning("the schema is at revision %s, newer than this code; leaving it as it is", current)
        return
    command.upgrade(_config(connection), "head")
    connection.commit()


@contextmanager
def lock(connection: Connection, name: str) -> Iterator[None]:
    """An advisory lock of the server; SQLite needs none, as it belongs to one process.

    Raises:
        DatabaseError: it was not to be had within a minute.
    """
    if connection.dialect.name != "mysql":
        yield
        return
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

"""MySQL accounts: who may do what. One more account makes them, corrects them and gives them new passwords."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from app import database
from app.credentials import REMEDY, ROOT
from app.database import DatabaseError
from app.settings import Settings, read

log = logging.getLogger(__name__)
ACCESS_DENIED, CANNOT_USER = 1045, 1396
# Object and privileges, as SHOW GRANTS has them.
Grants = frozenset[tuple[str, frozenset[str]]]


@dataclass(frozen=True)
class Account:
    """A login, from anywhere that the network lets through, by TLS only.

    Attributes:
        grants: (privileges, object); `{schema}` stands for the application's schema.
        connections: how many at a time; 0 for any number.
    """

    role: str
    grants: tuple[tuple[str, str], ...]
    connections: int = 0


ACCOUNTS = (
    Account("app", (("SELECT, INSERT, UPDATE, DELETE", "{schema}.*"),)),
    Account("migration", (("ALL PRIVILEGES", "{schema}.*"),)),
    Account("backup", (("SHOW_ROUTINE", "*.*"), ("SELECT, SHOW VIEW, TRIGGER, EVENT", "{schema}.*"))),
    Account("exporter", (("PROCESS, REPLICATION CLIENT", "*.*"), ("SELECT", "`performance_schema`.*")), connections=3),
)


@dataclass(frozen=True)
class Login:
    """A name and password, from the files `ROLE-user` and `ROLE-password` of a mounted Secret."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, folder: Path, role: str) -> Login:
        user, password = (read(folder / f"{role}-{part}") for part in ("user", "password"))
        for part, given in (("user", user), ("password", password)):
            if not given:
                raise DatabaseError(f"Secret db-credentials has no {role}-{part}; {REMEDY}")
        if user == ROOT:
            raise DatabaseError(
                f"{role}-user of Secret db-credentials is {ROOT}, who is the server's own; choose another"
            )
        return cls(user, password)

    def applied(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"db_user": self.user, "db_password": SecretStr(self.password)})


def ensure(settings: Settings, wait: float = 0) -> None:
    """Makes every account of `ACCOUNTS` and gives it its password and exactly its rights.

    What is right already is not touched. A replaced password goes on being accepted until `forget`, so that whoever
    still holds it loses no connection. The database is given `wait` seconds to come up.

    Raises:
        DatabaseError: a file of the Secret is missing.
        DBAPIError: the database did not come up, or refused the account `accounts`, or a statement of it.
    """
    folder = _folder(settings)
    engine = database.connect(Login.read(folder, "accounts").applied(settings))

    def attempt() -> None:
        # Two at a time would revoke what the other has just granted.
        with engine.connect() as connection, database.lock(connection, "school_schedule.accounts"):
            for account in ACCOUNTS:
                _ensure(connection, account, Login.read(folder, account.role), settings)

    database.patiently(attempt, wait)


def forget(settings: Settings) -> None:
    """Ends the validity of the passwords that `ensure` has replaced."""
    folder = _folder(settings)
    with database.connect(Login.read(folder, "accounts").applied(settings)).connect() as connection:
        for account in ACCOUNTS:
            user = Login.read(folder, account.role).user
            connection.execute(text("ALTER USER :user@'%' DISCARD OLD PASSWORD"), {"user": user})
            log.info("%s: only its newest password is accepted", user)


def wanted(account: Account, schema: str) -> Grants:
    """What SHOW GRANTS must say of an account."""
    return frozenset(
        (target.format(schema=quoted(schema)), frozenset(privileges.split(", ")))
        for privileges, target in account.grants
    )


def parse(lines: Iterable[str]) -> Grants:
    """The answer of SHOW GRANTS, without USAGE, which is no privilege."""
    found = (re.fullmatch(r"GRANT (.+?) ON (\S+) TO \S+( WITH GRANT OPTION)?", line) for line in lines)
    return frozenset(
        (match[2], frozenset([*match[1].split(", "), *([match[3]] if match[3] else [])]))
        for match in found
        if match and match[1] != "USAGE"
    )


def quoted(schema: str) -> str:
    """A schema's name in a GRANT, where an underscore would mean any character."""
    return "`" + schema.replace("`", "``").replace("_", r"\_").replace("%", r"\%") + "`"


def _ensure(admin: Connection, account: Account, login: Login, settings: Settings) -> None:
    who = {"user": login.user, "password": login.password}
    try:
        grants = _grants(login, settings)
    except OperationalError as error:
        if _code(error) != ACCESS_DENIED:
            raise
        _set_password(admin, who)
        grants = _grants(login, settings)
    limits = f"REQUIRE SSL WITH MAX_USER_CONNECTIONS {account.connections}"
    admin.execute(text(f"ALTER USER :user@'%' {limits}"), who)
    if grants != wanted(account, settings.db_name):
        admin.execute(text("REVOKE ALL PRIVILEGES, GRANT OPTION FROM :user@'%'"), who)
        for privileges, target in account.grants:
            on = target.format(schema=quoted(settings.db_name))
            admin.execute(text(f"GRANT {privileges} ON {on} TO :user@'%'"), who)
        log.info("%s: rights corrected", login.user)


def _set_password(admin: Connection, who: dict[str, str]) -> None:
    identified = "IDENTIFIED WITH caching_sha2_password BY :password"
    try:
        admin.execute(text(f"CREATE USER :user@'%' {identified} REQUIRE SSL"), who)
        log.info("%s: made", who["user"])
    except OperationalError as error:
        # CREATE USER fails for an account that exists.
        if _code(error) != CANNOT_USER:
            raise
        admin.execute(text(f"ALTER USER :user@'%' {identified} RETAIN CURRENT PASSWORD"), who)
        log.info("%s: has a new password beside its old one", who["user"])


def _grants(login: Login, settings: Settings) -> Grants:
    """What the account says of itself, which needs no right to read other accounts."""
    # An account without any right may not choose a schema.
    engine = database.connect(login.applied(settings).model_copy(update={"db_name": ""}))
    try:
        with engine.connect() as connection:
            return parse(connection.scalars(text("SHOW GRANTS")))
    finally:
        engine.dispose()


def _folder(settings: Settings) -> Path:
    if settings.secrets_dir is None or settings.embedded:
        raise DatabaseError("accounts are for a MySQL server; set DB_HOST, and SECRETS_DIR to the mounted Secret")
    return settings.secrets_dir


def _code(error: OperationalError) -> int:
    return int(error.orig.args[0]) if error.orig else 0

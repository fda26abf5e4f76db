"""The keys of Secret `db-credentials`: which there are, and values for those that one lacks. Standard library alone."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = "root"
ROLES = ("app", "migration", "backup", "exporter", "accounts")
USERS = {"user": ROOT, "app-user": "school_schedule", **{f"{role}-user": role for role in ROLES[1:]}}
PASSWORDS = ("rootpassword", *(f"{role}-password" for role in ROLES))
CERTIFICATE = ("tls.key", "tls.crt", "ca.crt")
# For whoever lacks a key.
REMEDY = "Job credentials or `make credentials ENV=...` adds it"


class CredentialsError(Exception):
    """The keys that are there contradict each other; the text is one line without a value."""


class UnreadableError(CredentialsError):
    """What openssl was given is not what it was said to be."""


def value(text: str) -> str:
    """What a key or its file says: the line's end that an editor or `echo` leaves is no part of it."""
    return text.rstrip("\n")


def missing(there: Mapping[str, str]) -> set[str]:
    """The keys that have no value in `there`; an empty one is none.

    The certificate's three belong together. An authority alone is that of somebody else's server.
    """
    keys = {key for key in (*USERS, *PASSWORDS, *CERTIFICATE) if not value(there.get(key, ""))}
    foreign = keys & set(CERTIFICATE) == {"tls.key", "tls.crt"}
    return keys - set(CERTIFICATE) if foreign else keys


def check(there: Mapping[str, str]) -> None:
    """Raises CredentialsError for what adding keys cannot mend."""
    user = value(there.get("user", ""))
    if user not in ("", ROOT) and not value(there.get("password", "")):
        raise CredentialsError(f"user is {user!r}: the database's image makes no administrator but {ROOT}")
    users = {**USERS, **adopted(there)}
    names = [value(there.get(f"{role}-user", "")) or users[f"{role}-user"] for role in ROLES]
    if ROOT in names or len(set(names)) < len(names):
        raise CredentialsError(f"the accounts {', '.join(ROLES)} have five names, and none is {ROOT}")
    lacking = missing(there).intersection(CERTIFICATE)
    if lacking and (some := set(CERTIFICATE) - lacking):
        raise CredentialsError(f"there is {', '.join(sorted(some))} without {', '.join(sorted(lacking))}")


def additions(there: Mapping[str, str], namespace: str) -> dict[str, str]:
    """Values for the keys that `there` lacks, random where they are secret; CredentialsError as `check`."""
    check(there)
    keys = missing(there)
    values = USERS | {key: secrets.token_urlsafe(32) for key in PASSWORDS} | adopted(there)
    if "ca.crt" in keys:
        names = ["mysql", f"mysql.{namespace}", f"mysql.{namespace}.svc", f"mysql.{namespace}.svc.cluster.local"]
        key, certificate = self_signed(names, days=3650)
        values |= {"tls.key": key, "tls.crt": certificate, "ca.crt": certificate}
    return {key: values[key] for key in keys}


def adopted(there: Mapping[str, str]) -> dict[str, str]:
    """The application's account as releases up to v0.1.0 have it, in `user` and `password`, where it has no other."""
    user, password = (value(there.get(key, "")) for key in ("user", "password"))
    user = user or USERS["app-user"]
    if not password or user == ROOT or value(there.get("app-user", "")) not in ("", user):
        return {}
    return {key: text for key, text in (("app-user", user), ("app-password", password)) if key in missing(there)}


def followed(there: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The key `password` with a new `app-password`, where a release up to v0.1.0 may come back to read it."""
    same = value(there.get("password", "")) and there.get("user") == there.get("app-user")
    return {"password": new["app-password"]} if same and "app-password" in new else {}


def self_signed(hosts: list[str], days: int) -> tuple[str, str]:
    """A new private key, and a certificate for `hosts` that it signs itself, both PEM.

    Raises:
        CredentialsError: openssl is not there, or failed.
    """
    key = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
    request = ["-x509", "-key", "/dev/stdin", "-days", str(days), "-subj", f"/CN={hosts[0]}"]
    extensions = ["-addext", names, "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    return key, _openssl("req", *request, *extensions, stdin=key)


def fault(certificate: str, key: str, *hosts: str) -> str:
    """Why a server cannot serve `hosts` by a certificate and its key, both PEM; empty for nothing.

    Whether the authority is trusted is not looked at.

    Raises:
        CredentialsError: openssl is not there.
    """
    try:
        pair, begins, ends, others = _read(certificate, key, hosts)
    except UnreadableError:
        return "tls.crt and tls.key are not a certificate and a key in PEM"
    now = datetime.now(UTC)
    if not pair:
        return "tls.key is not the key of tls.crt"
    if _moment(begins) > now:
        return f"tls.crt is not valid before {begins}"
    if _moment(ends) < now:
        return f"tls.crt expired on {ends}"
    return f"tls.crt is not for {', '.join(others)}" if others else ""


@lru_cache(maxsize=32)
def distrusted(certificate: str, authority: str) -> str:
    """Why whoever trusts `authority` alone refuses a certificate, both PEM; empty for nothing.

    When they are valid is not looked at.

    Raises:
        CredentialsError: openssl is not there.
    """
    with TemporaryDirectory() as folder:
        own, trusted = Path(folder, "tls.crt"), Path(folder, "ca.crt")
        own.write_text(certificate)
        trusted.write_text(authority)
        options = ["-no_check_time", "-partial_chain", "-CAfile", str(trusted), "-untrusted", str(own)]
        try:
            _openssl("verify", *options, str(own), prints=": OK")
        except UnreadableError:
            return "ca.crt is not the authority that signed tls.crt"
    return ""


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


# A delivery asks about the same one again and again.
@lru_cache(maxsize=32)
def _read(certificate: str, key: str, hosts: tuple[str, ...]) -> tuple[bool, str, str, list[str]]:
    """Whether key and certificate belong together, its first and last moment, and the hosts that it is not for."""
    own = _openssl("x509", "-noout", "-pubkey", stdin=certificate)
    pair = own == _openssl("pkey", "-pubout", stdin=key)
    shown = [_openssl("x509", "-dates", "-checkhost", host, stdin=certificate) for host in hosts]
    begins, ends = re.findall(r"^not(?:Before|After)=(.*)$", shown[0], re.MULTILINE)
    return pair, begins, ends, [host for host, text in zip(hosts, shown, strict=True) if "NOT match" in text]


def _openssl(*arguments: str, stdin: str | None = None, prints: str = "-----BEGIN") -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- the arguments of this module
            ["openssl", *arguments],  # noqa: S607 -- wherever the system has it
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CredentialsError(f"openssl cannot be run: {error}") from None
    if done.returncode or prints not in done.stdout:
        raise UnreadableError(f"openssl {arguments[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout

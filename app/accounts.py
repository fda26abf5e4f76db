"""People: passwords, browsers that are signed in, invitations, and who may do what in which school."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import database
from app.models import Account, Attempt, Invitation, Login, Membership, StoredSchool
from app.school.message import SchoolError, _

ROLES = ("viewer", "editor", "admin")
LOGIN = timedelta(days=14)
INVITATION = timedelta(days=7)
# So many failed logins of one address within that time, then nobody is let in by it until some are older.
WINDOW = timedelta(minutes=15)
MOST_FAILURES = 8
MOST_FAILURES_OF_A_HOST = 50
SHORTEST_PASSWORD = 10
ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]{1,180}", re.ASCII)
# Argon2id as OWASP's password storage cheat sheet has it: 19 MiB, so that many can sign in at once in a small pod.
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def sha256(token: str) -> str:
    """What the database has of a token: whoever reads it cannot sign in with that."""
    return hashlib.sha256(token.encode()).hexdigest()


def invite(session: Session, school: StoredSchool | None, role: str) -> str:
    """The token of a new invitation."""
    token = secrets.token_urlsafe(24)
    expires = database.now(session) + INVITATION
    session.add(Invitation(token_sha256=sha256(token), school_id=school and school.id, role=role, expires_at=expires))
    session.flush()
    return token


def anybody(session: Session) -> bool:
    """Whether there is an account."""
    return session.scalar(select(Account.id).limit(1)) is not None


def first_invitation(session: Session) -> str | None:
    """The token by which the first account is made, and no older one any more; None where there is an account."""
    if anybody(session):
        return None
    session.execute(delete(Invitation).where(Invitation.school_id.is_(None)))
    return invite(session, None, "admin")


def invitation(session: Session, token: str) -> Invitation | None:
    """The invitation, as long as it is good."""
    found = session.get(Invitation, sha256(token))
    return found if found and found.expires_at > database.now(session) else None


def accept(session: Session, invited: Invitation, account: Account) -> None:
    """Uses up the invitation; every other way to become the first admin is closed with it."""
    if invited.school_id is None:
        account.admin = True
        session.execute(delete(Invitation).where(Invitation.school_id.is_(None)))
        return
    member = session.get(Membership, (account.id, invited.school_id))
    if member is None:
        session.add(Membership(account_id=account.id, school_id=invited.school_id, role=invited.role))
    elif ROLES.index(invited.role) > ROLES.index(member.role):
        member.role = invited.role
    session.delete(invited)


def create(session: Session, email: str, name: str, password: str) -> Account:
    """A new account."""
    email = email.strip().lower()
    if not ADDRESS.fullmatch(email):
        raise SchoolError(_("“{email}” is no e-mail address.", email=email))
    if not name.strip() or len(name) > 100:
        raise SchoolError(_("Please give your name, in at most 100 characters."))
    check_password(password)
    if session.scalar(select(Account.id).where(Account.email == email)) is not None:
        raise SchoolError(_("There is an account with this e-mail address; sign in with it."))
    account = Account(
        email=email, name=name.strip(), password=hasher.hash(password), admin=False, created_at=database.now(session)
    )
    session.add(account)
    session.flush()
    return account


def check_password(password: str) -> None:
    """SchoolError for one that is too easy to guess or too long to hash."""
    if not SHORTEST_PASSWORD <= len(password) <= 200:
        raise SchoolError(_("A password has at least {least} characters.", least=SHORTEST_PASSWORD))
    if len(set(password)) < 5:
        raise SchoolError(_("This password is too easy to guess."))


def authenticate(session: Session, email: str, password: str, host: str) -> Account | None:
    """The account, if the password is its own; a failure is counted. SchoolError after too many of these."""
    email = email.strip().lower()[:254]
    moment = database.now(session)
    session.execute(delete(Attempt).where(Attempt.at < moment - WINDOW))
    for who, most in ((f"to {email}", MOST_FAILURES), (f"from {host}"[:260], MOST_FAILURES_OF_A_HOST)):
        if (session.scalar(select(func.count(Attempt.id)).where(Attempt.who == who)) or 0) >= most:
            raise SchoolError(_("Too many failed logins; wait a quarter of an hour."))
    account = session.scalar(select(Account).where(Account.email == email))
    # As long for an address that nobody has, so that the time does not tell.
    if verified(account.password if account else _nobody(), password) and account:
        if hasher.check_needs_rehash(account.password):
            account.password = hasher.hash(password)
        return account
    session.add_all(Attempt(who=who[:260], at=moment) for who in (f"to {email}", f"from {host}"))
    return None


def verified(hashed: str, password: str) -> bool:
    """Whether that is the password."""
    try:
        return hasher.verify(hashed, password[:200])
    except (VerifyMismatchError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    return hasher.hash(secrets.token_urlsafe())


def new_password(session: Session, email: str) -> str | None:
    """A password in place of one that was forgotten; None if nobody has that address."""
    account = session.scalar(select(Account).where(Account.email == email.strip().lower()))
    if account is None:
        return None
    password = secrets.token_urlsafe(12)
    account.password = hasher.hash(password)
    sign_out_everywhere(session, account)
    return password


def sign_in(session: Session, account: Account) -> str:
    """The token for a browser."""
    token, moment = secrets.token_urlsafe(32), database.now(session)
    session.execute(delete(Login).where(Login.expires_at < moment))
    session.add(Login(token_sha256=sha256(token), account_id=account.id, expires_at=moment + LOGIN))
    return token


def sign_out(session: Session, token: str) -> None:
    """The token is good for nothing any more."""
    session.execute(delete(Login).where(Login.token_sha256 == sha256(token)))


def sign_out_everywhere(session: Session, account: Account) -> None:
    """Every browser of the account has to sign in again."""
    session.execute(delete(Login).where(Login.account_id == account.id))


def signed_in(session: Session, token: str) -> Account | None:
    """Whose browser has this token."""
    found = session.get(Login, sha256(token))
    return found.account if found and found.expires_at > database.now(session) else None


def csrf_token(token: str) -> str:
    """What a form of that browser has to bring along: another site can make a browser send its cookie, but not this."""
    return hashlib.sha256(b"csrf " + token.encode()).hexdigest()


def role(session: Session, account: Account, school_id: int) -> str | None:
    """What the account is in the school; None if nothing."""
    member = session.get(Membership, (account.id, school_id))
    return member.role if member else None

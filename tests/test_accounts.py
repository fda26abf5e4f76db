from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app import accounts, database
from app.models import Account, Attempt, Invitation, Login
from app.school.message import SchoolError

pytestmark = pytest.mark.mysql

PASSWORD = "uma senha longa"


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions() as session:
        yield session


@pytest.fixture
def account(session: Session) -> Account:
    return accounts.create(session, " Ana@Example.org ", "Ana", PASSWORD)


def test_a_password_is_stored_as_an_argon2_hash(account: Account) -> None:
    assert account.password.startswith("$argon2id$")


def test_the_right_password_signs_in_with_any_case_of_the_address(session: Session, account: Account) -> None:
    assert accounts.authenticate(session, "ANA@example.org", PASSWORD, "host") is account


def test_a_wrong_password_does_not(session: Session, account: Account) -> None:
    assert accounts.authenticate(session, "ana@example.org", PASSWORD + "x", "host") is None
    assert accounts.authenticate(session, "bia@example.org", PASSWORD, "host") is None


def test_after_many_failures_not_even_the_right_password_does(session: Session, account: Account) -> None:
    for _ in range(accounts.MOST_FAILURES):
        accounts.authenticate(session, "ana@example.org", "wrong", "host")
    with pytest.raises(SchoolError, match="Too many failed logins"):
        accounts.authenticate(session, "ana@example.org", PASSWORD, "another host")
    session.execute(update(Attempt).values(at=database.now(session) - 1.1 * accounts.WINDOW))
    assert accounts.authenticate(session, "ana@example.org", PASSWORD, "host") is account


def test_a_host_that_tries_many_addresses_is_stopped(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOST_FAILURES_OF_A_HOST", 3)
    for number in range(3):
        accounts.authenticate(session, f"{number}@example.org", "wrong", "host")
    with pytest.raises(SchoolError, match="Too many failed logins"):
        accounts.authenticate(session, "9@example.org", "wrong", "host")


@pytest.mark.parametrize(
    ("email", "name", "password"),
    [
        ("ana", "Ana", PASSWORD),
        ("ana@example.org", " ", PASSWORD),
        ("ana@example.org", "Ana", "short"),
        ("ana@example.org", "Ana", "a" * 20),
        ("ana@example.org", "Ana", PASSWORD * 20),
    ],
)
def test_an_account_that_cannot_be_is_refused(session: Session, email: str, name: str, password: str) -> None:
    with pytest.raises(SchoolError):
        accounts.create(session, email, name, password)


def test_an_address_has_one_account(session: Session, account: Account) -> None:
    with pytest.raises(SchoolError, match="sign in with it"):
        accounts.create(session, "ana@EXAMPLE.org", "Ana", PASSWORD)


def test_a_browser_is_signed_in_until_it_signs_out(session: Session, account: Account) -> None:
    token = accounts.sign_in(session, account)
    assert accounts.signed_in(session, token) is account
    accounts.sign_out(session, token)
    assert accounts.signed_in(session, token) is None


def test_the_database_has_no_token(session: Session, account: Account) -> None:
    token = accounts.sign_in(session, account)
    assert session.scalars(select(Login.token_sha256)).one() == accounts.sha256(token) != token


def test_a_forgotten_password_is_replaced_and_signs_every_browser_out(session: Session, account: Account) -> None:
    token = accounts.sign_in(session, account)
    made = accounts.new_password(session, " ANA@example.org")
    assert made and accounts.authenticate(session, "ana@example.org", made, "host") is account
    assert accounts.signed_in(session, token) is None
    assert accounts.new_password(session, "eva@example.org") is None


def test_a_login_expires(session: Session, account: Account) -> None:
    token = accounts.sign_in(session, account)
    session.execute(update(Login).values(expires_at=database.now(session) - timedelta(seconds=1)))
    assert accounts.signed_in(session, token) is None


def test_the_first_account_closes_the_way_to_become_the_first(session: Session) -> None:
    token = accounts.first_invitation(session)
    assert token
    invited = accounts.invitation(session, token)
    assert invited
    account = accounts.create(session, "ana@example.org", "Ana", PASSWORD)
    accounts.accept(session, invited, account)
    assert account.admin
    assert accounts.invitation(session, token) is None
    assert accounts.first_invitation(session) is None


def test_a_new_first_invitation_ends_the_one_before(session: Session) -> None:
    tokens = [accounts.first_invitation(session) for _ in range(2)]
    assert [bool(accounts.invitation(session, token or "")) for token in tokens] == [False, True]


def test_an_invitation_expires(session: Session) -> None:
    token = accounts.invite(session, None, "admin")
    session.execute(update(Invitation).values(expires_at=database.now(session) - timedelta(seconds=1)))
    assert accounts.invitation(session, token) is None

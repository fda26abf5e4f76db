from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app import accounts, schools
from app.models import Account, Revision, StoredSchool
from app.school import edit
from app.school.message import Message, SchoolError
from app.school.model import Resource, School

pytestmark = pytest.mark.mysql

WHAT = Message("Changed.")


@pytest.fixture
def stored(sessions: sessionmaker[Session]) -> int:
    """The id of a school, made by account 1 of two."""
    with sessions.begin() as session:
        maker = accounts.create(session, "ana@example.org", "Ana", "uma senha longa")
        accounts.create(session, "bia@example.org", "Bia", "uma senha longa")
        return schools.create(session, edit.begin("Escola", ("Segunda",), "{number}ª"), maker).id


def add(sessions: sessionmaker[Session], stored: int, name: str, base: int, email: str = "ana@example.org") -> None:
    """Adds a teacher, decided on at version `base`."""

    def touched(school: School) -> object:
        return school.teachers

    with sessions.begin() as session:
        school, account = session.get_one(StoredSchool, stored), find(session, email)
        put = Resource(id="", name=name)
        schools.change(session, school, account, base, lambda each: edit.put(each, "teachers", put), WHAT, touched)


def find(session: Session, email: str) -> Account:
    return session.scalars(select(Account).filter_by(email=email)).one()


def teachers(sessions: sessionmaker[Session], stored: int) -> list[str]:
    with sessions() as session:
        school = session.get_one(StoredSchool, stored)
        return [each.name for each in schools.read(session, stored, school.version).teachers]


def test_every_edit_is_a_revision_with_its_editor(sessions: sessionmaker[Session], stored: int) -> None:
    add(sessions, stored, "Carla", base=1, email="bia@example.org")
    with sessions() as session:
        told = [(each.number, each.account and each.account.name) for each in schools.history(session, stored)]
    assert told == [(2, "Bia"), (1, "Ana")]


def test_an_edit_of_what_somebody_else_has_changed_is_a_conflict(sessions: sessionmaker[Session], stored: int) -> None:
    add(sessions, stored, "Carla", base=1, email="bia@example.org")
    with pytest.raises(schools.ConflictError, match="Bia"):
        add(sessions, stored, "Dora", base=1)
    assert teachers(sessions, stored) == ["Carla"]


def test_an_edit_of_something_else_keeps_both(sessions: sessionmaker[Session], stored: int) -> None:
    add(sessions, stored, "Carla", base=1)
    with sessions.begin() as session:
        school, account = session.get_one(StoredSchool, stored), find(session, "bia@example.org")
        room = Resource(id="", name="Quadra")
        schools.change(
            session, school, account, 1, lambda each: edit.put(each, "rooms", room), WHAT, lambda each: each.rooms
        )
    assert teachers(sessions, stored) == ["Carla"]


def test_two_edits_at_once_are_one_and_a_conflict(sessions: sessionmaker[Session], stored: int) -> None:
    def slow(school: School) -> School:
        add(sessions, stored, "Carla", base=1, email="bia@example.org")
        return edit.put(school, "teachers", Resource(id="", name="Dora"))

    with pytest.raises(Exception), sessions.begin() as session:  # noqa: B017
        school, account = session.get_one(StoredSchool, stored), find(session, "ana@example.org")
        schools.change(session, school, account, 1, slow, WHAT)
    assert teachers(sessions, stored) == ["Carla"]


@pytest.mark.parametrize("base", [0, -1, 99])
def test_a_version_that_never_was_is_a_conflict(sessions: sessionmaker[Session], stored: int, base: int) -> None:
    with pytest.raises(schools.ConflictError):
        add(sessions, stored, "Carla", base=base)


def test_an_edit_that_changes_nothing_is_no_revision(sessions: sessionmaker[Session], stored: int) -> None:
    with sessions.begin() as session:
        school, account = session.get_one(StoredSchool, stored), find(session, "ana@example.org")
        schools.change(session, school, account, 1, lambda each: each, WHAT)
    with sessions() as session:
        assert session.scalar(select(func.count(Revision.id))) == 1


def test_an_undo_can_be_undone(sessions: sessionmaker[Session], stored: int) -> None:
    add(sessions, stored, "Carla", base=1)
    for number, expected in ((2, []), (3, ["Carla"])):
        with sessions.begin() as session:
            schools.undo(session, session.get_one(StoredSchool, stored), find(session, "ana@example.org"), number)
        assert teachers(sessions, stored) == expected


def test_old_revisions_are_told_but_not_kept_unless_published(
    sessions: sessionmaker[Session], stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schools, "KEPT", 2)
    add(sessions, stored, "Teacher 2", base=1)
    with sessions.begin() as session:
        school = session.get_one(StoredSchool, stored)
        schools.publish(session, school, find(session, "ana@example.org"), "v1")
    for number in (3, 4, 5):
        add(sessions, stored, f"Teacher {number}", base=number - 1)
    with sessions() as session:
        kept = [each.number for each in schools.history(session, stored) if each.document]
        assert kept == [5, 4, 2]
        with pytest.raises(SchoolError, match="too old"):
            schools.undo(session, session.get_one(StoredSchool, stored), find(session, "ana@example.org"), 4)

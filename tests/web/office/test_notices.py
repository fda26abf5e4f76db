"""After every form: its message is of what it has changed, and its Undo undoes just that."""

from __future__ import annotations

import html
import json
import re
from typing import Any, NamedTuple

import pytest
from httpx2 import Response
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from app import generation, schools
from app.models import Account, Feed, Generation, Membership, Publication, StoredSchool
from app.school import lowering, sheet
from app.school.model import School
from app.settings import Settings
from app.web.application import create
from tests.conftest import SAMPLE
from tests.web.office.conftest import PLAN, Browser, People, now
from tests.web.office.test_access import routes
from tests.web.office.test_data import week_form

pytestmark = pytest.mark.mysql

OTHERS = "Added: Zé."
UNCHANGED = "Nothing has changed: it was like this already."
GONE = "This is not there any more."


class Sent(NamedTuple):
    """A form, and what it changes: its message is of a revision or, if `plain`, of what has none.

    Without a message it only makes ready for the next one.
    """

    address: str
    fields: dict[str, Any]
    told: str = ""
    plain: bool = False


def same(address: str, fields: dict[str, Any], told: str = UNCHANGED) -> Sent:
    return Sent(address, fields, told, plain=True)


ANA = {"name": "Ana"}
ART = {"subject": "s10", "classes": ["c6"], "teachers": ["t7"], "weekly": "2", "doubles": "1"}
ENGLISH = "l15@d2p2"
NOT_ALL = "Turma;Disciplina;Aulas por semana\n6A;Arte;2"
# By the path of its route; {who} is an account that is in the school.
FORMS: dict[str, list[Sent]] = {
    "/settings": [
        same("/settings", {"name": "Escola"}),
        same("/settings", {"name": "Escola", "public": "on"}, "From now on everybody may see the published timetable."),
        Sent("/settings", {"name": "Nova", "public": "on"}, "The school is called “Nova” now."),
        same("/settings", {"name": "Escola"}, "From now on only people with an account in this school see the "
                                              "published timetable."),
    ],
    "/week": [
        same("/week", {}),
        Sent("/week", {"day-0-name": "Domingo"}, "The week was changed."),
    ],
    "/undo": [
        Sent("/undo", {"number": "2"}, "Undone: Added: Zé."),
        Sent("/undo", {"number": "2"}, ""),
        same("/undo", {"number": "2", "back": "/rooms"}),
        same("/undo", {"number": "2", "version": "2"}, "Nothing was undone, as there is a newer change: Back to"),
    ],
    "/lessons/{lesson_id}": [
        same("/lessons/l13", ART),
        Sent("/lessons/l13", ART | {"weekly": "3"}, "Lessons of Arte with 6A were saved."),
        Sent("/lessons/new", ART, "Lessons of Arte with 6A were saved."),
        Sent("/lessons/l13", {"remove": ""}, "A lesson was removed."),
        same("/lessons/l99", {"remove": ""}),
        same("/lessons/l13", ART | {"weekly": "0"}, "Lessons a week are between 1 and 6."),
    ],
    "/{kind}": [
        Sent("/rooms", {"names": "Pátio"}, "Added: Pátio."),
        same("/rooms", {"names": "Quadra"}, "is there already"),
    ],
    "/{kind}/{item_id}": [
        same("/teachers/t7", ANA),
        Sent("/teachers/t7", ANA | {"mark-d1p1": "never"}, "“Ana” was saved."),
        Sent("/rooms/r9", {"remove": ""}, "Removed: Quadra."),
        same("/rooms/r99", {"name": "Sala"}, GONE),
    ],
    "/plans": [Sent("/plans", {"name": "Outro", "of": "v16"}, "Draft “Outro” was made.")],
    "/plans/{plan_id}/remove": [
        Sent("/plans/v16/remove", {}, "Draft “Plano” was removed."),
        same("/plans/v99/remove", {}),
    ],
    "/plans/{plan_id}/move": [
        same("/plans/v16/move", {"pick": ENGLISH, "time": "d2p2"}),
        same("/plans/v16/move", {"pick": ENGLISH, "time": "d2p3", "swap": ENGLISH}),
        Sent("/plans/v16/move", {"pick": ENGLISH, "time": "d2p3"}, "Inglês 6A was moved to Terça, 3ª."),
        same("/plans/v16/move", {"pick": "l15@d1p1", "time": "d2p3"}, "Somebody else has just moved"),
    ],
    "/plans/{plan_id}/lock": [
        same("/plans/v16/lock", {"of": "c6", "locked": "no"}),
        same("/plans/v16/lock", {"of": "r9", "locked": "yes"}),
        Sent("/plans/v16/lock", {"pick": ENGLISH, "of": "c6", "locked": "yes"}, "Lessons were locked."),
        Sent("/plans/v16/lock", {"of": "c6", "locked": "yes"}),
        same("/plans/v16/lock", {"pick": "l13@d1p1", "locked": "yes"}),
        Sent("/plans/v16/lock", {"of": "c6", "locked": "no"}, "Lessons were unlocked."),
    ],
    "/plans/{plan_id}/take-out": [
        Sent("/plans/v16/take-out", {"pick": ENGLISH}, "A lesson was taken out of the week."),
        Sent("/plans/v16/take-out", {"pick": ENGLISH}),
        same("/plans/v16/take-out", {"pick": "l15@:1"}),
    ],
    "/plans/{plan_id}/rename": [
        same("/plans/v16/rename", {"name": "Plano"}),
        Sent("/plans/v16/rename", {"name": "Final"}, "The draft is called “Final” now."),
        same("/plans/v99/rename", {"name": "Final"}, GONE),
    ],
    "/plans/{plan_id}/publish": [
        same("/plans/v16/publish", {}, "The draft is published as it is now."),
        same("/plans/v16/publish", {}),
    ],
    "/generate": [same("/generate", {}, "A search is running already")],
    "/generate/{run_id}/stop": [same("/generate/{run}/stop", {}, "The search was stopped before it found")],
    "/generate/{run_id}/use": [Sent("/generate/{found}/use", {}, "Draft “Search 1” was made.")],
    "/import": [
        same("/import", {"tables": "{own}"}, "there is nothing to import"),
        same("/import", {"tables": "{own}", "confirmed": "yes"}),
        same("/import", {"tables": "[]", "confirmed": "yes"}, "at least one row below"),
        Sent("/import", {"tables": "{other}", "confirmed": "yes"}, "Imported: 1 lessons."),
    ],
    "/import/xhstt": [
        same("/import/xhstt", {}, "This school has lessons already"),
        Sent("/import", {"tables": "{other}", "confirmed": "yes"}),
        Sent("/lessons/l13", {"remove": ""}),
        Sent("/import/xhstt", {"confirmed": "yes"}, "An XHSTT archive was imported."),
    ],
    "/people/invite": [same("/people/invite", {"role": "viewer"}, "Send this link to one person.")],
    "/people/{account_id}": [
        same("/people/{who}", {"role": "editor"}),
        same("/people/{who}", {"role": "viewer"}, "The role was changed."),
        same("/people/{who}", {"role": "none"}, "This person is not in the school any more."),
    ],
    "/share": [
        same("/share", {"resource": "t7", "revoke": "yes"}),
        same("/share", {"resource": "t7"}, "The links were made."),
        same("/share", {"resource": "t7", "revoke": "yes"}, "The link was revoked."),
        same("/share", {}, "The links were made."),
        same("/share", {}),
    ],
}  # fmt: skip


class Office:
    """A school in which others have changed something, and the browser of an admin of it."""

    def __init__(self, browser: Browser, sessions: sessionmaker[Session], stored: int, settings: Settings) -> None:
        self.browser, self.sessions, self.stored, self.at = browser, sessions, stored, f"/office/{stored}"
        browser.post(f"{self.at}/teachers", {"names": "Zé"})
        school = now(sessions, stored)
        with sessions.begin() as session:
            of = session.get_one(StoredSchool, stored)
            found = generation.request_for_school(session, of, school, settings)
            found.state, found.timetable, found.hard, found.soft = "done", lowering.timetable(PLAN).to_json(), 0, 0
            run = generation.request_for_school(session, of, school, settings)
            who = session.scalars(select(Account.id).filter_by(name="Bia")).one()
            self.numbers = {"found": found.id, "run": run.id, "who": who}
        other = [("Aulas", [line.split(";") for line in NOT_ALL.splitlines()])]
        self.tables = {"own": json.dumps(sheet.tables(school, english=True)), "other": json.dumps(other)}

    def send(self, form: Sent) -> Response:
        address, fields = form.address.format(**self.numbers), dict(form.fields)
        page = "/history" if address.startswith(("/generate/", "/plans/", "/lessons/l99", "/rooms/r99")) else address
        page = "/people" if address.startswith("/people") else page.removesuffix("/xhstt")
        page = {"/settings": "", "/undo": "/history"}.get(page, page)
        if "tables" in fields:
            fields["tables"] = self.tables.get(fields["tables"].strip("{}"), fields["tables"])
        if address == "/week":
            fields = week_form(self.school) | {"period-2-break": "on"} | fields
        more = {"files": {"file": ("a.xml", SAMPLE.read_bytes())}} if address == "/import/xhstt" else {}
        return self.browser.post(self.at + address, fields, self.at + page, **more)

    @property
    def school(self) -> School:
        return now(self.sessions, self.stored)

    @property
    def newest(self) -> tuple[int, str]:
        with self.sessions() as session:
            (revision,) = schools.history(session, self.stored, 1)
            return revision.number, schools.said(revision).said(str)

    @property
    def beside(self) -> list[Any]:
        """What has no revisions."""
        with self.sessions() as session:
            rows: list[Any] = [session.get_one(StoredSchool, self.stored).public]
            rows += session.execute(select(Publication.number, Publication.plan)).all()
            rows += session.execute(select(Feed.token).order_by(Feed.token)).all()
            rows += session.execute(
                select(Membership.account_id, Membership.role).order_by(Membership.account_id)
            ).all()
            return [*rows, *session.execute(select(Generation.id, Generation.state)).all()]


@pytest.fixture
def office(ana: Browser, people: People, sessions: sessionmaker[Session], stored: int, settings: Settings) -> Office:
    people("bia", stored, "editor")
    return Office(ana, sessions, stored, settings)


def plain(page: Response) -> str:
    """The text of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def notices(page: Response) -> list[str]:
    return re.findall(r'<(?:form|p) class="notice".*?</(?:form|p)>', page.text, re.DOTALL)


def undo(page: Response) -> dict[str, str] | None:
    """The fields of the form that undoes what the page tells."""
    forms = re.findall(r'<form class="notice".*?</form>', page.text, re.DOTALL)
    assert len(forms) < 2
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', forms[0])) if forms else None


def test_every_form_of_a_school_is_among_these(engine: Engine, settings: Settings) -> None:
    paths = {path for _, path in routes(create(engine, settings)) if path.startswith("/office/{school_id}")}
    assert paths == {f"/office/{{school_id}}{path}" for path in FORMS}


@pytest.mark.parametrize("path", FORMS)
def test_a_message_is_of_its_own_form_and_its_undo_undoes_just_that(office: Office, path: str) -> None:
    for form in FORMS[path]:
        before, number, beside = office.school, office.newest[0], office.beside
        page = office.send(form)
        if not form.told:
            continue
        assert form.told in plain(page), form
        offered = undo(page)
        if form.plain:
            assert (offered, office.newest[0], office.school) == (None, number, before), form
            assert not [each for each in notices(page) if OTHERS in html.unescape(each)], form
            assert (form.told in (UNCHANGED, GONE)) <= (office.beside == beside), form
            continue
        assert offered, form
        assert office.newest == (number + 1, form.told)
        assert int(offered["number"]) == number + 1
        beside = office.beside
        undone = office.browser.client.post(f"{office.at}/undo", data=offered)
        assert undone.status_code == 200, form
        assert office.school.model_copy(update={"counter": 0}) == before.model_copy(update={"counter": 0}), form
        assert office.beside == beside, form
        if form.told.startswith("Undone: "):
            assert f"Done again: {OTHERS}" in plain(undone), form
        else:
            assert f"Undone: {form.told}" in plain(undone), form


def test_an_undo_after_somebody_elses_change_undoes_nothing_and_says_why(
    office: Office, people: People, stored: int, at: str
) -> None:
    page = office.send(Sent("/rooms", {"names": "Pátio"}))
    offered = undo(page)
    people("bia", stored).post(f"{at}/rooms", {"names": "Ginásio"})
    before = office.school
    answer = office.browser.client.post(f"{at}/undo", data=offered)
    assert answer.status_code == 409
    assert "Nothing was undone, as there is a newer change: Added: Ginásio." in plain(answer)
    assert office.school == before


def test_a_message_stays_the_same_when_somebody_else_was_faster_to_the_page(
    office: Office, people: People, stored: int, at: str
) -> None:
    address = str(office.send(Sent("/rooms", {"names": "Pátio"})).url)
    people("bia", stored).post(f"{at}/rooms", {"names": "Ginásio"})
    page = office.browser.get(address)
    (notice,) = notices(page)
    assert "Added: Pátio." in notice and "There are newer changes" in notice
    assert undo(page) is None


@pytest.mark.parametrize("query", ["done=99", "done=x", "done=-1", "done=9999999999", "note=x", "note=%3Cb%3E"])
def test_an_address_that_tells_of_nothing_has_no_message(office: Office, query: str) -> None:
    page = office.browser.get(f"{office.at}/rooms?{query}")
    assert (page.status_code, notices(page)) == (200, [])


def test_what_was_done_and_undone_over_and_over_is_told_by_its_first_name(office: Office) -> None:
    page = office.send(Sent("/rooms", {"names": "Pátio"}))
    for told in ("Undone", "Done again", "Undone", "Done again"):
        page = office.browser.client.post(f"{office.at}/undo", data=undo(page))
        assert office.newest[1] == f"{told}: Added: Pátio."

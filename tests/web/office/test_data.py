"""A school's week, people and lessons, typed in by one or by several at once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app.school.model import School
from tests.web.office.conftest import Browser, People, now

pytestmark = pytest.mark.mysql


def test_everything_about_a_school_can_be_typed_in(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    ana.post(f"{at}/teachers", {"names": "Caio\n Dora \n\n"})
    item = f"{at}/teachers/t7"
    ana.post(item, {"name": "Ana M.", "most_days": "1", "mark-d1p1": "never", "mark-d9p9": "never", "mark-d1p2": "x"})
    ana.post(f"{at}/lessons/new", {"subject": "s12", "classes": ["c6"], "teachers": ["t17"], "weekly": "1"})
    ana.post(f"{at}/rooms/r9", {"name": "Quadra", "remove": ""})
    made = now(sessions, stored)
    assert [each.name for each in made.teachers] == ["Ana M.", "Bia", "Caio", "Dora"]
    assert (made.teachers[0].marks, made.teachers[0].most_days) == ({"d1p1": "never"}, 1)
    assert made.lessons[-1].teachers == ("t17",)
    assert made.rooms == ()


def week_form(school: School) -> dict[str, Any]:
    fields: dict[str, Any] = {"closed": sorted(school.week.closed)}
    for row, day in enumerate(school.week.days):
        fields |= {f"day-{row}-id": day.id, f"day-{row}-name": day.name}
    for row, period in enumerate(school.week.periods):
        for name in ("id", "name", "begins", "ends", "shift"):
            fields[f"period-{row}-{name}"] = getattr(period, name)
    return fields


def test_the_week_gets_a_day_a_lesson_and_a_closed_time(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    fields = week_form(now(sessions, stored)) | {"day-2-name": "Quarta", "closed": ["d2p3"], "period-1-break": "on"}
    fields |= {"period-3-name": "4ª", "period-3-begins": "10:20", "period-3-ends": "11:10"}
    assert "The week was changed." in ana.post(f"{at}/week", fields).text
    week = now(sessions, stored).week
    assert [day.name for day in week.days] == ["Segunda", "Terça", "Quarta"]
    assert len(week.slots) == 11 and "d2p3" not in week.slots and "d1p2" not in week.following


def test_an_impossible_week_is_refused_and_what_was_typed_stays(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    answer = ana.post(f"{at}/week", week_form(now(sessions, stored)) | {"period-0-ends": "07:00", "day-0-name": "Seg!"})
    assert answer.status_code == 422
    assert "ends before it begins" in answer.text and "Seg!" in answer.text


def test_two_people_who_edit_the_same_are_told_and_nothing_is_lost(
    ana: Browser, people: People, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    page, bia = ana.get(f"{at}/teachers/t7").text, people("bia", stored, "editor")
    bia.post(f"{at}/teachers/t7", {"name": "Ana de Bia"})
    hidden = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', page))
    answer = ana.client.post(f"{at}/teachers/t7", data=hidden | {"name": "Ana de Ana", "mark-d1p1": "avoid"})
    assert answer.status_code == 409
    assert "Bia has changed this in the meantime" in answer.text and 'value="Ana de Ana"' in answer.text
    assert "Ana de Bia" in ana.get(re.findall(r'href="(\S+)" target="_blank"', answer.text)[0]).text
    assert now(sessions, stored).teachers[0].name == "Ana de Bia"
    # The page that says so has the new version: sending it again is a decision.
    again = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', answer.text))
    ana.client.post(f"{at}/teachers/t7", data=again | {"name": "Ana de Ana"})
    assert now(sessions, stored).teachers[0].name == "Ana de Ana"


def test_every_edit_is_undone_by_its_notice(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    before = now(sessions, stored)
    page = ana.post(f"{at}/teachers", {"names": "Caio"})
    number = re.findall(r'name="number" value="(\d+)"', page.text)[0]
    answer = ana.post(f"{at}/undo", {"number": number, "back": "/teachers"}, str(page.url))
    assert "Undone: Added: Caio." in answer.text
    assert now(sessions, stored).teachers == before.teachers


def test_a_version_beyond_the_thousandth_is_a_number_too(ana: Browser, at: str) -> None:
    answer = ana.post(f"{at}/undo", {"number": "1001"}, at)
    assert (answer.status_code, "too old" in answer.text) == (409, True)


HOSTILE = '"><script>alert(1)</script>'


def test_names_are_text_on_every_page(published: Browser, client: TestClient, stored: int, at: str) -> None:
    for kind, item in (("classes", "c6"), ("teachers", "t7"), ("subjects", "s10"), ("rooms", "r9")):
        published.post(f"{at}/{kind}/{item}", {"name": f"{kind} {HOSTILE}"})
    published.post(f"{at}/plans/v16/rename", {"name": HOSTILE}, f"{at}/plans/v16")
    published.post(f"{at}/settings", {"name": HOSTILE, "public": "on"}, at)
    published.post(f"{at}/plans/v16/publish", page=f"{at}/plans/v16")
    for path in ("", "/week", "/classes", "/teachers/t7", "/lessons", "/lessons/l13", "/generate", "/plans",
                 "/plans/v16", "/plans/v16?pick=l13@d1p1", "/history", "/share", "/people", "/import"):  # fmt: skip
        page = published.get(at + path)
        assert (page.status_code, "<script>alert" in page.text) == (200, False), path
    for address in (f"/published/{stored}", f"/published/{stored}/timetable.html", "/"):
        assert "<script>alert" not in client.get(address).text

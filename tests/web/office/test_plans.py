"""Drafts, changed by hand and compared."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.school import sheet
from tests.web.office.conftest import Browser, now

pytestmark = pytest.mark.mysql


def test_drafts_of_a_school_whose_lessons_are_gone_are_shown(ana: Browser, at: str) -> None:
    for lesson in ("l13", "l14", "l15"):
        ana.post(f"{at}/lessons/{lesson}", {"remove": ""})
    assert "Plano" in ana.get(f"{at}/plans").text
    assert ana.get(f"{at}/compare?one=v16&other=v16").status_code == 200


def test_a_lesson_is_moved_swapped_locked_and_taken_out(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    plan = f"{at}/plans/v16"
    assert 'class="target free"' in ana.get(f"{plan}?of=c6&pick=l15@d2p2").text
    ana.post(f"{plan}/move", {"pick": "l15@d2p2", "time": "d2p3", "of": "c6"}, plan)
    ana.post(f"{plan}/move", {"pick": "l15@d2p3", "time": "d2p1", "swap": "l14@d2p1", "of": "c6"}, plan)
    ana.post(f"{plan}/lock", {"pick": "l15@d2p1", "locked": "yes"}, plan)
    assert "is locked" in ana.post(f"{plan}/move", {"pick": "l15@d2p1", "time": "d2p2"}, plan).text
    ana.post(f"{plan}/take-out", {"pick": "l14@d2p3"}, plan)
    held = {each.id: each.locked for each in now(sessions, stored).plans[0].placements}
    assert held == {"l13@d1p1": False, "l14@d1p3": False, "l15@d2p1": True}
    page = ana.get(f"{plan}?of=c6").text
    assert "l14%40%3A1" in page
    ana.post(f"{plan}/move", {"pick": "l14@:1", "time": "d2p2"}, plan)
    assert "l14@d2p2" in {each.id for each in now(sessions, stored).plans[0].placements}


@pytest.mark.parametrize("time", ["d2p3", "d1p9", ""])
def test_a_lesson_goes_nowhere_where_it_has_no_room(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str, time: str
) -> None:
    before = now(sessions, stored)
    answer = ana.post(f"{at}/plans/v16/move", {"pick": "l13@d1p1", "time": time}, f"{at}/plans/v16")
    assert answer.status_code == 422
    assert now(sessions, stored) == before


def test_two_drafts_are_compared(ana: Browser, at: str) -> None:
    ana.post(f"{at}/plans", {"name": "Outro", "of": "v16"})
    ana.post(f"{at}/plans/v17/move", {"pick": "l15@d2p2", "time": "d2p3"}, f"{at}/plans/v17")
    page = ana.get(f"{at}/compare?one=v16&other=v17").text
    assert "Terça, 2ª" in page and "Terça, 3ª" in page and "Física" not in page


def test_what_is_published_is_compared_after_its_parallel_lessons_came_in_another_order(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    english = {"subject": "s12", "classes": ["c6"], "teachers": ["t7"], "weekly": "1", "parallel": "L"}
    ana.post(f"{at}/lessons/l15", english)
    ana.post(f"{at}/lessons/new", english | {"subject": "s11", "teachers": ["t8"]})
    ana.post(f"{at}/plans/v16/publish", page=f"{at}/plans/v16")
    heading, *lines = sheet.tables(now(sessions, stored), english=False)[0].rows
    tables = [("Aulas", [heading, *reversed(lines)])]
    ana.post(f"{at}/import", {"tables": json.dumps(tables), "confirmed": "yes"})
    page = ana.get(f"{at}/compare?one=published&other=v16").text
    assert "Both have every lesson at the same time." in page


def test_a_draft_is_compared_with_what_is_published(published: Browser, at: str) -> None:
    published.post(f"{at}/plans/v16/move", {"pick": "l15@d2p2", "time": "d2p3"}, f"{at}/plans/v16")
    published.post(f"{at}/lessons/l14", {"remove": ""})
    page = published.get(f"{at}/compare?one=published&other=v16").text
    assert "The published timetable" in page and "Terça, 2ª" in page and "Terça, 3ª" in page

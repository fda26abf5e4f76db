"""Searches that people start, stop and make drafts of, and what they are told when there is no timetable."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app import generation
from app.models import Generation
from app.settings import Settings
from tests.web.office.conftest import Browser, now

pytestmark = pytest.mark.mysql


def test_a_search_runs_is_stopped_and_becomes_a_draft(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str, settings: Settings
) -> None:
    ana.post(f"{at}/generate")
    assert ana.post(f"{at}/generate").status_code == 409
    claim = generation.claim(sessions, "worker")
    assert claim
    generation.run(sessions, claim, settings, lambda: False, lambda: None)
    page = ana.get(f"{at}/generate").text
    assert "wishes not granted: 0" in page and "<polyline " in page
    ana.post(f"{at}/generate/{claim.id}/use", page=f"{at}/generate")
    made = now(sessions, stored)
    assert sum(each.duration for each in made.plans[1].placements) == 5
    ana.post(f"{at}/generate", {"plan": "v16"})
    waiting = ana.get(f"{at}/generate").text
    assert "Waiting for a worker." in waiting
    ana.post(f"{at}/generate/{claim.id + 1}/stop", page=f"{at}/generate")
    assert "stopped before it found" in ana.get(f"{at}/generate").text


def test_what_makes_a_timetable_impossible_is_told_before_a_search(ana: Browser, at: str) -> None:
    ana.post(
        f"{at}/teachers/t8",
        {"name": "Bia"} | {f"mark-d{day}p{period}": "never" for day in (1, 2) for period in (1, 2, 3)},
    )
    page = ana.get(f"{at}/generate").text
    assert "Bia has 2 lessons, but only 0 possible times" in page
    assert ana.post(f"{at}/generate").status_code == 422


def test_a_search_without_a_timetable_says_why_in_the_schools_words(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str, settings: Settings
) -> None:
    # Both can, but not at the same time: physics has two lessons at the one time that is left to English.
    free = {f"mark-d{day}p{period}": "never" for day in (1, 2) for period in (1, 2, 3)}
    ana.post(f"{at}/teachers/t8", {"name": "Bia"} | free | {"mark-d1p1": "", "mark-d1p2": ""})
    ana.post(f"{at}/teachers/t7", {"name": "Ana"} | free | {"mark-d1p1": "", "mark-d1p2": "", "mark-d1p3": ""})
    ana.post(f"{at}/generate")
    claim = generation.claim(sessions, "worker")
    assert claim
    with sessions.begin() as session:
        session.get_one(Generation, claim.id).seconds = 2
    generation.run(sessions, claim, settings, lambda: False, lambda: None)
    page = ana.get(f"{at}/generate").text
    assert "Why there is none:" in page
    assert "of 6A take 4 times, but fit only 3 (Segunda, 1ª, Segunda, 2ª, Segunda, 3ª)" in page

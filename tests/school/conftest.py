"""A tiny school: one class, two teachers, a room, three subjects, two days of three lessons."""

from __future__ import annotations

import pytest

from app.school import edit
from app.school.model import Lesson, Resource, School, Subject

DAYS = ("Segunda", "Terça")


@pytest.fixture
def school() -> School:
    """Ids: class c6; teachers t7 Ana and t8 Bia; room r9; subjects s10 to s12; lessons l13 to l15."""
    made = edit.begin("Escola", DAYS, "{number}ª")
    made = edit.set_week(made, made.week.model_copy(update={"periods": made.week.periods[:3]}))
    made = edit.put(made, "classes", Resource(id="", name="6A"))
    for name in ("Ana", "Bia"):
        made = edit.put(made, "teachers", Resource(id="", name=name))
    made = edit.put(made, "rooms", Resource(id="", name="Quadra"))
    for name in ("Arte", "Física", "Inglês"):
        made = edit.put(made, "subjects", Subject(id="", name=name))
    for subject, teacher, weekly, doubles in (("s10", "t7", 2, 1), ("s11", "t8", 2, 0), ("s12", "t7", 1, 0)):
        made = edit.put_lesson(
            made,
            Lesson(id="", subject=subject, classes=("c6",), teachers=(teacher,), weekly=weekly, doubles=doubles),
        )
    return made

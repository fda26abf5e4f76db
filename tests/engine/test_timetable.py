from __future__ import annotations

from app.engine.timetable import Lesson, Timetable

MATH, ART = Lesson("Math", "Mo1", 2), Lesson("Art", "Tu1", 1)


def test_json_comes_back_as_the_same_lessons() -> None:
    assert Timetable.from_json(Timetable((ART, MATH)).to_json()) == Timetable((ART, MATH))


def test_equal_timetables_have_equal_json() -> None:
    assert Timetable((MATH, ART)).to_json() == Timetable((ART, MATH)).to_json() == '[["Art","Tu1",1],["Math","Mo1",2]]'

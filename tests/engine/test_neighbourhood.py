from __future__ import annotations

import random
from collections import Counter

import pytest

from app.engine.cost import evaluate
from app.engine.frame import Frame
from app.engine.grid import days
from app.engine.instance import Instance
from app.engine.neighbourhood import KINDS, Neighbourhoods
from app.engine.timetable import Lesson, Timetable, Unplaced
from app.engine.variables import Task
from app.engine.xhstt import read_instances, read_solutions
from tests.engine.conftest import EXAMPLES, Rule, School

DATA = (EXAMPLES / "BrazilInstance1.xml").read_bytes()
(BRAZIL,) = read_instances(DATA, "BrazilInstance1.xml")
FIRST = '<Times><Time Reference="Mo1"/></Times>'
BEST = read_solutions(DATA, "BrazilInstance1.xml")[-1]


def around(instance: Instance, timetable: Timetable, seed: int) -> Neighbourhoods:
    luck = random.Random(seed)  # noqa: S311 - a repeatable choice, not a secret
    return Neighbourhoods(Frame(instance), timetable, evaluate(instance, timetable), luck)


def drawn(kind: str, size: int) -> list[Task]:
    return [KINDS[kind](around(BRAZIL, BEST, seed), size) for seed in range(20)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_lesson_is_kept_or_placed_anew(kind: str) -> None:
    for task in drawn(kind, 15):
        durations = Counter(task.freed)
        for part in task.kept:
            durations[part.event] += part.duration
        assert durations == {event.id: event.duration for event in BRAZIL.events}


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_neighbourhood_keeps_most_of_a_school(kind: str) -> None:
    assert all(task.freed and len(task.kept) > len(BEST.parts) / 2 for task in drawn(kind, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_a_neighbourhood_has_about_the_lessons_that_it_is_asked_for(kind: str) -> None:
    freed = [len(BEST.parts) - len(task.kept) for task in drawn(kind, 15)]
    # Whoever comes last brings all lessons of their own.
    most = max(Counter(who for lesson in BEST.lessons for who in BRAZIL.event[lesson.event].resources).values())
    assert all(count <= 15 + most for count in freed)
    assert any(count >= 15 for count in freed)


@pytest.mark.parametrize("size", [5, 1000])
def test_the_lessons_of_some_days_stay_within_them(size: int) -> None:
    frame = Frame(BRAZIL)
    masks = [frame.mask(day.times) for day in days(BRAZIL)]
    for task in drawn("days", size):
        assert task.starts is not None
        touched = [mask for mask in masks if mask & task.starts]
        assert 2 <= len(touched) <= 3
        assert sum(touched) == task.starts


def test_what_breaks_something_required_is_placed_anew_first(school: School, rule: Rule) -> None:
    instance = school(rule("AssignTime", required=True) + rule("PreferTimes", FIRST, weight=99))
    timetable = Timetable((Lesson("Math", "Tu1", 3),), (Unplaced("Art", 1),))
    assert all(around(instance, timetable, seed).violations(1).freed == {"Art": 1} for seed in range(20))

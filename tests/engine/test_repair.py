from __future__ import annotations

import pytest

from app.engine.cost import evaluate
from app.engine.instance import Instance
from app.engine.repair import Change, MustMove, Unavailable, describe, moves, repair, with_changes
from app.engine.timetable import Lesson, Timetable
from app.engine.xhstt import read_instances, read_solutions
from tests.engine.conftest import EXAMPLES, Rule, School

DATA = (EXAMPLES / "BrazilInstance1.xml").read_bytes()
MATH, ART = Lesson("Math", "Mo1", 3), Lesson("Art", "Tu1", 1)


@pytest.fixture
def brazil() -> tuple[Instance, Timetable]:
    """A real school and its best timetable."""
    return read_instances(DATA, "BrazilInstance1.xml")[0], read_solutions(DATA, "BrazilInstance1.xml")[-1]


def rules(rule: Rule) -> str:
    return rule("AvoidClashes", required=True) + rule("AssignTime", required=True)


def test_nothing_moves_where_nothing_has_to(brazil: tuple[Instance, Timetable]) -> None:
    instance, timetable = brazil
    found = repair(instance, timetable, [], seconds=60)
    assert found
    assert (found.moves, found.fewest) == ((), True)


def test_an_absence_moves_as_few_lessons_as_can_be(school: School, rule: Rule) -> None:
    instance = school(rules(rule))
    found = repair(instance, Timetable((MATH, ART)), [Unavailable("Ana", frozenset({"Tu1"}))], seconds=60)
    assert found
    assert (len(found.moves), found.moves[0].before, found.fewest) == (1, ART, True)


@pytest.mark.parametrize("time", ["Tu2", "Tu3"])
def test_of_equally_many_moves_the_cheapest_are_made(school: School, rule: Rule, time: str) -> None:
    last = rule("PreferTimes", f'<Times><Time Reference="Mo1"/><Time Reference="{time}"/></Times>')
    found = repair(school(rules(rule) + last), Timetable((MATH, ART)), [MustMove(ART)], seconds=60)
    assert found
    assert [move.after for move in found.moves] == [Lesson("Art", time, 1)]


def test_locked_lessons_stay(school: School, rule: Rule) -> None:
    change = Unavailable("6A", frozenset({"Mo1"}))
    found = repair(school(rules(rule)), Timetable((MATH, ART)), [change], locked=[ART], seconds=60)
    assert found
    assert ART in found.timetable.lessons
    assert found.cost.hard == 0


def test_what_has_no_place_any_more_is_lost_and_no_more(school: School, rule: Rule) -> None:
    change = Unavailable("Ana", frozenset({"Tu1", "Tu2", "Tu3"}))
    found = repair(school(rules(rule)), Timetable((MATH, ART)), [change], seconds=60)
    assert found
    assert (found.cost.hard, [move.after for move in found.moves]) == (1, [None])


def test_a_repair_of_a_real_school_keeps_what_is_required(brazil: tuple[Instance, Timetable]) -> None:
    instance, timetable = brazil
    lesson = timetable.lessons[0]
    found = repair(instance, timetable, [MustMove(lesson)], seconds=60)
    assert found
    assert lesson not in found.timetable.lessons
    assert found.cost == evaluate(instance, found.timetable)
    assert found.cost.hard == 0
    assert found.moves == moves(timetable, found.timetable)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (Unavailable("Bob", frozenset()), "no resource 'Bob'"),
        (Unavailable("Ana", frozenset({"Su1"})), "no time 'Su1'"),
        (MustMove(Lesson("Art", "Mo1", 1)), "has no lesson"),
    ],
)
def test_a_change_of_what_is_not_there_is_an_error(school: School, change: Change, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        repair(school(), Timetable((MATH, ART)), [change])


def test_a_move_is_said_in_words(school: School) -> None:
    found = [describe(school(), move) for move in moves(Timetable((MATH, ART)), Timetable((Lesson("Art", "Tu3", 1),)))]
    assert found == ["Art: from Tu 1 (1) to Tu 3 (1)", "Math: no longer at Mo 1 (3)"]


def test_an_absence_is_a_required_constraint(school: School) -> None:
    changed = with_changes(school(), [Unavailable("Ana", frozenset({"Tu1"}))])
    assert evaluate(changed, Timetable((ART,))).hard == 1

"""Every cost here is worked out by hand; "Mo1" to "Tu3" are the six times of the tiny school."""

from __future__ import annotations

import pytest

from app.engine.cost import evaluate
from app.engine.timetable import Lesson, Timetable
from app.engine.xhstt import read_instances, read_solutions
from tests.engine.conftest import EXAMPLES, Rule, School

DAYS = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Tu"/></TimeGroups>'


def limits(minimum: int, maximum: int) -> str:
    return f"<Minimum>{minimum}</Minimum><Maximum>{maximum}</Maximum>"


def timetable(text: str) -> Timetable:
    """ "Math Mo1 2" is a lesson of Math from Mo1 on of duration 2; lessons are separated by commas."""
    lessons = [each.split() for each in text.split(",") if each.strip()]
    return Timetable(tuple(Lesson(event, time, int(duration)) for event, time, duration in lessons))


@pytest.mark.parametrize(
    ("tag", "body", "lessons", "deviation"),
    [
        pytest.param("AssignTime", "", "Math Mo1 2", 1 + 1, id="assign-time-counts-duration-without-time"),
        pytest.param("AssignTime", "", "Math Mo1 3, Art Tu1 1", 0, id="assign-time-is-content-when-all-is-held"),
        pytest.param(
            "SplitEvents",
            "<MinimumDuration>2</MinimumDuration><MaximumDuration>2</MaximumDuration>"
            "<MinimumAmount>2</MinimumAmount><MaximumAmount>9</MaximumAmount>",
            "Math Mo1 2, Math Tu1 1, Art Mo3 1",
            # Math has one lesson that is too short; Art has that too, and one lesson too few.
            1 + 2,
            id="split-events-counts-wrong-durations-and-missing-lessons",
        ),
        pytest.param(
            "SplitEvents",
            "<MinimumDuration>1</MinimumDuration><MaximumDuration>3</MaximumDuration>"
            "<MinimumAmount>1</MinimumAmount><MaximumAmount>1</MaximumAmount>",
            "Math Mo1 1, Math Mo2 1, Math Tu1 1, Art Mo3 1",
            2,
            id="split-events-counts-lessons-too-many",
        ),
        pytest.param(
            "DistributeSplitEvents",
            f"<Duration>1</Duration>{limits(2, 2)}",
            "Math Mo1 1, Math Mo2 1, Math Tu1 1, Art Mo3 1",
            1 + 1,
            id="distribute-split-events-counts-both-sides",
        ),
        pytest.param(
            "PreferTimes",
            '<Times><Time Reference="Mo1"/></Times>',
            "Math Mo1 1, Math Mo2 2, Art Tu1 1",
            2 + 1,
            id="prefer-times-counts-duration-that-starts-elsewhere",
        ),
        pytest.param(
            "PreferTimes",
            '<TimeGroups><TimeGroup Reference="Mo"/></TimeGroups><Duration>2</Duration>',
            "Math Tu1 2, Math Tu3 1, Art Tu3 1",
            2,
            id="prefer-times-ignores-other-durations",
        ),
        pytest.param(
            "SpreadEvents",
            f'<TimeGroups><TimeGroup Reference="Mo">{limits(0, 1)}</TimeGroup>'
            f'<TimeGroup Reference="Tu">{limits(1, 1)}</TimeGroup></TimeGroups>',
            "Math Mo1 1, Math Mo2 2, Art Mo1 1",
            2 + 1,
            id="spread-events-counts-starts-of-the-whole-group",
        ),
        pytest.param("AvoidClashes", "", "Math Mo1 2, Math Mo2 1, Art Mo2 1", 2 + 1, id="avoid-clashes-counts-surplus"),
        pytest.param(
            "AvoidUnavailableTimes",
            '<Times><Time Reference="Mo2"/><Time Reference="Tu1"/></Times>',
            "Math Mo1 3, Art Mo2 1",
            1 + 1,
            id="avoid-unavailable-times-counts-a-time-once",
        ),
        pytest.param(
            "LimitIdleTimes",
            DAYS + limits(0, 0),
            "Math Mo1 1, Math Mo3 1, Math Tu3 1, Art Tu1 1",
            # Ana waits on both days, the class on Monday only.
            2 + 1,
            id="limit-idle-times-counts-gaps-within-a-day",
        ),
        pytest.param(
            "LimitIdleTimes", DAYS + limits(1, 9), "Math Mo1 3, Art Tu1 1", 1 + 1, id="limit-idle-times-has-a-minimum"
        ),
        pytest.param(
            "ClusterBusyTimes", DAYS + limits(0, 1), "Math Mo1 3, Art Tu1 1", 1, id="cluster-busy-times-counts-days"
        ),
        pytest.param(
            "ClusterBusyTimes", DAYS + limits(2, 2), "Math Mo1 3, Art Tu1 1", 1, id="cluster-busy-times-has-a-minimum"
        ),
        pytest.param(
            "LimitBusyTimes",
            DAYS + limits(2, 2),
            "Math Mo1 3, Art Tu1 1",
            # Ana has one too many and one too few; the class, free on Tuesday, only one too many.
            2 + 1,
            id="limit-busy-times-leaves-free-days-alone",
        ),
    ],
)
def test_deviation(school: School, rule: Rule, tag: str, body: str, lessons: str, deviation: int) -> None:
    cost = evaluate(school(rule(tag, body)), timetable(lessons))
    assert (cost.hard, cost.soft) == (0, deviation)


@pytest.mark.parametrize(("function", "expected"), [("Linear", 5 * (2 + 1)), ("Quadratic", 5 * (4 + 1)), ("Step", 10)])
def test_cost_function_weighs_each_point_of_application(
    school: School, rule: Rule, function: str, expected: int
) -> None:
    instance = school(rule("AvoidClashes", function=function, weight=5))
    assert evaluate(instance, timetable("Math Mo1 2, Math Mo2 1, Art Mo2 1")).soft == expected


def test_required_constraints_cost_hard_and_the_others_soft(school: School, rule: Rule) -> None:
    rules = rule("AssignTime", required=True) + rule("ClusterBusyTimes", DAYS + limits(0, 0))
    cost = evaluate(school(rules), timetable("Art Mo1 1"))
    assert (cost.hard, cost.soft) == (3, 1)


def test_violations_name_constraint_and_point_and_add_up(school: School, rule: Rule) -> None:
    cost = evaluate(school(rule("AvoidClashes", weight=5)), timetable("Math Mo1 2, Math Mo2 1, Art Mo2 1"))
    found = [(each.constraint.id, each.point, each.deviation, each.cost) for each in cost.violations]
    assert found == [("AvoidClashes", ("Ana",), 2, 10), ("AvoidClashes", ("6A",), 1, 5)]


@pytest.mark.parametrize(
    ("lessons", "problem"),
    [
        ("Chess Mo1 1", "no place"),
        ("Art Su1 1", "no place"),
        ("Art Mo1 0", "no place"),
        ("Math Tu2 3", "ends after the week"),
        ("Math Mo1 2, Math Tu1 2", "more lessons than its duration"),
    ],
)
def test_a_timetable_of_something_else_is_no_cost_but_an_error(school: School, lessons: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        evaluate(school(), timetable(lessons))


def test_the_published_optimum_of_a_real_school_costs_what_the_archive_says() -> None:
    data = (EXAMPLES / "BrazilInstance1.xml").read_bytes()
    instance = read_instances(data, "BrazilInstance1.xml")[0]
    cost = evaluate(instance, read_solutions(data, "BrazilInstance1.xml")[-1])
    assert (cost.hard, cost.soft) == (0, 41)

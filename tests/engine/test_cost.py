"""Every cost here is worked out by hand; "Mo1" to "Tu3" are the six times of the tiny school."""

from __future__ import annotations

import pytest

from app.engine.cost import evaluate
from app.engine.timetable import Lesson, Timetable, Unplaced
from app.engine.xhstt import read_instances, read_solutions
from tests.engine.conftest import EXAMPLES, Archive, Rule, School

DAYS = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Tu"/></TimeGroups>'


ROLE = "<Role>Room</Role>"


def limits(minimum: int, maximum: int) -> str:
    return f"<Minimum>{minimum}</Minimum><Maximum>{maximum}</Maximum>"


def timetable(text: str) -> Timetable:
    """ "Math Mo1 2 R1" is a lesson of Math from Mo1 on of duration 2 in room R1; "-" is no time."""
    lessons, unplaced = [], []
    for event, time, duration, *rooms in (each.split() for each in text.split(",") if each.strip()):
        assigned = tuple(("Room", room) for room in rooms)
        if time == "-":
            unplaced.append(Unplaced(event, int(duration), assigned))
        else:
            lessons.append(Lesson(event, time, int(duration), assigned))
    return Timetable(tuple(lessons), tuple(unplaced))


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
        pytest.param(
            "LinkEvents", "", "Math Mo1 2, Math Tu1 1, Art Mo2 1", 2, id="link-events-counts-times-of-only-some"
        ),
        pytest.param("LinkEvents", "", "", 0, id="link-events-is-content-with-what-has-no-time"),
        pytest.param(
            "OrderEvents",
            "",
            "Math Mo1 2, Math Tu1 1, Art Mo2 1",
            3,
            id="order-events-counts-from-the-end-of-the-first",
        ),
        pytest.param(
            "OrderEvents",
            "<MinSeparation>1</MinSeparation><MaxSeparation>1</MaxSeparation>",
            "Math Mo1 3, Art Tu3 1",
            1,
            id="order-events-has-a-maximum",
        ),
        pytest.param("OrderEvents", "", "Math Tu1 2, Art Mo1 1", 0, id="order-events-waits-until-all-have-a-time"),
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
        pytest.param("LimitWorkload", limits(0, 3), "", 1, id="limit-workload-counts-also-what-has-no-time"),
        pytest.param("LimitWorkload", limits(5, 9), "Math Mo1 3, Art Tu1 1", 1 + 2, id="limit-workload-has-a-minimum"),
    ],
)
def test_deviation(school: School, rule: Rule, tag: str, body: str, lessons: str, deviation: int) -> None:
    cost = evaluate(school(rule(tag, body)), timetable(lessons))
    assert (cost.hard, cost.soft) == (0, deviation)


@pytest.mark.parametrize(
    ("tag", "body", "lessons", "deviation"),
    [
        pytest.param(
            "AssignResource", ROLE, "Math Mo1 1 R1, Math Tu1 2, Art Mo3 1", 2 + 1, id="assign-resource-counts-duration"
        ),
        pytest.param("AssignResource", ROLE, "Math - 2 R1", 1 + 1, id="assign-resource-counts-what-has-no-time-either"),
        pytest.param(
            "PreferResources",
            '<Resources><Resource Reference="R1"/></Resources>' + ROLE,
            "Math Mo1 2 R2, Math Tu1 1, Art Mo3 1 R1",
            2,
            id="prefer-resources-leaves-empty-places-alone",
        ),
        pytest.param(
            "AvoidSplitAssignments",
            ROLE,
            "Math Mo1 1 R1, Math Mo2 1 R2, Math Tu1 1, Art Mo3 1 R2",
            1,
            id="avoid-split-assignments-counts-resources-beyond-one",
        ),
    ],
)
def test_deviation_where_rooms_are_left_open(
    school: School, rule: Rule, tag: str, body: str, lessons: str, deviation: int
) -> None:
    assert evaluate(school(rule(tag, body), rooms=True), timetable(lessons)).soft == deviation


def test_whoever_is_assigned_attends(school: School, rule: Rule) -> None:
    rooms = '<Resources><Resource Reference="R1"/></Resources>'
    clashes = rule("AvoidClashes").replace("</AppliesTo>", rooms + "</AppliesTo>")
    # Ana and R1 each have two lessons at Mo1.
    assert evaluate(school(clashes, rooms=True), timetable("Math Mo1 1 R1, Art Mo1 1 R1")).soft == 2


def test_a_workload_of_its_own_is_shared_out_over_the_lessons_and_rounded_up(archive: Archive, rule: Rule) -> None:
    everybody = '<ResourceGroups><ResourceGroup Reference="everybody"/></ResourceGroups>'
    workload = rule("LimitWorkload", limits(0, 1)).replace(
        everybody, '<Resources><Resource Reference="R1"/></Resources>'
    )
    place = b"<Role>Room</Role>"
    data = archive(workload, rooms=True).replace(place, place + b"<Workload>2</Workload>")
    # Two of three times 2, less the maximum of 1, is a third.
    assert evaluate(read_instances(data, "tiny.xml")[0], timetable("Math Mo1 2 R1")).soft == 1


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
        ("Math Mo1 1 R1", "no role 'Room'"),
    ],
)
def test_a_timetable_of_something_else_is_no_cost_but_an_error(school: School, lessons: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        evaluate(school(), timetable(lessons))


@pytest.mark.parametrize(
    ("assigned", "problem"),
    [
        ((("Room", "Ana"),), "takes a 'Room', and 'Ana' is none"),
        ((("Room", "6A"),), "takes a 'Room', and '6A' is none"),
        ((("Room", "R3"),), "no resource 'R3'"),
        ((("Room", "R1"), ("Room", "R2")), "fills one role twice"),
    ],
)
def test_a_place_filled_by_what_it_does_not_take_is_an_error(
    school: School, assigned: tuple[tuple[str, str], ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        evaluate(school(rooms=True), Timetable((Lesson("Math", "Mo1", 1, assigned),)))


def test_the_published_optimum_of_a_real_school_costs_what_the_archive_says() -> None:
    data = (EXAMPLES / "BrazilInstance1.xml").read_bytes()
    instance = read_instances(data, "BrazilInstance1.xml")[0]
    cost = evaluate(instance, read_solutions(data, "BrazilInstance1.xml")[-1])
    assert (cost.hard, cost.soft) == (0, 41)

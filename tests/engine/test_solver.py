from __future__ import annotations

import random
import threading
from itertools import pairwise

import pytest
from ortools.sat.python import cp_model

from app.engine.cost import evaluate
from app.engine.formulation import Formulation
from app.engine.frame import Frame
from app.engine.instance import Instance
from app.engine.neighbourhood import between
from app.engine.program import Sum
from app.engine.progress import Progress
from app.engine.solver import solve
from app.engine.timetable import Lesson, Timetable
from app.engine.variables import Mode, Task
from app.engine.xhstt import read_instances, read_solutions
from tests.engine.conftest import EVENTS, EXAMPLES, Rule, School

DAYS = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Tu"/></TimeGroups>'
ONE = "<Minimum>1</Minimum><Maximum>1</Maximum>"
BODIES = {
    "AssignTime": "",
    "SplitEvents": "<MinimumDuration>2</MinimumDuration><MaximumDuration>2</MaximumDuration>"
    "<MinimumAmount>2</MinimumAmount><MaximumAmount>2</MaximumAmount>",
    "DistributeSplitEvents": f"<Duration>1</Duration>{ONE}",
    "PreferTimes": '<TimeGroups><TimeGroup Reference="Mo"/></TimeGroups>',
    "SpreadEvents": f'<TimeGroups><TimeGroup Reference="Mo">{ONE}</TimeGroup></TimeGroups>',
    "AvoidClashes": "",
    "AvoidUnavailableTimes": '<Times><Time Reference="Mo2"/><Time Reference="Tu1"/></Times>',
    "LimitIdleTimes": DAYS + "<Minimum>0</Minimum><Maximum>0</Maximum>",
    "ClusterBusyTimes": DAYS + ONE,
    "LimitBusyTimes": DAYS + "<Minimum>2</Minimum><Maximum>2</Maximum>",
    "LinkEvents": "",
    "OrderEvents": "<MinSeparation>1</MinSeparation><MaxSeparation>2</MaxSeparation>",
    "LimitWorkload": "<Minimum>3</Minimum><Maximum>3</Maximum>",
    "AssignResource": "<Role>Room</Role>",
    "PreferResources": '<Resources><Resource Reference="R1"/></Resources><Role>Room</Role>',
    "AvoidSplitAssignments": "<Role>Room</Role>",
}
# Where the body above cannot be kept by all events at once.
KEPT = {
    "SplitEvents": "<MinimumDuration>2</MinimumDuration><MaximumDuration>2</MaximumDuration>"
    "<MinimumAmount>1</MinimumAmount><MaximumAmount>2</MaximumAmount>",
    "DistributeSplitEvents": f"<Duration>2</Duration>{ONE}",
    "LimitWorkload": "<Minimum>0</Minimum><Maximum>9</Maximum>",
}


def example(name: str) -> Instance:
    return read_instances((EXAMPLES / name).read_bytes(), name)[0]


def some_timetable(instance: Instance, luck: random.Random) -> Timetable:
    """Every event divided, placed and given rooms or none by chance."""
    lessons: dict[tuple[str, str, int], Lesson] = {}
    for event in instance.events:
        left = event.duration
        while left:
            duration = luck.randint(1, left)
            start = luck.randrange(len(instance.times) - duration + 1)
            rooms = [(role, luck.choice(["R1", "R2", ""])) for role in event.open]
            lesson = Lesson(
                event.id, instance.times[start].id, duration, tuple((role, room) for role, room in rooms if room)
            )
            if lessons.setdefault((lesson.event, lesson.time, duration), lesson) is lesson:
                left -= duration
    return Timetable(tuple(sorted(lessons.values())))


def model_cost(instance: Instance, timetable: Timetable, mode: Mode = Mode.STRICT) -> int:
    """The cost that the model gives to this very timetable."""
    formulation = Formulation(Frame(instance), Task((), {event.id: event.duration for event in instance.events}), mode)
    held = {(each.event, each.duration, instance.time_index[each.time]): each for each in timetable.lessons}
    for part in formulation.freed:
        lesson = held.get((part.event, part.duration, part.start or 0))
        formulation.program.at_least_one([part.held if lesson else ~part.held])
        for role, some in part.roles.items():
            for resource, taken in some.items():
                formulation.program.at_least_one([taken if lesson and (role, resource) in lesson.assigned else ~taken])
    cost = Sum()
    cost.include(formulation.hard)
    cost.include(formulation.soft)
    formulation.program.minimize(cost)
    solver = cp_model.CpSolver()
    assert solver.solve(formulation.program.complete()) == cp_model.OPTIMAL
    assert formulation.timetable(solver.response_proto.solution).to_json() == timetable.to_json()
    return round(solver.objective_value)


@pytest.mark.parametrize("function", ["Linear", "Quadratic", "Step"])
@pytest.mark.parametrize("tag", BODIES)
def test_the_model_costs_what_the_judge_says(school: School, rule: Rule, tag: str, function: str) -> None:
    instance = school(rule(tag, BODIES[tag], weight=3, function=function), rooms=True)
    luck = random.Random(f"{tag} {function}")  # noqa: S311 - a repeatable choice, not a secret
    timetables = [some_timetable(instance, luck) for _ in range(8)]
    costs = [model_cost(instance, each) for each in timetables]
    assert costs == [evaluate(instance, each).soft for each in timetables]


@pytest.mark.parametrize("tag", BODIES)
def test_where_required_constraints_may_be_broken_they_cost_what_the_judge_says(
    school: School, rule: Rule, tag: str
) -> None:
    instance = school(rule(tag, BODIES[tag], weight=3, required=True), rooms=True)
    luck = random.Random(tag)  # noqa: S311 - a repeatable choice, not a secret
    timetables = [some_timetable(instance, luck) for _ in range(8)]
    costs = [model_cost(instance, each, Mode.LOOSE) for each in timetables]
    assert costs == [evaluate(instance, each).hard for each in timetables]


@pytest.mark.parametrize("tag", BODIES)
def test_a_required_constraint_is_kept(school: School, rule: Rule, tag: str) -> None:
    # The tiny school's events, made such that every one of these constraints can be kept.
    events = EVENTS.replace("<Duration>3<", "<Duration>4<").replace("<Duration>1<", "<Duration>2<")
    rooms = tag in ("AssignResource", "PreferResources", "AvoidSplitAssignments")
    instance = school(rule(tag, KEPT.get(tag, BODIES[tag]), required=True), events, rooms)
    timetable = solve(instance, seconds=10, workers=1)
    assert evaluate(instance, timetable).hard == 0


def test_where_required_constraints_leave_none_the_least_is_broken(school: School, rule: Rule) -> None:
    rules = "".join(rule(tag, required=True) for tag in ("AssignTime", "AvoidClashes"))
    rules += rule("AvoidUnavailableTimes", "<TimeGroups><TimeGroup Reference='Mo'/></TimeGroups>", required=True)
    cost = evaluate(school(rules), solve(school(rules), seconds=60, workers=1))
    # Ana has four lessons and three times: one more than fits on Tuesday.
    assert (cost.hard, cost.soft) == (1, 0)


def test_lessons_are_left_without_a_time_where_that_costs_less(school: School, rule: Rule) -> None:
    away = rule("AvoidUnavailableTimes", BODIES["AvoidUnavailableTimes"], weight=9)
    full = EVENTS.replace("<Duration>1<", "<Duration>3<")
    instance = school(rule("AvoidClashes", required=True) + rule("AssignTime") + away, full)
    cost = evaluate(instance, solve(instance, seconds=10, workers=1))
    # Ana teaches six times of six, and at two of them nobody should be busy.
    assert (cost.hard, cost.soft) == (0, 2)


def test_a_lesson_without_a_time_costs_where_no_constraint_asks_for_one(school: School) -> None:
    instance = school()
    form = Formulation(Frame(instance), Task((), {"Math": 3, "Art": 1}), Mode.TENTATIVE, wishes=False)
    for part in form.freed:
        form.program.at_least_one([~part.held])
    form.program.minimize(form.hard)
    solver = cp_model.CpSolver()
    assert solver.solve(form.program.complete()) == cp_model.OPTIMAL
    assert solver.objective_value == 4


def test_a_school_too_large_for_one_model_is_constructed(
    school: School, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.worker.MOST_BOOLEANS", 0)
    reports: list[Progress] = []
    rules = "".join(rule(tag, required=True) for tag in ("AssignTime", "AvoidClashes"))
    solve(school(rules), seconds=60, workers=1, stop=lambda: bool(reports), on_progress=reports.append)
    assert (reports[0].neighbourhood, reports[0].hard) == ("construct", 0)


def test_what_cannot_be_kept_is_broken_less_by_neighbourhoods_too(
    school: School, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.worker.MOST_BOOLEANS", 0)
    rules = "".join(rule(tag, required=True) for tag in ("AssignTime", "AvoidClashes"))
    rules += rule("AvoidUnavailableTimes", "<TimeGroups><TimeGroup Reference='Mo'/></TimeGroups>", required=True)
    start = Timetable((Lesson("Math", "Mo1", 3), Lesson("Art", "Mo1", 1)))
    reports: list[Progress] = []
    solve(
        school(rules),
        seconds=30,
        workers=1,
        start=start,
        stop=lambda: bool(reports) and reports[-1].hard == 1,
        on_progress=reports.append,
    )
    assert reports[-1].hard == 1


def test_a_preassigned_event_starts_at_its_time_undivided(school: School, rule: Rule) -> None:
    events = EVENTS.replace("<Duration>3</Duration>", '<Duration>3</Duration><Time Reference="Tu1"/>')
    timetable = solve(school(rule("AvoidClashes", required=True), events), seconds=10, workers=1)
    assert Lesson("Math", "Tu1", 3) in timetable.lessons


def test_the_best_is_found_and_proved(school: School, rule: Rule) -> None:
    rules = rule("AvoidClashes", required=True) + rule(
        "ClusterBusyTimes", DAYS + "<Minimum>0</Minimum><Maximum>0</Maximum>", weight=7
    )
    reports: list[Progress] = []
    instance = school(rules)
    best = solve(instance, seconds=10, workers=1, on_progress=reports.append)
    # Four lessons do not fit a day of three: Ana comes twice, the class once.
    assert (reports[-1].soft, reports[-1].bound, reports[-1].timetable) == (7 * (2 + 1), 7 * (2 + 1), best)


def test_every_report_is_better_and_costs_what_the_judge_says() -> None:
    instance = example("BrazilInstance1.xml")
    reports: list[Progress] = []
    solve(instance, seconds=3, on_progress=reports.append)
    costs = [evaluate(instance, each.timetable) for each in reports]
    assert [(each.hard, each.soft) for each in reports] == [(cost.hard, cost.soft) for cost in costs]
    assert all(
        (later.hard, later.soft, -later.bound) < (earlier.hard, earlier.soft, -earlier.bound)
        for earlier, later in pairwise(reports)
    )


def test_the_sample_school_has_a_timetable() -> None:
    instance = example("escola-exemplo.xml")
    reports: list[Progress] = []
    timetable = solve(instance, seconds=30, stop=lambda: bool(reports), on_progress=reports.append)
    assert evaluate(instance, timetable).hard == 0


def test_one_worker_repeats_itself(school: School, rule: Rule) -> None:
    rules = rule("AvoidClashes", required=True) + rule("LimitIdleTimes", BODIES["LimitIdleTimes"])
    runs: list[list[Timetable]] = []
    for _ in range(2):
        reports: list[Progress] = []
        solve(school(rules), seconds=10, seed=4, workers=1, on_progress=reports.append)
        runs.append([each.timetable for each in reports])
    assert runs[0] == runs[1]


def test_what_another_process_found_is_taken_up() -> None:
    earlier = read_solutions((EXAMPLES / "BrazilInstance1.xml").read_bytes(), "BrazilInstance1.xml")[-1]
    told, reports = [earlier], list[Progress]()
    solve(
        example("BrazilInstance1.xml"),
        seconds=600,
        number=1,
        heard=lambda: told.pop() if told else None,
        stop=lambda: bool(reports),
        on_progress=reports.append,
    )
    assert (reports[0].neighbourhood, reports[0].timetable) == ("elsewhere", earlier)


def test_of_two_timetables_the_best_of_both_is_made(school: School, rule: Rule) -> None:
    rules = rule("AvoidClashes", required=True) + rule("PreferTimes", BODIES["PreferTimes"])
    instance = school(rules, EVENTS.replace("<Duration>3<", "<Duration>2<"))
    one = Timetable((Lesson("Math", "Mo1", 2), Lesson("Art", "Tu3", 1)))
    other = Timetable((Lesson("Math", "Tu1", 2), Lesson("Art", "Mo3", 1)))
    form = Formulation(Frame(instance), between(Frame(instance), one, other))
    form.program.minimize(form.soft)
    solver = cp_model.CpSolver()
    assert solver.solve(form.program.complete()) == cp_model.OPTIMAL
    assert {*form.timetable(solver.response_proto.solution).lessons} == {
        Lesson("Math", "Mo1", 2),
        Lesson("Art", "Mo3", 1),
    }
    # Nothing else was looked at.
    assert len(form.freed) == 4


def test_stopped_search_returns_the_best_so_far() -> None:
    instance = example("BrazilInstance1.xml")
    reports: list[Progress] = []
    # Ten minutes are far more than the suite may take.
    best = solve(instance, seconds=600, stop=lambda: bool(reports), on_progress=reports.append)
    # One that costs as much may have taken its place unannounced.
    cost = evaluate(instance, best)
    assert (cost.hard, cost.soft) == (reports[-1].hard, reports[-1].soft)


def test_ctrl_c_leaves_no_thread_behind_that_searches_on() -> None:
    asked, before = iter([False]), threading.active_count()

    def interrupted() -> bool:
        if next(asked, True):
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        solve(example("BrazilInstance1.xml"), seconds=600, stop=interrupted)
    assert threading.active_count() == before


def test_weights_beyond_what_the_solver_can_add_up_are_an_error(school: School, rule: Rule) -> None:
    least = "<Minimum>999999</Minimum><Maximum>999999</Maximum>"
    rules = rule("ClusterBusyTimes", DAYS + least, weight=999_999, function="Quadratic")
    rules += "".join(rules.replace('Id="ClusterBusyTimes"', f'Id="{number}"') for number in range(9))
    with pytest.raises(ValueError, match="weights too large"):
        solve(school(rules), seconds=60, workers=1)

from __future__ import annotations

import pytest

from app.engine.cost import evaluate
from app.engine.solver import solve
from app.engine.xhstt import read_instances
from app.school import absence, edit, lowering, moves
from app.school.model import Lesson, Mark, Placement, Plan, Resource, School
from tests.school.test_lowering import GOOD


@pytest.fixture
def plan() -> Plan:
    placements = tuple(Placement(lesson=x, time=y, duration=z) for x, y, z in GOOD)
    return Plan(id="v1", name="Plano", placements=placements)


def test_every_target_costs_what_the_evaluator_says(school: School, plan: Plan) -> None:
    marks: dict[str, Mark] = {"d2p3": "never", "d1p2": "avoid", "d2p1": "avoid"}
    school = edit.set_marks(school, "teachers", "t8", marks)
    problem = lowering.instance(school)
    before = evaluate(problem, lowering.timetable(plan.placements))
    for lesson in plan.placements:
        for each in moves.targets(school, problem, plan, lesson, "c6"):
            after = moves.swapped(plan, lesson, each.swap) if each.swap else moves.moved(plan, lesson, each.time)
            judged = evaluate(problem, lowering.timetable(after.placements))
            assert (each.hard, each.soft) == (judged.hard - before.hard, judged.soft - before.soft), (lesson, each)


@pytest.mark.parametrize(("view", "order"), [("c6", ["t7", "r9", "c6"]), ("t7", ["c6", "r9", "t7"])])
def test_what_the_week_itself_shows_is_told_last(school: School, plan: Plan, view: str, order: list[str]) -> None:
    rooms = tuple(lesson.model_copy(update={"rooms": ("r9",)}) for lesson in school.lessons)
    school = school.model_copy(update={"lessons": rooms})
    english = next(placement for placement in plan.placements if placement.lesson == "l15")
    targets = {target.time: target for target in moves.targets(school, lowering.problem(school), plan, english, view)}
    clashes = [each.point[0] for each in targets["d1p1"].broken if each.constraint.id.startswith("clash")]
    assert clashes == order


def test_a_double_lesson_is_not_offered_where_it_has_no_room(school: School, plan: Plan) -> None:
    offered = {each.time for each in moves.targets(school, lowering.instance(school), plan, plan.placements[0], "c6")}
    assert offered == {"d1p2", "d2p1", "d2p2"}


def test_an_equally_long_lesson_is_swapped(school: School, plan: Plan) -> None:
    english = plan.placements[3]
    (target,) = (
        each for each in moves.targets(school, lowering.instance(school), plan, english, "c6") if each.time == "d2p1"
    )
    assert target.swap == plan.placements[2]
    assert {each.id for each in moves.swapped(plan, english, target.swap).placements} == {
        "l13@d1p1", "l14@d1p3", "l14@d2p2", "l15@d2p1",
    }  # fmt: skip


def test_a_double_lesson_is_swapped_only_with_one_that_begins_there(school: School) -> None:
    # As text the tenth lesson of a day comes before the ninth.
    numbered = enumerate(school.week.periods, 9)
    periods = tuple(period.model_copy(update={"id": f"p{number}"}) for number, period in numbered)
    school = edit.set_week(school, school.week.model_copy(update={"periods": periods}))
    art = Placement(lesson="l13", time="d1p9", duration=2)
    physics = Placement(lesson="l14", time="d2p9", duration=2)
    plan = Plan(id="", name="-", placements=(art, physics))
    found = moves.targets(school, lowering.instance(school), plan, art, "c6")
    swaps = {target.time: target.swap for target in found}
    assert swaps == {"d1p10": None, "d2p9": physics, "d2p10": None}


def test_a_locked_lesson_is_not_swapped_away(school: School, plan: Plan) -> None:
    locked = edit.placed(plan, plan.placements[2], then=[plan.placements[2].model_copy(update={"locked": True})])
    found = moves.targets(school, lowering.instance(school), locked, plan.placements[3], "c6")
    assert {each.time for each in found if each.swap} == {"d1p3"}


def test_what_has_no_time_yet_is_told(school: School, plan: Plan) -> None:
    assert moves.unplaced(school, plan) == []
    left = moves.unplaced(school, edit.placed(plan, plan.placements[0], plan.placements[3]))
    assert left == [
        Placement(lesson="l13", time="", duration=2), Placement(lesson="l15", time="", duration=1)
    ]  # fmt: skip


def test_a_lesson_without_a_time_is_placed(school: School, plan: Plan) -> None:
    left = edit.placed(plan, plan.placements[3])
    (english,) = moves.unplaced(school, left)
    found = {each.time: each.verdict for each in moves.targets(school, lowering.instance(school), left, english, "c6")}
    assert (found["d2p2"], found["d1p3"]) == ("free", "breaks")


def test_a_repair_moves_no_more_than_it_has_to(school: School, plan: Plan) -> None:
    absent = edit.set_marks(school, "teachers", "t8", {"d1p3": "never"})
    problem = read_instances(lowering.archive(absent, keep=plan.placements), "repair")[0]
    found = solve(problem, seconds=600, workers=1)
    assert found
    assert evaluate(problem, found).hard == 0
    moved = {each.id for each in lowering.placements(found)} - {each.id for each in plan.placements}
    assert len(moved) == 1


def test_whoever_is_free_and_teaches_the_subject_stands_in_first(school: School, plan: Plan) -> None:
    school = edit.put(school, "teachers", Resource(id="", name="Caio"))
    school = edit.put(school, "teachers", Resource(id="", name="Dora", marks={"d2p2": "never"}))
    lesson = Lesson(id="", subject="s12", classes=("c6",), teachers=("t16",), weekly=1)
    school = edit.put_lesson(school, lesson)
    (gap,) = absence.gaps(school, plan, "t7", "d2")
    assert (gap.placement.lesson, gap.substitutes) == ("l15", (("t16", True), ("t8", False)))


def test_what_needs_a_time_is_as_long_as_the_lesson_asks_for(school: School) -> None:
    def left(*placed: Placement) -> list[tuple[str, int]]:
        return [
            (each.lesson, each.duration) for each in moves.unplaced(school, Plan(id="", name="-", placements=placed))
        ]

    assert left() == [("l13", 2), ("l14", 1), ("l14", 1), ("l15", 1)]
    assert left(Placement(lesson="l14", time="d1p1", duration=1))[1:] == [("l14", 1), ("l15", 1)]
    assert left(Placement(lesson="l13", time="d1p1", duration=2))[0] == ("l14", 1)
    # One of the two is taken, so that no double is left to be made.
    assert left(Placement(lesson="l13", time="d1p1", duration=1))[0] == ("l13", 1)


def test_a_single_lesson_that_has_a_time_leaves_the_double_to_be_placed(school: School) -> None:
    school = edit.put_lesson(school, school.lessons[0].model_copy(update={"weekly": 3}))
    plan = Plan(id="", name="-", placements=(Placement(lesson="l13", time="d1p1", duration=1),))
    assert [each.duration for each in moves.unplaced(school, plan) if each.lesson == "l13"] == [2]

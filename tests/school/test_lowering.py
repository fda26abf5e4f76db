from __future__ import annotations

import pytest

from app.engine.cost import evaluate
from app.engine.solver import solve
from app.school import edit, lowering
from app.school.model import Lesson, Placement, Resource, School, slot


def cost(school: School, *placements: tuple[str, str, int]) -> tuple[int, int]:
    found = lowering.timetable(Placement(lesson=x, time=y, duration=z) for x, y, z in placements)
    judged = evaluate(lowering.instance(school), found)
    return judged.hard, judged.soft


# Art double, physics twice, English once: no gap, no clash.
GOOD = (("l13", "d1p1", 2), ("l14", "d1p3", 1), ("l14", "d2p1", 1), ("l15", "d2p2", 1))


def with_teacher(school: School, **values: object) -> School:
    return edit.put(school, "teachers", school.teachers[0].model_copy(update=values))


def test_a_good_timetable_costs_nothing(school: School) -> None:
    assert cost(school, *GOOD) == (0, 0)


def test_a_search_finds_one(school: School) -> None:
    found = solve(lowering.instance(school), seconds=600, workers=1)
    assert found
    judged = evaluate(lowering.instance(school), lowering.timetable(lowering.placements(found)))
    assert (judged.hard, judged.soft) == (0, 0)


def test_a_clash_a_missing_lesson_and_a_double_in_two_are_hard(school: School) -> None:
    assert cost(school, *GOOD[:-1], ("l15", "d1p1", 1)) == (2, lowering.IDLE_CLASS * 0)
    assert cost(school, *GOOD[:-1]) == (1, 0)
    assert cost(school, ("l13", "d1p1", 1), ("l13", "d2p3", 1), *GOOD[1:])[0] == 1


@pytest.mark.parametrize(
    ("mark", "expected"), [("never", (2, 0)), ("avoid", (0, 2 * lowering.AVOID)), ("prefer", (0, lowering.PREFER))]
)
def test_marks_cost_by_their_strength(school: School, mark: str, expected: tuple[int, int]) -> None:
    marked = edit.set_marks(school, "teachers", "t7", {"d1p1": mark, "d1p2": mark})  # type: ignore[dict-item]
    assert cost(marked, *GOOD) == expected


def test_a_gap_of_a_class_is_a_wish(school: School) -> None:
    assert cost(school, *GOOD[:-1], ("l15", "d2p3", 1)) == (0, lowering.IDLE_CLASS)


def test_a_gap_of_a_teacher_counts_where_the_teacher_has_a_limit(school: School) -> None:
    physics = (("l14", "d1p1", 1), ("l14", "d2p2", 1))
    gap = (*physics, ("l15", "d2p1", 1), ("l13", "d1p2", 2))
    assert cost(with_teacher(school, most_idle=0), *gap) == (0, 0)
    spread = edit.put_lesson(school, school.lessons[0].model_copy(update={"doubles": 0}))
    idle = (("l13", "d1p1", 1), ("l15", "d1p3", 1), ("l14", "d1p2", 1), ("l14", "d2p1", 1), ("l13", "d2p2", 1))
    assert cost(with_teacher(spread, most_idle=0), *idle) == (0, lowering.IDLE_TEACHER)


def test_days_and_lessons_a_day_are_limited(school: School) -> None:
    assert cost(with_teacher(school, most_days=1), *GOOD) == (1, 0)
    assert cost(with_teacher(school, most_a_day=1), *GOOD) == (1, 0)


def test_a_lesson_twice_a_day_is_unwelcome(school: School) -> None:
    assert cost(school, GOOD[0], ("l15", "d2p3", 1), ("l14", "d2p1", 1), ("l14", "d2p2", 1)) == (0, lowering.SPREAD)


def test_a_double_does_not_go_through_a_break_or_a_day(school: School) -> None:
    periods = [each.model_copy(update={"break_after": each.id == "p2"}) for each in school.week.periods]
    broken = edit.set_week(school, school.week.model_copy(update={"periods": tuple(periods)}))
    assert sorted(broken.week.following) == ["d1p1", "d2p1"]
    assert cost(broken, ("l13", "d1p2", 2), ("l14", "d1p1", 1), ("l14", "d2p1", 1), ("l15", "d2p2", 1))[0] == 2


def test_a_shift_is_the_only_time_of_its_classes(school: School) -> None:
    periods = tuple(
        each.model_copy(update={"shift": "Tarde" if each.id == "p3" else "Manhã"}) for each in school.week.periods
    )
    shifts = edit.set_week(school, school.week.model_copy(update={"periods": periods}))
    shifts = edit.put(shifts, "classes", shifts.classes[0].model_copy(update={"shift": "Manhã"}))
    assert cost(shifts, *GOOD) == (1, 0)


def test_closed_times_are_no_times(school: School) -> None:
    closed = edit.set_week(school, school.week.model_copy(update={"closed": frozenset(["d2p3"])}))
    assert slot("d2", "p3") not in lowering.instance(closed).time_index


def test_parallel_lessons_are_one_event_of_all_who_attend(school: School) -> None:
    first = school.lessons[2].model_copy(update={"parallel": "Línguas"})
    second = Lesson(id="", subject="s11", classes=("c6",), teachers=("t8",), rooms=("r9",), parallel="Línguas")
    event = lowering.instance(edit.put_lesson(edit.put_lesson(school, first), second)).event["l15"]
    assert (event.name, event.resources) == ("Inglês / Física", ("c6", "t7", "t8", "r9"))


def test_no_search_moves_what_is_locked(school: School) -> None:
    locked = (Placement(lesson="l13", time="d2p2", duration=2), Placement(lesson="l14", time="d1p3", duration=1))
    found = solve(lowering.instance(school, locked), seconds=600, workers=1)
    assert found
    kept = {each.id: each.locked for each in lowering.placements(found, locked)}
    assert kept["l13@d2p2"] and kept["l14@d1p3"]
    judged = evaluate(lowering.instance(school), lowering.timetable(lowering.placements(found, locked)))
    assert judged.hard == 0


def test_an_anonymous_archive_names_nobody(school: School) -> None:
    text = lowering.archive(school, named=False).decode()
    assert not [name for name in (*school.names.values(), school.name) if f"<Name>{name}<" in text]


def test_names_are_text_in_the_archive(school: School) -> None:
    hostile = edit.put(school, "teachers", Resource(id="t7", name="</Name><x>&\"'\x07"))
    assert lowering.instance(hostile).resource["t7"].name == "</Name><x>&\"'"

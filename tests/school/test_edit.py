from __future__ import annotations

import pytest

from app.school import edit
from app.school.message import SchoolError
from app.school.model import MOST_PLANS, Day, Lesson, Placement, Plan, Resource, School, Subject, Week


def test_a_new_week_has_five_lessons_a_day_and_a_break_after_three() -> None:
    periods = edit.begin("Escola", ("Segunda",), "{number}ª").week.periods
    assert [(each.name, each.begins, each.ends, each.break_after) for each in periods] == [
        ("1ª", "07:30", "08:20", False),
        ("2ª", "08:20", "09:10", False),
        ("3ª", "09:10", "10:00", True),
        ("4ª", "10:20", "11:10", False),
        ("5ª", "11:10", "12:00", False),
    ]


def test_an_id_is_never_used_twice(school: School) -> None:
    without = edit.remove(edit.put(school, "rooms", Resource(id="", name="Sala")), "rooms", "r16")
    assert edit.put(without, "rooms", Resource(id="", name="Sala")).rooms[-1].id == "r17"


@pytest.mark.parametrize("name", ["Ana", "ana", " ÁNA "])
def test_two_of_a_kind_have_different_names(school: School, name: str) -> None:
    with pytest.raises(SchoolError, match="is there already"):
        edit.put(school, "teachers", Resource(id="", name=name))


def test_names_are_in_the_order_in_which_people_look_for_them(school: School) -> None:
    for name in ("10º B", "9º A", "Árvore", "10º A"):
        school = edit.put(school, "classes", Resource(id="", name=name))
    assert [each.name for each in school.classes] == ["6A", "9º A", "10º A", "10º B", "Árvore"]


def test_what_has_lessons_is_not_removed(school: School) -> None:
    for kind, identifier in (("classes", "c6"), ("teachers", "t7"), ("subjects", "s10")):
        with pytest.raises(SchoolError, match="has lessons"):
            edit.remove(school, kind, identifier)  # type: ignore[arg-type]


def test_what_has_no_lessons_is_removed(school: School) -> None:
    assert edit.remove(school, "rooms", "r9").rooms == ()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"classes": ()}, "needs a class"),
        ({"subject": "s99"}, "has just removed"),
        ({"weekly": 0}, "between 1 and 6"),
        ({"weekly": 7}, "between 1 and 6"),
        ({"weekly": 3, "doubles": 2}, "room for at most 1 double"),
    ],
)
def test_a_lesson_that_cannot_be_is_refused(school: School, values: dict[str, object], complaint: str) -> None:
    with pytest.raises(SchoolError, match=complaint):
        edit.put_lesson(school, school.lessons[1].model_copy(update=values))


def test_parallel_lessons_are_equally_many(school: School) -> None:
    school = edit.put_lesson(school, school.lessons[0].model_copy(update={"parallel": "A"}))
    with pytest.raises(SchoolError, match="equally many"):
        edit.put_lesson(school, school.lessons[1].model_copy(update={"parallel": "A"}))


def test_nobody_is_in_two_parallel_lessons(school: School) -> None:
    school = edit.put_lesson(school, school.lessons[2].model_copy(update={"parallel": "A"}))
    with pytest.raises(SchoolError, match="Ana cannot be in two"):
        edit.put_lesson(school, Lesson(id="", subject="s11", classes=("c6",), teachers=("t7",), parallel="A"))


def test_a_shorter_week_takes_marks_and_placements_along(school: School) -> None:
    school = edit.set_marks(school, "teachers", "t7", {"d1p1": "never", "d2p1": "avoid"})
    placements = (Placement(lesson="l15", time="d2p1", duration=1), Placement(lesson="l14", time="d1p1", duration=1))
    school = edit.put_plan(school, Plan(id="", name="Plano", placements=placements))
    shorter = edit.set_week(school, school.week.model_copy(update={"days": school.week.days[:1]}))
    assert shorter.teachers[0].marks == {"d1p1": "never"}
    assert [each.time for each in shorter.plans[0].placements] == ["d1p1"]


def test_fewer_lessons_a_week_take_placements_along(school: School) -> None:
    placements = tuple(Placement(lesson="l14", time=time, duration=1) for time in ("d1p1", "d2p1"))
    school = edit.put_plan(school, Plan(id="", name="Plano", placements=placements))
    changed = edit.put_lesson(school, school.lessons[1].model_copy(update={"weekly": 1}))
    assert changed.plans[0].placements == placements[:1]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"days": ()}, "at least one day"),
        ({"closed": frozenset(f"d{day}p{period}" for day in (1, 2) for period in (1, 2, 3))}, "closed; open some"),
    ],
)
def test_a_week_without_a_time_is_refused(school: School, change: dict[str, object], complaint: str) -> None:
    with pytest.raises(SchoolError, match=complaint):
        edit.set_week(school, school.week.model_copy(update=change))


def test_lessons_of_the_day_do_not_overlap(school: School) -> None:
    one, two, *_ = school.week.periods
    overlapping = (one, two.model_copy(update={"begins": "07:40"}))
    with pytest.raises(SchoolError, match="begins before the lesson above"):
        edit.set_week(school, school.week.model_copy(update={"periods": overlapping}))


def test_a_school_comes_back_from_its_document(school: School) -> None:
    assert School.model_validate_json(school.model_dump_json(exclude_defaults=True)) == school


def test_a_stored_week_has_a_break_only_where_it_says_so(school: School) -> None:
    stored = school.model_dump(exclude_defaults=True)
    stored["week"]["periods"] = [
        {"id": "p1", "name": "1ª", "begins": "07:00", "ends": "07:50"},
        {"id": "p2", "name": "2ª", "begins": "07:50", "ends": "08:40", "break_after": True},
        {"id": "p3", "name": "3ª", "begins": "09:00", "ends": "09:50"},
    ]
    assert School.model_validate(stored).week.following == {"d1p1": "d1p2", "d2p1": "d2p2"}


def test_a_new_subject_is_added_and_an_old_one_renamed(school: School) -> None:
    renamed = edit.put(school, "subjects", Subject(id="s10", name="Artes"))
    assert [each.name for each in renamed.subjects] == ["Artes", "Física", "Inglês"]


@pytest.mark.parametrize(("lessons", "more"), [(5, ""), (6, r" … \(\+1\)")])
def test_a_week_too_short_for_many_lessons_names_five(school: School, lessons: int, more: str) -> None:
    weekly = (school.lessons[0].model_copy(update={"id": f"l{number}", "weekly": 4}) for number in range(lessons))
    crowded = school.model_copy(update={"lessons": tuple(weekly)})
    named = ", ".join(["[^,]* \\(4\\)"] * 5)
    with pytest.raises(SchoolError, match=f"lessons: {named}{more}[.] Change"):
        edit.set_week(crowded, school.week.model_copy(update={"days": school.week.days[:1]}))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"days": ()}, "at least one day"),
        ({"periods": ()}, "at least one day"),
        ({"days": tuple(Day(id=f"d{number}", name=f"{number}") for number in range(15))}, "at most 14 days"),
        ({"days": (Day(id="d1", name="Segunda"), Day(id="d1", name="Terça"))}, "has just changed the week"),
    ],
)
def test_what_is_no_week_is_refused(school: School, change: dict[str, object], complaint: str) -> None:
    with pytest.raises(SchoolError, match=complaint):
        edit.set_week(school, school.week.model_copy(update=change))


def test_a_lesson_of_the_day_ends_after_it_begins(school: School) -> None:
    first, *others = school.week.periods
    backwards = first.model_copy(update={"ends": first.begins})
    with pytest.raises(SchoolError, match="ends before it begins"):
        edit.set_week(school, school.week.model_copy(update={"periods": (backwards, *others)}))


def test_a_class_stays_in_a_shift_that_gets_another_name(school: School) -> None:
    def shift(name: str) -> Week:
        periods = tuple(each.model_copy(update={"shift": name}) for each in school.week.periods)
        return school.week.model_copy(update={"periods": periods})

    there = edit.set_week(school, shift("Manhã"))
    there = edit.put(there, "classes", there.classes[0].model_copy(update={"shift": "Manhã"}))
    assert edit.set_week(there, shift("Tarde")).classes[0].shift == "Tarde"


def test_what_an_edit_takes_along_is_counted(school: School) -> None:
    locked = Placement(lesson="l13", time="d2p1", duration=2, locked=True)
    free = Placement(lesson="l14", time="d1p1", duration=1)
    before = edit.set_marks(school, "teachers", "t7", {"d1p1": "never", "d2p2": "avoid"})
    before = edit.put_plan(before, Plan(id="", name="A", placements=(locked, free)))
    after = edit.set_week(before, before.week.model_copy(update={"days": before.week.days[:1]}))
    assert edit.lost(before, after) == {"marks": 1, "shifts": 0, "placed": 1, "locked": 1}


def test_a_school_has_no_more_drafts_than_it_can_look_through(school: School) -> None:
    plans = tuple(Plan(id=f"v{number}", name=f"{number}", placements=()) for number in range(MOST_PLANS - 1))
    full = edit.put_plan(school.model_copy(update={"plans": plans}), Plan(id="", name="last", placements=()))
    assert len(full.plans) == MOST_PLANS
    with pytest.raises(SchoolError, match=f"are {MOST_PLANS} drafts already"):
        edit.put_plan(full, Plan(id="", name="more", placements=()))
    assert [plan.id for plan in edit.remove_plan(full, "v0").plans] == [plan.id for plan in full.plans[1:]]

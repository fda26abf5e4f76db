"""Worksheets that come again, of schools made by chance: what stays, in the drafts too."""

from __future__ import annotations

import random
from typing import cast

import pytest

from app.school import edit, merge, sheet, workbook
from app.school.model import KINDS, Kind, Lesson, Mark, Placement, Plan, Resource, School, Subject
from app.school.workbook import Table
from tests.school.conftest import DAYS
from tests.school.test_lowering import GOOD

PLAN = tuple(Placement(lesson=x, time=y, duration=z, locked=y == "d2p1") for x, y, z in GOOD)
Held = set[tuple[str, str, int, bool]]


@pytest.fixture
def drafted(school: School) -> School:
    """The tiny school with a draft v16 that has everything, physics on Tuesday locked."""
    return edit.put_plan(school, Plan(id="", name="Plano", placements=PLAN))


@pytest.fixture
def luck(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(getattr(request, "param", 1))  # noqa: S311


def rows(school: School) -> list[list[str]]:
    return sheet.tables(school, english=False)[0].rows


def again(school: School, lines: list[list[str]]) -> School:
    made, errors = sheet.imported(school, [Table("Aulas", lines)])
    assert errors == []
    return made


def held(school: School) -> list[Held]:
    """The lessons of each draft, each of a group by itself."""
    return [
        {
            (lesson.id, each.time, each.duration, each.locked)
            for each in plan.placements
            for lesson in school.groups[each.lesson]
        }
        for plan in school.plans
    ]


def some_school(luck: random.Random) -> School:
    """With groups of lessons, and drafts that have some of them, some locked."""
    made = edit.begin("Escola", (*DAYS, "Quarta", "Quinta"), "{number}ª aula")
    members: dict[Kind, str] = {"classes": "6A 6B 7A 7B", "teachers": "Ana Bia Caio Dora", "rooms": "Quadra Estúdio"}
    for kind, names in members.items():
        for name in names.split():
            made = edit.put(made, kind, Resource(id="", name=name))
    for name in ("Arte", "Física", "Inglês", "História"):
        made = edit.put(made, "subjects", Subject(id="", name=name))
    marks = cast(tuple[Mark, ...], ("never", "avoid", "prefer"))
    for kind in members:
        for each in getattr(made, kind):
            chosen = luck.sample(made.week.slots, luck.randint(0, 9))
            made = edit.set_marks(made, kind, each.id, {time: luck.choice(marks) for time in chosen})
    for one in made.classes:
        for subject in luck.sample(made.subjects, luck.randint(1, 4)):
            made = some_lesson(made, luck, one, subject)
    for number in range(2):
        made = edit.put_plan(made, Plan(id="", name=f"Plano {number}", placements=tuple(some_placements(made, luck))))
    return made


def some_lesson(school: School, luck: random.Random, one: Resource, subject: Subject) -> School:
    """A lesson by chance, perhaps beside another class's; no class has a subject twice."""
    weekly = luck.randint(1, 5)
    numbers = {"weekly": weekly, "doubles": luck.randint(0, weekly // 2)}
    guests = (luck.choice(school.classes).id,) if luck.random() < 0.2 else ()
    classes = tuple(dict.fromkeys((one.id, *guests)))
    people = {
        "teachers": tuple(each.id for each in luck.sample(school.teachers, luck.randint(0, 2))),
        "rooms": tuple(each.id for each in luck.sample(school.rooms, luck.randint(0, 1))),
    }
    made = edit.put_lesson(school, Lesson(id="", subject=subject.id, classes=classes, **numbers, **people))
    if luck.random() < 0.4:
        label = luck.choice("XY")
        beside = next((each for each in made.lessons if each.parallel == label), None)
        joined = made.lessons[-1].model_copy(update={"parallel": label})
        joined = joined.model_copy(update={"teachers": (), "rooms": ()})
        if beside:
            joined = joined.model_copy(update={"weekly": beside.weekly, "doubles": beside.doubles})
        made = edit.put_lesson(made, joined)
    return made


def some_placements(school: School, luck: random.Random) -> list[Placement]:
    """Where each lesson is, if it is anywhere; no two of one lesson begin at the same time."""
    found = []
    for head, members in school.groups.items():
        left = luck.randint(0, members[0].weekly)
        for time in luck.sample(school.week.slots, left):
            duration = 2 if members[0].doubles and time in school.week.following and left > 1 else 1
            if duration <= left:
                found.append(Placement(lesson=head, time=time, duration=duration, locked=luck.random() < 0.3))
                left -= duration
    return found


@pytest.mark.parametrize("english", [False, True])
@pytest.mark.parametrize("luck", range(40), indirect=True)
def test_the_schools_own_worksheet_changes_nothing_at_all(luck: random.Random, english: bool) -> None:
    school = some_school(luck)
    data = workbook.write(sheet.tables(school, english))
    made, errors = sheet.imported(school, workbook.read(data, "school.xlsx"))
    assert errors == []
    assert made == school


@pytest.mark.parametrize("luck", range(40), indirect=True)
def test_lines_in_another_order_are_the_same_lessons_at_the_same_times(luck: random.Random) -> None:
    school = some_school(luck)
    heading, *lines = rows(school)
    made = again(school, [heading, *luck.sample(lines, len(lines))])
    assert sorted(made.lessons, key=lambda each: each.id) == sorted(school.lessons, key=lambda each: each.id)
    assert held(made) == held(school)
    assert made.counter == school.counter


@pytest.mark.parametrize("luck", range(40), indirect=True)
def test_lines_taken_out_and_added_cost_the_places_of_what_is_taken_out_alone(luck: random.Random) -> None:
    school = some_school(luck)
    heading, *lines = rows(school)
    gone = set(luck.sample(range(len(lines)), luck.randint(0, len(lines) - 1)))
    added = ["8A", "Química", "Eva", "", "2", "1", ""]
    made = again(school, [heading, *(line for index, line in enumerate(lines) if index not in gone), added])
    kept = {lesson.id for index, lesson in enumerate(school.lessons) if index not in gone}
    assert held(made) == [{each for each in some if each[0] in kept} for some in held(school)]
    assert {each.id for each in made.lessons} - {each.id for each in school.lessons} == {made.lessons[-1].id}
    for plan, effect in zip(school.plans, merge.effects(school, made), strict=True):
        lost = [each for each in plan.placements if not {x.id for x in school.groups[each.lesson]} <= kept]
        assert (list(effect.lost), effect.unlocked) == (lost, sum(each.duration for each in lost if each.locked))


CHANGES = {"teacher": (2, "Eva"), "no teacher": (2, ""), "room": (3, "Ginásio"), "subject": (1, "Química")}


@pytest.mark.parametrize(("column", "value"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("luck", range(15), indirect=True)
def test_a_lesson_of_which_one_thing_changes_keeps_its_times(luck: random.Random, column: int, value: str) -> None:
    school = some_school(luck)
    lines = rows(school)
    changed = luck.randrange(1, len(lines))
    lines[changed][column] = value
    made = again(school, lines)
    assert [each.id for each in made.lessons] == [each.id for each in school.lessons]
    assert held(made) == held(school)


def most(some: Held, weekly: int) -> int:
    """How many lessons of these have room in so many a week, by trying all choices."""
    sizes = {0}
    for _, _, duration, _ in some:
        sizes |= {size + duration for size in sizes if size + duration <= weekly}
    return max(sizes)


@pytest.mark.parametrize("weekly", range(1, 7))
@pytest.mark.parametrize("luck", range(15), indirect=True)
def test_a_lesson_with_another_number_a_week_loses_what_has_no_room_and_locked_times_last(
    luck: random.Random, weekly: int
) -> None:
    school = some_school(luck)
    alone = [index for index, each in enumerate(school.lessons) if not each.parallel]
    if not alone:
        pytest.skip("every lesson of this school is in a group")
    changed, lines = luck.choice(alone), rows(school)
    lines[1 + changed][4:6] = [str(weekly), ""]
    made, own = again(school, lines), school.lessons[changed].id
    assert [each.id for each in made.lessons] == [each.id for each in school.lessons]
    for before, after in zip(held(school), held(made), strict=True):
        was, now = ({each for each in some if each[0] == own} for some in (before, after))
        assert before - was == after - now
        assert now <= was
        locked = most({each for each in was if each[3]}, weekly)
        assert sum(each[2] for each in now if each[3]) == locked
        free = most({each for each in was if not each[3]}, weekly - locked)
        assert sum(each[2] for each in now if not each[3]) == free


@pytest.mark.parametrize("luck", range(40), indirect=True)
def test_whoever_is_there_keeps_the_id_and_what_was_set(luck: random.Random) -> None:
    school = some_school(luck)
    lines = rows(school)
    lines[luck.randrange(1, len(lines))][2] = "Eva + ana"
    made = again(school, lines)
    for kind in KINDS:
        new = [each.name for each in getattr(made, kind) if each.id not in school.names]
        assert new == (["Eva"] if kind == "teachers" else [])
        assert [each for each in getattr(made, kind) if each.id in school.names] == list(getattr(school, kind))


def test_of_two_lessons_that_change_teachers_each_is_found_by_its_teacher_first(school: School) -> None:
    heading = rows(school)[0]
    split = [heading, ["6A", "Arte", "Ana", "", "3", "", ""], ["6A", "Arte", "Bia", "", "2", "", ""]]
    school = again(school, split)
    ana, bia = (each.id for each in school.lessons)
    made = again(school, [heading, ["6A", "Arte", "Bia", "", "3", "", ""], ["6A", "Arte", "Ana", "", "2", "", ""]])
    assert [each.id for each in made.lessons] == [bia, ana]


def test_of_two_equal_lessons_the_one_that_is_placed_stays(school: School) -> None:
    heading, line = rows(school)[0], ["6A", "Arte", "Ana", "", "2", "", ""]
    school = again(school, [heading, line, line])
    one, other = (each.id for each in school.lessons)
    assert one != other
    placed = (Placement(lesson=other, time="d1p1", duration=1),)
    school = edit.put_plan(school, Plan(id="", name="Plano", placements=placed))
    made = again(school, [heading, line])
    assert [each.id for each in made.lessons] == [other]
    assert made.plans == school.plans


def test_a_class_with_another_name_in_the_worksheet_keeps_its_times(drafted: School) -> None:
    made = again(drafted, [[cell.replace("6A", "6º ano A") for cell in line] for line in rows(drafted)])
    assert held(made) == held(drafted)


def test_another_class_that_joins_or_leaves_leaves_the_times(drafted: School) -> None:
    lines = rows(drafted)
    lines[1][0] = "6A + 6B"
    joined = again(drafted, lines)
    assert held(joined) == held(drafted)
    assert held(again(joined, rows(drafted))) == held(drafted)


def test_a_lesson_of_two_classes_that_is_parted_is_one_of_the_two(drafted: School) -> None:
    heading, art, *lines = rows(drafted)
    joined = again(drafted, [heading, ["6A + 6B", *art[1:]], *lines])
    parted = again(joined, [heading, art, ["6B", *art[1:]], *lines])
    assert [each.id in joined.lesson for each in parted.lessons] == [True, False, True, True]
    assert held(parted) == held(drafted)


def test_two_lessons_that_other_classes_join_stay_two(drafted: School) -> None:
    heading, art, *lines = rows(drafted)
    alone = again(drafted, [heading, art, *lines, ["6B", *art[1:]]])
    joined = again(alone, [heading, ["6A + 6B", *art[1:]], *lines, ["6B + 6C", *art[1:]]])
    assert [each.id for each in joined.lessons] == [each.id for each in alone.lessons]


def test_a_lesson_of_another_class_is_another_lesson(drafted: School) -> None:
    heading, *lines = rows(drafted)
    both = again(drafted, [heading, *lines, ["6B", "Inglês", "Bia", "", "1", "", ""]])
    made = again(both, [heading, *lines[1:], ["6B", "Inglês", "Bia", "", "1", "", ""], ["6B", *lines[0][1:]]])
    assert "l13" not in made.lesson
    assert "l13" not in {each.lesson for each in made.plans[0].placements}


def test_groups_that_are_made_and_parted_keep_the_times_of_most_of_them(drafted: School) -> None:
    lines = rows(drafted)
    lines[2][4], lines[2][6], lines[3][6] = "1", "L", "L"
    made = again(drafted, lines)
    assert [each.id for each in made.plans[0].placements] == ["l13@d1p1", "l14@d2p1"]
    lines[2][6] = lines[3][6] = ""
    parted = again(made, lines)
    assert {each.id for each in parted.plans[0].placements} == {"l13@d1p1", "l14@d2p1", "l15@d2p1"}


def test_a_group_whose_first_lesson_is_removed_by_its_page_keeps_its_times(drafted: School) -> None:
    english = drafted.lesson["l15"].model_copy(update={"parallel": "L"})
    drafted = edit.put_lesson(drafted, english)
    drafted = edit.put_lesson(drafted, english.model_copy(update={"id": "", "subject": "s11", "teachers": ("t8",)}))
    made = edit.remove_lesson(drafted, "l15")
    assert f"{made.lessons[-1].id}@d2p2" in {each.id for each in made.plans[0].placements}


def test_what_a_kept_time_breaks_is_told(drafted: School) -> None:
    lines = rows(drafted)
    lines[3][2] = "Bia"
    drafted = edit.set_marks(drafted, "teachers", "t8", {"d2p2": "never"})
    (effect,) = merge.effects(drafted, again(drafted, lines))
    assert effect.lost == ()
    assert [each.said(str) for each in effect.broken] == ["Bia: lessons at impossible times: 1"]

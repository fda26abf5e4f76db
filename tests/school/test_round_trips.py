"""What is exported and imported again: nothing changes but what a format has no place for, which is named here."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.engine.cost import evaluate
from app.engine.xhstt import read_instances
from app.school import conversion, edit, lowering, sheet, workbook
from app.school.model import MOST_NAME, School
from app.school.names import clean, joined, parted
from tests.school.drawn import names, plans, repeatable, schools

EMPTY = edit.begin("Escola", ("Segunda",), "{number}")
PEOPLE = ("classes", "teachers", "rooms")


def lessons(school: School) -> list[tuple[Any, ...]]:
    """The lessons by names."""
    called = school.names
    return [
        (
            called[each.subject],
            *([called[x] for x in some] for some in (each.classes, each.teachers, each.rooms)),
            each.weekly,
            each.doubles,
            each.parallel,
        )
        for each in school.lessons
    ]


def people(school: School, *fields: str) -> list[list[tuple[Any, ...]]]:
    return [[tuple(getattr(each, x) for x in ("name", *fields)) for each in getattr(school, kind)] for kind in PEOPLE]


@repeatable
@given(st.text())
def test_a_clean_name_stays_as_it_is_and_two_normal_forms_are_one_name(text: str) -> None:
    name = clean(text)
    assert clean(name) == name and len(name) <= len(text)
    forms = {edit.folded(clean(unicodedata.normalize(form, text))) for form in ("NFC", "NFD")}
    assert forms == {edit.folded(name)}


@repeatable
@given(st.lists(names.map(clean)))
def test_several_names_in_one_cell_come_apart_again(some: list[str]) -> None:
    assert list(parted(joined(some))) == some


@repeatable
@given(schools(), st.booleans())
def test_a_school_comes_back_from_its_workbook(school: School, english: bool) -> None:
    tables = sheet.tables(school, english)
    made, errors = sheet.imported(school, workbook.read(workbook.write(tables), "school.xlsx"))
    assert errors == []
    assert lessons(made) == lessons(school)
    # The week, limits and shifts are not in it, and stay.
    assert {kind: getattr(made, kind) for kind in (*PEOPLE, "subjects", "week", "name")} == {
        kind: getattr(school, kind) for kind in (*PEOPLE, "subjects", "week", "name")
    }


@repeatable
@given(schools(), st.booleans())
def test_a_school_with_the_same_week_gets_all_of_a_workbook(school: School, english: bool) -> None:
    fresh = edit.set_week(EMPTY, school.week)
    tables = workbook.read(workbook.write(sheet.tables(school, english)), "school.xlsx")
    made, errors = sheet.imported(fresh, tables[:1])
    # Who has no lessons is not in the worksheet of lessons, and marks are for people who are known.
    for kind in PEOPLE:
        for each in getattr(school, kind):
            if edit.find(made, kind, each.name) is None:  # type: ignore[arg-type]
                made = edit.put(made, kind, each.model_copy(update={"id": "", "marks": {}}))  # type: ignore[arg-type]
    made, more = sheet.imported(made, tables[1:])
    assert errors + more == []
    assert lessons(made) == lessons(school)
    assert people(made, "marks") == people(school, "marks")


@repeatable
@given(schools(), st.booleans())
def test_tables_come_back_from_csv_and_none_of_their_cells_is_a_formula(school: School, english: bool) -> None:
    for table in sheet.tables(school, english):
        data = workbook.write_csv(table)
        (found,) = workbook.read(data, "school.csv")
        assert [row + [""] * (len(table.rows[0]) - len(row)) for row in found.rows] == table.rows
        assert not [line for line in data.decode("utf-8-sig").splitlines() if line.startswith(tuple("=+-@"))]


@repeatable
@given(schools())
def test_a_school_comes_back_from_its_archive_but_for_what_the_format_has_no_place_for(school: School) -> None:
    made, left = conversion.converted(EMPTY, read_instances(lowering.archive(school), "archive")[0])
    assert [each.text for each in left if "otherwise" in each.text] == []
    # Closed throughout: no day, and no lesson of the day.
    days = [day for day in school.week.days if any(x.startswith(day.id + "p") for x in school.week.slots)]
    periods = [
        period
        for period in school.week.periods
        if any(day.id + period.id in school.week.slots for day in school.week.days)
    ]
    assert [each.name for each in made.week.days] == [each.name for each in days]
    assert [each.name for each in made.week.periods] == [each.name for each in periods]
    pairs = [(day, period) for day in range(len(days)) for period in range(len(periods))]
    slots = {
        days[day].id + periods[period].id: made.week.days[day].id + made.week.periods[period].id
        for day, period in pairs
    }
    assert {slots[x] for x in school.week.slots} == set(made.week.slots)
    assert people(made, "most_days", "most_a_day") == people(school, "most_days", "most_a_day")
    for kind in PEOPLE:
        for then, now in zip(getattr(school, kind), getattr(made, kind), strict=True):
            # That a class has no free lessons in between is wished for anyway.
            assert now.most_idle == (None if kind == "classes" and then.most_idle == 0 else then.most_idle)
            outside = {
                day.id + period.id: "never"
                for day in school.week.days
                for period in school.week.periods
                if then.shift not in ("", period.shift)
            }
            marks: dict[str, str] = {**then.marks, **outside}
            # All times that are left being welcome, none is.
            if "prefer" in marks.values() and not set(school.week.slots) - marks.keys():
                marks = {time: mark for time, mark in marks.items() if mark != "prefer"}
            assert now.marks == {slots[time]: mark for time, mark in marks.items() if time in school.week.slots}
    groups = []
    for head, members in school.groups.items():
        subject = " / ".join(dict.fromkeys(school.names[each.subject] for each in members))[:MOST_NAME].rstrip()
        attending = [
            [x for x in school.attending(head) if x in {y.id for y in getattr(school, kind)}] for kind in PEOPLE
        ]
        who = [[school.names[x] for x in some] for some in attending]
        groups.append((edit.folded(subject), *who, members[0].weekly, members[0].doubles, ""))
    assert [(edit.folded(first), *rest) for first, *rest in lessons(made)] == groups


@repeatable
@given(schools())
def test_the_archive_of_an_imported_archive_is_the_same(school: School) -> None:
    once, _ = conversion.converted(EMPTY, read_instances(lowering.archive(school), "archive")[0])
    twice, _ = conversion.converted(EMPTY, read_instances(lowering.archive(once), "archive")[0])
    assert twice.model_copy(update={"counter": 0}) == once.model_copy(update={"counter": 0})


@repeatable
@given(schools(), st.data())
def test_a_timetable_costs_the_same_in_the_school_that_comes_back(school: School, data: st.DataObject) -> None:
    plan = edit.put_plan(school.model_copy(update={"plans": ()}), data.draw(plans(school))).plans[0]
    made, _ = conversion.converted(EMPTY, read_instances(lowering.archive(school), "archive")[0])
    heads = dict(zip(school.groups, made.groups, strict=True))
    times = dict(zip(school.week.slots, made.week.slots, strict=True))
    moved = [x.model_copy(update={"lesson": heads[x.lesson], "time": times[x.time]}) for x in plan.placements]
    before = evaluate(lowering.instance(school), lowering.timetable(plan.placements))
    after = evaluate(lowering.instance(made), lowering.timetable(moved))
    assert (before.hard, before.soft) == (after.hard, after.soft)

from __future__ import annotations

from app.engine.grid import days, grid
from app.engine.timetable import Lesson, Timetable
from app.engine.xhstt import read_instances
from tests.engine.conftest import TIMES, Archive, School

DOUBLE = Timetable((Lesson("Math", "Mo1", 2), Lesson("Art", "Tu3", 1)))


def names(school: School, timetable: Timetable, resource: str) -> list[list[list[str]]]:
    return [[[cell.event.name for cell in cells] for cells in row] for row in grid(school(), timetable, resource)]


def test_rows_are_periods_and_columns_are_days(school: School) -> None:
    assert names(school, DOUBLE, "Ana") == [[["Math"], []], [["Math"], []], [[], ["Art"]]]


def test_lessons_of_others_are_left_out(school: School) -> None:
    assert names(school, DOUBLE, "6A") == [[["Math"], []], [["Math"], []], [[], []]]


def test_only_the_first_cell_of_a_double_lesson_is_first(school: School) -> None:
    first, second, _ = (row[0] for row in grid(school(), DOUBLE, "6A"))
    assert [first[0].first, second[0].first] == [True, False]


def test_a_cell_names_the_other_resources(school: School) -> None:
    assert [other.name for other in grid(school(), DOUBLE, "Ana")[0][0][0].others] == ["6º ano A"]


def test_a_clash_has_both_lessons_in_one_cell(school: School) -> None:
    clash = Timetable((Lesson("Math", "Mo1", 1), Lesson("Art", "Mo1", 1)))
    assert names(school, clash, "Ana")[0][0] == ["Art", "Math"]


def test_a_shorter_day_has_empty_cells_at_its_end(archive: Archive) -> None:
    last = '<Time Id="Tu3"><Name>Tu 3</Name><Day Reference="Tu"/></Time>\n'
    instance = read_instances(archive(times=TIMES.replace(last, "")), "tiny.xml")[0]
    assert grid(instance, Timetable((Lesson("Art", "Tu2", 1),)), "Ana")[2] == ((), ())


def test_a_week_without_days_is_one_column(archive: Archive) -> None:
    times = TIMES.replace('<Day Reference="Mo"/>', "").replace('<Day Reference="Tu"/>', "")
    instance = read_instances(archive(times=times), "tiny.xml")[0]
    assert [len(day.times) for day in days(instance)] == [6]

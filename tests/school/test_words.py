"""What people read about a timetable, or about a school that can have none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.engine.cost import Violation
from app.school import edit, words
from app.school.lowering import problem
from app.school.model import Kind, Mark, Resource, School


@pytest.mark.parametrize(
    ("rule", "point", "text"),
    [
        ("assign", "l13", "Arte 6A: lessons without a time: 2"),
        ("breaks", "l13", "Arte 6A: a double lesson goes through a break"),
        ("spread", "l13", "Arte 6A: more often than needed on one day"),
        ("doubles", "l13", "Arte 6A: not as many double lessons as wanted"),
        ("clash", "c6", "6A: two lessons at the same time: 2"),
        ("never", "t7", "Ana: lessons at impossible times: 2"),
        ("avoid", "t7", "Ana: lessons at unwelcome times: 2"),
        ("prefer", "t7", "Ana: lessons outside of the preferred times: 2"),
        ("idle", "t7", "Ana: free lessons in between, too many by 2"),
        ("days", "t7", "Ana: days at school, too many by 2"),
        ("day", "t7", "Ana: lessons a day, too many by 2"),
    ],
)
def test_a_violation_says_of_whom_and_what(school: School, rule: str, point: str, text: str) -> None:
    constraint = replace(problem(school).constraints[0], id=f"{rule}-{point}")
    assert words.said(school, Violation(constraint, (point,), 2, 1)).said(str) == text


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        ("too-few-times", {"who": "Teacher t7", "lessons": 4, "times": 3, "surplus": 1},
         "Ana has 4 lessons, but only 3 possible times: drop 1, or free some."),
        ("too-few-days", {"who": "Class c6", "rule": "day-c6", "lessons": 4, "times": 3, "surplus": 1},
         "6A has 4 lessons, but the limit of lessons a day leaves 3: raise it, or drop 1."),
        ("too-few-common-times",
         {"events": "l13, l14", "who": "Class c6", "lessons": 4, "times": 1, "when": "d2p3", "surplus": 3},
         "Arte 6A, Física 6A of 6A take 4 times, but fit only 1 (Terça, 3ª): drop 3, or free some."),
        ("cannot-divide", {"events": "l13", "lessons": 2, "rule": "doubles-l13"},
         "Arte 6A takes 2 times, which cannot be divided so: change the number of double lessons."),
        ("rule", {"rule": "clash-c6", "who": "Class c6, Room r9"},
         "one lesson at a time is asked of 6A, Quadra: not all reasons of this list can be met together."),
    ],
)  # fmt: skip
def test_a_reason_has_names_in_place_of_ids(
    school: School, kind: str, arguments: dict[str, str | int], text: str
) -> None:
    assert words.reason(school, kind, arguments).said(str) == text


def impossible(school: School) -> list[str]:
    return [message.said(str) for message in words.impossible(school)]


def limited(school: School, kind: Kind, identifier: str, **limits: int) -> School:
    (one,) = (resource for resource in getattr(school, kind) if resource.id == identifier)
    assert isinstance(one, Resource)
    return edit.put(school, kind, one.model_copy(update=limits))


def without(school: School, kind: Kind, identifier: str, *times: str) -> School:
    never: Mark = "never"
    return edit.set_marks(school, kind, identifier, dict.fromkeys(times, never))


def only(school: School, lesson: str) -> School:
    return school.model_copy(update={"lessons": tuple(one for one in school.lessons if one.id == lesson)})


def test_a_school_without_lessons_is_asked_for_some(school: School) -> None:
    assert impossible(only(school, "")) == ["There are no lessons yet; add some, or import them."]


def test_nobody_has_more_lessons_than_possible_times(school: School) -> None:
    assert impossible(without(school, "teachers", "t7", "d1p1", "d2p1", "d2p3")) == []
    assert impossible(without(only(school, "l15"), "teachers", "t7", *school.week.slots))[0] == (
        "Ana has 1 lessons, but only 0 possible times: free some, or take lessons away."
    )


@pytest.mark.parametrize(
    ("limits", "left"), [({"most_days": 1}, 3), ({"most_a_day": 2}, 4), ({"most_days": 2, "most_a_day": 3}, None)]
)
def test_nobody_has_more_lessons_than_their_limits_leave(
    school: School, limits: dict[str, int], left: int | None
) -> None:
    message = f"6A has 5 lessons, but the limits of days and of lessons a day leave {left}: raise them."
    assert impossible(limited(school, "classes", "c6", **limits)) == ([message] if left else [])


def test_the_longest_days_count_where_days_are_limited(school: School) -> None:
    # Ana has three lessons, and all of Tuesday for them.
    assert impossible(limited(without(school, "teachers", "t7", "d1p1"), "teachers", "t7", most_days=1)) == []


def test_those_who_attend_share_enough_times(school: School) -> None:
    art = without(only(school, "l13"), "teachers", "t7", "d2p1", "d2p2", "d2p3")
    assert impossible(without(art, "classes", "c6", "d1p3")) == []
    assert impossible(without(art, "classes", "c6", "d1p2", "d1p3")) == [
        "Arte 6A: all who attend share only 1 possible times for 2 lessons."
    ]


def test_double_lessons_have_room(school: School) -> None:
    assert impossible(without(only(school, "l13"), "teachers", "t7", "d1p2", "d2p2")) == [
        "Arte 6A: there is no room for the double lessons between the breaks."
    ]


def test_times_that_are_closed_or_of_another_shift_are_not_open(school: School) -> None:
    shifts = {"p1": "Manhã", "p2": "Manhã", "p3": "Tarde"}
    periods = tuple(each.model_copy(update={"shift": shifts[each.id]}) for each in school.week.periods)
    week = school.week.model_copy(update={"periods": periods, "closed": frozenset({"d1p1"})})
    school = without(school.model_copy(update={"week": week}), "classes", "c6", "d2p2")
    there = school.resources["c6"].model_copy(update={"shift": "Manhã"})
    assert words.open_times(school, there) == {"d1p2", "d2p1"}

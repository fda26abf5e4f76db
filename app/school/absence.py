"""Who can stand in for a teacher who is away for a day."""

from __future__ import annotations

from dataclasses import dataclass

from app.school.model import Placement, Plan, School
from app.school.moves import times


@dataclass(frozen=True)
class Gap:
    """A lesson that has nobody to teach it, and who is free then: first those who teach the subject, then the class."""

    placement: Placement
    substitutes: tuple[tuple[str, bool], ...]


def gaps(school: School, plan: Plan, teacher: str, day: str) -> list[Gap]:
    """The lessons of a teacher on a day in their order; each substitute as (id, whether the subject is theirs too)."""
    busy = {
        (one, time) for each in plan.placements for time in times(school, each) for one in school.attending(each.lesson)
    }
    order = {time: index for index, time in enumerate(school.week.slots)}
    own = [
        each
        for each in plan.placements
        if teacher in school.attending(each.lesson) and any(time.startswith(f"{day}p") for time in times(school, each))
    ]
    return [
        Gap(each, _substitutes(school, each, teacher, busy)) for each in sorted(own, key=lambda each: order[each.time])
    ]


def _substitutes(
    school: School, placement: Placement, teacher: str, busy: set[tuple[str, str]]
) -> tuple[tuple[str, bool], ...]:
    members = [each for each in school.groups[placement.lesson] if teacher in each.teachers]
    subjects = {each.subject for each in members}
    classes = {one for each in members for one in each.classes}
    found = []
    for each in school.teachers:
        free = all((each.id, x) not in busy and each.marks.get(x) != "never" for x in times(school, placement))
        if free and each.id != teacher:
            teaches = [lesson for lesson in school.lessons if each.id in lesson.teachers]
            same = any(lesson.subject in subjects for lesson in teaches)
            known = any(classes & set(lesson.classes) for lesson in teaches)
            unwelcome = sum(each.marks.get(x) == "avoid" for x in times(school, placement))
            found.append(((not same, not known, unwelcome, each.name), each.id, same))
    return tuple((identifier, same) for _, identifier, same in sorted(found))

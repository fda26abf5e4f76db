"""Edits: each takes a school and gives another, or raises SchoolError and has changed nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from app.school.message import SchoolError, _
from app.school.model import (
    KINDS,
    MOST_LESSONS,
    MOST_PLANS,
    Day,
    Kind,
    Lesson,
    Mark,
    Period,
    Placement,
    Plan,
    Resource,
    School,
    Subject,
    Week,
)

MOST_DAYS = 14
MOST_PERIODS = 20
PREFIX: dict[Kind, str] = {"classes": "c", "teachers": "t", "subjects": "s", "rooms": "r"}
# The field of a lesson that names members of a kind.
USES: dict[Kind, str] = {"classes": "classes", "teachers": "teachers", "subjects": "subject", "rooms": "rooms"}


def begin(name: str, day_names: Iterable[str], period_name: str) -> School:
    """A new school with a week to start from: these days, five lessons of 50 minutes, a break after three."""
    periods = []
    for number, minutes in enumerate((450, 500, 550, 620, 670), 1):
        period = period_name.format(number=number)
        after = number == 3
        periods.append(
            Period(id=f"p{number}", name=period, begins=clock(minutes), ends=clock(minutes + 50), break_after=after)
        )
    days = tuple(Day(id=f"d{number}", name=each) for number, each in enumerate(day_names, 1))
    return School(name=name, week=Week(days=days, periods=tuple(periods)), counter=len(periods))


def clock(minutes: int) -> str:
    """Minutes since midnight, as a clock shows them."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def new_id(school: School, prefix: str) -> tuple[School, str]:
    """An id that no other thing of the school ever had."""
    counter = school.counter + 1
    return school.model_copy(update={"counter": counter}), f"{prefix}{counter}"


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """What two spellings of one name have in common: neither case, accents nor white space tell them apart."""
    plain = unicodedata.normalize("NFKD", name)
    kept = "".join(each for each in plain if not unicodedata.combining(each) and unicodedata.category(each) != "Cf")
    return " ".join(kept.casefold().split()) or name


def find(school: School, kind: Kind, name: str) -> Any:
    """The member of a kind that has this name, if there is one."""
    return next((each for each in getattr(school, kind) if folded(each.name) == folded(name)), None)


def put(school: School, kind: Kind, item: Subject | Resource) -> School:
    """Adds an item, or replaces the one of its id; an empty id gets a new one."""
    other = find(school, kind, item.name)
    if other is not None and other.id != item.id:
        raise SchoolError(_("“{name}” is there already; choose another name.", name=item.name))
    if isinstance(item, Resource):
        item = _trimmed(item, school.week)
    if not item.id:
        school, identifier = new_id(school, PREFIX[kind])
        item = item.model_copy(update={"id": identifier})
    return settled(_with(school, kind, item))


def remove(school: School, kind: Kind, identifier: str) -> School:
    """Removes a member of a kind that no lesson uses."""
    used = sum(identifier in _used(each, kind) for each in school.lessons)
    if used:
        name = school.names[identifier]
        raise SchoolError(_("“{name}” has lessons ({count}); remove or change these first.", name=name, count=used))
    return school.model_copy(update={kind: tuple(each for each in getattr(school, kind) if each.id != identifier)})


def put_lesson(school: School, lesson: Lesson) -> School:
    """Adds a lesson, or replaces the one of its id."""
    check_lesson(school, lesson)
    if not lesson.id:
        if len(school.lessons) >= MOST_LESSONS:
            raise SchoolError(_("A school has at most {most} lessons.", most=MOST_LESSONS))
        school, identifier = new_id(school, "l")
        lesson = lesson.model_copy(update={"id": identifier})
    return carried(school, _with(school, "lessons", lesson))


def check_lesson(school: School, lesson: Lesson) -> None:
    """SchoolError for a lesson that can be no part of this school."""
    if not lesson.classes:
        raise SchoolError(_("A lesson needs a class; choose at least one."))
    for kind in KINDS:
        known = {each.id for each in getattr(school, kind)}
        if not set(_used(lesson, kind)) <= known:
            raise SchoolError(_("Someone has just removed what this lesson names; choose again."))
    if not 1 <= lesson.weekly <= len(school.week.slots):
        most = len(school.week.slots)
        raise SchoolError(_("Lessons a week are between 1 and {most}.", most=most))
    if not 0 <= 2 * lesson.doubles <= lesson.weekly:
        raise SchoolError(
            _(
                "{weekly} lessons a week have room for at most {most} double ones.",
                weekly=lesson.weekly,
                most=lesson.weekly // 2,
            )
        )
    for other in school.lessons:
        if lesson.parallel and other.parallel == lesson.parallel and other.id != lesson.id:
            if (other.weekly, other.doubles) != (lesson.weekly, lesson.doubles):
                raise SchoolError(
                    _(
                        "Parallel lessons have equally many lessons and doubles; “{label}” has {weekly} and {doubles}.",
                        label=lesson.parallel,
                        weekly=other.weekly,
                        doubles=other.doubles,
                    )
                )
            if shared := {*other.teachers, *other.rooms} & {*lesson.teachers, *lesson.rooms}:
                raise SchoolError(_("{name} cannot be in two parallel lessons.", name=school.names[min(shared)]))


def remove_lesson(school: School, identifier: str) -> School:
    """Removes a lesson, from the plans too."""
    left = tuple(x for x in school.lessons if x.id != identifier)
    return carried(school, school.model_copy(update={"lessons": left}))


def set_week(school: School, week: Week) -> School:
    """Another week that has room for all lessons; marks and placements in slots that are no more are gone.

    The classes of a shift that has only got another name are in that one.
    """
    check_week(week)
    large = [each for each in school.lessons if each.weekly > len(week.slots)]
    if large:
        names = ", ".join(f"{_title(school, each)} ({each.weekly})" for each in large[:5])
        more = f" … (+{len(large) - 5})" if len(large) > 5 else ""
        raise SchoolError(
            _(
                "This week has {times} times, but these have more lessons: {lessons}. "
                "Change these first, or keep more times.",
                times=len(week.slots),
                lessons=names + more,
            )
        )
    renamed = _renamed_shifts(school.week, week)
    classes = tuple(each.model_copy(update={"shift": renamed.get(each.shift, each.shift)}) for each in school.classes)
    school = school.model_copy(update={"classes": classes})
    changed = {
        kind: tuple(_trimmed(each, week) for each in getattr(school, kind)) for kind in ("classes", "teachers", "rooms")
    }
    return settled(school.model_copy(update={"week": week, **changed}))


def check_week(week: Week) -> None:
    """SchoolError for what can be no week."""
    if not week.days or not week.periods:
        raise SchoolError(_("A week has at least one day and one lesson a day."))
    if len(week.days) > MOST_DAYS or len(week.periods) > MOST_PERIODS:
        raise SchoolError(_("A week has at most 14 days and 20 lessons a day."))
    for one in week.periods:
        if one.begins >= one.ends:
            raise SchoolError(_("“{name}” ends before it begins; correct the times.", name=one.name))
    for one, after in zip(week.periods, week.periods[1:], strict=False):
        if one.ends > after.begins:
            raise SchoolError(_("“{name}” begins before the lesson above it ends; correct the times.", name=after.name))
    if not week.slots:
        raise SchoolError(_("Every time of the week is closed; open some."))
    for some in (week.days, week.periods):
        if len({each.id for each in some}) < len(some):
            raise SchoolError(_("Someone has just changed the week; look at it again."))


def _renamed_shifts(before: Week, after: Week) -> dict[str, str]:
    now = {each.id: each.shift for each in after.periods}
    renamed = {}
    for shift in set(before.shifts) - set(after.shifts):
        others = {now[each.id] for each in before.periods if each.shift == shift and each.id in now}
        if len(others) == 1:
            renamed[shift] = others.pop()
    return renamed


def _title(school: School, lesson: Lesson) -> str:
    return " ".join(school.names[one] for one in (lesson.subject, *lesson.classes[:3]))


def lost(before: School, after: School) -> dict[str, int]:
    """How much an edit has taken along beside what it was for: marks, shifts of classes, placements, locked ones."""
    count: Counter[str] = Counter()
    for school, sign in ((before, 1), (after, -1)):
        placements = [each for plan in school.plans for each in plan.placements]
        count["marks"] += sign * sum(len(each.marks) for each in school.resources.values())
        count["shifts"] += sign * sum(bool(each.shift) for each in school.classes)
        count["placed"] += sign * len(placements)
        count["locked"] += sign * sum(each.locked for each in placements)
    return dict(count)


def set_marks(school: School, kind: Kind, identifier: str, marks: dict[str, Mark]) -> School:
    """Another availability of a class, a teacher or a room."""
    (item,) = (each for each in getattr(school, kind) if each.id == identifier)
    return put(school, kind, item.model_copy(update={"marks": marks}))


def put_plan(school: School, plan: Plan) -> School:
    """Adds a plan, or replaces the one of its id."""
    if not plan.id:
        if len(school.plans) >= MOST_PLANS:
            raise SchoolError(_("There are {most} drafts already; delete one first.", most=MOST_PLANS))
        school, identifier = new_id(school, "v")
        plan = plan.model_copy(update={"id": identifier})
    return settled(_with(school, "plans", plan))


def remove_plan(school: School, identifier: str) -> School:
    """Without this plan."""
    return school.model_copy(update={"plans": tuple(plan for plan in school.plans if plan.id != identifier)})


def settled(school: School) -> School:
    """The school whose plans have only what its week and its lessons have room for."""
    return school.model_copy(update={"plans": tuple(_fitting(school, plan) for plan in school.plans)})


def carried(before: School, after: School) -> School:
    """`after` with the drafts of `before`, whose lessons it has by the same ids.

    What is held together now has the times of those of its lessons that were held together before:
    of most of them, or of those with most locks and times.
    """
    if not before.plans:
        return after
    held = worth(before)
    heirs: dict[str, list[str]] = defaultdict(list)
    for head, members in after.groups.items():
        sources = Counter(before.heads[each.id] for each in members if each.id in before.heads)
        if sources:
            heirs[max(sources, key=lambda source: (sources[source], held[source]))].append(head)
    plans = []
    for plan in before.plans:
        placements = [
            placement.model_copy(update={"lesson": head})
            for placement in plan.placements
            for head in heirs[placement.lesson]
        ]
        plans.append(plan.model_copy(update={"placements": tuple(placements)}))
    return settled(after.model_copy(update={"plans": tuple(plans)}))


def worth(school: School) -> dict[str, tuple[int, int]]:
    """How many times each group of lessons has in all drafts: locked ones, and any."""
    locked, every = Counter[str](), Counter[str]()
    for plan in school.plans:
        for placement in plan.placements:
            every[placement.lesson] += placement.duration
            locked[placement.lesson] += placement.duration * placement.locked
    return {head: (locked[head], every[head]) for head in school.groups}


def _fitting(school: School, plan: Plan) -> Plan:
    known, left, kept = set(school.week.slots), Counter[str](), set()
    for head, members in school.groups.items():
        left[head] = members[0].weekly
    # As few as possible are lost: locked lessons are the last to go, then double ones.
    order = sorted(enumerate(plan.placements), key=lambda item: (not item[1].locked, -item[1].duration))
    for index, each in order:
        fits = each.time in known and each.duration <= left[each.lesson]
        if fits and (each.duration == 1 or each.time in school.week.following):
            left[each.lesson] -= each.duration
            kept.add(index)
    if len(kept) == len(plan.placements):
        return plan
    some = tuple(each for index, each in enumerate(plan.placements) if index in kept)
    return plan.model_copy(update={"placements": some})


def placed(plan: Plan, *without: Placement, then: Iterable[Placement] = ()) -> Plan:
    """The plan without some placements, and then with others."""
    gone = {each.id for each in without}
    kept = (each for each in plan.placements if each.id not in gone)
    return plan.model_copy(update={"placements": (*kept, *then)})


def _trimmed(item: Resource, week: Week) -> Resource:
    known = set(week.slots)
    shift = item.shift if item.shift in week.shifts else ""
    return item.model_copy(update={"marks": {x: y for x, y in item.marks.items() if x in known}, "shift": shift})


def _used(lesson: Lesson, kind: Kind) -> tuple[str, ...]:
    value = getattr(lesson, USES[kind])
    return (value,) if isinstance(value, str) else value


def _with(school: School, field: str, item: Any) -> School:
    items = getattr(school, field)
    if any(each.id == item.id for each in items):
        changed = tuple(item if each.id == item.id else each for each in items)
    else:
        changed = (*items, item)
    if field in KINDS:
        changed = tuple(sorted(changed, key=lambda each: _order(each.name)))
    return school.model_copy(update={field: changed})


@lru_cache(maxsize=4096)
def _order(name: str) -> tuple[tuple[str, int], ...]:
    """As people look for names: Ágata before Bia, and 9º before 10º."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", folded(name)[:200]))

"""What is wrong with a timetable, or with a school before there is one, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.engine.cost import Violation
from app.school.message import Message, _
from app.school.model import Resource, School, slot


def said(school: School, violation: Violation) -> Message:
    """One violation of an instance that `app.school.lowering` made."""
    point, count = violation.point[0], violation.deviation
    if point in school.lesson:
        what = lesson(school, point)
        match violation.constraint.id.partition("-")[0]:
            case "assign":
                return _("{lesson}: lessons without a time: {count}", lesson=what, count=count)
            case "breaks":
                return _("{lesson}: a double lesson goes through a break", lesson=what)
            case "spread":
                return _("{lesson}: more often than needed on one day", lesson=what)
            case _:
                return _("{lesson}: not as many double lessons as wanted", lesson=what)
    name = school.names[point]
    match violation.constraint.id.partition("-")[0]:
        case "clash":
            return _("{name}: two lessons at the same time: {count}", name=name, count=count)
        case "never":
            return _("{name}: lessons at impossible times: {count}", name=name, count=count)
        case "avoid":
            return _("{name}: lessons at unwelcome times: {count}", name=name, count=count)
        case "prefer":
            return _("{name}: lessons outside of the preferred times: {count}", name=name, count=count)
        case "idle":
            return _("{name}: free lessons in between, too many by {count}", name=name, count=count)
        case "days":
            return _("{name}: days at school, too many by {count}", name=name, count=count)
        case _:
            return _("{name}: lessons a day, too many by {count}", name=name, count=count)


# What a required constraint of `app.school.lowering` asks for, by the first part of its id.
RULES = {
    "assign": _("that every lesson has a time"),
    "split": _("how lessons are divided"),
    "doubles": _("the number of double lessons"),
    "breaks": _("that double lessons do not go through breaks"),
    "clash": _("one lesson at a time"),
    "never": _("the impossible times"),
    "days": _("the limit of days at school"),
    "day": _("the limit of lessons a day"),
}
IDENTIFIER = re.compile(r"(?:(?:Class|Teacher|Room) )?\b([ctrl]\d+|d\d+p\d+)(?:@d\d+p\d+)?\b")


def reason(school: School, kind: str, arguments: dict[str, str | int]) -> Message:
    """A reason of `app.engine.explain` for the anonymous instance of the school, which knows ids only."""
    named = {key: _named(school, each) if isinstance(each, str) else each for key, each in arguments.items()}
    rule: Message | str = RULES.get(str(arguments.get("rule", "")).partition("-")[0], "?")
    values: dict[str, str | int | Message] = {**named, "rule": rule}
    match kind:
        case "too-few-times":
            return _(
                "{who} has {lessons} lessons, but only {times} possible times: drop {surplus}, or free some.", **values
            )
        case "too-few-days":
            return _("{who} has {lessons} lessons, but {rule} leaves {times}: raise it, or drop {surplus}.", **values)
        case "too-few-common-times":
            return _(
                "{events} of {who} take {lessons} times, but fit only {times} ({when}): drop {surplus}, or free some.",
                **values,
            )
        case "cannot-divide":
            return _("{events} takes {lessons} times, which cannot be divided so: change {rule}.", **values)
        case __:
            return _("{rule} is asked of {who}: not all reasons of this list can be met together.", **values)


def _named(school: School, text: str) -> str:
    times = time_names(school)

    def name(found: re.Match[str]) -> str:
        identifier = found[1]
        if identifier in school.groups:
            return lesson(school, identifier)
        return times.get(identifier) or school.names.get(identifier, identifier)

    return IDENTIFIER.sub(name, text)


def time_names(school: School) -> dict[str, str]:
    """What each time of the week is called."""
    return {
        slot(day.id, period.id): f"{day.name}, {period.name}"
        for day in school.week.days
        for period in school.week.periods
    }


def lesson(school: School, head: str) -> str:
    """What a group of lessons is called: its subjects and its classes."""
    members = school.groups.get(head, (school.lesson[head],))
    subjects = " / ".join(dict.fromkeys(school.names[each.subject] for each in members))
    classes = " + ".join(dict.fromkeys(school.names[one] for each in members for one in each.classes))
    return f"{subjects} {classes}"


def impossible(school: School) -> Iterator[Message]:
    """Why there can be no timetable, as far as counting shows it, each with a way out."""
    if not school.lessons:
        yield _("There are no lessons yet; add some, or import them.")
        return
    load = dict.fromkeys(school.resources, 0)
    for head, members in school.groups.items():
        for each in school.attending(head):
            load[each] += members[0].weekly
    for resource in school.resources.values():
        possible = open_times(school, resource)
        values: dict[str, str | int] = {"name": resource.name, "load": load[resource.id], "times": len(possible)}
        if load[resource.id] > len(possible):
            yield _("{name} has {load} lessons, but only {times} possible times: free some, or take lessons away.",
                    **values)  # fmt: skip
            continue
        by_day = sorted(sum(each.startswith(day.id + "p") for each in possible) for day in school.week.days)[::-1]
        most = [min(each, resource.most_a_day or each) for each in by_day][: resource.most_days]
        if load[resource.id] > sum(most):
            values["times"] = sum(most)
            yield _("{name} has {load} lessons, but the limits of days and of lessons a day leave {times}: raise them.",
                    **values)  # fmt: skip
    for head, members in school.groups.items():
        times = set.intersection(*(open_times(school, school.resources[each]) for each in school.attending(head)))
        if len(times) < members[0].weekly:
            yield _("{lesson}: all who attend share only {times} possible times for {weekly} lessons.",
                    lesson=lesson(school, head), times=len(times), weekly=members[0].weekly)  # fmt: skip
        elif members[0].doubles > sum(each in times and then in times for each, then in school.week.following.items()):
            yield _(
                "{lesson}: there is no room for the double lessons between the breaks.", lesson=lesson(school, head)
            )


def open_times(school: School, resource: Resource) -> set[str]:
    """The times at which a class, teacher or room can have lessons."""
    return {
        time
        for day in school.week.days
        for period in school.week.periods
        if (time := slot(day.id, period.id)) not in school.week.closed
        and resource.marks.get(time) != "never"
        and resource.shift in ("", period.shift)
    }

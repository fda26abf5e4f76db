"""An XHSTT instance as a school that people can edit: the inverse of lowering, as far as a school can say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from pydantic import ValidationError

from app.engine import instance as engine
from app.school import edit
from app.school.message import Message, SchoolError, _
from app.school.model import Day, Kind, Lesson, Mark, Period, Resource, School, Subject, Week, slot

TYPES: dict[str, Kind] = {"class": "classes", "teacher": "teachers", "room": "rooms"}
# A school always asks for these, or says them by its lessons.
IMPLIED = (
    engine.AssignTime,
    engine.SplitEvents,
    engine.DistributeSplitEvents,
    engine.SpreadEvents,
    engine.AvoidClashes,
)
SAID = (
    engine.AvoidUnavailableTimes, engine.LimitIdleTimes, engine.ClusterBusyTimes, engine.LimitBusyTimes,
    engine.PreferTimes,
)  # fmt: skip


def converted(school: School, instance: engine.Instance) -> tuple[School, list[Message]]:
    """The school with the instance's week, people and lessons in place of its own; and what a school cannot say."""
    try:
        week, times = _week(instance)
        kinds = {each.id: TYPES.get(each.type.lower()) for each in instance.resources}
        made = school.model_copy(update={"lessons": (), **dict.fromkeys((*TYPES.values(), "subjects"), ())})
        made = edit.set_week(made, week)
        identifiers: dict[str, str] = {}
        for each in instance.resources:
            if kind := kinds[each.id]:
                limits = _limits(instance, each.id, kind)
                item = Resource(id="", name=each.name, marks=_marks(instance, each.id, times), **limits)
                made = edit.put(made, kind, item)
                identifiers[each.id] = getattr(made, kind)[-1].id
        for event in instance.events:
            made = _lesson(made, instance, event, kinds, identifiers)
    except ValidationError as error:
        given = str(error.errors()[0].get("input", ""))[:40]
        raise SchoolError(_("“{value}” is too long.", value=given)) from None
    return made, list(_left_out(instance, kinds))


def _week(instance: engine.Instance) -> tuple[Week, dict[str, str]]:
    """The week, and the slot of each time; a format without clock times has lessons of 50 minutes from 7:30 on."""
    groups = [each for each in instance.time_groups if each.kind == "Day" and each.times]
    columns = [(each.name, each.times) for each in groups] or [("1", tuple(time.id for time in instance.times))]
    starts = [
        each.times for each in instance.constraints if isinstance(each, engine.PreferTimes) and each.duration == 2
    ]
    longest = max(len(times) for _, times in columns)
    periods = []
    for index in range(longest):
        here = {times[index] for _, times in columns if index < len(times)}
        after = bool(starts) and index < longest - 1 and not any(here & each for each in starts)
        begins = 450 + 50 * index
        clock = {"begins": edit.clock(begins), "ends": edit.clock(begins + 50)}
        periods.append(Period(id=f"p{index + 1}", name=f"{index + 1}", break_after=after, **clock))
    days = tuple(Day(id=f"d{number}", name=name) for number, (name, _) in enumerate(columns, 1))
    slots = {
        time: slot(day.id, period.id)
        for day, (_, times) in zip(days, columns, strict=True)
        for period, time in zip(periods, times, strict=False)
    }
    every = {slot(day.id, period.id) for day in days for period in periods}
    return Week(days=days, periods=tuple(periods), closed=frozenset(every - set(slots.values()))), slots


def _marks(instance: engine.Instance, resource: str, times: dict[str, str]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    for each in instance.constraints:
        if isinstance(each, engine.AvoidUnavailableTimes) and (resource,) in each.points:
            for time in each.times:
                if each.required or times[time] not in marks:
                    marks[times[time]] = "never" if each.required else "avoid"
    return marks


def _limits(instance: engine.Instance, resource: str, kind: Kind) -> dict[str, int]:
    limits = {}
    for field, constraint in (
        ("most_idle", engine.LimitIdleTimes),
        ("most_days", engine.ClusterBusyTimes),
        ("most_a_day", engine.LimitBusyTimes),
    ):
        found = [x for x in instance.constraints if isinstance(x, constraint) and (resource,) in x.points]
        # Of the last two a school has only requirements.
        found = [x for x in found if x.required or field == "most_idle"]
        if found and kind != "rooms":
            limits[field] = min(cast(engine.LimitIdleTimes, x).maximum for x in found)
    return limits


def _lesson(
    school: School,
    instance: engine.Instance,
    event: engine.Event,
    kinds: dict[str, Kind | None],
    identifiers: dict[str, str],
) -> School:
    who = {kind: tuple(identifiers[x] for x in event.resources if kinds[x] == kind) for kind in TYPES.values()}
    if not who["classes"]:
        return school
    if edit.find(school, "subjects", event.name) is None:
        school = edit.put(school, "subjects", Subject(id="", name=event.name))
    subject = edit.find(school, "subjects", event.name).id
    doubles = max(
        (
            each.minimum
            for each in instance.constraints
            if isinstance(each, engine.DistributeSplitEvents) and each.duration == 2 and (event.id,) in each.points
        ),
        default=0,
    )
    return edit.put_lesson(
        school,
        Lesson(id="", subject=subject, weekly=event.duration, doubles=min(doubles, event.duration // 2), **who),
    )


def _left_out(instance: engine.Instance, kinds: dict[str, Kind | None]) -> Iterator[Message]:
    for name in sorted({each.type for each in instance.resources if kinds[each.id] is None}):
        yield _("Resources of type “{name}”: a school has classes, teachers and rooms.", name=name)
    for event in instance.events:
        if not any(kinds[each] == "classes" for each in event.resources):
            yield _("“{name}”: it has no class.", name=event.name)
        elif event.time is not None:
            yield _("“{name}”: that its time is fixed; lock it in a draft.", name=event.name)
    others = Counter(type(each).__name__ for each in instance.constraints if not isinstance(each, IMPLIED + SAID))
    for name, count in sorted(others.items()):
        yield _("Constraints of type {name}: {count}", name=name, count=count)
    yield _("Weights: wishes have those of this program.")

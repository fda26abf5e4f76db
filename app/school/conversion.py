"""An XHSTT instance as a school that people can edit: the inverse of lowering, as far as a school can say it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from app.engine import instance as engine
from app.school import edit
from app.school.message import Message, SchoolError, _
from app.school.model import (
    MOST_LESSONS,
    MOST_NAME,
    Day,
    Kind,
    Lesson,
    Mark,
    Period,
    Resource,
    School,
    Subject,
    Week,
    slot,
)
from app.school.names import UNSHOWN, clean
from app.school.unsaid import Taken, list_of, unsaid

TYPES: dict[str, Kind] = {"class": "classes", "teacher": "teachers", "room": "rooms"}
MOST_RESOURCES = 1000
# When the first lesson begins, in minutes.
BEGIN = 450


def converted(school: School, instance: engine.Instance) -> tuple[School, list[Message]]:
    """The school with the instance's week, people and lessons in place of its own; and what a school cannot say."""
    for what, most in ((instance.resources, MOST_RESOURCES), (instance.events, MOST_LESSONS)):
        if len(what) > most:
            told = _("The archive has {count} resources or events; at most {most} can be edited.",
                     count=len(what), most=most)  # fmt: skip
            raise SchoolError(told)
    return _Converter(school, instance).result()


@dataclass
class _Names:
    """What everybody of one kind is called: an archive tells them apart by ids, a school by names."""

    taken: Counter[str] = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)

    def free(self, given: str, identifier: str) -> str:
        """The name that was given, or one like it that nobody has yet."""
        wanted = clean(given) or clean(identifier) or UNSHOWN
        name = wanted[:MOST_NAME].rstrip()
        # Counted on, so that many of one name take no time.
        while edit.folded(name) in self.taken:
            self.taken[edit.folded(wanted)] += 1
            suffix = f" ({self.taken[edit.folded(wanted)]})"
            name = wanted[: MOST_NAME - len(suffix)].rstrip() + suffix
        self.taken[edit.folded(name)] = 1
        if name != clean(given):
            self.changed.append(f"{clean(given)[:MOST_NAME]} → {name}")
        return name


class _Converter:
    """One instance on its way into a school."""

    def __init__(self, school: School, instance: engine.Instance) -> None:
        self.instance = instance
        self.kinds = {each.id: TYPES.get(each.type.lower()) for each in instance.resources}
        self.ids: dict[str, str] = {}
        self.applied: dict[str, list[engine.Constraint]] = defaultdict(list)
        for each in instance.constraints:
            for point in each.points:
                if len(point) == 1:
                    self.applied[point[0]].append(each)
        week, self.slots = _week(instance)
        self.days = {each.id for each in instance.time_groups if each.kind == "Day" and each.times}
        self.ours = dict(instance.about).get("Contributor") == "School Scheduler"
        # Days and lessons of the day have numbers too, which no later one may get again.
        numbered = max(school.counter, len(week.days), len(week.periods))
        emptied: dict[str, object] = dict.fromkeys((*TYPES.values(), "subjects", "lessons"), ())
        self.school = edit.set_week(school.model_copy(update=emptied | {"counter": numbered}), week)
        self.changed: list[str] = []

    def result(self) -> tuple[School, list[Message]]:
        self.resources()
        lessons = {each.id: lesson for each in self.instance.events if (lesson := self.lesson(each))}
        told = list(unsaid(self.instance, Taken(self.school, self.kinds, self.days, self.slots, lessons)))
        if self.changed:
            told.insert(0, _("Names that are changed, as they were empty, too long or there already: {names}.",
                             names=list_of(self.changed)))  # fmt: skip
        return self.school, told

    def resources(self) -> None:
        names: dict[Kind, _Names] = defaultdict(_Names)
        for each in self.instance.resources:
            if kind := self.kinds[each.id]:
                name = names[kind].free(each.name, each.id)
                item = Resource(id="", name=name, marks=self.marks(each.id), **self.limits(each.id, kind))
                self.school = edit.put(self.school, kind, item)
                # The school sorts them: whoever is last need not be this one.
                self.ids[each.id] = edit.find(self.school, kind, name).id
        self.changed += [each for some in names.values() for each in some.changed]

    def marks(self, resource: str) -> dict[str, Mark]:
        found: dict[str, set[str]] = {"never": set(), "avoid": set(), "neutral": set()}
        for each in self.applied[resource]:
            if isinstance(each, engine.AvoidUnavailableTimes):
                # `app.school.lowering` says that times are welcome by a wish to avoid all the others.
                welcome = self.ours and each.id.startswith("prefer-")
                mark = "never" if each.required else "neutral" if welcome else "avoid"
                found[mark].update(self.slots[time] for time in each.times)
        marks: dict[str, Mark] = {}
        if found["neutral"]:
            marks |= dict.fromkeys(set(self.slots.values()).difference(*found.values()), "prefer")
        marks |= dict.fromkeys(found["avoid"], "avoid")
        marks |= dict.fromkeys(found["never"], "never")
        return {time: marks[time] for time in self.school.week.slots if time in marks}

    def limits(self, resource: str, kind: Kind) -> dict[str, int]:
        limits: dict[str, int] = {}
        if kind == "rooms":
            return limits
        for each in self.applied[resource]:
            match each:
                case engine.LimitIdleTimes():
                    name = "most_idle"
                # Of these a school has only requirements.
                case engine.ClusterBusyTimes(required=True):
                    name = "most_days"
                case engine.LimitBusyTimes(required=True):
                    name = "most_a_day"
                case _:
                    continue
            if self.days and {group.id for group in each.groups if group.times} == self.days:
                limits[name] = min(each.maximum, limits.get(name, 999))
        if kind == "classes" and limits.get("most_idle") == 0:
            # What a school wishes for every class.
            del limits["most_idle"]
        return limits

    def lesson(self, event: engine.Event) -> Lesson | None:
        """The lesson of an event, which the school has from now on; None for one without a class."""
        attending = dict.fromkeys(event.resources)
        who = {kind: tuple(self.ids[x] for x in attending if self.kinds[x] == kind) for kind in TYPES.values()}
        if not who["classes"]:
            return None
        # Events of one name are of one subject.
        name = _Names(changed=self.changed).free(event.name, event.id)
        subject = edit.find(self.school, "subjects", name)
        if subject is None:
            self.school = edit.put(self.school, "subjects", Subject(id="", name=name))
            subject = edit.find(self.school, "subjects", name)
        made = Lesson(id="", subject=subject.id, weekly=event.duration, doubles=self.doubles(event), **who)
        try:
            self.school = edit.put_lesson(self.school, made)
        except SchoolError as error:
            raise SchoolError(_("“{name}”: {problem}", name=name, problem=error.message)) from None
        return self.school.lessons[-1]

    def doubles(self, event: engine.Event) -> int:
        """As many double lessons as are asked for, or as it takes to have no more lessons than may be."""
        wanted = 0
        for each in self.applied[event.id]:
            if isinstance(each, engine.DistributeSplitEvents) and each.duration == 2:
                wanted = max(wanted, each.minimum)
            elif isinstance(each, engine.SplitEvents) and each.required:
                few = event.duration - each.maximum_amount
                wanted = max(wanted, few, event.duration // 2 if each.minimum_duration == 2 else 0)
        return min(wanted, event.duration // 2)


def _week(instance: engine.Instance) -> tuple[Week, dict[str, str]]:
    """The week, and the slot of each time; a format without clock times has lessons of 50 minutes from 7:30 on."""
    columns = [(each.name or each.id, each.times) for each in instance.time_groups if each.kind == "Day" and each.times]
    columns = columns or [("1", tuple(time.id for time in instance.times))]
    days = Counter(time for _, times in columns for time in times)
    if wrong := [each.name or each.id for each in instance.times if days[each.id] != 1]:
        raise SchoolError(_("These times of the archive are in no day, or in two: {times}. Give each one <Day>.",
                            times=list_of(wrong)))  # fmt: skip
    rows = _rows(instance, columns)
    if len(columns) > edit.MOST_DAYS or len(rows) > edit.MOST_PERIODS:
        raise SchoolError(_("A week has at most 14 days and 20 lessons a day."))
    starts = [
        each.times
        for each in instance.constraints
        if isinstance(each, engine.PreferTimes) and each.required and each.duration == 2
    ]
    # Twenty of 50 minutes would go on past midnight.
    minutes = min(50, (24 * 60 - 1 - BEGIN) // len(rows))
    periods = []
    for index, (name, times) in enumerate(rows):
        after = bool(starts) and index < len(rows) - 1 and not any(times & each for each in starts)
        begins = BEGIN + minutes * index
        clock = {"begins": edit.clock(begins), "ends": edit.clock(begins + minutes)}
        periods.append(Period(id=f"p{index + 1}", name=name, break_after=after, **clock))
    made = tuple(
        Day(id=f"d{number}", name=clean(name)[:MOST_NAME] or f"{number}") for number, (name, _) in enumerate(columns, 1)
    )
    slots = {
        time: slot(day.id, period.id)
        for day, (_, times) in zip(made, columns, strict=True)
        for time in times
        for period, (_, row) in zip(periods, rows, strict=True)
        if time in row
    }
    every = {slot(day.id, period.id) for day in made for period in periods}
    return Week(days=made, periods=tuple(periods), closed=frozenset(every - set(slots.values()))), slots


def _rows(instance: engine.Instance, columns: list[tuple[str, tuple[str, ...]]]) -> list[tuple[str, set[str]]]:
    """The name of each lesson of the day, and its times in all days.

    That is what time groups say which together have every time once, no two of a day, and no day in another order;
    without such groups the times are counted from the beginning of each day.
    """
    day_of = {time: name for name, (_, times) in enumerate(columns) for time in times}
    groups = [
        each
        for each in instance.time_groups
        if each.kind == "TimeGroup" and each.times and len({day_of[x] for x in each.times}) == len(each.times)
    ]
    row_of = {time: index for index, each in enumerate(groups) for time in each.times}
    once = sum(len(each.times) for each in groups) == len(row_of) == len(instance.times)
    if once and all(list(order) == sorted(order) for order in ([row_of[x] for x in times] for _, times in columns)):
        return [(clean(each.name)[:MOST_NAME] or f"{number}", set(each.times)) for number, each in enumerate(groups, 1)]
    longest = max(len(times) for _, times in columns)
    return [(f"{row + 1}", {times[row] for _, times in columns if row < len(times)}) for row in range(longest)]

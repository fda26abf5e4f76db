"""A school in the engine's terms: an instance of the XHSTT format, whose events are the school's groups of lessons.

The resources, events and times keep the school's ids. A locked placement is an event of its own with a fixed time, by
the placement's id, so that no search can move it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from xml.sax.saxutils import escape, quoteattr

from app.engine.instance import Instance
from app.engine.timetable import Lesson as Held
from app.engine.timetable import Timetable
from app.engine.xhstt import read_instances
from app.school.model import Placement, Resource, School, slot

# What a wish costs when it is not granted: once for each lesson, day or idle time too many.
AVOID = 3
PREFER = 1
IDLE_TEACHER = 3
IDLE_CLASS = 10
SPREAD = 10
KEEP = 100
TYPES = (("Class", "classes"), ("Teacher", "teachers"), ("Room", "rooms"))


def instance(school: School, locked: Iterable[Placement] = ()) -> Instance:
    """The problem of making this school's timetable around what is `locked`; the school needs a lesson."""
    return read_instances(archive(school, locked), school.name)[0]


def problem(school: School) -> Instance:
    """The instance in which nothing is locked; it is the same for all plans, and looking at one needs it every time."""
    return _problem(school.model_copy(update={"plans": ()}))


@lru_cache(maxsize=16)
def _problem(school: School) -> Instance:
    return instance(school)


def archive(
    school: School, locked: Iterable[Placement] = (), named: bool = True, keep: Iterable[Placement] = ()
) -> bytes:
    """The same as an XHSTT archive; unless `named`, with ids for names, so that nothing tells who is at school.

    A lesson that is not where `keep` has it costs more than any wish.
    """
    return _Writer(school, tuple(locked), named, tuple(keep)).document().encode()


def timetable(placements: Iterable[Placement]) -> Timetable:
    """A plan as a timetable of the instance in which nothing is locked."""
    return Timetable(tuple(Held(each.lesson, each.time, each.duration) for each in placements))


def placements(found: Timetable, locked: Iterable[Placement] = ()) -> tuple[Placement, ...]:
    """A timetable of the instance with these locks, as placements; the inverse of `timetable`."""
    kept = {each.id for each in locked}
    return tuple(
        Placement(
            lesson=each.event.partition("@")[0], time=each.time, duration=each.duration, locked=each.event in kept
        )
        for each in sorted(found.lessons)
    )


@dataclass(frozen=True)
class _Part:
    """An event of a group of lessons, and the double lessons that it has to have; of one that is fixed, none."""

    id: str
    head: str
    duration: int
    doubles: int
    time: str | None = None


class _Writer:
    """What is written about one school."""

    def __init__(self, school: School, locked: tuple[Placement, ...], named: bool, keep: tuple[Placement, ...]) -> None:
        self.school = school
        self.named = named
        self.keep = keep
        slots = set(school.week.slots)
        every = {day.id: [slot(day.id, each.id) for each in school.week.periods] for day in school.week.days}
        self.days = {day: [each for each in times if each in slots] for day, times in every.items()}
        self.parts = {head: list(self.split(head, locked)) for head in school.groups}
        self.classes = {each.id for each in school.classes}
        self.shifts = {slot(day.id, each.id): each.shift for day in school.week.days for each in school.week.periods}

    def split(self, head: str, locked: Iterable[Placement]) -> Iterator[_Part]:
        own = [each for each in locked if each.lesson == head]
        lesson = self.school.groups[head][0]
        # A week of an older release may be smaller than its lessons; looking at it is how that is mended.
        weekly = min(lesson.weekly, len(self.school.week.slots)) - sum(each.duration for each in own)
        doubles = lesson.doubles - sum(each.duration == 2 for each in own)
        if weekly > 0:
            yield _Part(head, head, weekly, min(max(0, doubles), weekly // 2))
        for each in own:
            yield _Part(each.id, head, each.duration, 0, each.time)

    def document(self) -> str:
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<HighSchoolTimetableArchive Id="SchoolScheduler">']
        lines += ["<Instances>", '<Instance Id="school">', f"<MetaData>{self.name('school', self.school.name)}"]
        lines += ["<Contributor>School Scheduler</Contributor><Date></Date><Country></Country>"]
        lines += ["<Description></Description></MetaData>", *self.times(), *self.resources(), *self.events()]
        lines += ["<Constraints>", *self.constraints(), "</Constraints>", "</Instance>", "</Instances>"]
        return "\n".join([*lines, "</HighSchoolTimetableArchive>", ""])

    def name(self, identifier: str, name: str) -> str:
        return f"<Name>{escape(name if self.named else identifier)}</Name>"

    def times(self) -> Iterator[str]:
        yield "<Times><TimeGroups>"
        for day in self.school.week.days:
            yield f"<Day Id={quoteattr(day.id)}>{self.name(day.id, day.name)}</Day>"
        for period in self.school.week.periods:
            yield f"<TimeGroup Id={quoteattr(period.id)}>{self.name(period.id, period.name)}</TimeGroup>"
        yield "</TimeGroups>"
        for day in self.school.week.days:
            for period in self.school.week.periods:
                time = slot(day.id, period.id)
                if time in self.days[day.id]:
                    name = self.name(time, f"{day.name}, {period.name}")
                    groups = f"<TimeGroups><TimeGroup Reference={quoteattr(period.id)}/></TimeGroups>"
                    yield f"<Time Id={quoteattr(time)}>{name}<Day Reference={quoteattr(day.id)}/>{groups}</Time>"
        yield "</Times>"

    def resources(self) -> Iterator[str]:
        yield "<Resources><ResourceTypes>"
        for kind, _ in TYPES:
            yield f'<ResourceType Id="{kind}"><Name>{kind}</Name></ResourceType>'
        yield "</ResourceTypes><ResourceGroups/>"
        for kind, field in TYPES:
            for each in getattr(self.school, field):
                name = self.name(each.id, each.name)
                yield f'<Resource Id={quoteattr(each.id)}>{name}<ResourceType Reference="{kind}"/></Resource>'
        yield "</Resources>"

    def events(self) -> Iterator[str]:
        yield "<Events><EventGroups>"
        names = {
            head: " / ".join(dict.fromkeys(self.school.names[each.subject] for each in members))
            for head, members in self.school.groups.items()
        }
        for head, name in names.items():
            yield f"<EventGroup Id={quoteattr(head)}>{self.name(head, name)}</EventGroup>"
        yield "</EventGroups>"
        for head, parts in self.parts.items():
            attending, group = _references("Resource", self.school.attending(head)), _references("EventGroup", [head])
            for part in parts:
                time = f"<Time Reference={quoteattr(part.time)}/>" if part.time else ""
                yield f"<Event Id={quoteattr(part.id)}>{self.name(part.id, names[head])}"
                yield f"<Duration>{part.duration}</Duration>{time}{attending}{group}</Event>"
        yield "</Events>"

    def constraints(self) -> Iterator[str]:
        every = [part for parts in self.parts.values() for part in parts]
        yield _constraint("AssignTime", "assign", True, 1, _references("Event", (part.id for part in every)))
        by_doubles: dict[int, list[_Part]] = defaultdict(list)
        for part in every:
            if part.time is None:
                by_doubles[part.doubles].append(part)
        for doubles, parts in by_doubles.items():
            events = _references("Event", (part.id for part in parts))
            most = max(part.duration for part in parts)
            longest = 2 if doubles else 1
            body = f"<MinimumDuration>1</MinimumDuration><MaximumDuration>{longest}</MaximumDuration>"
            body += f"<MinimumAmount>1</MinimumAmount><MaximumAmount>{most}</MaximumAmount>"
            yield _constraint("SplitEvents", f"split-{doubles}", True, 1, events, body)
            if doubles:
                body = f"<Duration>2</Duration>{_limits(doubles, doubles)}"
                yield _constraint("DistributeSplitEvents", f"doubles-{doubles}", True, 1, events, body)
                starts = _references("Time", (x for x in self.school.week.slots if x in self.school.week.following))
                yield _constraint(
                    "PreferTimes", f"breaks-{doubles}", True, 1, events, starts + "<Duration>2</Duration>"
                )
        yield from self.spread()
        for part in every:
            times = [each.time for each in self.keep if each.lesson == part.id]
            if times and part.time is None:
                applies, body = _references("Event", [part.id]), _references("Time", times)
                yield _constraint("PreferTimes", f"keep-{part.id}", False, KEEP, applies, body)
        resources = _references("Resource", self.school.resources)
        yield _constraint("AvoidClashes", "clash", True, 1, resources)
        for resource in self.school.resources.values():
            yield from self.wishes(resource)
            yield from self.resource_limits(resource)

    def spread(self) -> Iterator[str]:
        """As few meetings of one lesson a day as its days allow."""
        open_days = [day for day, times in self.days.items() if times]
        by_most: dict[int, list[str]] = defaultdict(list)
        for head, members in self.school.groups.items():
            by_most[ceil((members[0].weekly - members[0].doubles) / len(open_days))].append(head)
        for most, heads in by_most.items():
            limits = "".join(
                f"<TimeGroup Reference={quoteattr(day)}>{_limits(0, most)}</TimeGroup>" for day in open_days
            )
            body, applies = f"<TimeGroups>{limits}</TimeGroups>", _references("EventGroup", heads)
            yield _constraint("SpreadEvents", f"spread-{most}", False, SPREAD, applies, body)

    def wishes(self, resource: Resource) -> Iterator[str]:
        marked: dict[str, list[str]] = defaultdict(list)
        for time in self.school.week.slots:
            outside = resource.shift and self.shifts[time] != resource.shift
            mark = "never" if outside else resource.marks.get(time, "neutral")
            marked[mark].append(time)
        wanted = "prefer" in marked
        for code, required, weight, times in (
            ("never", True, 1, marked["never"]),
            ("avoid", False, AVOID, marked["avoid"]),
            ("prefer", False, PREFER, marked["neutral"] if wanted else []),
        ):
            if times:
                applies, body = _references("Resource", [resource.id]), _references("Time", times)
                yield _constraint("AvoidUnavailableTimes", f"{code}-{resource.id}", required, weight, applies, body)

    def resource_limits(self, resource: Resource) -> Iterator[str]:
        is_class = resource.id in self.classes
        idle = 0 if is_class and resource.most_idle is None else resource.most_idle
        weight = IDLE_CLASS if is_class else IDLE_TEACHER
        for kind, code, required, cost, most in (
            ("LimitIdleTimes", "idle", False, weight, idle),
            ("ClusterBusyTimes", "days", True, 1, resource.most_days),
            ("LimitBusyTimes", "day", True, 1, resource.most_a_day),
        ):
            if most is not None:
                body = _references("TimeGroup", self.days) + _limits(0, most)
                applies = _references("Resource", [resource.id])
                yield _constraint(kind, f"{code}-{resource.id}", required, cost, applies, body)


def _constraint(kind: str, code: str, required: bool, weight: int, applies: str, body: str = "") -> str:
    common = f"<Required>{str(required).lower()}</Required><Weight>{weight}</Weight><CostFunction>Linear</CostFunction>"
    start = f"<{kind}Constraint Id={quoteattr(code)}><Name>{escape(code)}</Name>{common}"
    return f"{start}<AppliesTo>{applies}</AppliesTo>{body}</{kind}Constraint>"


def _references(tag: str, identifiers: Iterable[str]) -> str:
    inner = "".join(f"<{tag} Reference={quoteattr(each)}/>" for each in identifiers)
    return f"<{tag}s>{inner}</{tag}s>"


def _limits(minimum: int, maximum: int) -> str:
    return f"<Minimum>{minimum}</Minimum><Maximum>{maximum}</Maximum>"

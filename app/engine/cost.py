"""What a timetable costs: the only judge of a result, and independent of whatever found it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import singledispatchmethod
from math import ceil

from app.engine import instance as model
from app.engine.instance import Constraint, Event, Instance
from app.engine.timetable import Lesson, Timetable, Unplaced


@dataclass(frozen=True)
class Violation:
    """One point of application of one constraint that deviates, and what that costs."""

    constraint: Constraint
    point: tuple[str, ...]
    deviation: int
    cost: int


@dataclass(frozen=True)
class Cost:
    """Total costs of the required (`hard`) and of the other (`soft`) constraints; less is better, hard first."""

    hard: int
    soft: int
    violations: tuple[Violation, ...] = ()

    @property
    def costly(self) -> list[Violation]:
        """The violations that cost anything."""
        return [each for each in self.violations if each.cost]


def evaluate(instance: Instance, timetable: Timetable) -> Cost:
    """The cost of `timetable`, constraint by constraint.

    Raises:
        ValueError: the timetable is not one of this instance; the text is that of `misfit`.
    """
    if problem := misfit(instance, timetable):
        raise ValueError(problem)
    judge = _Judge(instance, timetable)
    violations = []
    for constraint in instance.constraints:
        for index, point in enumerate(constraint.points):
            deviation = DEVIATION(type(constraint))(judge, constraint, point, index)
            if deviation:
                violations.append(Violation(constraint, point, deviation, constraint.cost(deviation)))
    hard = sum(each.cost for each in violations if each.constraint.required)
    return Cost(hard, sum(each.cost for each in violations) - hard, tuple(violations))


def misfit(instance: Instance, timetable: Timetable) -> str | None:
    """Why `timetable` cannot be one of `instance` at all, whatever it may cost; None if it can."""
    placed: Counter[str] = Counter()
    for part in timetable.parts:
        event = instance.event.get(part.event)
        if event is None or part.duration < 1:
            return f"instance {instance.id!r} has no place for {part}"
        problem = _misplaced(instance, event, part) or _misassigned(instance, event, part)
        if problem:
            return problem
        placed[event.id] += part.duration
        if placed[event.id] > event.duration:
            return f"event {event.id!r} has more lessons than its duration of {event.duration}"
    return None


def _misplaced(instance: Instance, event: Event, part: Lesson | Unplaced) -> str | None:
    if isinstance(part, Unplaced):
        return None
    if part.time not in instance.time_index:
        return f"instance {instance.id!r} has no place for {part}"
    if event.time not in (None, part.time):
        return f"event {event.id!r} has to start at {event.time!r}, not at {part.time!r}"
    if instance.time_index[part.time] + part.duration > len(instance.times):
        return f"a lesson of event {event.id!r} at {part.time!r} ends after the week"
    return None


def _misassigned(instance: Instance, event: Event, part: Lesson | Unplaced) -> str | None:
    if len({role for role, _ in part.assigned}) < len(part.assigned):
        return f"a lesson of event {event.id!r} fills one role twice"
    for role, resource in part.assigned:
        if role not in event.open:
            return f"event {event.id!r} has no role {role!r} to fill"
        if resource not in instance.resource:
            return f"there is no resource {resource!r}"
        if instance.resource[resource].type != event.open[role].type:
            return f"role {role!r} of event {event.id!r} takes a {event.open[role].type!r}, and {resource!r} is none"
    return None


class _Judge:
    """The parts of each event, and how often each resource is busy at each time."""

    def __init__(self, instance: Instance, timetable: Timetable) -> None:
        self.instance = instance
        self.lessons: dict[str, list[Lesson]] = {event.id: [] for event in instance.events}
        self.unplaced: dict[str, list[Unplaced]] = {event.id: [] for event in instance.events}
        self.busy: dict[str, Counter[str]] = {resource.id: Counter() for resource in instance.resources}
        missing = {event.id: event.duration for event in instance.events}
        for lesson in timetable.lessons:
            self.lessons[lesson.event].append(lesson)
            missing[lesson.event] -= lesson.duration
        for part in timetable.unplaced:
            self.unplaced[part.event].append(part)
            missing[part.event] -= part.duration
        for event in instance.events:
            if missing[event.id]:
                self.unplaced[event.id].append(Unplaced(event.id, missing[event.id]))
        for lesson in timetable.lessons:
            assigned = dict(lesson.assigned)
            times = self.running(lesson)
            for place in instance.event[lesson.event].places:
                resource = place.resource or assigned.get(place.role or "")
                if resource is not None:
                    self.busy[resource].update(times)

    @singledispatchmethod
    def deviation(self, constraint: Constraint, point: tuple[str, ...], index: int) -> int:
        """How far one point of application, the constraint's `index`th, is from what the constraint asks for."""
        raise NotImplementedError(type(constraint).__name__)

    @deviation.register
    def _(self, constraint: model.AssignResource, point: tuple[str, ...], index: int) -> int:
        if constraint.role not in self.instance.event[point[0]].open:
            return 0
        return sum(part.duration for part in self.parts(point[0]) if constraint.role not in dict(part.assigned))

    @deviation.register
    def _(self, constraint: model.AssignTime, point: tuple[str, ...], index: int) -> int:
        return sum(part.duration for part in self.unplaced[point[0]])

    @deviation.register
    def _(self, constraint: model.SplitEvents, point: tuple[str, ...], index: int) -> int:
        durations = self.durations(point[0])
        shortest, longest = constraint.minimum_duration, constraint.maximum_duration
        outside = sum(not shortest <= duration <= longest for duration in durations)
        return outside + distance(len(durations), constraint.minimum_amount, constraint.maximum_amount)

    @deviation.register
    def _(self, constraint: model.DistributeSplitEvents, point: tuple[str, ...], index: int) -> int:
        amount = self.durations(point[0]).count(constraint.duration)
        return distance(amount, constraint.minimum, constraint.maximum)

    @deviation.register
    def _(self, constraint: model.PreferResources, point: tuple[str, ...], index: int) -> int:
        return sum(
            duration
            for duration, resource in self.holders(point[0], constraint.role)
            if resource not in constraint.resources
        )

    @deviation.register
    def _(self, constraint: model.PreferTimes, point: tuple[str, ...], index: int) -> int:
        lessons = self.lessons[point[0]]
        return sum(
            lesson.duration
            for lesson in lessons
            if constraint.duration in (None, lesson.duration) and lesson.time not in constraint.times
        )

    @deviation.register
    def _(self, constraint: model.AvoidSplitAssignments, point: tuple[str, ...], index: int) -> int:
        holders = {resource for event in point for _, resource in self.holders(event, constraint.role)}
        return max(0, len(holders) - 1)

    @deviation.register
    def _(self, constraint: model.SpreadEvents, point: tuple[str, ...], index: int) -> int:
        starts = Counter(lesson.time for event in point for lesson in self.lessons[event])
        return sum(
            distance(sum(starts[time] for time in group.times), minimum, maximum)
            for group, minimum, maximum in constraint.limits
        )

    @deviation.register
    def _(self, constraint: model.LinkEvents, point: tuple[str, ...], index: int) -> int:
        running = [{time for lesson in self.lessons[event] for time in self.running(lesson)} for event in point]
        return len(set().union(*running)) - len(set.intersection(*running)) if running else 0

    @deviation.register
    def _(self, constraint: model.OrderEvents, point: tuple[str, ...], index: int) -> int:
        first, second = point
        if any(self.unplaced[event] or not self.lessons[event] for event in point):
            return 0
        at = self.instance.time_index
        end = max(at[lesson.time] + lesson.duration for lesson in self.lessons[first])
        gap = min(at[lesson.time] for lesson in self.lessons[second]) - end
        minimum, maximum = constraint.separations[index]
        return distance(gap, minimum, gap if maximum is None else maximum)

    @deviation.register
    def _(self, constraint: model.AvoidClashes, point: tuple[str, ...], index: int) -> int:
        return sum(count - 1 for count in self.busy[point[0]].values())

    @deviation.register
    def _(self, constraint: model.AvoidUnavailableTimes, point: tuple[str, ...], index: int) -> int:
        return len(constraint.times & self.busy[point[0]].keys())

    @deviation.register
    def _(self, constraint: model.LimitIdleTimes, point: tuple[str, ...], index: int) -> int:
        idle = sum(idle_times(self.pattern(point[0], group.times)) for group in constraint.groups)
        return distance(idle, constraint.minimum, constraint.maximum)

    @deviation.register
    def _(self, constraint: model.ClusterBusyTimes, point: tuple[str, ...], index: int) -> int:
        groups = sum(any(self.pattern(point[0], group.times)) for group in constraint.groups)
        return distance(groups, constraint.minimum, constraint.maximum)

    @deviation.register
    def _(self, constraint: model.LimitBusyTimes, point: tuple[str, ...], index: int) -> int:
        counts = (sum(self.pattern(point[0], group.times)) for group in constraint.groups)
        return sum(distance(count, constraint.minimum, constraint.maximum) for count in counts if count)

    @deviation.register
    def _(self, constraint: model.LimitWorkload, point: tuple[str, ...], index: int) -> int:
        workload = self.workload(point[0])
        return ceil(max(constraint.minimum - workload, workload - constraint.maximum, Fraction(0)))

    def workload(self, resource: str) -> Fraction:
        """What all parts count for that the resource attends, with and without a time."""
        return sum(
            (
                Fraction(part.duration * place.workload, event.duration)
                for event in self.instance.events
                for place in event.places
                if place.resource in (None, resource)
                for part in self.parts(event.id)
                if resource in (place.resource, dict(part.assigned).get(place.role or ""))
            ),
            Fraction(0),
        )

    def parts(self, event: str) -> list[Lesson | Unplaced]:
        """All of the event, with and without a time."""
        return [*self.lessons[event], *self.unplaced[event]]

    def durations(self, event: str) -> list[int]:
        """Durations of the event's parts."""
        return [part.duration for part in self.parts(event)]

    def holders(self, event: str, role: str) -> list[tuple[int, str]]:
        """(duration, resource) of each part whose place of that role is taken."""
        return [
            (part.duration, resource)
            for place in self.instance.event[event].places
            if place.role == role
            for part in self.parts(event)
            if (resource := place.resource or dict(part.assigned).get(role))
        ]

    def running(self, lesson: Lesson) -> list[str]:
        """The times that the lesson takes."""
        start = self.instance.time_index[lesson.time]
        return [time.id for time in self.instance.times[start : start + lesson.duration]]

    def pattern(self, resource: str, group: Iterable[str]) -> list[bool]:
        """Whether the resource is busy, time by time."""
        busy = self.busy[resource]
        return [time in busy for time in group]


# A singledispatchmethod makes a function anew at each call, and there are thousands of calls for each timetable.
DEVIATION = vars(_Judge)["deviation"].dispatcher.dispatch


def distance(value: int, minimum: int, maximum: int) -> int:
    """How far `value` is outside of `minimum` to `maximum`."""
    return max(minimum - value, value - maximum, 0)


def idle_times(pattern: Sequence[bool]) -> int:
    """Free times that have a busy one before and one after them."""
    if not any(pattern):
        return 0
    first, last = pattern.index(True), len(pattern) - 1 - pattern[::-1].index(True)
    return pattern[first:last].count(False)

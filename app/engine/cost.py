"""What a timetable costs: the only judge of a result, and independent of whatever found it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatchmethod

from app.engine import instance as model
from app.engine.instance import Constraint, Instance
from app.engine.timetable import Lesson, Timetable


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
        for point in constraint.points:
            deviation = judge.deviation(constraint, point)
            if deviation:
                violations.append(Violation(constraint, point, deviation, constraint.cost(deviation)))
    hard = sum(each.cost for each in violations if each.constraint.required)
    return Cost(hard, sum(each.cost for each in violations) - hard, tuple(violations))


def misfit(instance: Instance, timetable: Timetable) -> str | None:
    """Why `timetable` cannot be one of `instance` at all, whatever it may cost; None if it can."""
    placed: Counter[str] = Counter()
    for lesson in timetable.lessons:
        event = instance.event.get(lesson.event)
        if event is None or lesson.time not in instance.time_index or lesson.duration < 1:
            return f"instance {instance.id!r} has no place for {lesson}"
        if event.time not in (None, lesson.time):
            return f"event {event.id!r} has to start at {event.time!r}, not at {lesson.time!r}"
        if instance.time_index[lesson.time] + lesson.duration > len(instance.times):
            return f"a lesson of event {event.id!r} at {lesson.time!r} ends after the week"
        placed[event.id] += lesson.duration
        if placed[event.id] > event.duration:
            return f"event {event.id!r} has more lessons than its duration of {event.duration}"
    return None


class _Judge:
    """The lessons of each event, and how often each resource is busy at each time."""

    def __init__(self, instance: Instance, timetable: Timetable) -> None:
        self.lessons: dict[str, list[Lesson]] = {event.id: [] for event in instance.events}
        self.busy: dict[str, Counter[str]] = {resource.id: Counter() for resource in instance.resources}
        self.missing = {event.id: event.duration for event in instance.events}
        for lesson in timetable.lessons:
            start = instance.time_index[lesson.time]
            times = [time.id for time in instance.times[start : start + lesson.duration]]
            self.lessons[lesson.event].append(lesson)
            self.missing[lesson.event] -= lesson.duration
            for resource in instance.event[lesson.event].resources:
                self.busy[resource].update(times)

    @singledispatchmethod
    def deviation(self, constraint: Constraint, point: tuple[str, ...]) -> int:
        """How far one point of application is from what the constraint asks for."""
        raise NotImplementedError(type(constraint).__name__)

    @deviation.register
    def _(self, constraint: model.AssignTime, point: tuple[str, ...]) -> int:
        return self.missing[point[0]]

    @deviation.register
    def _(self, constraint: model.SplitEvents, point: tuple[str, ...]) -> int:
        durations = self.durations(point[0])
        shortest, longest = constraint.minimum_duration, constraint.maximum_duration
        outside = sum(not shortest <= duration <= longest for duration in durations)
        return outside + distance(len(durations), constraint.minimum_amount, constraint.maximum_amount)

    @deviation.register
    def _(self, constraint: model.DistributeSplitEvents, point: tuple[str, ...]) -> int:
        amount = self.durations(point[0]).count(constraint.duration)
        return distance(amount, constraint.minimum, constraint.maximum)

    @deviation.register
    def _(self, constraint: model.PreferTimes, point: tuple[str, ...]) -> int:
        lessons = self.lessons[point[0]]
        return sum(
            lesson.duration
            for lesson in lessons
            if constraint.duration in (None, lesson.duration) and lesson.time not in constraint.times
        )

    @deviation.register
    def _(self, constraint: model.SpreadEvents, point: tuple[str, ...]) -> int:
        starts = [lesson.time for event in point for lesson in self.lessons[event]]
        return sum(
            distance(sum(time in times for time in starts), minimum, maximum)
            for times, minimum, maximum in constraint.limits
        )

    @deviation.register
    def _(self, constraint: model.AvoidClashes, point: tuple[str, ...]) -> int:
        return sum(count - 1 for count in self.busy[point[0]].values())

    @deviation.register
    def _(self, constraint: model.AvoidUnavailableTimes, point: tuple[str, ...]) -> int:
        return len(constraint.times & self.busy[point[0]].keys())

    @deviation.register
    def _(self, constraint: model.LimitIdleTimes, point: tuple[str, ...]) -> int:
        idle = sum(idle_times(self.pattern(point[0], group)) for group in constraint.groups)
        return distance(idle, constraint.minimum, constraint.maximum)

    @deviation.register
    def _(self, constraint: model.ClusterBusyTimes, point: tuple[str, ...]) -> int:
        groups = sum(any(self.pattern(point[0], group)) for group in constraint.groups)
        return distance(groups, constraint.minimum, constraint.maximum)

    @deviation.register
    def _(self, constraint: model.LimitBusyTimes, point: tuple[str, ...]) -> int:
        counts = (sum(self.pattern(point[0], group)) for group in constraint.groups)
        return sum(distance(count, constraint.minimum, constraint.maximum) for count in counts if count)

    def durations(self, event: str) -> list[int]:
        """Durations of the event's lessons; what has no time counts as one more lesson."""
        missing = [self.missing[event]] if self.missing[event] else []
        return [lesson.duration for lesson in self.lessons[event]] + missing

    def pattern(self, resource: str, group: Iterable[str]) -> list[bool]:
        """Whether the resource is busy, time by time."""
        busy = self.busy[resource]
        return [time in busy for time in group]


def distance(value: int, minimum: int, maximum: int) -> int:
    """How far `value` is outside of `minimum` to `maximum`."""
    return max(minimum - value, value - maximum, 0)


def idle_times(pattern: Sequence[bool]) -> int:
    """Free times that have a busy one before and one after them."""
    if not any(pattern):
        return 0
    first, last = pattern.index(True), len(pattern) - 1 - pattern[::-1].index(True)
    return pattern[first:last].count(False)

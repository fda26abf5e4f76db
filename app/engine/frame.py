"""What every model of one instance needs, worked out once: domains, who meets whom, which constraint concerns what."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from app.engine import instance as model
from app.engine.instance import Constraint, Event, Instance, TimeGroup

Point = tuple[Constraint, int]


class Frame:
    """An instance prepared for formulations.

    Sets of times are bit masks: bit `t` is the `t`th time of the week.

    Attributes:
        constraints: those that cost anything.
        of_event, of_resource: the points of application that look at an event or a resource, by a number of their own.
        single: resources that must not have two lessons at once.
        taught: the duration of all lessons that each resource always attends and that must have a time.
        closed: for each resource, the times that a required constraint forbids.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.week = len(instance.times)
        # What costs nothing restricts nothing, even if it is required.
        self.constraints = [each for each in instance.constraints if each.weight]
        self.of_event: dict[str, dict[int, Point]] = {event.id: {} for event in instance.events}
        self.of_resource: dict[str, dict[int, Point]] = {resource.id: {} for resource in instance.resources}
        self.single: set[str] = set()
        self.closed: dict[str, int] = defaultdict(int)
        self.durations = {event.id: self._durations(event) for event in instance.events}
        self.preferred: dict[str, dict[int, int]] = {
            event.id: dict.fromkeys(range(1, event.duration + 1), (1 << self.week) - 1) for event in instance.events
        }
        self._masks: dict[frozenset[str] | tuple[str, ...], int] = {}
        self._indices: dict[str, tuple[int, ...]] = {}
        self.allowed: dict[tuple[str, str], frozenset[str]] = {}
        self.with_time: dict[str, set[bool]] = defaultdict(set)
        self.with_resource: set[tuple[str, str]] = set()
        number = 0
        for constraint in self.constraints:
            for index, point in enumerate(constraint.points):
                number += 1
                self._note(number, constraint, index, point)
        self.taught = {resource.id: 0 for resource in instance.resources}
        for event in instance.events:
            if not self.dispensable(event.id):
                for each in event.resources:
                    self.taught[each] += event.duration
        self.candidates = {
            (event.id, role): [each.id for each in instance.resources if each.type == place.type]
            for event in instance.events
            for role, place in event.open.items()
        }

    @cached_property
    def size(self) -> int:
        """About how many Booleans the whole model has."""
        return sum(
            len(self.starts(event, duration, self.always_closed(event)))
            * (1 + sum(len(self.candidates[event.id, role]) for role in event.open))
            for event in self.instance.events
            for duration in self.durations[event.id]
        )

    def dispensable(self, event: str) -> bool:
        """Whether an event's lessons may be left without a time at a cost that is no hard one."""
        return event in self.with_time and True not in self.with_time[event]

    def indices(self, group: TimeGroup) -> tuple[int, ...]:
        """The numbers of the times of a group, in chronological order."""
        if group.id not in self._indices:
            self._indices[group.id] = tuple(self.instance.time_index[time] for time in group.times)
        return self._indices[group.id]

    def mask(self, times: frozenset[str] | tuple[str, ...]) -> int:
        """The bit mask of times."""
        if times not in self._masks:
            self._masks[times] = sum(1 << self.instance.time_index[time] for time in times)
        return self._masks[times]

    def starts(self, event: Event, duration: int, closed: int, anywhere: bool = False) -> list[int]:
        """Where a lesson may start outside of the times of `closed`; if not `anywhere`, as is required."""
        if event.time is not None:
            return [self.instance.time_index[event.time]]
        possible = (1 << self.week - duration + 1) - 1
        if not anywhere:
            possible &= self.preferred[event.id][duration]
        for offset in range(duration):
            possible &= ~(closed >> offset)
        return [start for start in range(self.week) if possible >> start & 1]

    def always_closed(self, event: Event) -> int:
        """The times that required constraints forbid to those who always attend the event."""
        closed = 0
        for resource in event.resources:
            closed |= self.closed[resource]
        return closed

    def _durations(self, event: Event) -> list[int]:
        """Lesson durations that required Split Events constraints leave the event."""
        if event.time is not None:
            return [event.duration]
        everything = range(1, min(event.duration, self.week) + 1)
        allowed = set(everything)
        for constraint in self.constraints:
            if isinstance(constraint, model.SplitEvents) and constraint.required and (event.id,) in constraint.points:
                allowed &= set(range(constraint.minimum_duration, constraint.maximum_duration + 1))
        return sorted(allowed) or list(everything)

    def _note(self, number: int, constraint: Constraint, index: int, point: tuple[str, ...]) -> None:
        """Files one point of application under all that it looks at."""
        about_resources = isinstance(
            constraint,
            model.AvoidClashes
            | model.AvoidUnavailableTimes
            | model.LimitIdleTimes
            | model.ClusterBusyTimes
            | model.LimitBusyTimes
            | model.LimitWorkload,
        )
        for each in dict.fromkeys(point):
            (self.of_resource if about_resources else self.of_event)[each][number] = (constraint, index)
        if isinstance(constraint, model.AssignTime):
            self.with_time[point[0]].add(constraint.required)
        if not constraint.required:
            return
        match constraint:
            case model.AvoidClashes():
                self.single.add(point[0])
            case model.AvoidUnavailableTimes():
                self.closed[point[0]] |= self.mask(constraint.times)
            case model.PreferTimes():
                starts = self.mask(constraint.times)
                for duration in self.preferred[point[0]]:
                    if constraint.duration in (None, duration):
                        self.preferred[point[0]][duration] &= starts
            case model.PreferResources():
                key = (point[0], constraint.role)
                self.allowed[key] = self.allowed.get(key, constraint.resources) & constraint.resources
            case model.AssignResource():
                self.with_resource.add((point[0], constraint.role))

"""An instance of the high-school timetabling problem, in the terms of the XHSTT format."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Time:
    """One period of the week; times are in chronological order, and successive ones adjoin."""

    id: str
    name: str


@dataclass(frozen=True)
class TimeGroup:
    """A named set of times; `kind` is "Day", "Week" or "TimeGroup" as in the file."""

    id: str
    name: str
    kind: str
    times: tuple[str, ...]


@dataclass(frozen=True)
class ResourceType:
    """A kind of resource, such as teachers, classes or rooms."""

    id: str
    name: str


@dataclass(frozen=True)
class Resource:
    """Whoever or whatever attends events; `type` is the id of its resource type, such as "Teacher"."""

    id: str
    name: str
    type: str


@dataclass(frozen=True)
class Event:
    """A number of lessons to be held by the same resources.

    Attributes:
        duration: how many times it takes in all.
        time: the time at which it must start, where the file gives one; it is then one undivided lesson.
        resources: ids of the resources that attend it.
    """

    id: str
    name: str
    duration: int
    resources: tuple[str, ...]
    time: str | None = None


@dataclass(frozen=True)
class Constraint:
    """What is common to the constraints: its cost is `weight` times `cost_function` of a deviation, hard if `required`.

    Attributes:
        points: the points of application, each a tuple of ids: an event, a resource, or all events of an event group.
    """

    id: str
    name: str
    required: bool
    weight: int
    cost_function: str
    points: tuple[tuple[str, ...], ...] = field(repr=False)

    def cost(self, deviation: int) -> int:
        """The cost of one point of application that deviates by `deviation`."""
        match self.cost_function:
            case "Quadratic":
                return self.weight * deviation * deviation
            case "Step":
                return self.weight * (deviation > 0)
            case _:
                return self.weight * deviation


@dataclass(frozen=True)
class AssignTime(Constraint):
    """Events: every lesson has a time. Deviation: the duration without one."""


@dataclass(frozen=True)
class SplitEvents(Constraint):
    """Events: how they are divided into lessons. Deviation: lessons too short or long, and too few or many of them."""

    minimum_duration: int
    maximum_duration: int
    minimum_amount: int
    maximum_amount: int


@dataclass(frozen=True)
class DistributeSplitEvents(Constraint):
    """Events: how many lessons have `duration`. Deviation: how many fewer than `minimum` or more than `maximum`."""

    duration: int
    minimum: int
    maximum: int


@dataclass(frozen=True)
class PreferTimes(Constraint):
    """Events: lessons (of `duration`, if given) start at `times`. Deviation: the duration of those that do not."""

    times: frozenset[str]
    duration: int | None


@dataclass(frozen=True)
class SpreadEvents(Constraint):
    """Event groups: lessons that start in each of `limits` (times, minimum, maximum). Deviation: distances, summed."""

    limits: tuple[tuple[frozenset[str], int, int], ...]


@dataclass(frozen=True)
class AvoidClashes(Constraint):
    """Resources: one lesson at a time. Deviation: the lessons too many at each time, summed."""


@dataclass(frozen=True)
class AvoidUnavailableTimes(Constraint):
    """Resources: free at `times`. Deviation: the times of these at which the resource is busy."""

    times: frozenset[str]


@dataclass(frozen=True)
class LimitIdleTimes(Constraint):
    """Resources: free times between busy ones of a group. Deviation: their sum below `minimum` or above `maximum`."""

    groups: tuple[tuple[str, ...], ...]
    minimum: int
    maximum: int


@dataclass(frozen=True)
class ClusterBusyTimes(Constraint):
    """Resources: time groups with a busy time. Deviation: their number below `minimum` or above `maximum`."""

    groups: tuple[tuple[str, ...], ...]
    minimum: int
    maximum: int


@dataclass(frozen=True)
class LimitBusyTimes(Constraint):
    """Resources: busy times of each group that has any. Deviation: how far they are out of the limits, summed."""

    groups: tuple[tuple[str, ...], ...]
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Instance:
    """A school's problem: `times` in chronological order, everything else in the order of the file."""

    id: str
    name: str
    times: tuple[Time, ...]
    time_groups: tuple[TimeGroup, ...]
    resource_types: tuple[ResourceType, ...]
    resources: tuple[Resource, ...]
    events: tuple[Event, ...]
    constraints: tuple[Constraint, ...]

    @cached_property
    def time_index(self) -> dict[str, int]:
        """The position of each time in the week."""
        return {time.id: index for index, time in enumerate(self.times)}

    @cached_property
    def resource(self) -> dict[str, Resource]:
        """The resources by id."""
        return {resource.id: resource for resource in self.resources}

    @cached_property
    def event(self) -> dict[str, Event]:
        """The events by id."""
        return {event.id: event for event in self.events}

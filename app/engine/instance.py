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
    """A named set of times, in chronological order; `kind` is "Day", "Week" or "TimeGroup" as in the file."""

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
class ResourceGroup:
    """A named set of resources; `type` is the id of their resource type, where the file gives it."""

    id: str
    name: str
    type: str | None
    resources: tuple[str, ...]


@dataclass(frozen=True)
class Resource:
    """Whoever or whatever attends events; `type` is the id of its resource type, such as "Teacher"."""

    id: str
    name: str
    type: str


@dataclass(frozen=True)
class EventGroup:
    """A named set of events; `kind` is "Course" or "EventGroup" as in the file."""

    id: str
    name: str
    kind: str
    events: tuple[str, ...]


@dataclass(frozen=True)
class EventResource:
    """A place for one resource at an event.

    Attributes:
        resource: who takes it at every lesson; None where each lesson of a timetable chooses one.
        role: what constraints and timetables call the place; without one it cannot be left to choose.
        type: id of the resource type to choose from.
        workload: what all lessons of the event together count for whoever takes the place, in Limit Workload.
        group: id of the resource group through which the event has this place.
    """

    resource: str | None
    role: str | None
    type: str
    workload: int
    group: str | None = None


@dataclass(frozen=True)
class Event:
    """A number of lessons to be held by the same resources.

    Attributes:
        duration: how many times it takes in all.
        places: the event resources, in the order of the file.
        groups: ids of the resource groups all of whose members attend every lesson.
        workload: what each event resource has that does not say its own.
        time: the time at which every lesson must start, where the file gives one.
        color: how the file wants it painted, such as "#0099FF".
    """

    id: str
    name: str
    duration: int
    places: tuple[EventResource, ...]
    groups: tuple[str, ...]
    workload: int
    time: str | None = None
    color: str | None = None

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """Ids of the resources that attend every lesson."""
        return tuple(place.resource for place in self.places if place.resource is not None)

    @cached_property
    def open(self) -> dict[str, EventResource]:
        """The places that each lesson of a timetable fills by itself, by role."""
        return {place.role: place for place in self.places if place.resource is None and place.role is not None}


@dataclass(frozen=True)
class Constraint:
    """What is common to the constraints: its cost is `weight` times `cost_function` of a deviation, hard if `required`.

    Attributes:
        points: the points of application, each a tuple of ids: an event, a resource, all events of an event group, or
            the two events of a pair.
        applies_to: ids of the groups that the file names, and of the single events or resources.
    """

    id: str
    name: str
    required: bool
    weight: int
    cost_function: str
    points: tuple[tuple[str, ...], ...] = field(repr=False)
    applies_to: tuple[tuple[str, ...], tuple[str, ...]] = field(repr=False)

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
class AssignResource(Constraint):
    """Events: somebody takes the place of `role` at every lesson. Deviation: the duration without."""

    role: str


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
class PreferResources(Constraint):
    """Events: one of `resources` takes the place of `role`. Deviation: the duration with somebody else in it."""

    role: str
    resources: frozenset[str]


@dataclass(frozen=True)
class PreferTimes(Constraint):
    """Events: lessons (of `duration`, if given) start at `times`. Deviation: the duration of those that do not."""

    times: frozenset[str]
    duration: int | None


@dataclass(frozen=True)
class AvoidSplitAssignments(Constraint):
    """Event groups: one resource takes the place of `role` at all lessons. Deviation: the resources beyond one."""

    role: str


@dataclass(frozen=True)
class SpreadEvents(Constraint):
    """Event groups: lessons that start in each of `limits` (group, minimum, maximum). Deviation: distances, summed."""

    limits: tuple[tuple[TimeGroup, int, int], ...]


@dataclass(frozen=True)
class LinkEvents(Constraint):
    """Event groups: all events run at the same times. Deviation: the times at which some run and others do not."""


@dataclass(frozen=True)
class OrderEvents(Constraint):
    """Pairs of events: the second starts `separations` (minimum, maximum or None) of times after the end of the first.

    Deviation: how far the gap is outside; 0 unless all lessons of both have a time.
    """

    separations: tuple[tuple[int, int | None], ...]


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

    groups: tuple[TimeGroup, ...]
    minimum: int
    maximum: int


@dataclass(frozen=True)
class ClusterBusyTimes(Constraint):
    """Resources: time groups with a busy time. Deviation: their number below `minimum` or above `maximum`."""

    groups: tuple[TimeGroup, ...]
    minimum: int
    maximum: int


@dataclass(frozen=True)
class LimitBusyTimes(Constraint):
    """Resources: busy times of each group that has any. Deviation: how far they are out of the limits, summed."""

    groups: tuple[TimeGroup, ...]
    minimum: int
    maximum: int


@dataclass(frozen=True)
class LimitWorkload(Constraint):
    """Resources: the workload of all lessons. Deviation: how far it is out of the limits, rounded up.

    A lesson counts for its share of the event's duration, times the workload of the place.
    """

    minimum: int
    maximum: int


@dataclass(frozen=True)
class Instance:
    """A school's problem: `times` in chronological order, everything else in the order of the file.

    `about` has the entries of the file's MetaData in their order, such as ("Name", "My school").
    """

    id: str
    about: tuple[tuple[str, str], ...]
    times: tuple[Time, ...]
    time_groups: tuple[TimeGroup, ...]
    resource_types: tuple[ResourceType, ...]
    resource_groups: tuple[ResourceGroup, ...]
    resources: tuple[Resource, ...]
    event_groups: tuple[EventGroup, ...]
    events: tuple[Event, ...]
    constraints: tuple[Constraint, ...]

    @cached_property
    def name(self) -> str:
        """The name of the school."""
        return dict(self.about)["Name"]

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

"""One <Instance> of an XHSTT archive as an instance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.engine import instance as model
from app.engine.document import Element
from app.engine.instance import (
    Constraint,
    Event,
    EventGroup,
    EventResource,
    Instance,
    Resource,
    ResourceGroup,
    ResourceType,
    Time,
    TimeGroup,
)

# What each constraint applies to, and what it has beside that.
CONSTRAINTS: dict[str, tuple[type[Constraint], str, tuple[str, ...]]] = {
    "AssignResourceConstraint": (model.AssignResource, "Event", ("Role",)),
    "AssignTimeConstraint": (model.AssignTime, "Event", ()),
    "SplitEventsConstraint": (
        model.SplitEvents,
        "Event",
        ("MinimumDuration", "MaximumDuration", "MinimumAmount", "MaximumAmount"),
    ),
    "DistributeSplitEventsConstraint": (model.DistributeSplitEvents, "Event", ("Duration", "Minimum", "Maximum")),
    "PreferResourcesConstraint": (model.PreferResources, "Event", ("ResourceGroups", "Resources", "Role")),
    "PreferTimesConstraint": (model.PreferTimes, "Event", ("TimeGroups", "Times", "Duration")),
    "AvoidSplitAssignmentsConstraint": (model.AvoidSplitAssignments, "EventGroup", ("Role",)),
    "SpreadEventsConstraint": (model.SpreadEvents, "EventGroup", ("TimeGroups",)),
    "LinkEventsConstraint": (model.LinkEvents, "EventGroup", ()),
    "OrderEventsConstraint": (model.OrderEvents, "EventPair", ()),
    "AvoidClashesConstraint": (model.AvoidClashes, "Resource", ()),
    "AvoidUnavailableTimesConstraint": (model.AvoidUnavailableTimes, "Resource", ("TimeGroups", "Times")),
    "LimitIdleTimesConstraint": (model.LimitIdleTimes, "Resource", ("TimeGroups", "Minimum", "Maximum")),
    "ClusterBusyTimesConstraint": (model.ClusterBusyTimes, "Resource", ("TimeGroups", "Minimum", "Maximum")),
    "LimitBusyTimesConstraint": (model.LimitBusyTimes, "Resource", ("TimeGroups", "Minimum", "Maximum")),
    "LimitWorkloadConstraint": (model.LimitWorkload, "Resource", ("Minimum", "Maximum")),
}
COMMON = ("Name", "Required", "Weight", "CostFunction", "AppliesTo")
ABOUT = ("Name", "Contributor", "Date", "Country", "Description", "Remarks")
# A few groups that many constraints name make a small file a large instance; what is far beyond this is no school.
MOST_MEMBERS = 1_000_000


class Reader:
    """One <Instance>: the ids that are known so far with their positions, and the members of each group."""

    def __init__(self, element: Element) -> None:
        element.only("MetaData", "Times", "Resources", "Events", "Constraints")
        self.element = element
        self.groups: dict[str, dict[str, list[str]]] = {"Time": {}, "Resource": {}, "Event": {}}
        self.members: dict[str, dict[str, int]] = {"Time": {}, "Resource": {}, "Event": {}, "Constraint": {}}
        self.types: dict[str, ResourceType] = {}
        self.type_of: dict[str, str] = {}
        self.time_groups: dict[str, TimeGroup] = {}
        self.expanded = 0

    def instance(self) -> Instance:
        """The whole instance; XhsttError names the line of what cannot be."""
        about = self.element.need("MetaData")
        about.only(*ABOUT)
        about.need("Name")
        times = self.times(self.element.need("Times"))
        resource_groups, resources = self.resources(self.element.need("Resources"))
        event_groups, events = self.events(self.element.need("Events"))
        return Instance(
            id=self.element.attribute("Id"),
            about=tuple((entry.tag, entry.text) for entry in about.children),
            times=times,
            time_groups=tuple(self.time_groups.values()),
            resource_types=tuple(self.types.values()),
            resource_groups=resource_groups,
            resources=resources,
            event_groups=event_groups,
            events=events,
            constraints=tuple(self.constraint(each) for each in self.element.need("Constraints").children),
        )

    def times(self, element: Element) -> tuple[Time, ...]:
        element.only("TimeGroups", "Time")
        declared = self.declared("Time", element.all("TimeGroups"), ("Week", "Day", "TimeGroup"))
        times = []
        for each in element.all("Time"):
            each.only("Name", "Week", "Day", "TimeGroups")
            times.append(Time(self.member("Time", each), each.string("Name")))
            for path in (("Day",), ("Week",), ("TimeGroups", "TimeGroup")):
                self.join("Time", each, each.all(*path))
        if not times:
            raise element.error("the week has no <Time>; add its periods")
        for each in declared:
            identifier = each.attributes["Id"]
            members = tuple(self.groups["Time"][identifier])
            self.time_groups[identifier] = TimeGroup(identifier, each.string("Name"), each.tag, members)
        return tuple(times)

    def resources(self, element: Element) -> tuple[tuple[ResourceGroup, ...], tuple[Resource, ...]]:
        element.only("ResourceTypes", "ResourceGroups", "Resource")
        for each in element.all("ResourceTypes", "ResourceType"):
            each.only("Name")
            if each.attribute("Id") in self.types:
                raise each.error(f"resource type {each.attribute('Id')!r} is there twice; rename one")
            self.types[each.attribute("Id")] = ResourceType(each.attribute("Id"), each.string("Name"))
        declared = self.declared("Resource", element.all("ResourceGroups"), ("ResourceGroup",))
        resources = []
        for each in element.all("Resource"):
            each.only("Name", "ResourceType", "ResourceGroups")
            resource = Resource(
                self.member("Resource", each), each.string("Name"), self.type(each.need("ResourceType"))
            )
            resources.append(resource)
            self.type_of[resource.id] = resource.type
            self.join("Resource", each, each.all("ResourceGroups", "ResourceGroup"))
        groups = []
        for each in declared:
            kind, members = each.find("ResourceType"), tuple(self.groups["Resource"][each.attributes["Id"]])
            identifier = each.attributes["Id"]
            groups.append(ResourceGroup(identifier, each.string("Name"), self.type(kind) if kind else None, members))
        return tuple(groups), tuple(resources)

    def events(self, element: Element) -> tuple[tuple[EventGroup, ...], tuple[Event, ...]]:
        element.only("EventGroups", "Event")
        declared = self.declared("Event", element.all("EventGroups"), ("Course", "EventGroup"))
        events = tuple(self.event(each) for each in element.all("Event"))
        members = self.groups["Event"]
        return tuple(
            EventGroup(each.attributes["Id"], each.string("Name"), each.tag, tuple(members[each.attributes["Id"]]))
            for each in declared
        ), events

    def event(self, element: Element) -> Event:
        element.only("Name", "Duration", "Workload", "Course", "Time", "Resources", "ResourceGroups", "EventGroups")
        identifier = self.member("Event", element)
        # The format has Course as another form of EventGroup.
        self.join("Event", element, [*element.all("Course"), *element.all("EventGroups", "EventGroup")])
        duration, time = element.number("Duration"), element.find("Time")
        start = self.known("Time", time) if time else None
        left = len(self.members["Time"]) - (self.members["Time"][start] if start else 0)
        if not 0 < duration <= left:
            raise element.error(f"event {identifier!r} takes {duration} times; there has to be room for 1 to {left}")
        workload = element.number("Workload", duration)
        places = [self.place(each, workload) for each in element.all("Resources", "Resource")]
        roles = [place.role for place in places if place.role is not None]
        if len(set(roles)) < len(roles):
            raise element.error(f"event {identifier!r} has a role twice; rename one")
        groups = tuple(element.all("ResourceGroups", "ResourceGroup"))
        for each in groups:
            for resource in self.all_of("Resource", each):
                kind = self.type_of[resource]
                places.append(EventResource(resource, None, kind, workload, each.attributes["Reference"]))
        return Event(
            identifier,
            element.string("Name"),
            duration,
            tuple(places),
            tuple(each.attributes["Reference"] for each in groups),
            workload,
            start,
            element.attributes.get("Color"),
        )

    def place(self, element: Element, workload: int) -> EventResource:
        """One <Resource> of an event: somebody, or a role and a type to choose from."""
        element.only("Role", "ResourceType", "Workload")
        role = element.string("Role") if element.find("Role") else None
        workload = element.number("Workload", workload)
        kind = element.find("ResourceType")
        if "Reference" in element.attributes:
            resource = self.known("Resource", element)
            if kind and self.type(kind) != self.type_of[resource]:
                raise kind.error(f"resource {resource!r} is no {self.type(kind)!r}; correct the reference")
            return EventResource(resource, role, self.type_of[resource], workload)
        if not role or kind is None:
            raise element.error(
                "a resource that is left open needs <Role> and <ResourceType>; add them, or a Reference"
            )
        return EventResource(None, role, self.type(kind), workload)

    def constraint(self, element: Element) -> Constraint:
        if element.tag not in CONSTRAINTS:
            raise element.error(f"{element.tag} is not known; remove it, or use {', '.join(CONSTRAINTS)}")
        kind, applies_to, fields = CONSTRAINTS[element.tag]
        element.only(*COMMON, *fields)
        identifier = self.member("Constraint", element)
        target = element.need("AppliesTo")
        common: dict[str, Any] = {
            "id": identifier,
            "name": element.string("Name"),
            "required": _choice(element, "Required", "true", "false") == "true",
            "weight": element.number("Weight"),
            "cost_function": _choice(element, "CostFunction", "Linear", "Quadratic", "Step"),
        }
        if applies_to == "EventPair":
            return model.OrderEvents(**common, **self.pairs(target))
        common["points"], common["applies_to"] = self.points(target, applies_to)
        return kind(**common, **self.specific(element, kind, fields))

    def specific(self, element: Element, kind: type[Constraint], fields: tuple[str, ...]) -> dict[str, Any]:
        """What only constraints of this kind have, by the names of its fields."""
        values: dict[str, Any] = {}
        if "Role" in fields:
            values["role"] = element.string("Role")
        if kind is model.PreferResources:
            values["resources"] = self.resource_set(element)
        elif kind in (model.PreferTimes, model.AvoidUnavailableTimes):
            values["times"] = self.time_set(element)
        elif kind is model.SpreadEvents:
            values["limits"] = tuple(self.spread(each) for each in element.all("TimeGroups", "TimeGroup"))
        elif "TimeGroups" in fields:
            values["groups"] = tuple(self.time_group(each) for each in element.all("TimeGroups", "TimeGroup"))
        if kind is model.PreferTimes:
            values["duration"] = element.number("Duration") if element.find("Duration") else None
        elif kind is model.DistributeSplitEvents:
            values["duration"] = element.number("Duration")
        elif kind is model.SplitEvents:
            for what in ("Duration", "Amount"):
                low, high = _limits(element, f"Minimum{what}", f"Maximum{what}")
                values[f"minimum_{what.lower()}"], values[f"maximum_{what.lower()}"] = low, high
        if "Minimum" in fields:
            values["minimum"], values["maximum"] = _limits(element, "Minimum", "Maximum")
        return values

    def points(
        self, element: Element, kind: str
    ) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], tuple[str, ...]]]:
        """(points, applies_to): single members, or all members of a group for a constraint on event groups."""
        single = kind.removesuffix("Group")
        element.only(*dict.fromkeys((f"{single}Groups", f"{kind}s")))
        references = list(element.all(f"{single}Groups", f"{single}Group"))
        groups = [self.all_of(single, each) for each in references]
        names = tuple(each.attributes["Reference"] for each in references)
        if kind == "EventGroup":
            return tuple(tuple(members) for members in groups), (names, ())
        alone = tuple(self.known(kind, each) for each in element.all(f"{kind}s", kind))
        members = [member for group in groups for member in group]
        return tuple((member,) for member in dict.fromkeys([*members, *alone])), (names, alone)

    def pairs(self, element: Element) -> dict[str, Any]:
        """The points of an Order Events constraint, and between which separations each is kept."""
        element.only("EventPairs")
        points, separations = [], []
        for each in element.all("EventPairs", "EventPair"):
            each.only("FirstEvent", "SecondEvent", "MinSeparation", "MaxSeparation")
            points.append(tuple(self.known("Event", each.need(tag)) for tag in ("FirstEvent", "SecondEvent")))
            least = each.number("MinSeparation", 0)
            most = each.number("MaxSeparation") if each.find("MaxSeparation") else None
            if most is not None and least > most:
                raise each.error(f"<MinSeparation> {least} is more than <MaxSeparation> {most}; correct one")
            separations.append((least, most))
        return {"points": tuple(points), "applies_to": ((), ()), "separations": tuple(separations)}

    def time_set(self, element: Element) -> frozenset[str]:
        """The times that <TimeGroups> and <Times> of an element name together."""
        times = [self.known("Time", each) for each in element.all("Times", "Time")]
        for each in element.all("TimeGroups", "TimeGroup"):
            times += self.all_of("Time", each)
        return frozenset(times)

    def resource_set(self, element: Element) -> frozenset[str]:
        """The resources that <ResourceGroups> and <Resources> of an element name together."""
        resources = [self.known("Resource", each) for each in element.all("Resources", "Resource")]
        for each in element.all("ResourceGroups", "ResourceGroup"):
            resources += self.all_of("Resource", each)
        return frozenset(resources)

    def time_group(self, reference: Element) -> TimeGroup:
        """The time group that an element names."""
        self.group("Time", reference)
        return self.time_groups[reference.attributes["Reference"]]

    def spread(self, element: Element) -> tuple[TimeGroup, int, int]:
        """The group, minimum and maximum of a <TimeGroup> of Spread Events."""
        element.only("Minimum", "Maximum")
        return self.time_group(element), *_limits(element, "Minimum", "Maximum")

    def type(self, reference: Element) -> str:
        identifier = reference.attribute("Reference")
        if identifier not in self.types:
            raise reference.error(f"there is no resource type {identifier!r}; correct the reference")
        return identifier

    def declared(self, kind: str, blocks: Iterable[Element], tags: tuple[str, ...]) -> list[Element]:
        """The groups of one kind, which members may join from now on; times join in chronological order."""
        found = []
        for block in blocks:
            block.only(*tags)
            for element in block.children:
                element.only("Name", *(["ResourceType"] if kind == "Resource" else []))
                identifier = element.attribute("Id")
                if identifier in self.groups[kind]:
                    raise element.error(f"{kind.lower()} group {identifier!r} is there twice; rename one")
                self.groups[kind][identifier] = []
                found.append(element)
        return found

    def member(self, kind: str, element: Element) -> str:
        identifier = element.attribute("Id")
        if identifier in self.members[kind]:
            raise element.error(f"{kind.lower()} {identifier!r} is there twice; rename one")
        self.members[kind][identifier] = len(self.members[kind])
        return identifier

    def join(self, kind: str, element: Element, references: Iterable[Element]) -> None:
        identifier = element.attributes["Id"]
        for reference in references:
            group = self.group(kind, reference)
            # It may name one group in two ways.
            if group[-1:] != [identifier]:
                group.append(identifier)

    def group(self, kind: str, reference: Element) -> list[str]:
        identifier = reference.attribute("Reference")
        if identifier not in self.groups[kind]:
            raise reference.error(f"there is no {kind.lower()} group {identifier!r}; correct the reference")
        return self.groups[kind][identifier]

    def all_of(self, kind: str, reference: Element) -> list[str]:
        """As `group`, to be copied."""
        members = self.group(kind, reference)
        self.expanded += len(members)
        if self.expanded > MOST_MEMBERS:
            raise reference.error(f"groups stand for more than {MOST_MEMBERS} members; split the archive")
        return members

    def known(self, kind: str, reference: Element) -> str:
        identifier = reference.attribute("Reference")
        if identifier not in self.members[kind]:
            raise reference.error(f"there is no {kind.lower()} {identifier!r}; correct the reference")
        return identifier


def _choice(element: Element, tag: str, *choices: str) -> str:
    """The text of the child of that name, one of `choices`."""
    child = element.need(tag)
    if child.text not in choices:
        raise child.error(f"<{tag}> is {child.text[:40]!r}; write one of {', '.join(choices)}")
    return child.text


def _limits(element: Element, low: str, high: str) -> tuple[int, int]:
    """The numbers of two children, the first at most the second."""
    minimum, maximum = element.number(low), element.number(high)
    if minimum > maximum:
        raise element.error(f"<{low}> {minimum} is more than <{high}> {maximum}; correct one")
    return minimum, maximum

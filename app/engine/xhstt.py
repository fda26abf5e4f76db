"""Reading and writing XHSTT archives: instances in, solutions out and in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from app.engine import instance as model
from app.engine.document import Element, XhsttError, parse
from app.engine.instance import Constraint, Event, Instance, Resource, ResourceType, Time, TimeGroup
from app.engine.timetable import Lesson, Timetable

__all__ = ["XhsttError", "read_instances", "read_solution", "write_solution"]


def read_instances(data: bytes, source: str) -> tuple[Instance, ...]:
    """The instances of an archive, at least one.

    Raises:
        XhsttError: the file is not such an archive, contradicts itself, or asks for something that is not supported.
    """
    root = parse(data, source)
    if root.tag != "HighSchoolTimetableArchive":
        raise root.error(f"<{root.tag}> is not an XHSTT file; its first element is <HighSchoolTimetableArchive>")
    instances = tuple(Reader(element).instance() for element in root.all("Instances", "Instance"))
    if not instances:
        raise root.error("the archive has no <Instance>")
    return instances


# The supported constraints, and what each applies to.
APPLIES_TO = {
    "AssignTimeConstraint": "Event",
    "SplitEventsConstraint": "Event",
    "DistributeSplitEventsConstraint": "Event",
    "PreferTimesConstraint": "Event",
    "SpreadEventsConstraint": "EventGroup",
    "AvoidClashesConstraint": "Resource",
    "AvoidUnavailableTimesConstraint": "Resource",
    "LimitIdleTimesConstraint": "Resource",
    "ClusterBusyTimesConstraint": "Resource",
    "LimitBusyTimesConstraint": "Resource",
}


def limits(element: Element) -> dict[str, Any]:
    """<Minimum> and <Maximum>, as the fields of the same names."""
    return {"minimum": element.number("Minimum"), "maximum": element.number("Maximum")}


class Reader:
    """One <Instance>: the ids that are known so far, and the members of each group."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.groups: dict[str, dict[str, list[str]]] = {"Time": {}, "Resource": {}, "Event": {}}
        self.members: dict[str, list[str]] = {"Time": [], "Resource": [], "Event": []}
        self.courses: dict[str, list[str]] = {}

    def instance(self) -> Instance:
        """The whole instance."""
        metadata = self.element.need("MetaData")
        times, time_groups = self.times(self.element.need("Times"))
        resource_types, resources = self.resources(self.element.need("Resources"))
        events = self.events(self.element.need("Events"))
        return Instance(
            id=self.element.attribute("Id"),
            name=metadata.string("Name"),
            times=times,
            time_groups=time_groups,
            resource_types=resource_types,
            resources=resources,
            events=events,
            constraints=tuple(self.constraint(each) for each in self.element.need("Constraints").children),
        )

    def times(self, element: Element) -> tuple[tuple[Time, ...], tuple[TimeGroup, ...]]:
        declared = [each for block in element.all("TimeGroups") for each in block.children]
        for group in declared:
            self.declare(self.groups["Time"], group)
        times = []
        for each in element.all("Time"):
            times.append(Time(self.member("Time", each), each.string("Name")))
            for tag in ("Day", "Week"):
                self.join("Time", each, each.all(tag))
            self.join("Time", each, each.all("TimeGroups", "TimeGroup"))
        members = self.groups["Time"]
        return tuple(times), tuple(
            TimeGroup(each.attributes["Id"], each.string("Name"), each.tag, tuple(members[each.attributes["Id"]]))
            for each in declared
        )

    def resources(self, element: Element) -> tuple[tuple[ResourceType, ...], tuple[Resource, ...]]:
        declared = element.all("ResourceTypes", "ResourceType")
        types = {each.attribute("Id"): ResourceType(each.attribute("Id"), each.string("Name")) for each in declared}
        for group in element.all("ResourceGroups", "ResourceGroup"):
            self.declare(self.groups["Resource"], group)
        resources = []
        for each in element.all("Resource"):
            kind = each.need("ResourceType")
            if kind.attribute("Reference") not in types:
                raise kind.error(f"there is no resource type {kind.attribute('Reference')!r}")
            resources.append(Resource(self.member("Resource", each), each.string("Name"), kind.attribute("Reference")))
            self.join("Resource", each, each.all("ResourceGroups", "ResourceGroup"))
        return tuple(types.values()), tuple(resources)

    def events(self, element: Element) -> tuple[Event, ...]:
        for block in element.all("EventGroups"):
            for group in block.children:
                self.declare(self.groups["Event"], group)
        return tuple(self.event(each) for each in element.all("Event"))

    def event(self, element: Element) -> Event:
        identifier = self.member("Event", element)
        duration = element.number("Duration")
        if not 0 < duration <= len(self.members["Time"]):
            raise element.error(f"event {identifier!r} takes {duration} times of a week of {len(self.members['Time'])}")
        resources = []
        for each in element.all("Resources", "Resource"):
            if "Reference" not in each.attributes:
                raise each.error(
                    f"event {identifier!r} leaves a resource open; name one: choosing it is not supported yet"
                )
            resources.append(self.known("Resource", each))
        time = element.find("Time")
        self.join("Event", element, element.all("Course"))
        self.join("Event", element, element.all("EventGroups", "EventGroup"))
        start = self.known("Time", time) if time else None
        return Event(identifier, element.string("Name"), duration, tuple(resources), start)

    def constraint(self, element: Element) -> Constraint:
        if element.tag not in APPLIES_TO:
            raise element.error(f"{element.tag} is not supported yet; supported are {', '.join(APPLIES_TO)}")
        required, function = element.need("Required"), element.need("CostFunction")
        if required.text.strip() not in ("true", "false"):
            raise required.error(f"<Required> is {required.text.strip()!r}; it must be true or false")
        if function.text.strip() not in ("Linear", "Quadratic", "Step"):
            raise function.error(f"cost function {function.text.strip()!r}; known are Linear, Quadratic and Step")
        common = Constraint(
            id=element.attribute("Id"),
            name=element.string("Name"),
            required=required.text.strip() == "true",
            weight=element.number("Weight"),
            cost_function=function.text.strip(),
            points=self.points(element.need("AppliesTo"), APPLIES_TO[element.tag]),
        )
        return self.specific(element, vars(common))

    def specific(self, element: Element, common: dict[str, Any]) -> Constraint:
        """The constraint with what only its own type has."""
        number = element.number
        match element.tag:
            case "AssignTimeConstraint":
                return model.AssignTime(**common)
            case "SplitEventsConstraint":
                return model.SplitEvents(
                    **common,
                    minimum_duration=number("MinimumDuration"),
                    maximum_duration=number("MaximumDuration"),
                    minimum_amount=number("MinimumAmount"),
                    maximum_amount=number("MaximumAmount"),
                )
            case "DistributeSplitEventsConstraint":
                return model.DistributeSplitEvents(**common, **limits(element), duration=number("Duration"))
            case "PreferTimesConstraint":
                duration = number("Duration") if element.find("Duration") else None
                return model.PreferTimes(**common, times=self.time_set(element), duration=duration)
            case "SpreadEventsConstraint":
                return model.SpreadEvents(**common, limits=self.spread(element))
            case "AvoidClashesConstraint":
                return model.AvoidClashes(**common)
            case "AvoidUnavailableTimesConstraint":
                return model.AvoidUnavailableTimes(**common, times=self.time_set(element))
            case tag:
                kind = {
                    "LimitIdleTimesConstraint": model.LimitIdleTimes,
                    "ClusterBusyTimesConstraint": model.ClusterBusyTimes,
                    "LimitBusyTimesConstraint": model.LimitBusyTimes,
                }[tag]
                return kind(**common, **limits(element), groups=self.time_groups(element))

    def points(self, element: Element, kind: str) -> tuple[tuple[str, ...], ...]:
        """Ids of single members, or of all members of a group at once for a constraint on event groups."""
        collected = kind == "EventGroup"
        kind = kind.removesuffix("Group")
        points: list[tuple[str, ...]] = []
        for each in element.all(f"{kind}Groups", f"{kind}Group"):
            members = self.group(kind, each)
            points += [tuple(members)] if collected else [(member,) for member in members]
        if not collected:
            points += [(self.known(kind, each),) for each in element.all(f"{kind}s", kind)]
        return tuple(dict.fromkeys(points))

    def time_set(self, element: Element) -> frozenset[str]:
        """The times that <TimeGroups> and <Times> of an element name together."""
        times = [self.known("Time", each) for each in element.all("Times", "Time")]
        for each in element.all("TimeGroups", "TimeGroup"):
            times += self.group("Time", each)
        return frozenset(times)

    def time_groups(self, element: Element) -> tuple[tuple[str, ...], ...]:
        """The times of each group that <TimeGroups> of an element names, in chronological order."""
        order = {time: index for index, time in enumerate(self.members["Time"])}
        groups = [self.group("Time", each) for each in element.all("TimeGroups", "TimeGroup")]
        return tuple(tuple(sorted(group, key=order.__getitem__)) for group in groups)

    def spread(self, element: Element) -> tuple[tuple[frozenset[str], int, int], ...]:
        """The times, minimum and maximum of each group that <TimeGroups> of an element names."""
        return tuple(
            (frozenset(self.group("Time", each)), each.number("Minimum"), each.number("Maximum"))
            for each in element.all("TimeGroups", "TimeGroup")
        )

    def declare(self, groups: dict[str, list[str]], element: Element) -> None:
        identifier = element.attribute("Id")
        if identifier in groups:
            raise element.error(f"{element.tag} {identifier!r} is there twice")
        groups[identifier] = []

    def member(self, kind: str, element: Element) -> str:
        identifier = element.attribute("Id")
        if identifier in self.members[kind]:
            raise element.error(f"{kind} {identifier!r} is there twice")
        self.members[kind].append(identifier)
        return identifier

    def join(self, kind: str, element: Element, references: Iterable[Element]) -> None:
        for reference in references:
            self.group(kind, reference).append(element.attributes["Id"])

    def group(self, kind: str, reference: Element) -> list[str]:
        identifier = reference.attribute("Reference")
        if identifier not in self.groups[kind]:
            raise reference.error(f"there is no {kind.lower()} group {identifier!r}")
        return self.groups[kind][identifier]

    def known(self, kind: str, reference: Element) -> str:
        identifier = reference.attribute("Reference")
        if identifier not in self.members[kind]:
            raise reference.error(f"there is no {kind.lower()} {identifier!r}")
        return identifier


def write_solution(data: bytes, source: str, timetable: Timetable, contributor: str, date: str) -> bytes:
    """The archive `data` of one instance with `timetable` as its only solution, byte for byte the same otherwise."""
    instance = read_instances(data, source)[0]
    text = data.decode("utf-8-sig")
    # Solutions of others do not belong to the result; everything up to them is the instance.
    head = text[: text.index("</Instances>")] + "</Instances>\n"
    lines = ["<SolutionGroups>", '<SolutionGroup Id="SchoolScheduler">', "<MetaData>"]
    lines += [f"<Contributor>{escape(contributor)}</Contributor>", f"<Date>{escape(date)}</Date>"]
    lines += ["<Description>Made by School Scheduler</Description>", "</MetaData>"]
    lines += [f"<Solution Reference={quoteattr(instance.id)}>", "<Events>"]
    for lesson in sorted(timetable.lessons):
        lines.append(
            f"<Event Reference={quoteattr(lesson.event)}><Duration>{lesson.duration}</Duration>"
            f"<Time Reference={quoteattr(lesson.time)}/></Event>"
        )
    lines += ["</Events>", "</Solution>", "</SolutionGroup>", "</SolutionGroups>", "</HighSchoolTimetableArchive>", ""]
    return (head + "\n".join(lines)).encode()


def read_solution(data: bytes, source: str) -> Timetable:
    """The first solution of an archive."""
    solution = next(parse(data, source).all("SolutionGroups", "SolutionGroup", "Solution"), None)
    if solution is None:
        raise XhsttError(f"{source}:1: the archive has no <Solution>")
    return Timetable(
        tuple(
            Lesson(each.attribute("Reference"), each.need("Time").attribute("Reference"), each.number("Duration"))
            for each in solution.all("Events", "Event")
        )
    )

"""Reading and writing XHSTT archives: instances in, solutions out and in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from app.engine import instance as model
from app.engine.cost import misfit
from app.engine.document import Element, XhsttError, parse
from app.engine.instance import Constraint, Event, Instance, Resource, ResourceType, Time, TimeGroup
from app.engine.timetable import Lesson, Timetable

__all__ = ["XhsttError", "read_instances", "read_solutions", "write_solution"]

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


def read_instances(data: bytes, source: str) -> tuple[Instance, ...]:
    """The instances of an archive, at least one.

    Raises:
        XhsttError: the file is not such an archive, contradicts itself, or asks for something that is not supported.
    """
    return tuple(Reader(element).instance() for element in _instances(parse(data, source)))


def read_solutions(data: bytes, source: str) -> tuple[Timetable, ...]:
    """The solutions of an archive's first instance, in the order of the file.

    Raises:
        XhsttError: as `read_instances`, or a solution does not fit the instance.
    """
    root = parse(data, source)
    instance = Reader(_instances(root)[0]).instance()
    solutions = root.all("SolutionGroups", "SolutionGroup", "Solution")
    return tuple(_timetable(each, instance) for each in solutions if each.attribute("Reference") == instance.id)


def write_solution(data: bytes, source: str, timetable: Timetable, contributor: str, date: str) -> bytes:
    """The archive `data` with `timetable`, of its first instance, as its only solution; the instances stay as is."""
    root = parse(data, source)
    instance = _instances(root)[0]
    head = data[: root.need("Instances").end] + b"</Instances>\n"
    lines = ["<SolutionGroups>", '<SolutionGroup Id="SchoolScheduler">', "<MetaData>"]
    lines += [f"<Contributor>{escape(contributor)}</Contributor>", f"<Date>{escape(date)}</Date>"]
    lines += ["<Description>Made by School Scheduler</Description>", "</MetaData>"]
    lines += [f"<Solution Reference={quoteattr(instance.attribute('Id'))}>", "<Events>"]
    for lesson in sorted(timetable.lessons):
        lines.append(
            f"<Event Reference={quoteattr(lesson.event)}><Duration>{lesson.duration}</Duration>"
            f"<Time Reference={quoteattr(lesson.time)}/></Event>"
        )
    lines += ["</Events>", "</Solution>", "</SolutionGroup>", "</SolutionGroups>", "</HighSchoolTimetableArchive>", ""]
    return head + "\n".join(lines).encode()


def _instances(root: Element) -> list[Element]:
    if root.tag != "HighSchoolTimetableArchive":
        raise root.error(f"<{root.tag}> is not an XHSTT archive; give a file that is a <HighSchoolTimetableArchive>")
    instances = list(root.all("Instances", "Instance"))
    if not instances:
        raise root.error("the archive has no <Instance>; add one")
    return instances


def _timetable(solution: Element, instance: Instance) -> Timetable:
    lessons = []
    for each in solution.all("Events", "Event"):
        event = instance.event.get(each.attribute("Reference"))
        if event is None:
            raise each.error(f"there is no event {each.attribute('Reference')!r}; correct the reference")
        given = each.find("Time")
        time = given.attribute("Reference") if given else event.time
        if time not in instance.time_index and time is not None:
            raise each.error(f"there is no time {time!r}; correct the reference")
        duration = each.number("Duration") if each.find("Duration") else event.duration
        # What has no time is no lesson yet.
        if time is not None:
            lessons.append(Lesson(event.id, time, duration))
    timetable = Timetable(tuple(lessons))
    if problem := misfit(instance, timetable):
        raise solution.error(f"{problem}; correct the solution")
    return timetable


def _limits(element: Element) -> dict[str, Any]:
    """<Minimum> and <Maximum>, as the fields of the same names."""
    minimum, maximum = element.number("Minimum"), element.number("Maximum")
    if minimum > maximum:
        raise element.error(f"<Minimum> {minimum} is more than <Maximum> {maximum}; correct one")
    return {"minimum": minimum, "maximum": maximum}


def _choice(element: Element, tag: str, *choices: str) -> str:
    """The text of the child of that name, one of `choices`."""
    child = element.need(tag)
    if child.text not in choices:
        raise child.error(f"<{tag}> is {child.text[:40]!r}; write one of {', '.join(choices)}")
    return child.text


class Reader:
    """One <Instance>: the ids that are known so far with their positions, and the members of each group."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.groups: dict[str, dict[str, list[str]]] = {"Time": {}, "Resource": {}, "Event": {}}
        self.members: dict[str, dict[str, int]] = {"Time": {}, "Resource": {}, "Event": {}, "Constraint": {}}

    def instance(self) -> Instance:
        """The whole instance."""
        times, time_groups = self.times(self.element.need("Times"))
        resource_types, resources = self.resources(self.element.need("Resources"))
        events = self.events(self.element.need("Events"))
        return Instance(
            id=self.element.attribute("Id"),
            name=self.element.need("MetaData").string("Name"),
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
            self.declare("Time", group)
        times = []
        for each in element.all("Time"):
            times.append(Time(self.member("Time", each), each.string("Name")))
            for path in (("Day",), ("Week",), ("TimeGroups", "TimeGroup")):
                self.join("Time", each, each.all(*path))
        if not times:
            raise element.error("the week has no <Time>; add its periods")
        members = self.groups["Time"]
        return tuple(times), tuple(
            TimeGroup(each.attributes["Id"], each.string("Name"), each.tag, tuple(members[each.attributes["Id"]]))
            for each in declared
        )

    def resources(self, element: Element) -> tuple[tuple[ResourceType, ...], tuple[Resource, ...]]:
        types: dict[str, ResourceType] = {}
        for each in element.all("ResourceTypes", "ResourceType"):
            if each.attribute("Id") in types:
                raise each.error(f"resource type {each.attribute('Id')!r} is there twice; rename one")
            types[each.attribute("Id")] = ResourceType(each.attribute("Id"), each.string("Name"))
        for group in element.all("ResourceGroups", "ResourceGroup"):
            self.declare("Resource", group)
        resources = []
        for each in element.all("Resource"):
            kind = each.need("ResourceType")
            if kind.attribute("Reference") not in types:
                raise kind.error(f"there is no resource type {kind.attribute('Reference')!r}; correct the reference")
            resources.append(Resource(self.member("Resource", each), each.string("Name"), kind.attribute("Reference")))
            self.join("Resource", each, each.all("ResourceGroups", "ResourceGroup"))
        return tuple(types.values()), tuple(resources)

    def events(self, element: Element) -> tuple[Event, ...]:
        for block in element.all("EventGroups"):
            for group in block.children:
                self.declare("Event", group)
        return tuple(self.event(each) for each in element.all("Event"))

    def event(self, element: Element) -> Event:
        identifier = self.member("Event", element)
        resources = []
        for each in element.all("Resources", "Resource"):
            if "Reference" not in each.attributes:
                raise each.error(f"event {identifier!r} leaves a resource open; name it: choosing is not supported yet")
            resources.append(self.known("Resource", each))
        # The format has Course as another form of EventGroup.
        self.join("Event", element, [*element.all("Course"), *element.all("EventGroups", "EventGroup")])
        duration, time = element.number("Duration"), element.find("Time")
        start = self.known("Time", time) if time else None
        left = len(self.members["Time"]) - (self.members["Time"][start] if start else 0)
        if not 0 < duration <= left:
            raise element.error(f"event {identifier!r} takes {duration} times; there has to be room for 1 to {left}")
        return Event(identifier, element.string("Name"), duration, tuple(resources), start)

    def constraint(self, element: Element) -> Constraint:
        if element.tag not in APPLIES_TO:
            raise element.error(f"{element.tag} is not supported yet; remove it, or use {', '.join(APPLIES_TO)}")
        common = Constraint(
            id=self.member("Constraint", element),
            name=element.string("Name"),
            required=_choice(element, "Required", "true", "false") == "true",
            weight=element.number("Weight"),
            cost_function=_choice(element, "CostFunction", "Linear", "Quadratic", "Step"),
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
                return model.DistributeSplitEvents(**common, **_limits(element), duration=number("Duration"))
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
                return kind(**common, **_limits(element), groups=self.time_groups(element))

    def points(self, element: Element, kind: str) -> tuple[tuple[str, ...], ...]:
        """Ids of single members, or of all members of a group at once for a constraint on event groups."""
        single = kind.removesuffix("Group")
        allowed = {f"{single}Groups", f"{kind}s"}
        for child in element.children:
            if child.tag not in allowed:
                raise child.error(f"the constraint does not apply to <{child.tag}>; use {' or '.join(sorted(allowed))}")
        groups = [self.group(single, each) for each in element.all(f"{single}Groups", f"{single}Group")]
        if kind == "EventGroup":
            return tuple(tuple(members) for members in groups)
        members = [member for group in groups for member in group]
        members += [self.known(kind, each) for each in element.all(f"{kind}s", kind)]
        return tuple((member,) for member in dict.fromkeys(members))

    def time_set(self, element: Element) -> frozenset[str]:
        """The times that <TimeGroups> and <Times> of an element name together."""
        times = [self.known("Time", each) for each in element.all("Times", "Time")]
        for each in element.all("TimeGroups", "TimeGroup"):
            times += self.group("Time", each)
        return frozenset(times)

    def time_groups(self, element: Element) -> tuple[tuple[str, ...], ...]:
        """The times of each group that <TimeGroups> of an element names, in chronological order."""
        groups = [self.group("Time", each) for each in element.all("TimeGroups", "TimeGroup")]
        # A group without times is never busy and has no idle times.
        return tuple(tuple(group) for group in groups if group)

    def spread(self, element: Element) -> tuple[tuple[frozenset[str], int, int], ...]:
        """The times, minimum and maximum of each group that <TimeGroups> of an element names."""
        return tuple(
            (frozenset(self.group("Time", each)), each.number("Minimum"), each.number("Maximum"))
            for each in element.all("TimeGroups", "TimeGroup")
        )

    def declare(self, kind: str, element: Element) -> None:
        """A group that members may join; times join in chronological order."""
        identifier = element.attribute("Id")
        if identifier in self.groups[kind]:
            raise element.error(f"{kind.lower()} group {identifier!r} is there twice; rename one")
        self.groups[kind][identifier] = []

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

    def known(self, kind: str, reference: Element) -> str:
        identifier = reference.attribute("Reference")
        if identifier not in self.members[kind]:
            raise reference.error(f"there is no {kind.lower()} {identifier!r}; correct the reference")
        return identifier

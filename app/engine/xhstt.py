"""Reading and writing XHSTT archives: instances in, solutions out and in."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from app.engine.cost import misfit
from app.engine.document import Element, XhsttError, parse
from app.engine.instance import Event, Instance
from app.engine.reader import Reader
from app.engine.timetable import Lesson, Timetable, Unplaced

__all__ = ["XhsttError", "read_instances", "read_solutions", "write_solution"]


def read_instances(data: bytes, source: str) -> tuple[Instance, ...]:
    """The instances of an archive, at least one.

    Raises:
        XhsttError: the file is not such an archive, contradicts itself, or has something that is not understood.
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
    lines += [*map(_written, sorted(timetable.lessons)), *map(_written, sorted(timetable.unplaced))]
    lines += ["</Events>", "</Solution>", "</SolutionGroup>", "</SolutionGroups>", "</HighSchoolTimetableArchive>", ""]
    return head + "\n".join(lines).encode()


def _written(part: Lesson | Unplaced) -> str:
    text = f"<Event Reference={quoteattr(part.event)}><Duration>{part.duration}</Duration>"
    if isinstance(part, Lesson):
        text += f"<Time Reference={quoteattr(part.time)}/>"
    if part.assigned:
        resources = (
            f"<Resource Reference={quoteattr(resource)}><Role>{escape(role)}</Role></Resource>"
            for role, resource in part.assigned
        )
        text += f"<Resources>{''.join(resources)}</Resources>"
    return text + "</Event>"


def _instances(root: Element) -> list[Element]:
    if root.tag != "HighSchoolTimetableArchive":
        raise root.error(f"<{root.tag}> is not an XHSTT archive; give a file that is a <HighSchoolTimetableArchive>")
    root.only("MetaData", "Instances", "SolutionGroups")
    instances = list(root.all("Instances", "Instance"))
    if not instances:
        raise root.error("the archive has no <Instance>; add one")
    return instances


def _timetable(solution: Element, instance: Instance) -> Timetable:
    # The report is what its author believes to be the cost; here it is worked out anew.
    solution.only("Description", "Remarks", "RunningTime", "Events", "Report")
    parts = [_part(each, instance) for each in solution.all("Events", "Event")]
    lessons = [part for part in parts if isinstance(part, Lesson)]
    unplaced = [part for part in parts if isinstance(part, Unplaced)]
    # What a solution leaves out of an event whose time is given is at that time.
    for event in instance.events:
        if event.time is not None:
            left = event.duration - sum(part.duration for part in parts if part.event == event.id)
            lessons += [Lesson(event.id, event.time, left)] if left > 0 else []
    timetable = Timetable(tuple(lessons), tuple(unplaced))
    if problem := misfit(instance, timetable):
        raise solution.error(f"{problem}; correct the solution")
    return timetable


def _part(element: Element, instance: Instance) -> Lesson | Unplaced:
    element.only("Duration", "Time", "Resources")
    event = instance.event.get(element.attribute("Reference"))
    if event is None:
        raise element.error(f"there is no event {element.attribute('Reference')!r}; correct the reference")
    given = element.find("Time")
    time = given.attribute("Reference") if given else event.time
    if time not in instance.time_index and time is not None:
        raise element.error(f"there is no time {time!r}; correct the reference")
    assigned = tuple(sorted(_assigned(element, event)))
    duration = element.number("Duration", event.duration)
    return Unplaced(event.id, duration, assigned) if time is None else Lesson(event.id, time, duration, assigned)


def _assigned(element: Element, event: Event) -> Iterator[tuple[str, str]]:
    """(role, resource) of what a solution event fills; a place that the instance has filled is only compared."""
    for each in element.all("Resources", "Resource"):
        each.only("Role")
        role, resource = each.string("Role"), each.attribute("Reference")
        place = next((place for place in event.places if place.role == role), None)
        if place is None:
            raise each.error(f"event {event.id!r} has no role {role!r}; correct it")
        if place.resource is None:
            yield role, resource
        elif place.resource != resource:
            raise each.error(
                f"role {role!r} of event {event.id!r} is taken by {place.resource!r}; correct the reference"
            )

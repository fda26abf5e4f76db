"""A timetable as people read it: one week of one resource, days side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.engine.instance import Event, Instance, Resource, TimeGroup
from app.engine.timetable import Timetable


@dataclass(frozen=True)
class Cell:
    """One lesson at one time; `others` attend it beside the one whose week it is, `first` is where it starts."""

    event: Event
    others: tuple[Resource, ...]
    first: bool


Row = tuple[tuple[Cell, ...], ...]


def days(instance: Instance) -> tuple[TimeGroup, ...]:
    """The days of the week; an instance without any is one day that has all times."""
    found = tuple(group for group in instance.time_groups if group.kind == "Day" and group.times)
    return found or (TimeGroup("week", "", "Day", tuple(time.id for time in instance.times)),)


def grid(instance: Instance, timetable: Timetable, resource: str) -> tuple[Row, ...]:
    """The week of `resource`: a row for each position within a day, in it the cells of each day, several in a clash.

    A lesson of duration 2 is in two successive rows; a day that is shorter than the longest has no cells at its end.
    """
    cells: dict[str, list[Cell]] = {time.id: [] for time in instance.times}
    for time, cell in _attended(instance, timetable, resource):
        cells[time].append(cell)
    columns = [day.times for day in days(instance)]
    longest = max(len(times) for times in columns)
    return tuple(
        tuple(tuple(cells[times[position]]) if position < len(times) else () for times in columns)
        for position in range(longest)
    )


def _attended(instance: Instance, timetable: Timetable, resource: str) -> Iterator[tuple[str, Cell]]:
    """(time, cell) of each time of each lesson that the resource attends."""
    for lesson in sorted(timetable.lessons):
        event = instance.event[lesson.event]
        attending = (*event.resources, *(each for _, each in lesson.assigned))
        if resource in attending:
            others = tuple(instance.resource[each] for each in attending if each != resource)
            start = instance.time_index[lesson.time]
            for offset in range(lesson.duration):
                yield instance.times[start + offset].id, Cell(event, others, offset == 0)

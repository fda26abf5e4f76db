"""A timetable: which lessons are held when, and by whom where the instance leaves that open."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Lesson:
    """Part of an event (XHSTT: solution event) that takes `duration` successive times from `time` on.

    `assigned` has (role, resource) of the places that it fills, sorted; roles that it leaves out stay empty.
    """

    event: str
    time: str
    duration: int
    assigned: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, order=True)
class Unplaced:
    """Part of an event that has no time, but may have somebody to hold it."""

    event: str
    duration: int
    assigned: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Timetable:
    """Lessons in any order; the duration that an event lacks in both lists is one more part without a time."""

    lessons: tuple[Lesson, ...]
    unplaced: tuple[Unplaced, ...] = ()

    @property
    def parts(self) -> list[Lesson | Unplaced]:
        """All that the timetable has, with and without a time."""
        return [*self.lessons, *self.unplaced]

    def to_json(self) -> str:
        """A compact JSON array, sorted, so that equal timetables give equal texts.

        An entry is [event, time, duration], or null for the time of an unplaced part, and where it fills places one
        more element, [[role, resource], ...].
        """
        entries: list[list[object]] = []
        for each in sorted(self.lessons):
            entries.append([each.event, each.time, each.duration, *([each.assigned] if each.assigned else [])])
        for part in sorted(self.unplaced):
            entries.append([part.event, None, part.duration, *([part.assigned] if part.assigned else [])])
        return json.dumps(entries, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Timetable:
        """The inverse of `to_json`."""
        lessons, unplaced = [], []
        for event, time, duration, *rest in json.loads(text):
            assigned = tuple((role, resource) for role, resource in rest[0]) if rest else ()
            if time is None:
                unplaced.append(Unplaced(event, duration, assigned))
            else:
                lessons.append(Lesson(event, time, duration, assigned))
        return cls(tuple(lessons), tuple(unplaced))

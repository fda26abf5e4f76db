"""A timetable: which lessons are held when."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Lesson:
    """Part of an event (XHSTT: solution event) that takes `duration` successive times from `time` on."""

    event: str
    time: str
    duration: int


@dataclass(frozen=True)
class Timetable:
    """Lessons in any order; the duration that an event lacks in them has no time."""

    lessons: tuple[Lesson, ...]

    def to_json(self) -> str:
        """A compact JSON array of [event, time, duration], sorted, so that equal timetables give equal texts."""
        lessons = sorted(self.lessons)
        return json.dumps([[each.event, each.time, each.duration] for each in lessons], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Timetable:
        """The inverse of `to_json`."""
        return cls(tuple(Lesson(*each) for each in json.loads(text)))

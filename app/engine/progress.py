"""Where a search stands, as its workers tell one another and whoever waits for it; it needs no solver."""

from __future__ import annotations

from dataclasses import dataclass

from app.engine.timetable import Timetable


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        elapsed: seconds since it began.
        hard, soft: the cost of the best timetable so far.
        bound: no timetable without hard cost has a soft cost below this; equal to `soft` when the best is proved.
        neighbourhood: what kind of step found it.
        rank: what the search makes less.
        timetable: the best timetable so far.
    """

    elapsed: float
    hard: int
    soft: int
    bound: int
    neighbourhood: str
    rank: tuple[int, int]
    timetable: Timetable

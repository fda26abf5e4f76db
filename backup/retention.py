"""Which backups are kept: grandfathers, fathers and sons, by the moments that are in their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

# Of a moment, the period that it lies in; weeks as in ISO 8601.
PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "h": lambda moment: (*moment.timetuple()[:4],),
    "d": lambda moment: (*moment.timetuple()[:3],),
    "w": lambda moment: (*moment.isocalendar()[:2],),
    "m": lambda moment: (moment.year, moment.month),
    "y": lambda moment: (moment.year,),
}


@dataclass(frozen=True)
class Retention:
    """How many periods of each length keep their newest backup, such as (("d", 7), ("w", 4), ("m", 12))."""

    counts: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, text: str) -> Retention:
        """From its written form, `7d 4w 12m`.

        Raises:
            ValueError: it is no such text; what it says is for people.
        """
        matches = [re.fullmatch(r"([1-9]\d{0,3})([hdwmy])", word) for word in text.split()]
        counts = tuple((match[2], int(match[1])) for match in matches if match)
        if not counts or len(counts) < len(matches) or len(dict(counts)) < len(counts):
            raise ValueError(
                f"retention {text!r} is not like '7d 4w 12m': numbers of hours (h), days, weeks, months, years"
            )
        return cls(counts)


def kept(moments: Collection[datetime], retention: Retention) -> set[datetime]:
    """Those of `moments` (UTC) that are kept; all of the newest one's last 24 hours are, itself included.

    Of each length, the newest periods that have a backup keep the last one in them. A period without any does not
    count, so that a pause makes nothing older than it superfluous. restic's `forget --keep-daily` counts in this way.
    """
    keep = {moment for moment in moments if moment > max(moments) - timedelta(days=1)}
    for unit, count in retention.counts:
        newest = {PERIODS[unit](moment): moment for moment in sorted(moments)}
        keep |= {newest[period] for period in sorted(newest)[-count:]}
    return keep

"""A week as a calendar that other programs subscribe to (iCalendar, RFC 5545)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from app.school.edit import folded
from app.school.model import Plan, School
from app.school.view import Weeks

# How the names of Monday to Sunday begin, in Portuguese and English.
NAMES = (("seg", "mon"), ("ter", "tue"), ("qua", "wed"), ("qui", "thu"), ("sex", "fri"), ("sab", "sat"), ("dom", "sun"))


def calendar(school: School, plan: Plan, resource: str, since: datetime, host: str) -> bytes:
    """The lessons of one, every week from `since` (UTC) on. Times have no zone: the school's clock shows them."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//School Scheduler//EN", "CALSCALE:GREGORIAN"]
    lines += [f"X-WR-CALNAME:{_text(school.names[resource])}", "REFRESH-INTERVAL;VALUE=DURATION:PT6H"]
    monday = since.date() - timedelta(days=since.weekday())
    periods = {period.id: period for period in school.week.periods}
    weeks = Weeks(school, plan)
    for row in weeks.of(resource):
        for index, (day, cell) in enumerate(zip(school.week.days, row.cells, strict=True)):
            for entry in cell.entries:
                if entry.first:
                    last = school.week.following[cell.time] if entry.placement.duration == 2 else cell.time
                    ends = periods[last.removeprefix(day.id)].ends
                    when = monday + timedelta(days=_weekday(day.name, index) + 7 * (index // 7))
                    what = (entry.subject, entry.who, f"{entry.placement.id}-{resource}@{host}")
                    lines += _event(when, row.period.begins, ends, what, since, 1 + (len(school.week.days) - 1) // 7)
    return "\r\n".join(folded_line for line in [*lines, "END:VCALENDAR", ""] for folded_line in _fold(line)).encode()


def _weekday(name: str, index: int) -> int:
    found = (number for number, names in enumerate(NAMES) if folded(name).startswith(names))
    return next(found, index % 7)


def _event(
    when: date, begins: str, ends: str, what: tuple[str, tuple[str, ...], str], since: datetime, every: int
) -> Iterator[str]:
    subject, who, identifier = what
    day = when.strftime("%Y%m%d")
    yield "BEGIN:VEVENT"
    yield f"UID:{_text(identifier)}"
    yield f"DTSTAMP:{since:%Y%m%dT%H%M%SZ}"
    yield f"DTSTART:{day}T{begins.replace(':', '')}00"
    yield f"DTEND:{day}T{ends.replace(':', '')}00"
    yield f"RRULE:FREQ=WEEKLY;INTERVAL={every}"
    yield f"SUMMARY:{_text(subject)}"
    yield f"DESCRIPTION:{_text(', '.join(who))}"
    yield "END:VEVENT"


def _text(value: str) -> str:
    """RFC 5545, 3.3.11."""
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _fold(line: str) -> Iterator[str]:
    """RFC 5545, 3.1: no line is longer than 75 bytes, and none is parted within a character."""
    rest, start = "", ""
    for each in line:
        if len((start + rest + each).encode()) > 75:
            yield start + rest
            rest, start = "", " "
        rest += each
    yield start + rest

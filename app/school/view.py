"""A plan as people read it: the week of one class, teacher or room."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from app.school.model import Period, Placement, Plan, School, slot
from app.school.moves import times
from app.school.workbook import Table

# Colours that the style sheet has.
TONES = 10


@dataclass(frozen=True)
class Entry:
    """A lesson at one time; `who` else is there, `first` is where it begins, `tone` is its subject's colour."""

    placement: Placement
    subject: str
    who: tuple[str, ...]
    first: bool
    tone: int

    @property
    def text(self) -> str:
        """All in one line."""
        return ", ".join((self.subject, *self.who))


@dataclass(frozen=True)
class Cell:
    """One time of the week; nobody is taught in one that is not `open`."""

    time: str
    open: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Row:
    """One lesson's time through all days."""

    period: Period
    cells: tuple[Cell, ...]


class Weeks:
    """The weeks of everybody in a plan, each made when it is asked for."""

    def __init__(self, school: School, plan: Plan) -> None:
        self.school = school
        self.tones = {subject.id: index % TONES for index, subject in enumerate(school.subjects)}
        self.at: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for placement in plan.placements:
            for resource in school.attending(placement.lesson):
                for index, time in enumerate(times(school, placement)):
                    self.at[resource, time].append(self.entry(placement, resource, index == 0))

    def entry(self, placement: Placement, resource: str, first: bool) -> Entry:
        names = self.school.names
        own = [x for x in self.school.groups[placement.lesson] if resource in (*x.classes, *x.teachers, *x.rooms)]
        others = [one for x in own for one in (*x.classes, *x.teachers, *x.rooms) if one != resource]
        subject = " / ".join(dict.fromkeys(names[x.subject] for x in own))
        who = tuple(names[one] for one in dict.fromkeys(others))
        return Entry(placement, subject, who, first, self.tones[own[0].subject])

    def of(self, resource: str, whole: bool = False) -> tuple[Row, ...]:
        """The week of one, a row for each period, without the shifts in which one has no lesson.

        With `whole` those are there too in which one could have some.
        """
        rows = tuple(Row(period, tuple(self.cell(resource, slot(day.id, period.id)) for day in self.school.week.days))
                     for period in self.school.week.periods)  # fmt: skip
        busy = {row.period.shift for row in rows if any(cell.entries for cell in row.cells)}
        own = self.school.resources[resource].shift
        shown = [row for row in rows if row.period.shift in busy or (whole and own in ("", row.period.shift))]
        return tuple(shown) or rows

    def cell(self, resource: str, time: str) -> Cell:
        return Cell(time, time not in self.school.week.closed, tuple(self.at.get((resource, time), ())))

    def table(self, resource: str) -> Table:
        """The week as a worksheet."""
        rows = [["", *(day.name for day in self.school.week.days)]]
        for row in self.of(resource):
            period = f"{row.period.name} ({row.period.begins}–{row.period.ends})"
            rows.append([period, *(" | ".join(each.text for each in cell.entries) for cell in row.cells)])
        return Table(self.school.names[resource], rows)


def listing(school: School, plan: Plan, headings: list[str]) -> Table:
    """Every lesson of the plan in a row: day, time, class, subject, teachers, rooms."""
    rows = [headings]
    days, order = {}, {time: index for index, time in enumerate(school.week.slots)}
    for day in school.week.days:
        for period in school.week.periods:
            days[slot(day.id, period.id)] = (day.name, period.name, period.begins)
    for placement in sorted(plan.placements, key=lambda each: (order[each.time], each.lesson)):
        for lesson in school.groups[placement.lesson]:
            some = (lesson.classes, (lesson.subject,), lesson.teachers, lesson.rooms)
            names = [" + ".join(school.names[one] for one in each) for each in some]
            rows.append([*days[placement.time], str(placement.duration), *names])
    return Table("timetable", rows)

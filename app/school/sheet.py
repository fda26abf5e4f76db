"""Worksheets: what a school types into tables, cell by cell, and the same written back.

A table is known by its headings, in Portuguese or English: lessons, or availability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, cast

from pydantic import ValidationError

from app.school import edit
from app.school.merge import merged
from app.school.message import Message, SchoolError, _
from app.school.model import MOST_LABEL, Day, Kind, Lesson, Mark, Period, Resource, School, Subject
from app.school.names import joined, parted
from app.school.workbook import Table

MOST_ERRORS = 50
LESSONS: dict[str, tuple[str, ...]] = {
    "classes": ("turma", "turmas", "class", "classes"),
    "subject": ("disciplina", "materia", "componente curricular", "subject"),
    "teachers": ("professor", "professora", "professores", "docente", "teacher", "teachers"),
    "rooms": ("sala", "salas", "room", "rooms"),
    "weekly": ("aulas por semana", "aulas", "lessons a week", "lessons per week", "weekly"),
    "doubles": ("duplas", "aulas duplas", "doubles", "double lessons"),
    "parallel": ("paralela", "paralelas", "parallel"),
}
AVAILABILITY: dict[str, tuple[str, ...]] = {
    "name": ("nome", "name"),
    "day": ("dia", "day"),
    "period": ("aula", "horario", "lesson", "period"),
    "mark": ("marca", "disponibilidade", "mark", "availability"),
    "kind": ("tipo", "kind"),
}
PEOPLE: tuple[Kind, ...] = ("teachers", "classes", "rooms")
MARKS: dict[str, Mark] = {
    "nunca": "never", "never": "never", "evitar": "avoid", "avoid": "avoid", "prefere": "prefer", "prefer": "prefer",
}  # fmt: skip


class CellError(NamedTuple):
    """What is wrong, and where: such as "Aulas" and "C7"."""

    table: str
    cell: str
    message: Message


def imported(school: School, tables: list[Table]) -> tuple[School, list[CellError]]:
    """The school with what the tables have: who is new is added, and their lessons are all lessons then.

    What of it is the same stays the same, in the drafts too. The availability of whoever is named
    there is replaced. With an error the school is as it was.
    """
    errors: list[CellError] = []
    # Once for all rows at the end it is seen what the drafts keep.
    before, school = school, school.model_copy(update={"plans": ()})
    known = {id(table): _columns(table) for table in tables}
    for table in tables:
        kind, columns = known[id(table)]
        if kind is None and table.rows and any(table.rows):
            told = _("These headings are not known; the first row has to be that of the template.")
            errors.append(CellError(table.title, "A1", told))
    lessons = [(table, known[id(table)][1]) for table in tables if known[id(table)][0] is LESSONS]
    if lessons:
        school = school.model_copy(update={"lessons": ()})
        for table, columns in lessons:
            school = _import_lessons(school, table, columns, errors)
    for table in tables:
        kind, columns = known[id(table)]
        if kind is AVAILABILITY:
            school = _import_availability(school, table, columns, errors)
    return before if errors else merged(before, school), errors[:MOST_ERRORS]


def _columns(table: Table) -> tuple[dict[str, tuple[str, ...]] | None, dict[str, int]]:
    headings = [edit.folded(each) for each in table.rows[0]] if table.rows else []
    for kind, needed in ((LESSONS, ("classes", "subject", "weekly")), (AVAILABILITY, ("name", "day", "mark"))):
        columns = {
            field: index for index, heading in enumerate(headings) for field, names in kind.items() if heading in names
        }
        if set(needed) <= columns.keys():
            return kind, columns
    return None, {}


class _Row:
    """One row of a table, by field; complaints name the field's cell."""

    def __init__(self, table: Table, number: int, columns: dict[str, int], errors: list[CellError]) -> None:
        self.table, self.number, self.columns, self.errors = table, number, columns, errors

    def text(self, field: str) -> str:
        column, cells = self.columns.get(field), self.table.rows[self.number]
        return cells[column] if column is not None and column < len(cells) else ""

    def names(self, field: str) -> list[str]:
        return list(parted(self.text(field)))

    def number_in(self, field: str, default: int) -> int:
        given = self.text(field)
        if given and not (given.isascii() and given.isdigit() and len(given) <= 3):
            self.complain(field, _("“{value}” is no whole number from 0 to 999.", value=given[:40]))
            return default
        return int(given) if given else default

    def complain(self, field: str, message: Message) -> None:
        from openpyxl.utils import get_column_letter

        cell = f"{get_column_letter(self.columns.get(field, 0) + 1)}{self.number + 1}"
        self.errors.append(CellError(self.table.title, cell, message))


def _import_lessons(school: School, table: Table, columns: dict[str, int], errors: list[CellError]) -> School:
    for number in range(1, len(table.rows)):
        if not any(table.rows[number]):
            continue
        row = _Row(table, number, columns, errors)
        before = len(errors)
        found: dict[str, list[str]] = {}
        for field, kind in (
            ("classes", "classes"),
            ("subject", "subjects"),
            ("teachers", "teachers"),
            ("rooms", "rooms"),
        ):
            names = [row.text(field)] if field == "subject" and row.text(field) else row.names(field)
            school, found[field] = _members(school, cast(Kind, kind), names, row, field)
        for field, told in (("classes", _("The class is missing.")), ("subject", _("The subject is missing."))):
            if not found[field] and len(errors) == before:
                row.complain(field, told)
        if not row.text("weekly"):
            row.complain("weekly", _("How many lessons a week is missing."))
        weekly, doubles = row.number_in("weekly", 1), row.number_in("doubles", 0)
        if len(row.text("parallel")) > MOST_LABEL:
            row.complain("parallel", _("“{value}” is too long.", value=row.text("parallel")[:40]))
        if len(errors) > before:
            continue
        lesson = Lesson(
            id="", subject=found["subject"][0], classes=tuple(found["classes"]), teachers=tuple(found["teachers"]),
            rooms=tuple(found["rooms"]), weekly=weekly, doubles=doubles, parallel=row.text("parallel"),
        )  # fmt: skip
        try:
            school = edit.put_lesson(school, lesson)
        except SchoolError as error:
            row.complain("weekly", error.message)
    return school


def _members(school: School, kind: Kind, names: list[str], row: _Row, field: str) -> tuple[School, list[str]]:
    found = []
    for name in names:
        member = edit.find(school, kind, name)
        if member is None:
            try:
                made = Subject(id="", name=name) if kind == "subjects" else Resource(id="", name=name)
            except ValidationError:
                row.complain(field, _("“{value}” is too long.", value=name[:40]))
                continue
            school = edit.put(school, kind, made)
            member = edit.find(school, kind, name)
        found.append(member.id)
    return school, list(dict.fromkeys(found))


def _import_availability(school: School, table: Table, columns: dict[str, int], errors: list[CellError]) -> School:
    days, periods = _Times(school.week.days), _Times(school.week.periods)
    found: list[tuple[_Row, str, str, tuple[str, ...], Mark]] = []
    for number in range(1, len(table.rows)):
        if not any(table.rows[number]):
            continue
        row = _Row(table, number, columns, errors)
        before = len(errors)
        member, mark = _whose(school, row), MARKS.get(edit.folded(row.text("mark")))
        day, named = days.called(row.text("day")), periods.called(row.text("period"))
        if mark is None:
            row.complain("mark", _("“{value}” is not known.", value=row.text("mark")[:40]))
        if len(day) != 1:
            days.complain(row, "day", day)
        if row.text("period") and not named:
            periods.complain(row, "period", named)
        if member and mark and len(errors) == before:
            found.append((row, member, day[0], named, mark))
    marks: dict[str, dict[str, Mark]] = {}
    # Who names each of several lessons of one name as often as there are means one after the other.
    often, seen = Counter(each[1:4] for each in found), Counter[tuple[str, str, tuple[str, ...]]]()
    for row, member, one, named, mark in found:
        which, key = named or tuple(each.id for each in school.week.periods), (member, one, named)
        if len(named) > 1:
            if often[key] != len(named):
                periods.complain(row, "period", named)
            which = named[seen[key] % len(named) :][:1]
            seen[key] += 1
        marks.setdefault(member, {}).update({one + each: mark for each in which})
    for kind in PEOPLE:
        for each in getattr(school, kind):
            if each.id in marks:
                school = edit.set_marks(school, kind, each.id, marks[each.id])
    return school


def _whose(school: School, row: _Row) -> str | None:
    """The id of whom a row of the availability is about; a class and a room may have one name."""
    wanted, name = edit.folded(row.text("kind")), row.text("name")
    kinds = [kind for kind in PEOPLE if not wanted or wanted in LESSONS[kind]]
    if not kinds:
        row.complain("kind", _("“{value}” is not known.", value=row.text("kind")[:40]))
        return None
    found = [each.id for kind in kinds if (each := edit.find(school, kind, name))]
    if len(found) > 1:
        row.complain("name", _("More than one is called “{value}”: say in a column “Kind” whether it is the class, the "
                               "teacher or the room.", value=name[:40]))  # fmt: skip
    elif not found:
        row.complain("name", _("“{value}” is not known.", value=name[:40]))
    return found[0] if len(found) == 1 else None


class _Times:
    """What the days, or the lessons of a day, are called; where names are alike, with their number or their clock."""

    def __init__(self, items: Sequence[Day | Period]) -> None:
        self.names = [(edit.folded(each.name), each.id) for each in items]
        alike = len({name for name, _id in self.names}) < len(items)
        self.label = {
            each.id: f"{each.name} ({each.begins if isinstance(each, Period) else number})" if alike else each.name
            for number, each in enumerate(items, 1)
        }
        self.by_label = {edit.folded(label): (identifier,) for identifier, label in self.label.items()}

    def called(self, name: str) -> tuple[str, ...]:
        """The ids of whom the name may mean."""
        wanted = edit.folded(name)
        return self.by_label.get(wanted) or tuple(each for known, each in self.names if known == wanted)

    def complain(self, row: _Row, field: str, found: tuple[str, ...]) -> None:
        if not found:
            row.complain(field, _("“{value}” is not known.", value=row.text(field)[:40]))
            return
        told = _("More than one is called “{value}”: write “{label}”, for example.",
                 value=row.text(field)[:40], label=self.label[found[0]])  # fmt: skip
        row.complain(field, told)


def tables(school: School, english: bool) -> list[Table]:
    """The school as tables that `imported` reads back; an example where it has no lessons."""
    column = -1 if english else 0
    lessons = [[names[column].capitalize() for names in LESSONS.values()]]
    for each in school.lessons:
        people = (joined(school.names[x] for x in some) for some in (each.classes, each.teachers, each.rooms))
        classes, teachers, rooms = people
        numbers = (str(each.weekly), str(each.doubles or ""))
        lessons.append([classes, school.names[each.subject], teachers, rooms, *numbers, each.parallel])
    if not school.lessons:
        lessons += [[*row] for row in (EXAMPLE_EN if english else EXAMPLE_PT)]
    marks = [[names[column].capitalize() for names in AVAILABILITY.values()]]
    words = {mark: word for word, mark in MARKS.items() if (word == mark) == english}
    day_of, period_of = _Times(school.week.days).label, _Times(school.week.periods).label
    slots = [(day.id + period.id, day_of[day.id], period_of[period.id]) for day in school.week.days
             for period in school.week.periods]  # fmt: skip
    for kind in PEOPLE:
        called = LESSONS[kind][column].capitalize()
        for each in getattr(school, kind):
            marks += [
                [each.name, day, period, words[each.marks[x]], called] for x, day, period in slots if x in each.marks
            ]
    titles = ("Lessons", "Availability") if english else ("Aulas", "Disponibilidade")
    return [Table(titles[0], lessons), Table(titles[1], marks)]


EXAMPLE_PT = (
    ("6º A", "Português", "Ana Souza", "", "5", "2", ""),
    ("6º A", "Matemática", "Carlos Lima", "", "5", "1", ""),
    ("6º A", "Ciências", "Fernanda Rocha", "Laboratório", "3", "", ""),
    ("6º A + 6º B", "Educação Física", "Rogério Santos", "Quadra", "2", "1", ""),
)
EXAMPLE_EN = (
    ("Year 6A", "English", "Ann Smith", "", "5", "2", ""),
    ("Year 6A", "Maths", "Carl Jones", "", "5", "1", ""),
    ("Year 6A", "Science", "Fay Brown", "Laboratory", "3", "", ""),
    ("Year 6A + Year 6B", "Sports", "Roger Green", "Gym", "2", "1", ""),
)

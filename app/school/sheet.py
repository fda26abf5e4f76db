"""Worksheets: what a school types into XLSX or CSV, read cell by cell, and the same written back.

A table is known by its headings, in Portuguese or English: lessons, or availability. Office Open XML is a zip archive
of XML (ECMA-376); one that would unpack to far more than a school needs, or that has a document type, is not read.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils import get_column_letter
from pydantic import ValidationError

from app.school import edit
from app.school.merge import merged
from app.school.message import Message, SchoolError, _
from app.school.model import Kind, Lesson, Mark, Resource, School, Subject

MOST_UNPACKED = 30_000_000
MOST_PARTS = 300
MOST_TABLES = 10
MOST_ROWS = 3000
MOST_COLUMNS = 30
MOST_ERRORS = 50
# Several in one cell.
AND = "+"
# A spreadsheet takes text that begins so for a formula (OWASP: CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")
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
}
MARKS: dict[str, Mark] = {
    "nunca": "never", "never": "never", "evitar": "avoid", "avoid": "avoid", "prefere": "prefer", "prefer": "prefer",
}  # fmt: skip


class Table(NamedTuple):
    """A worksheet's rows as text, the headings first."""

    title: str
    rows: list[list[str]]


class CellError(NamedTuple):
    """What is wrong, and where: such as "Aulas" and "C7"."""

    table: str
    cell: str
    message: Message


def read(data: bytes, name: str) -> list[Table]:
    """The tables of a file; SchoolError for one that is neither, or too large."""
    if data[:4] == b"PK\x03\x04":
        return _read_xlsx(data)
    if name.lower().endswith((".xls", ".ods")) or b"\0" in data:
        raise SchoolError(_("This is neither an XLSX nor a CSV file; save it as one of these."))
    return [_read_csv(data, name)]


def _read_xlsx(data: bytes) -> list[Table]:
    try:
        _check_archive(data)
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        if len(book.worksheets) > MOST_TABLES:
            raise SchoolError(_("At most {most} worksheets are read.", most=MOST_TABLES))
        tables = [Table(sheet.title, list(_rows(sheet.iter_rows(
            max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS, values_only=True
        )))) for sheet in book.worksheets]  # fmt: skip
    except SchoolError:
        raise
    # What a damaged or hostile workbook makes the library raise is not one kind of error.
    except Exception:
        raise SchoolError(_("The workbook is damaged; open it in a spreadsheet program and save it anew.")) from None
    return [table for table in tables if table.rows]


def _check_archive(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
            raise SchoolError(_("The workbook is too large; a school's has less than 30 MB unpacked."))
        for part in parts:
            if part.filename.endswith((".xml", ".rels", ".vml")):
                # A part may be larger than it says; no more of it than that is read.
                with archive.open(part) as file:
                    text = file.read(MOST_UNPACKED)
                if b"<!" in text.replace(b"<!--", b"").replace(b"<![CDATA[", b"") or b"\0" in text:
                    raise SchoolError(_("The workbook has parts that no spreadsheet program writes; save it anew."))


def _read_csv(data: bytes, name: str) -> Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What a spreadsheet program in Brazil writes by default.
        text = data.decode("cp1252", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(";,\t", key=first.count)
    try:
        found = list(_rows(csv.reader(io.StringIO(text), delimiter=delimiter)))
    except csv.Error:
        raise SchoolError(_("This is neither an XLSX nor a CSV file; save it as one of these.")) from None
    return Table(name, found)


def _rows(rows: Iterable[Iterable[object]]) -> Iterator[list[str]]:
    for number, row in enumerate(rows):
        cells = [_text(cell) for cell in list(row)[:MOST_COLUMNS]]
        while cells and not cells[-1]:
            cells.pop()
        if number > MOST_ROWS and cells:
            raise SchoolError(_("At most {most} rows are read.", most=MOST_ROWS))
        if number <= MOST_ROWS:
            yield cells


def _text(cell: object) -> str:
    if cell is None:
        return ""
    text = f"{cell:g}" if isinstance(cell, float) else str(cell)
    text = " ".join(text.split())[:500]
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


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
        return [name for each in self.text(field).split(AND) if (name := each.strip())]

    def number_in(self, field: str, default: int) -> int:
        given = self.text(field)
        if given and not (given.isascii() and given.isdigit() and len(given) <= 3):
            self.complain(field, _("“{value}” is no whole number from 0 to 999.", value=given[:40]))
            return default
        return int(given) if given else default

    def complain(self, field: str, message: Message) -> None:
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
        if len(errors) > before:
            continue
        lesson = Lesson(
            id="", subject=found["subject"][0], classes=tuple(found["classes"]), teachers=tuple(found["teachers"]),
            rooms=tuple(found["rooms"]), weekly=weekly, doubles=doubles, parallel=row.text("parallel")[:40],
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
    marks: dict[str, dict[str, Mark]] = {}
    kinds: tuple[Kind, ...] = ("teachers", "classes", "rooms")
    for number in range(1, len(table.rows)):
        if not any(table.rows[number]):
            continue
        row = _Row(table, number, columns, errors)
        member = next((x for kind in kinds if (x := edit.find(school, kind, row.text("name")))), None)
        day = next((x for x in school.week.days if edit.folded(x.name) == edit.folded(row.text("day"))), None)
        period = next((x for x in school.week.periods if edit.folded(x.name) == edit.folded(row.text("period"))), None)
        mark = MARKS.get(edit.folded(row.text("mark")))
        for field, value in (("name", member), ("day", day), ("mark", mark)):
            if value is None:
                row.complain(field, _("“{value}” is not known.", value=row.text(field)[:40]))
        if row.text("period") and period is None:
            row.complain("period", _("“{value}” is not known.", value=row.text("period")[:40]))
        elif member and day and mark:
            periods = [period] if period else school.week.periods
            marks.setdefault(member.id, {}).update({day.id + each.id: mark for each in periods})
    for kind in kinds:
        for each in getattr(school, kind):
            if each.id in marks:
                school = edit.set_marks(school, kind, each.id, marks[each.id])
    return school


def tables(school: School, english: bool) -> list[Table]:
    """The school as tables that `imported` reads back; an example where it has no lessons."""
    column = -1 if english else 0
    lessons = [[names[column].capitalize() for names in LESSONS.values()]]
    for each in school.lessons:
        people = (f" {AND} ".join(school.names[x] for x in some) for some in (each.classes, each.teachers, each.rooms))
        classes, teachers, rooms = people
        numbers = (str(each.weekly), str(each.doubles or ""))
        lessons.append([classes, school.names[each.subject], teachers, rooms, *numbers, each.parallel])
    if not school.lessons:
        lessons += [[*row] for row in (EXAMPLE_EN if english else EXAMPLE_PT)]
    marks = [[names[column].capitalize() for names in AVAILABILITY.values()]]
    words = {mark: word for word, mark in MARKS.items() if (word == mark) == english}
    days = [(day.id + period.id, day.name, period.name) for day in school.week.days for period in school.week.periods]
    for resource in school.resources.values():
        marks += [
            [resource.name, day, period, words[resource.marks[x]]] for x, day, period in days if x in resource.marks
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


def write(tables: Iterable[Table]) -> bytes:
    """The tables as an XLSX workbook, every cell as text and never as a formula."""
    book = Workbook(write_only=True)
    for table in tables:
        # What a worksheet's name cannot have.
        sheet = book.create_sheet("".join(each if each not in "[]:*?/\\" else " " for each in table.title)[:31])
        widths = [max((len(row[i]) for row in table.rows if i < len(row)), default=0) for i in range(MOST_COLUMNS)]
        for index, width in enumerate(widths):
            if width:
                sheet.column_dimensions[get_column_letter(index + 1)].width = min(60, width + 3)
        for row in table.rows:
            cells = []
            for text in row:
                number = text.isascii() and text.isdigit() and len(text) < 10
                cell = WriteOnlyCell(sheet, int(text) if number else "")
                if not number:
                    cell.value, cell.data_type = _printable(text), "s"
                cells.append(cell)
            sheet.append(cells)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def write_csv(table: Table) -> bytes:
    """The table as a spreadsheet program in Brazil expects it: semicolons, and UTF-8 that says so."""
    target = io.StringIO()
    writer = csv.writer(target, delimiter=";")
    for row in table.rows:
        writer.writerow([f"'{each}" if each.startswith(FORMULA) else each for each in row])
    return target.getvalue().encode("utf-8-sig")


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable() or each in "\n")

"""Files of spreadsheet programs, XLSX and CSV: read as tables of text, and written from them.

Office Open XML is a zip archive of XML (ECMA-376); one that would unpack to far more than a school needs, or that has a
document type, is not read.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.school.message import SchoolError, _
from app.school.names import clean

MOST_UNPACKED = 30_000_000
MOST_PARTS = 300
MOST_TABLES = 10
MOST_ROWS = 3000
MOST_COLUMNS = 30
# As in a spreadsheet program.
MOST_CHARACTERS = 32_767
# A spreadsheet takes text of CSV that begins so for a formula, but for an apostrophe before it (OWASP: CSV injection).
# Text that has such an apostrophe of its own gets one more, so that reading takes away the right one.
FORMULA = re.compile("'*[=+@＝＋＠－-]")
GUARDED = re.compile("'+[=+@＝＋＠－-]")


class Table(NamedTuple):
    """A worksheet's rows as text, the headings first."""

    title: str
    rows: list[list[str]]


def read(data: bytes, name: str) -> list[Table]:
    """The tables of a file; SchoolError for one that is neither, or too large."""
    if data[:4] == b"PK\x03\x04":
        return _read_xlsx(data)
    if name.lower().endswith((".xls", ".ods")) or b"\0" in data:
        raise SchoolError(_("This is neither an XLSX nor a CSV file; save it as one of these."))
    return [_read_csv(data, name)]


def _read_xlsx(data: bytes) -> list[Table]:
    # Here and below, not above: a server that starts need not wait for it.
    from openpyxl import load_workbook

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
    text = clean(f"{cell:.15g}" if isinstance(cell, float) else str(cell))
    if len(text) > MOST_CHARACTERS:
        raise SchoolError(_("A cell has more than {most} characters.", most=MOST_CHARACTERS))
    return text[1:] if GUARDED.match(text) else text


def write(tables: Iterable[Table]) -> bytes:
    """The tables as an XLSX workbook, every cell as text and never as a formula."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.utils import get_column_letter

    book, titles = Workbook(write_only=True), set[str]()
    for table in tables:
        sheet = book.create_sheet(_title(table.title, titles))
        widths = [max((len(row[i]) for row in table.rows if i < len(row)), default=0) for i in range(MOST_COLUMNS)]
        for index, width in enumerate(widths):
            if width:
                sheet.column_dimensions[get_column_letter(index + 1)].width = min(60, width + 3)
        for row in table.rows:
            cells = []
            for text in row:
                # What a number would not show as it is, such as 007, is text.
                number = text.isascii() and text.isdigit() and len(text) < 10 and str(int(text)) == text
                cell = WriteOnlyCell(sheet, int(text) if number else "")
                if not number:
                    cell.value, cell.data_type = f"'{text}" if GUARDED.match(text) else text, "s"
                cells.append(cell)
            sheet.append(cells)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _title(name: str, taken: set[str]) -> str:
    """A worksheet's name: other than the others, in at most 31 of UTF-16's units, and without what it cannot have."""
    plain = "".join(each if each not in "[]:*?/\\" else " " for each in name).strip("' ")
    for number in range(1, len(taken) + 2):
        suffix = f" {number}" if number > 1 else ""
        short = plain.encode("utf-16-le")[: 2 * (31 - len(suffix))].decode("utf-16-le", "ignore").strip("' ")
        title = short + suffix or "-"
        if title.casefold() not in taken:
            break
    taken.add(title.casefold())
    return title


def write_csv(table: Table) -> bytes:
    """The table as a spreadsheet program in Brazil expects it: semicolons, and UTF-8 that says so."""
    target = io.StringIO()
    writer = csv.writer(target, delimiter=";")
    for row in table.rows:
        writer.writerow([f"'{each}" if FORMULA.match(each) else each for each in row])
    return target.getvalue().encode("utf-8-sig")

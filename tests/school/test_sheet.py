"""Tables as people and this program write them, cell by cell."""

from __future__ import annotations

import io
import random
import zipfile

import pytest
from openpyxl import load_workbook

from app.school import edit, sheet, workbook
from app.school.message import SchoolError
from app.school.model import Kind, Period, Resource, School
from app.school.workbook import Table


def test_two_shifts_with_lessons_of_one_name_come_back_and_nothing_is_guessed(school: School) -> None:
    periods = tuple(
        Period(id=f"p{number}", name=f"{1 + number % 3}ª aula", begins=begins, ends=f"{begins[:2]}:50", shift=shift)
        for number, (begins, shift) in enumerate(
            [("07:00", "Manhã"), ("08:00", "Manhã"), ("09:00", "Manhã"), ("13:00", "Tarde"), ("14:00", "Tarde")]
        )
    )
    school = edit.set_week(school, school.week.model_copy(update={"periods": periods}))
    school = edit.set_marks(school, "teachers", "t7", {f"d1p{number}": "never" for number in range(1, 5)})
    tables = workbook.read(workbook.write(sheet.tables(school, english=False)), "escola.xlsx")
    assert [row[2] for row in tables[1].rows[1:]] == [
        "2ª aula (08:00)",
        "3ª aula (09:00)",
        "1ª aula (13:00)",
        "2ª aula (14:00)",
    ]
    assert sheet.imported(school, tables)[0].teachers == school.teachers

    def rows(*names: str) -> list[Table]:
        return [Table("D", [["Nome", "Dia", "Aula", "Marca"], *(["Ana", "Segunda", name, "evitar"] for name in names)])]

    # As releases before wrote it: every lesson of that name in its turn.
    made, errors = sheet.imported(school, rows("1ª aula", "3ª aula", "1ª aula"))
    assert (errors, made.teachers[0].marks) == ([], {"d1p0": "avoid", "d1p2": "avoid", "d1p3": "avoid"})
    _, errors = sheet.imported(school, rows("1ª aula", "3ª aula"))
    assert [(each.cell, each.message.said(str)) for each in errors] == [
        ("C2", "More than one is called “1ª aula”: write “1ª aula (07:00)”, for example.")
    ]


def test_a_class_and_a_room_of_one_name_are_told_apart_or_asked_for(school: School) -> None:
    school = edit.put(school, "rooms", Resource(id="r9", name="6A", marks={"d1p1": "avoid"}))
    tables = sheet.tables(school, english=False)
    assert sheet.imported(school, tables)[0].rooms == school.rooms
    _, errors = sheet.imported(school, [tables[0], Table("D", [row[:4] for row in tables[1].rows])])
    assert [each.cell for each in errors] == ["A2"]


def test_of_a_long_text_that_is_wrong_the_beginning_is_told(school: School) -> None:
    text = "x" * 41
    kinds: tuple[Kind, ...] = ("classes", "rooms")
    for kind in kinds:
        school = edit.put(school, kind, Resource(id="", name=text))
    rows = [["Nome", "Dia", "Aula", "Marca", "Tipo"], [text, text, text, text, ""], [text] * 5]
    _, errors = sheet.imported(school, [Table("D", rows)])
    assert {error.cell for error in errors} == {"A2", "B2", "B3", "C2", "C3", "D2", "D3", "E3"}
    assert all(f"“{text[:40]}”" in error.message.said(str) for error in errors)


@pytest.mark.parametrize(("cell", "complaint"), [("P" * 41, "is too long"), ("", None), ("línguas", None)])
def test_a_label_is_never_cut(school: School, cell: str, complaint: str | None) -> None:
    headings = ["Turma", "Disciplina", "Aulas", "Paralela"]
    made, errors = sheet.imported(school, [Table("A", [headings, ["6A", "Arte", "2", cell]])])
    assert [complaint in each.message.text for each in errors if complaint] == ([True] if complaint else [])
    assert complaint or made.lessons[0].parallel == cell


def test_worksheets_of_equal_names_have_names_that_excel_takes() -> None:
    titles = ["Maria " + "x" * 40 + each for each in ("1", "2")] + ["'", "A:B", "a b", "😀" * 31]
    book = load_workbook(io.BytesIO(workbook.write([Table(title, [["x"]]) for title in titles])))
    assert len({each.casefold() for each in book.sheetnames}) == len(titles)
    assert all(0 < len(each.encode("utf-16-le")) <= 62 and not set(each) & set("[]:*?/\\") for each in book.sheetnames)


def damaged(data: bytes, luck: random.Random) -> bytes:
    """After a few accidents: bytes changed, gone, twice or from somewhere else."""
    found = bytearray(data)
    for _ in range(luck.choice((1, 3, 10))):
        start, end = sorted(luck.randrange(len(found) + 1) for _ in range(2))
        piece = found[start : min(end, start + 50)]
        match luck.randrange(4):
            case 0:
                found[start : start + len(piece)] = luck.choice(
                    (b"", b'"', b"\0", b"\xff\xfe", b"+", b"\r", b";", b"\t")
                )
            case 1:
                found[start:start] = piece * luck.choice((1, 2, 1000))
            case 2:
                found[start : start + 1] = bytes([luck.randrange(256)])
            case _:
                found[end:end] = piece
    return bytes(found)


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_gives_tables_or_a_message(school: School, seed: int) -> None:
    luck, read = random.Random(seed), 0  # noqa: S311 - a repeatable choice, not a secret
    school = edit.set_marks(school, "teachers", "t7", {"d1p1": "never", "d2p2": "avoid"})
    tables = sheet.tables(school, english=False)
    files = (("a.xlsx", workbook.write(tables)), *(("a.csv", workbook.write_csv(table)) for table in tables))
    for name, data in files * 20:
        try:
            found = workbook.read(damaged(data, luck), name)
            made, errors = sheet.imported(school, found)
        except SchoolError:
            continue
        read += 1
        if not errors:
            sheet.tables(made, english=True)
    assert read > 10


LESSONS = ["Turma", "Disciplina", "Professor", "Sala", "Aulas", "Duplas"]


@pytest.mark.parametrize(
    ("row", "complaints"),
    [
        (["", "Arte", "Ana", "", "2", ""], [("A2", "The class is missing.")]),
        (["6A", "", "Ana", "", "2", ""], [("B2", "The subject is missing.")]),
        (["6A", "Arte", "Ana", "", "", ""], [("E2", "How many lessons a week is missing.")]),
        (["6A", "A" * 81, "Ana", "", "2", ""], [("B2", f"“{'A' * 40}” is too long.")]),
        (["6A", "Arte", "Ana", "", "7", ""], [("E2", "Lessons a week are between 1 and 6.")]),
        (["6A", "Arte", "Ana", "", "999", ""], [("E2", "Lessons a week are between 1 and 6.")]),
        (["6A", "Arte", "Ana", "", "2", "1000"], [("F2", "“1000” is no whole number from 0 to 999.")]),
        (["", "", "", "", "", ""], []),
    ],
)
def test_a_lesson_that_cannot_be_is_told_by_its_cell(
    school: School, row: list[str], complaints: list[tuple[str, str]]
) -> None:
    _, errors = sheet.imported(school, [Table("Aulas", [LESSONS, row])])
    assert [(error.cell, error.message.said(str)) for error in errors] == complaints


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a;b,c;d\n1;2;3\n", [["a", "b,c", "d"], ["1", "2", "3"]]),
        ("a,b;c,d\n", [["a", "b;c", "d"]]),
        ("a\tb\n\n", [["a", "b"], []]),
        ("'=1;x;;\n", [["=1", "x"]]),
    ],
)
def test_the_separator_is_the_one_that_the_first_line_has_most(text: str, rows: list[list[str]]) -> None:
    assert [table.rows for table in workbook.read(text.encode(), "a.csv")] == [rows]


def test_what_a_spreadsheet_program_in_brazil_writes_is_read() -> None:
    assert workbook.read("Física;São João".encode("cp1252"), "a.csv")[0].rows == [["Física", "São João"]]


@pytest.mark.parametrize("name", ["a.xls", "a.ODS"])
def test_other_workbooks_are_refused(name: str) -> None:
    with pytest.raises(SchoolError, match="neither an XLSX nor a CSV"):
        workbook.read(b"a;b", name)


def test_a_table_has_only_so_many_rows_and_columns() -> None:
    most = "x\n" * (workbook.MOST_ROWS + 1)
    assert len(workbook.read(most.encode(), "a.csv")[0].rows) == workbook.MOST_ROWS + 1
    with pytest.raises(SchoolError, match="rows are read"):
        workbook.read(f"{most}x\n".encode(), "a.csv")
    assert len(workbook.read(b";x" * 999, "a.csv")[0].rows[0]) <= workbook.MOST_COLUMNS


def test_a_cell_has_only_so_many_characters() -> None:
    most = "x" * workbook.MOST_CHARACTERS
    assert workbook.read(most.encode(), "a.csv")[0].rows == [[most]]
    with pytest.raises(SchoolError, match="A cell has more than"):
        workbook.read(f"{most}x".encode(), "a.csv")


def test_a_workbook_has_only_so_many_worksheets() -> None:
    tables = [Table(f"{number}", [["x"]]) for number in range(workbook.MOST_TABLES + 1)]
    assert len(workbook.read(workbook.write(tables[1:]), "a.xlsx")) == workbook.MOST_TABLES
    with pytest.raises(SchoolError, match="worksheets are read"):
        workbook.read(workbook.write(tables), "a.xlsx")


def test_a_workbook_of_more_than_30_mb_or_300_parts_is_not_unpacked() -> None:
    def padded(size: int, parts: int) -> bytes:
        target = io.BytesIO(workbook.write([Table("A", [["x"]])]))
        with zipfile.ZipFile(target, "a") as archive:
            for number in range(parts - len(archive.infolist())):
                archive.writestr(f"padding{number}", b"")
            # What the archive says of its parts is enough to refuse it.
            known = sum(part.file_size for part in archive.infolist())
            archive.infolist()[-1].file_size = size - known
        return target.getvalue()

    assert workbook.read(padded(30_000_000, 300), "a.xlsx") == [Table("A", [["x"]])]
    for size, parts in ((30_000_001, 300), (300_000_000, 300), (30_000_000, 301)):
        with pytest.raises(SchoolError, match="less than 30 MB unpacked"):
            workbook.read(padded(size, parts), "a.xlsx")

"""Worksheets and archives that come in and go out, the hostile ones included."""

from __future__ import annotations

import base64
import html
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import Response
from openpyxl import load_workbook
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app.school import lowering, sheet, workbook
from app.school.model import School
from app.web.middleware import MOST_BYTES
from tests.conftest import SAMPLE
from tests.web.office.conftest import Browser, People, now

pytestmark = pytest.mark.mysql


def upload(browser: Browser, at: str, data: bytes, name: str = "school.xlsx") -> Response:
    return browser.post(f"{at}/import", files={"file": (name, data)})


def confirm(browser: Browser, at: str, page: Response) -> Response:
    tables = re.findall(r'name="tables" value="([^"]*)"', page.text)[0]
    return browser.post(f"{at}/import", {"tables": tables.replace("&#34;", '"'), "confirmed": "yes"})


def test_an_import_is_shown_then_saved(ana: Browser, sessions: sessionmaker[Session], stored: int, at: str) -> None:
    rows = "Turma;Disciplina;Professor;Sala;Aulas por semana;Duplas\n7B;Artes;Caio + Dora;Quadra;2;1\n6a;arte;ANA;;1;\n"
    before = now(sessions, stored)
    page = upload(ana, at, rows.encode("cp1252"), "school.csv")
    assert "Lessons: 0 stay as they are, 1 change, 1 are new, 2 are taken out." in page.text
    assert "Caio, Dora" in page.text
    assert now(sessions, stored) == before
    assert "Imported: 2 lessons." in confirm(ana, at, page).text
    made = now(sessions, stored)
    assert [each.name for each in made.classes] == ["6A", "7B"]
    assert [(each.classes, each.weekly) for each in made.lessons] == [(("c17",), 2), (("c6",), 1)]
    assert made.lessons[1].id == "l13"


def test_errors_of_an_import_name_their_cells_and_nothing_is_saved(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    before = now(sessions, stored)
    rows = (
        "Class,Subject,Teacher,Lessons a week,Doubles\n6A,Arte,Ana,x,\n,Arte,Ana,2,\n6A,Arte,Ana,2,2\n6A,Arte,Ana,,\n"
    )
    page = upload(ana, at, rows.encode(), "school.csv")
    assert page.status_code == 422
    assert re.findall(r"<strong>([A-Z]\d+)</strong>", page.text) == ["D2", "A3", "D4", "D5"]
    assert now(sessions, stored) == before


def test_the_worksheet_of_a_school_comes_back_as_it_is(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    ana.post(f"{at}/teachers/t7", {"name": "Ana", "mark-d1p1": "never", "mark-d2p3": "prefer"})
    before = now(sessions, stored)
    page = upload(ana, at, ana.get(f"{at}/import/template.xlsx").content)
    assert "there is nothing to import" in page.text and 'name="confirmed"' not in page.text
    made, errors = sheet.imported(before, workbook.read(ana.get(f"{at}/import/template.xlsx").content, "school.xlsx"))
    assert (made, errors) == (before, [])


def corrected(browser: Browser, at: str, change: Callable[[Any], None]) -> bytes:
    """The school's own worksheet, changed in a spreadsheet program."""
    book = load_workbook(io.BytesIO(browser.get(f"{at}/import/template.xlsx").content))
    change(book.worksheets[0])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def test_a_corrected_worksheet_says_first_what_each_draft_loses_and_then_that_is_lost_alone(
    published: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    published.post(f"{at}/plans/v16/lock", {"of": "t7", "locked": "yes"}, f"{at}/plans/v16")
    published.post(f"{at}/plans", {"name": "Vazio"})
    before = now(sessions, stored)

    def change(sheet: Any) -> None:
        # English goes, physics has one lesson less, art another teacher.
        sheet.delete_rows(4)
        sheet["E3"], sheet["C2"] = 1, "Caio"
        sheet.append(["6B", "Arte", "Bia", None, 1])

    page = upload(published, at, corrected(published, at, change))
    facts = " ".join(html.unescape(re.sub("<[^>]+>", " ", page.text)).split())
    assert "Lessons: 0 stay as they are, 2 change, 1 are new, 1 are taken out." in facts
    assert "Changed: Arte 6A; Física 6A" in facts and "Taken out: Inglês 6A" in facts
    assert "Plano published : 2 of 5 placed lessons lose their time, and 1 their lock." in facts
    assert "Física 6A, Terça, 1ª; Inglês 6A, Terça, 2ª" in facts
    assert "Vazio : nothing is lost: it has no placed lessons." in facts
    assert "What is published stays as it is until a draft is published again." in facts
    confirm(published, at, page)
    made = now(sessions, stored)
    assert made.plans[0].placements == before.plans[0].placements[:2]
    assert made.plans[1] == before.plans[1]
    shown = published.get(f"/published/{stored}").text
    assert "Inglês" in shown


def test_an_addition_alone_costs_no_draft_anything_and_says_so(ana: Browser, at: str) -> None:
    page = upload(ana, at, corrected(ana, at, lambda sheet: sheet.append(["6A", "Inglês", "Ana", None, 1])))
    facts = " ".join(html.unescape(re.sub("<[^>]+>", " ", page.text)).split())
    assert "Plano : nothing is lost: its 5 placed lessons and its locks stay." in facts
    assert "Then broken" not in facts


def test_what_the_times_that_stay_break_is_told_before_it_is_saved(ana: Browser, at: str) -> None:
    ana.post(f"{at}/teachers/t8", {"name": "Bia", "mark-d2p2": "never"})
    page = upload(ana, at, corrected(ana, at, lambda sheet: sheet.__setitem__("C4", "Bia")))
    assert "Then broken, and not now:" in page.text and "Bia: lessons at impossible times: 1" in page.text


def test_an_import_of_what_somebody_else_has_changed_is_shown_anew(
    ana: Browser, people: People, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    page = upload(ana, at, corrected(ana, at, lambda sheet: sheet.append(["6B", "Arte", "Bia", None, 1])))
    hidden = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', page.text))
    tables = html.unescape(re.findall(r'name="tables" value="([^"]*)"', page.text)[0])
    people("bia", stored, "editor").post(f"{at}/plans", {"name": "De Bia", "of": "v16"})
    before = now(sessions, stored)
    answer = ana.client.post(f"{at}/import", data=hidden | {"tables": tables, "confirmed": "yes"})
    assert (answer.status_code, now(sessions, stored)) == (409, before)
    assert "Bia has changed this in the meantime" in answer.text and "De Bia" in answer.text


def test_a_calendar_goes_on_after_an_import(published: Browser, client: TestClient, at: str) -> None:
    link = re.findall(r"/feeds/[\w-]+\.ics", published.post(f"{at}/share", {"resource": "t7"}).text)[0]
    before = client.get(link).text
    page = upload(published, at, corrected(published, at, lambda sheet: sheet.append(["6B", "Arte", "Bia", None, 1])))
    confirm(published, at, page)
    published.post(f"{at}/plans/v16/publish", page=f"{at}/plans/v16")
    events = [re.sub("DTSTAMP:.*", "", text) for text in (before, client.get(link).text)]
    assert events[0] == events[1] and "SUMMARY:Arte" in events[0]


def packed(parts: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><worksheet>&b;</worksheet>'


@pytest.mark.parametrize(
    "data",
    [
        packed({"xl/worksheets/sheet1.xml": b"0" * 40_000_000}),
        packed({f"{number}.xml": b"" for number in range(400)}),
        packed({"xl/workbook.xml": LAUGHS}),
        packed({"xl/workbook.xml": LAUGHS.decode().encode("utf-16")}),
        b"PK\x03\x04 is no archive",
        packed({"nothing": b""}),
        b"\0\1\2",
        b"",
    ],
)
def test_a_hostile_or_damaged_file_is_refused_at_once(ana: Browser, at: str, data: bytes) -> None:
    page = upload(ana, at, data)
    assert page.status_code == 422
    assert 'role="alert"' in page.text


@pytest.mark.parametrize("told", [str(MOST_BYTES + 1), "10", None])
def test_an_oversized_body_is_not_read(ana: Browser, at: str, told: str | None) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"Content-Length": told} if told else {})
    chunks = [b"x" * 100_000] * (MOST_BYTES // 100_000 + 1)
    answer = ana.client.post(f"{at}/import", content=iter(chunks), headers=headers)
    assert answer.status_code == 413


def test_a_school_as_xhstt_is_the_instance_that_is_searched(ana: Browser, at: str, school: School) -> None:
    assert ana.get(f"{at}/export.xml").content == lowering.archive(school)


def empty(browser: Browser, at: str) -> None:
    for lesson in ("l13", "l14", "l15"):
        browser.post(f"{at}/lessons/{lesson}", {"remove": ""})


def give(browser: Browser, at: str, data: bytes, name: str = "a.xml") -> Response:
    return browser.post(f"{at}/import/xhstt", page=f"{at}/import", files={"file": (name, data)})


def test_an_xhstt_archive_is_shown_and_then_fills_an_empty_school_only(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    assert "has lessons already" in give(ana, at, SAMPLE.read_bytes()).text
    empty(ana, at)
    before = now(sessions, stored)
    assert "bad.xml:1: a document type" in give(ana, at, b"<!DOCTYPE x><x/>", "bad.xml").text
    page = give(ana, at, SAMPLE.read_bytes())
    assert "32 are new" in page.text and "No máximo três dias na escola" in page.text
    assert now(sessions, stored) == before
    packed = re.findall(r'name="archive" value="([^"]*)"', page.text)[0]
    answer = ana.post(f"{at}/import/xhstt", {"archive": packed, "confirmed": "yes"}, f"{at}/import")
    assert "An XHSTT archive was imported." in answer.text
    assert len(now(sessions, stored).lessons) == 32


OUTSIDE = SAMPLE.read_text().replace('<Day Reference="seg"/>', "", 1).encode()


@pytest.mark.parametrize(
    ("packed", "complaint"),
    [
        (base64.b64encode(zlib.compress(OUTSIDE)).decode(), "Segunda, 1ª aula. Give each one &lt;Day&gt;."),
        (base64.b64encode(zlib.compress(b" " * 30_000_000)).decode(), "Choose a file."),
        (base64.b64encode(b"no archive").decode(), "Choose a file."),
        ("é", "Choose a file."),
        ("", "Choose a file."),
    ],
)
def test_an_archive_that_cannot_be_is_refused_in_the_second_step_too(
    ana: Browser, at: str, packed: str, complaint: str
) -> None:
    empty(ana, at)
    answer = ana.post(f"{at}/import/xhstt", {"archive": packed, "confirmed": "yes"}, f"{at}/import")
    assert (answer.status_code, complaint in answer.text) == (422, True)


@pytest.mark.parametrize(
    "tables",
    [
        r'[["\ud800", [["Turma", "Disciplina", "Aulas"], ["\ud800a", "Arte\u0000", "1"], ["", "", "\ud800"]]]]',
        r'[["A", [["Nome", "Dia", "Marca", "Tipo"], ["Ana", "Segunda", "nunca", "\udfff"]]]]',
        '[["A", [[' + "[" * 500 + "]" * 500 + "]]]]",
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("step", [{}, {"confirmed": "yes"}])
def test_tables_that_the_browser_has_changed_are_no_error_of_ours(
    ana: Browser, at: str, tables: str, step: dict[str, str]
) -> None:
    assert ana.post(f"{at}/import", {"tables": tables} | step, f"{at}/import").status_code in (200, 303, 422)


def test_a_name_is_clean_whatever_the_form_calls_its_characters(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    hidden = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', ana.get(f"{at}/teachers").text))
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (hidden | {"names": r"Jos\u00e9\ud800 \x07 Lima"}).items()
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    answer = ana.client.post(f"{at}/teachers", content=f"{parts}--x--\r\n".encode(), headers=headers)
    assert answer.status_code == 200
    assert now(sessions, stored).teachers[-1].name == "José? Lima"

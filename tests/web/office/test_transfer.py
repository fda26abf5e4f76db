"""Worksheets and archives that come in and go out, the hostile ones included."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from httpx2 import Response
from sqlalchemy.orm import Session, sessionmaker

from app.school import lowering
from app.school.model import School
from app.web.middleware import MOST_BYTES
from tests.conftest import SAMPLE
from tests.web.office.conftest import Browser, now

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
    assert "2 lessons take the place of the 3" in page.text and "Caio, Dora" in page.text
    assert now(sessions, stored) == before
    assert "Imported: 2 lessons." in confirm(ana, at, page).text
    made = now(sessions, stored)
    assert [each.name for each in made.classes] == ["6A", "7B"]
    assert [(each.classes, each.weekly) for each in made.lessons] == [(("c17",), 2), (("c6",), 1)]


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
    confirm(ana, at, upload(ana, at, ana.get(f"{at}/import/template.xlsx").content))
    after = now(sessions, stored)
    plain = [[each.model_copy(update={"id": ""}) for each in made.lessons] for made in (before, after)]
    assert plain[0] == plain[1]
    assert after.teachers == before.teachers


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


def test_an_xhstt_archive_fills_an_empty_school_only(
    ana: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    archive = {"file": ("a.xml", SAMPLE.read_bytes())}
    assert "has lessons already" in ana.post(f"{at}/import/xhstt", page=f"{at}/import", files=archive).text
    for lesson in ("l13", "l14", "l15"):
        ana.post(f"{at}/lessons/{lesson}", {"remove": ""})
    bad = {"file": ("bad.xml", b"<!DOCTYPE x><x/>")}
    assert "bad.xml:1: a document type" in ana.post(f"{at}/import/xhstt", page=f"{at}/import", files=bad).text
    assert "An XHSTT archive was imported." in ana.post(f"{at}/import/xhstt", page=f"{at}/import", files=archive).text
    assert len(now(sessions, stored).lessons) == 32

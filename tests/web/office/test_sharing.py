"""What everybody sees of a published timetable, and takes away: pages, files and calendars."""

from __future__ import annotations

import io
import re
from time import monotonic

import pytest
from openpyxl import load_workbook
from starlette.testclient import TestClient

from app.web import cache
from tests.web.office.conftest import Browser

pytestmark = pytest.mark.mysql


def test_what_is_published_stays_until_it_is_published_anew(
    published: Browser, client: TestClient, stored: int, at: str
) -> None:
    published.post(f"{at}/teachers/t7", {"name": "Another name"})
    page = published.get(f"/published/{stored}").text
    assert "Ana" in page and "Another name" not in page
    assert f"/published/{stored}" in client.get("/").text
    published.post(f"{at}/plans/v16/publish", page=f"{at}/plans/v16")
    assert "Another name" in published.get(f"/published/{stored}").text


def test_a_published_page_is_made_once_a_second_for_everybody_who_has_not_signed_in(
    published: Browser, client: TestClient, stored: int, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, moment = f"/published/{stored}", monotonic()
    monkeypatch.setattr(cache, "monotonic", lambda: moment)
    first = client.get(address)
    published.post(f"{at}/settings", {"name": "Escola"}, at)
    assert client.get(address).content == first.content
    assert '<html lang="en">' in client.get(address, headers={"Accept-Language": "en"}).text
    moment += cache.SECONDS + 1
    assert client.get(address).status_code == 404


def test_what_is_published_can_be_taken_away(published: Browser, client: TestClient, stored: int) -> None:
    files = {
        name: client.get(f"/published/{stored}/timetable.{name}").content for name in ("pdf", "xlsx", "csv", "html")
    }
    assert files["pdf"].startswith(b"%PDF-") and files["pdf"].count(b"/Type /Page\n") == 1
    sheets = load_workbook(io.BytesIO(files["xlsx"]))
    assert sheets.sheetnames[1] == "6A"
    assert sheets["6A"]["B2"].value == "Arte, Ana"
    assert "Segunda;1ª;07:30;2;6A;Arte;Ana;" in files["csv"].decode("utf-8-sig")
    assert b"<caption>6A</caption>" in files["html"] and b"<script" not in files["html"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://evil.example")'])
def test_no_name_is_a_formula_in_a_file(published: Browser, at: str, name: str) -> None:
    published.post(f"{at}/subjects/s10", {"name": name})
    plan = f"{at}/plans/v16/timetable"
    for sheet in load_workbook(io.BytesIO(published.get(f"{plan}.xlsx").content)):
        assert all(cell.data_type != "f" for row in sheet for cell in row)
    cells = published.get(f"{plan}.csv").content.decode("utf-8-sig").replace('"', "").replace("\r\n", ";").split(";")
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@"))]


def test_a_calendar_is_for_whoever_has_its_link_until_it_is_revoked(
    published: Browser, client: TestClient, at: str
) -> None:
    link = re.findall(r"/feeds/[\w-]+\.ics", published.post(f"{at}/share", {"resource": "t7"}).text)[0]
    text = client.get(link).text
    assert text.count("BEGIN:VEVENT") == 2
    assert "SUMMARY:Arte" in text and "T073000" in text and "T091000" in text
    published.post(f"{at}/share", {"resource": "t7", "revoke": "yes"})
    assert client.get(link).status_code == 404


def test_all_links_that_are_missing_are_made_at_once_and_others_stay(published: Browser, at: str) -> None:
    (link,) = re.findall(r"/feeds/[\w-]+\.ics", published.post(f"{at}/share", {"resource": "t7"}).text)
    links = re.findall(r"/feeds/[\w-]+\.ics", published.post(f"{at}/share").text)
    assert link in links and len(links) == 3

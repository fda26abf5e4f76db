from __future__ import annotations

import re
import shutil
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app.engine.timetable import Timetable
from app.instances import read
from app.settings import Settings
from app.web.application import create
from tests.conftest import SAMPLE
from tests.engine.conftest import Archive
from tests.web.conftest import Stored


def test_the_page_shows_every_lesson_of_every_class_and_teacher(
    client: TestClient, stored: Stored, timetable: Timetable
) -> None:
    stored(state="done", hard=0, soft=6, timetable=timetable.to_json())
    page, school = client.get("/").text, read(SAMPLE)[1]
    assert re.findall("<caption>(.*?)</caption>", page) == [resource.name for resource in school.resources]
    assert page.count('class="lesson ') == sum(event.duration * len(event.resources) for event in school.events)


def test_the_page_before_a_timetable_shows_the_progress(client: TestClient, stored: Stored) -> None:
    stored()
    page = client.get("/").text
    assert "<progress " in page and "Na fila, aguardando a vez." in page


def test_the_page_without_a_school_says_how_to_import_one(client: TestClient, sessions: sessionmaker[Session]) -> None:
    assert "school_schedule import FILE.xml" in client.get("/").text


def test_names_from_a_file_are_text_and_never_markup(
    client: TestClient, stored: Stored, archive: Archive, tmp_path: Path
) -> None:
    hostile = archive().replace(b"Tiny", b"&lt;script&gt;&quot;'").replace(b"<Name>Ana<", b"<Name>&lt;b&gt;<")
    (tmp_path / "hostile.xml").write_bytes(hostile)
    stored(tmp_path / "hostile.xml", state="done", hard=0, soft=0, timetable='[["Math","Mo1",3]]')
    page = client.get("/").text
    assert "&lt;script&gt;&#34;&#39;" in page and "&lt;b&gt;" in page
    assert "<b>" not in page and "<script>" not in page


def test_progress_is_told_in_numbers_and_words(client: TestClient, stored: Stored) -> None:
    assert client.get(f"/schools/{stored()}/progress").json() == {
        "state": "queued",
        "message": "Na fila, aguardando a vez.",
        "share": 0.0,
        "version": "",
        "active": True,
    }


@pytest.mark.mysql
@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, -(2**70), "9" * 5000, "x", "1.5", f"{2**63}/progress"])
def test_a_number_that_no_school_has_is_not_found(
    client: TestClient, sessions: sessionmaker[Session], number: int | str
) -> None:
    assert client.get(f"/schools/{number}").status_code == 404


@pytest.mark.parametrize("address", ["/", "/nowhere", "/static/style.css"])
def test_every_answer_forbids_what_the_pages_do_not_need(
    client: TestClient, sessions: sessionmaker[Session], address: str
) -> None:
    headers = client.get(address).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_request_keeps_the_id_that_it_was_given(client: TestClient) -> None:
    assert client.get("/health", headers={"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 65, b'a"b', "é".encode("latin-1")])
def test_a_request_without_a_decent_id_gets_one(client: TestClient, given: bytes) -> None:
    answer = client.get("/health", headers={b"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_the_log_has_the_route_of_a_request_and_nothing_that_its_sender_wrote(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="app"):
        client.get("/secret%0AERROR%1B[31m?token=secret", headers={"User-Agent": "secret", "Cookie": "lang=secret"})
    assert caplog.messages == ["GET unmatched 404"]
    assert "secret" not in str([vars(record) for record in caplog.records])


def test_an_error_of_the_database_that_quotes_a_row_is_named_by_its_kind(
    engine: Engine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create(engine, settings)

    @app.get("/duplicate")
    def duplicate() -> None:
        raise IntegrityError(None, None, pymysql.err.IntegrityError(1062, "Duplicate entry 'Ana' for key 'name'"))

    assert TestClient(app).get("/duplicate").status_code == 503
    assert caplog.messages[0] == "the database does not answer: IntegrityError"
    assert "Ana" not in caplog.text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "pt-BR"),
        ("fr", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("en-GB,pt;q=0.5", "en"),
        ("de,EN;q=0.9", "en"),
        ("en;q=0.2,pt-BR;q=0.9", "pt-BR"),
        ("*", "pt-BR"),
        (";;,=", "pt-BR"),
    ],
)
def test_the_browsers_language_is_spoken_if_it_is_english_else_portuguese(
    client: TestClient, header: str, language: str
) -> None:
    assert f'<html lang="{language}">' in client.get("/nowhere", headers={"Accept-Language": header}).text


def test_a_language_that_was_chosen_is_remembered(client: TestClient) -> None:
    client.get("/nowhere?lang=en")
    assert "This page does not exist." in client.get("/nowhere").text


def test_a_language_that_is_not_there_is_not_chosen(client: TestClient) -> None:
    answer = client.get("/nowhere?lang=../en")
    assert "Esta página não existe." in answer.text
    assert "set-cookie" not in answer.headers


def test_a_wrong_method_is_told_the_right_one(client: TestClient) -> None:
    answer = client.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_it_is_alive_without_a_database(client: TestClient) -> None:
    assert client.get("/health").status_code == 200


def test_it_is_ready_with_a_migrated_database(client: TestClient, sessions: sessionmaker[Session]) -> None:
    answer = client.get("/ready")
    assert (answer.status_code, answer.text) == (200, "ready\n")


def test_it_is_not_ready_without_a_schema(client: TestClient) -> None:
    answer = client.get("/ready")
    assert (answer.status_code, answer.text) == (503, "the database has no schema yet; run migrate\n")


def test_whoever_asks_learns_whether_people_can_save(client: TestClient, sessions: sessionmaker[Session]) -> None:
    assert client.get("/ready?save=true").text == "ready\n"


def test_a_database_that_only_reads_is_ready_for_readers(
    client: TestClient, engine: Engine, sessions: sessionmaker[Session]
) -> None:
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
    assert client.get("/ready").status_code == 200
    answer = client.get("/ready?save=true")
    said = "the database does not answer: attempt to write a readonly database\n"
    assert (answer.status_code, answer.text) == (503, said)


@pytest.fixture
def lost(client: TestClient, engine: Engine, settings: Settings) -> TestClient:
    """The client of an application whose database is gone."""
    engine.dispose()
    shutil.rmtree(settings.data_dir)
    return client


def test_it_is_not_ready_when_the_database_is_gone(lost: TestClient) -> None:
    answer = lost.get("/ready")
    assert (answer.status_code, answer.text) == (503, "the database does not answer: unable to open database file\n")


def test_a_page_says_that_the_database_is_gone(lost: TestClient) -> None:
    answer = lost.get("/")
    assert answer.status_code == 503
    assert "O banco de dados não responde no momento." in answer.text


def test_the_version_names_the_image_by_its_digest() -> None:
    settings = Settings(image="ghcr.io/o/app:v1@sha256:abc", commit="123")
    version = TestClient(create(create_engine("sqlite://"), settings)).get("/version").json()
    assert (version["commit"], version["digest"]) == ("123", "sha256:abc")

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from app.engine.timetable import Timetable
from app.settings import Settings
from app.web.application import create
from tests.conftest import Start, address
from tests.web.conftest import Stored


@pytest.fixture
def solved(engine: Engine, settings: Settings, stored: Stored, timetable: Timetable) -> Iterator[str]:
    """The address of a server that has the sample school with a timetable."""
    stored(state="done", hard=0, soft=6, timetable=timetable.to_json())
    server = uvicorn.Server(uvicorn.Config(create(engine, settings), log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_whoever_waits_sees_the_progress_and_then_a_timetable_without_a_reload(start: Start, page: Page) -> None:
    server = start("serve", "--port", "0", IMPORT_EXAMPLES="true", SOLVER_WORKERS="2")
    page.goto(address(server))
    expect(page.locator("progress")).to_be_visible()
    expect(page.locator("table")).to_have_count(0)
    page.evaluate("window.reloaded = false")
    page.locator("table").first.wait_for()
    assert page.evaluate("window.reloaded") is False


def test_the_page_changes_to_english_and_stays_so(solved: str, page: Page) -> None:
    page.goto(solved)
    expect(page.locator("h2").first).to_have_text("Turmas")
    page.get_by_role("link", name="English").click()
    expect(page.locator("h2").first).to_have_text("Classes")
    page.goto(solved)
    expect(page.locator("h2").first).to_have_text("Classes")


def test_a_phone_does_not_scroll_sideways(solved: str, page: Page) -> None:
    page.set_viewport_size({"width": 375, "height": 700})
    page.goto(solved)
    expect(page.locator("table").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_on_paper_there_are_timetables_and_no_navigation(solved: str, page: Page) -> None:
    page.goto(solved)
    page.emulate_media(media="print")
    expect(page.locator("table").first).to_be_visible()
    for each in page.locator("nav, a").all():
        expect(each).to_be_hidden()

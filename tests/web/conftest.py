"""The application on a database, asked without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app import accounts, generation, instances
from app.engine.solver import solve
from app.engine.timetable import Timetable
from app.settings import Settings
from app.web.application import create
from tests.conftest import SAMPLE

Stored = Callable[..., int]
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing but the page itself: no first-run questions, and no requests of the browser's own.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Passwords are hashed as ever, but without the effort that makes guessing slow, and each test that signs in."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(accounts, "hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        reason = f"needs a browser; install one of {', '.join(NAMES)}"
        # In CI a test that did not run must not look like one that passed.
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path, args=OPTIONS) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a Brazilian browser; what the console complains of, such as a breach of the security policy, fails."""
    complaints: list[str] = []
    with browser.new_context(locale="pt-BR", viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert complaints == []


@pytest.fixture
def client(engine: Engine, settings: Settings) -> Iterator[TestClient]:
    """A browser that speaks Portuguese unless told otherwise."""
    with TestClient(create(engine, settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def timetable() -> Timetable:
    """A whole timetable of the sample school."""
    found: list[object] = []
    made = solve(instances.read(SAMPLE)[1], seconds=600, stop=lambda: bool(found), on_progress=found.append)
    assert made is not None
    return made


@pytest.fixture
def stored(sessions: sessionmaker[Session], settings: Settings) -> Stored:
    """Puts a school into the database, with a generation of these values, and gives its id."""

    def store(path: Path = SAMPLE, **values: object) -> int:
        with sessions.begin() as session:
            (school,) = instances.import_files(session, [path])
            made = generation.request(session, school, settings)
            for name, value in values.items():
                setattr(made, name, value)
            return school.id

    return store

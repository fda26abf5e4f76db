"""A school's office with a tiny school, and browsers of people who are in it and who are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app import accounts, schools
from app.models import Account, Membership, StoredSchool
from app.school import edit
from app.school.model import Placement, Plan, School
from app.settings import Settings
from app.web.application import create
from tests.school.conftest import school as school
from tests.school.test_lowering import GOOD

PASSWORD = "uma senha longa"
PLAN = tuple(Placement(lesson=x, time=y, duration=z) for x, y, z in GOOD)


class Browser:
    """A signed-in browser that sends forms as the pages have them."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, address: str) -> Response:
        return self.client.get(address)

    def post(
        self, address: str, fields: dict[str, Any] | None = None, page: str | None = None, **more: Any
    ) -> Response:
        """Sends fields with what `page`, by default the form's own, has hidden in its forms."""
        hidden = re.findall(r'name="(csrf|version)" value="([^"]*)"', self.get(page or address).text)
        return self.client.post(address, data=dict(hidden) | (fields or {}), **more)


People = Callable[..., Browser]


@pytest.fixture
def people(engine: Engine, settings: Settings, sessions: sessionmaker[Session]) -> Iterator[People]:
    """Browsers of people with a role in a school; without a role of somebody who has none."""
    opened = []

    def sign_in(name: str, school_id: int | None = None, role: str = "admin") -> Browser:
        email = f"{name}@example.org"
        with sessions.begin() as session:
            account = session.scalar(select(Account).filter_by(email=email))
            account = account or accounts.create(session, email, name.title(), PASSWORD)
            if school_id and not session.get(Membership, (account.id, school_id)):
                session.add(Membership(account_id=account.id, school_id=school_id, role=role))
        client = TestClient(create(engine, settings), raise_server_exceptions=False, headers={"Accept-Language": "en"})
        client.__enter__()
        opened.append(client)
        assert client.post("/login", data={"email": email, "password": PASSWORD}).status_code == 200
        return Browser(client)

    yield sign_in
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def stored(sessions: sessionmaker[Session], school: School) -> int:
    """The id of the tiny school, with a draft v16 that costs nothing."""
    with sessions.begin() as session:
        maker = accounts.create(session, "maker@example.org", "Maker", PASSWORD)
        return schools.create(session, edit.put_plan(school, Plan(id="", name="Plano", placements=PLAN)), maker).id


@pytest.fixture
def ana(people: People, stored: int) -> Browser:
    return people("ana", stored)


@pytest.fixture
def at(stored: int) -> str:
    return f"/office/{stored}"


@pytest.fixture
def published(ana: Browser, at: str) -> Browser:
    """Ana's browser, after the draft was published for everybody."""
    ana.post(f"{at}/plans/v16/publish", page=f"{at}/plans/v16")
    ana.post(f"{at}/settings", {"name": "Escola", "public": "on"}, at)
    return ana


def now(sessions: sessionmaker[Session], stored: int) -> School:
    with sessions() as session:
        return schools.read(session, stored, session.get_one(StoredSchool, stored).version)

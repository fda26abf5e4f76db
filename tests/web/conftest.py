"""The application on a database, asked without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app import generation, instances
from app.engine.solver import solve
from app.engine.timetable import Timetable
from app.settings import Settings
from app.web.application import create
from tests.conftest import SAMPLE

Stored = Callable[..., int]


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

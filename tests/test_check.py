from __future__ import annotations

import tracemalloc

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.orm import Session, sessionmaker

from app import commands, generation
from app.check import check
from app.database import DatabaseError
from app.models import Generation
from app.settings import Settings
from tests.conftest import SAMPLE


@pytest.fixture
def solved(engine: Engine, sessions: sessionmaker[Session], settings: Settings) -> sessionmaker[Session]:
    """A school whose timetable holds no lesson at all, with the cost that this has."""
    commands.import_files(engine, [SAMPLE], settings)
    claim = generation.claim(sessions, "worker")
    assert claim
    with sessions.begin() as session:
        session.execute(update(Generation).values(state="done", timetable="[]", hard=0, soft=0))
    with pytest.raises(DatabaseError) as mismatch:
        check(engine)
    hard, soft = str(mismatch.value).split()[-2:]
    with sessions.begin() as session:
        session.execute(update(Generation).values(hard=int(hard), soft=int(soft)))
    return sessions


def test_what_is_as_it_was_stored_is_counted(engine: Engine, solved: sessionmaker[Session]) -> None:
    assert check(engine) == (1, 1)


def test_a_cost_that_is_not_its_timetables_is_amiss(engine: Engine, solved: sessionmaker[Session]) -> None:
    with solved.begin() as session:
        session.execute(update(Generation).values(soft=Generation.soft + 1))
    with pytest.raises(DatabaseError, match=r"generation 1 of .* but its timetable costs"):
        check(engine)


def test_a_schema_that_is_not_there_is_amiss(engine: Engine) -> None:
    with pytest.raises(DatabaseError, match="has no schema yet"):
        check(engine)


def test_a_database_that_memory_could_not_hold_is_read(engine: Engine, solved: sessionmaker[Session]) -> None:
    size, count = 2**20, 60
    columns = [column for column in Generation.__table__.columns if column.name != "id"]
    with solved.begin() as session:
        row = session.execute(select(*columns)).mappings().one()
        session.execute(insert(Generation), [{**row, "timetable": "[]" + " " * size}] * count)
    tracemalloc.start()
    try:
        assert check(engine) == (1, count + 1)
        assert tracemalloc.get_traced_memory()[1] < count * size / 2
    finally:
        tracemalloc.stop()

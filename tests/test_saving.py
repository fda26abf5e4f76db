from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session, sessionmaker

from app import saving
from app.models import Attempt
from app.saving import Saving

pytestmark = pytest.mark.usefixtures("sessions")


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The first word of each statement that the database gets."""
    words: list[str] = []

    def note(_: object, __: object, statement: str, *more: object) -> None:
        words.append(statement.split()[0])

    event.listen(engine, "before_cursor_execute", note)
    yield words
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.mysql
def test_a_row_is_written_read_and_removed_once_however_many_ask(
    engine: Engine, sessions: sessionmaker[Session]
) -> None:
    asked = Saving(engine)
    with statements(engine) as words:
        assert [asked.problem() for _ in range(20)] == [None] * 20
    assert [word for word in words if word in ("INSERT", "DELETE")] == ["INSERT", "DELETE"]
    with sessions() as session:
        assert session.scalars(select(Attempt)).all() == []


def test_it_is_tried_again_after_a_while(engine: Engine) -> None:
    asked = Saving(engine)
    with statements(engine) as words:
        assert asked.problem() is None
        asked.acknowledged -= saving.FRESH
        assert asked.problem() is None
    assert words.count("INSERT") == 2


def test_nobody_waits_behind_a_save_that_hangs(engine: Engine) -> None:
    asked = Saving(engine)
    with engine.connect() as other, ThreadPoolExecutor(1) as thread:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        first = thread.submit(asked.problem)
        while not asked.turn.locked():
            assert not first.done()
        assert asked.problem() == "a save is not acknowledged"
        other.rollback()
        assert first.result() is None

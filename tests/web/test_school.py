from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app import generation
from app.web import translation
from app.web.school import progress
from tests.web.conftest import Stored

STARTED = datetime(2026, 1, 31)
RUNNING = {"state": "running", "started_at": STARTED, "heartbeat_at": STARTED + timedelta(seconds=15)}
FOUND = {"hard": 0, "soft": 41, "timetable": "[]"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Na fila, aguardando a vez."),
        (RUNNING, "Procurando um primeiro horário: 15 s de 60 s."),
        (RUNNING | FOUND, "Procurando um horário melhor: 15 s de 60 s, custo 41 até agora."),
        (FOUND | {"state": "done"}, "A busca terminou."),
        (
            {"state": "failed", "error": generation.NOT_FOUND},
            "Nenhum horário que atenda a todas as exigências foi encontrado em 60 s.",
        ),
        ({"state": "failed", "error": "{no} field"}, "A busca falhou: {no} field"),
    ],
)
def test_progress_is_told_in_words(
    sessions: sessionmaker[Session], stored: Stored, values: dict[str, object], message: str
) -> None:
    school = stored(**values)
    with sessions() as session:
        assert progress(session, school, translation.translations("pt-BR").gettext).message == message


def test_the_share_is_of_the_time_that_it_has(sessions: sessionmaker[Session], stored: Stored) -> None:
    school = stored(**RUNNING)
    with sessions() as session:
        assert progress(session, school, str).share == 0.25


def test_a_worse_timetable_of_a_newer_generation_is_no_new_version(
    sessions: sessionmaker[Session], stored: Stored
) -> None:
    school = stored(**FOUND | {"state": "done"})
    with sessions() as session:
        before = progress(session, school, str).version
    stored(**FOUND | {"state": "running", "soft": 50})
    with sessions() as session:
        assert progress(session, school, str).version == before

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from app import database, generation, instances
from app.engine.cost import evaluate
from app.engine.timetable import Timetable
from app.generation import ATTEMPTS, SILENCE, Claim, Sessions
from app.models import Generation
from app.settings import Settings
from tests.conftest import BRAZIL, SAMPLE, impossible, needs_mysql
from tests.engine.conftest import Archive, Rule

pytestmark = pytest.mark.mysql


def queue(sessions: Sessions, settings: Settings, path: Path = BRAZIL) -> int:
    """The id of a new generation, that may search for ten minutes: far more than the suite may take."""
    with sessions.begin() as session:
        (stored,) = instances.import_files(session, [path])
        return generation.request(session, stored, settings.model_copy(update={"generation_seconds": 600})).id


def change(sessions: Sessions, **values: object) -> None:
    with sessions.begin() as session:
        session.execute(update(Generation).values(**values))


def fall_silent(sessions: Sessions) -> None:
    with sessions() as session:
        moment = database.now(session)
    change(sessions, heartbeat_at=moment - 1.1 * SILENCE)


def row(sessions: Sessions, requested: int) -> dict[str, Any]:
    with sessions() as session:
        return dict(session.execute(select(Generation.__table__).filter_by(id=requested)).one()._mapping)


def claimed(sessions: Sessions, worker: str = "worker") -> Claim:
    claim = generation.claim(sessions, worker)
    assert claim is not None
    return claim


def test_workers_never_claim_the_same_generation(sessions: sessionmaker[Session], settings: Settings) -> None:
    ids = [queue(sessions, settings) for _ in range(20)]

    with ThreadPoolExecutor(4) as threads:
        # A claim that another was faster with is none, so there are some to spare.
        claims = list(threads.map(lambda turn: generation.claim(sessions, f"worker {turn}"), range(80)))
    assert sorted(claim.id for claim in claims if claim) == ids


@needs_mysql
def test_a_row_that_another_worker_is_claiming_is_not_waited_for(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    first, second = queue(sessions, settings), queue(sessions, settings)
    with sessions.begin() as session:
        session.execute(select(Generation).filter_by(id=first).with_for_update())
        assert claimed(sessions).id == second


def test_the_oldest_is_claimed_first(sessions: sessionmaker[Session], settings: Settings) -> None:
    oldest = queue(sessions, settings)
    queue(sessions, settings)
    assert claimed(sessions).id == oldest


def test_whoever_waits_in_a_browser_does_not_wait_for_an_imported_instance(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    queue(sessions, settings)
    waited_for = queue(sessions, settings)
    with sessions.begin() as session:
        session.get_one(Generation, waited_for).school_version = 1
    assert claimed(sessions).id == waited_for


def test_what_a_worker_is_heard_of_about_is_not_claimed_again(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    queue(sessions, settings)
    claimed(sessions)
    assert generation.claim(sessions, "another") is None


def test_what_a_silent_worker_has_is_claimed_again(sessions: sessionmaker[Session], settings: Settings) -> None:
    requested = queue(sessions, settings)
    claimed(sessions)
    fall_silent(sessions)
    assert generation.claim(sessions, "another") == Claim(requested, "another", 2)


def test_what_kills_every_worker_is_given_up(sessions: sessionmaker[Session], settings: Settings) -> None:
    requested = queue(sessions, settings)
    for _ in range(ATTEMPTS):
        claimed(sessions)
        fall_silent(sessions)
    assert generation.claim(sessions, "another") is None
    given_up = row(sessions, requested)
    assert (given_up["state"], given_up["error"]) == ("failed", "given up: the worker died 3 times")


def test_whoever_lost_the_claim_writes_nothing(sessions: sessionmaker[Session], settings: Settings) -> None:
    requested = queue(sessions, settings)
    lost = claimed(sessions)
    fall_silent(sessions)
    claimed(sessions, "another")
    before = row(sessions, requested)
    generation.run(sessions, lost, settings, lambda: False, lambda: None)
    assert row(sessions, requested) == before


def test_stopped_before_a_timetable_it_is_queued_again(sessions: sessionmaker[Session], settings: Settings) -> None:
    requested = queue(sessions, settings)
    generation.run(sessions, claimed(sessions), settings, lambda: True, lambda: None)
    again = row(sessions, requested)
    assert (again["state"], again["attempts"]) == ("queued", 0)


def test_stopped_with_a_timetable_it_is_done(sessions: sessionmaker[Session], settings: Settings) -> None:
    requested = queue(sessions, settings, SAMPLE)
    found = lambda: row(sessions, requested)["timetable"] is not None  # noqa: E731
    generation.run(sessions, claimed(sessions), settings, found, lambda: None)
    done = row(sessions, requested)
    cost = evaluate(instances.read(SAMPLE)[1], Timetable.from_json(done["timetable"]))
    assert (done["state"], done["hard"], done["soft"]) == ("done", cost.hard, cost.soft)


def test_a_timetable_of_an_earlier_attempt_stays_until_a_better_one(
    sessions: sessionmaker[Session], settings: Settings, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "tiny.xml").write_bytes(archive())
    requested = queue(sessions, settings, tmp_path / "tiny.xml")
    change(sessions, timetable="[]", hard=0, soft=0)
    generation.run(sessions, claimed(sessions), settings, lambda: False, lambda: None)
    done = row(sessions, requested)
    assert (done["state"], done["timetable"]) == ("done", "[]")


def test_where_no_timetable_is_good_the_least_bad_one_is_kept(
    sessions: sessionmaker[Session], settings: Settings, archive: Archive, rule: Rule, tmp_path: Path
) -> None:
    (tmp_path / "tiny.xml").write_bytes(archive(impossible(rule) + rule("AssignTime", required=True)))
    requested = queue(sessions, settings, tmp_path / "tiny.xml")
    generation.run(sessions, claimed(sessions), settings, lambda: False, lambda: None)
    done = row(sessions, requested)
    assert (done["state"], done["hard"], done["soft"]) == ("done", 1, 0)


def test_only_what_never_had_a_generation_gets_one(sessions: sessionmaker[Session], settings: Settings) -> None:
    queue(sessions, settings, BRAZIL)
    with sessions.begin() as session:
        instances.import_files(session, [BRAZIL, SAMPLE])
        generation.request_missing(session, settings)
    with sessions() as session:
        counts = session.execute(select(func.count(Generation.id)).group_by(Generation.instance_id)).scalars()
        assert list(counts) == [1, 1]


def test_the_best_is_the_cheapest_and_of_equals_the_oldest(sessions: sessionmaker[Session], settings: Settings) -> None:
    ids = [queue(sessions, settings) for _ in range(5)]
    with sessions.begin() as session:
        for requested, (hard, soft) in zip(ids, [(0, 9), (0, 4), (0, 4), (1, 0), (None, None)], strict=True):
            made = session.get_one(Generation, requested)
            made.hard, made.soft, made.timetable = hard, soft, None if hard is None else "[]"
    with sessions() as session:
        cheapest = generation.best(session, session.get_one(Generation, ids[0]).instance_id)
        assert cheapest and cheapest.id == ids[1]

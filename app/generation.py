"""Generations: a queue in the database, and running what is claimed from it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult, Result
from sqlalchemy.orm import Session, sessionmaker

from app import database, instances, logs
from app.engine.instance import Instance
from app.models import Generation, StoredInstance, StoredSchool
from app.school.model import Placement, Plan, School
from app.search import SearchError, search
from app.settings import Settings

log = logging.getLogger(__name__)
Sessions = sessionmaker[Session]

# A worker is heard of every second; one that is silent for this long has died, and its generation is claimed again.
SILENCE = timedelta(seconds=60)
ATTEMPTS = 3
NOT_FOUND = "no timetable was found that keeps every required constraint"
STOPPED = "stopped before a first timetable was found"


@dataclass(frozen=True)
class Claim:
    """A generation that this worker alone may write to, as long as the row still has this worker and attempt."""

    id: int
    worker: str
    attempt: int


def request(session: Session, instance: StoredInstance, settings: Settings, seed: int = 1) -> Generation:
    """Queues a generation."""
    generation = Generation(
        instance_id=instance.id,
        state="queued",
        seconds=settings.generation_seconds,
        seed=seed,
        attempts=0,
        requested_at=database.now(session),
    )
    session.add(generation)
    session.flush()
    return generation


def request_for_school(
    session: Session,
    stored: StoredSchool,
    school: School,
    settings: Settings,
    locked: Sequence[Placement] = (),
    repairs: Plan | None = None,
) -> Generation:
    """Queues a generation for a school as it is now, around what is locked; each with a seed of its own.

    With `repairs` as few lessons as possible leave where that plan has them.
    """
    instance = instances.of_school(session, stored.id, school, locked, repairs.placements if repairs else ())
    before = len(of_school(session, stored.id))
    generation = request(session, instance, settings, seed=before + 1)
    generation.school_version = stored.version
    generation.repairs = repairs.id if repairs else None
    generation.locked = json.dumps([each.model_dump() for each in locked])
    return generation


def of_school(session: Session, school_id: int, most: int = 1000) -> list[Generation]:
    """The generations of a school, newest first."""
    own = select(Generation).join(StoredInstance).where(StoredInstance.school_id == school_id)
    return list(session.scalars(own.order_by(Generation.id.desc()).limit(most)))


def stop(session: Session, generation: Generation) -> None:
    """Asks the worker to keep what it has found; what no worker has begun with is over at once."""
    generation.stop_requested = True
    waiting = (Generation.id == generation.id, Generation.state == "queued")
    over = {"state": "failed", "error": STOPPED, "finished_at": database.now(session)}
    session.execute(update(Generation).where(*waiting).values(over))


def request_missing(session: Session, settings: Settings) -> None:
    """Queues a generation for every imported instance that never had one."""
    had = select(Generation.instance_id)
    missing = select(StoredInstance).where(StoredInstance.id.not_in(had), StoredInstance.school_id.is_(None))
    for instance in session.scalars(missing):
        request(session, instance, settings)


def latest(session: Session, instance_id: int) -> Generation | None:
    """The newest generation of an instance."""
    of_instance = select(Generation).where(Generation.instance_id == instance_id)
    return session.scalar(of_instance.order_by(Generation.id.desc()).limit(1))


def best(session: Session, instance_id: int) -> Generation | None:
    """The generation with the cheapest timetable of an instance, the older one of equals."""
    found = select(Generation).where(Generation.instance_id == instance_id, Generation.timetable.is_not(None))
    return session.scalar(found.order_by(Generation.hard, Generation.soft, Generation.id).limit(1))


def claim(sessions: Sessions, worker: str, only: int | None = None) -> Claim | None:
    """Claims the oldest generation that is queued or whose worker has died, or `only` that one; None without one.

    A school's come first: somebody waits for them.
    """
    with sessions.begin() as session:
        moment = database.now(session)
        silent = (Generation.state == "running") & (Generation.heartbeat_at < moment - SILENCE)
        waiting = select(Generation).where(or_(Generation.state == "queued", silent)).order_by(Generation.id).limit(1)
        if only is not None:
            waiting = waiting.where(Generation.id == only)
        waiting = waiting.with_for_update(skip_locked=True)
        # Two questions: MySQL would lock every row that it has to sort.
        generation = session.scalar(waiting.where(Generation.school_version.is_not(None))) or session.scalar(waiting)
        if generation is None:
            return None
        attempt = generation.attempts + 1
        given_up = attempt > ATTEMPTS
        # SQLite has no row locks: whoever changes the row from what was read has the claim.
        changed = session.execute(
            update(Generation)
            .where(Generation.id == generation.id, Generation.attempts == generation.attempts)
            .values(
                state="failed" if given_up else "running",
                error=f"given up: the worker died {ATTEMPTS} times" if given_up else None,
                finished_at=moment if given_up else None,
                worker=worker,
                attempts=attempt,
                started_at=moment,
                heartbeat_at=moment,
            )
        )
        return Claim(generation.id, worker, attempt) if _rows(changed) == 1 and not given_up else None


@dataclass(frozen=True)
class Run:
    """How a run of a claimed generation ended: `outcome` is its new state, or `lost` if another worker has claimed it.

    `seconds` is how long it took, `soft` the cost of the best timetable if there is one.
    """

    outcome: str
    seconds: float
    soft: int | None


class ClaimLostError(Exception):
    """Another worker has the generation now."""


def run(
    sessions: Sessions, claim: Claim, settings: Settings, stop: Callable[[], bool], tick: Callable[[], None]
) -> Run:
    """Runs a claimed generation to its end, its best timetable always in the row.

    Ended early by `stop`, it is done with the best so far, or queued again without one; by somebody's request, over.
    `tick` is called every second.
    """
    began = time.monotonic()
    with sessions() as session:
        generation = session.get_one(Generation, claim.id)
        seconds, seed, stored = generation.seconds, generation.seed, generation.instance
        instance, xhstt, school = instances.load(stored), stored.xhstt, stored.id
        # What an earlier attempt found stays until something better comes.
        kept = None if generation.timetable is None else (generation.hard, generation.soft)
        history = json.loads(generation.history or "[]")
        asked = bool(generation.stop_requested)
    context = logs.CONTEXT.set({"job_id": claim.id, "school": school})
    log.info("searching for %g s", seconds)
    end: dict[str, object]
    try:
        try:
            workers = settings.solver_workers
            found = search(xhstt, seconds=seconds, seed=seed, workers=workers, stop=lambda: stop() or asked)
            with closing(found):
                for each in found:
                    tick()
                    if each and (kept is None or (each.hard, each.soft) < kept):
                        kept = (each.hard, each.soft)
                        history.append([round(each.elapsed, 1), *kept])
                        better = {"timetable": each.timetable.to_json(), "hard": each.hard, "soft": each.soft}
                        _write(sessions, claim, **better, history=json.dumps(history))
                    _write(sessions, claim, **({"elapsed": each.elapsed, "bound": each.bound} if each else {}))
                    asked = asked or _asked_to_stop(sessions, claim)
            if kept:
                tick()
                end = {"state": "done", "reasons": _reasons(instance) if kept[0] and not stop() else None}
            elif asked:
                end = {"state": "failed", "error": STOPPED}
            elif stop():
                # Not this attempt's fault, so it does not count.
                end = {"state": "queued", "attempts": claim.attempt - 1}
            else:
                tick()
                end = {"state": "failed", "error": NOT_FOUND, "reasons": _reasons(instance)}
        except SearchError as error:
            end = {"state": "failed", "error": str(error)[:500]}
        _write(sessions, claim, **end)
        log.info("%s after %.0f s", end["state"], time.monotonic() - began)
    except ClaimLostError:
        end = {"state": "lost"}
        log.warning("another worker has claimed it; leaving it")
    finally:
        logs.CONTEXT.reset(context)
    return Run(str(end["state"]), time.monotonic() - began, kept[1] if kept else None)


def _reasons(instance: Instance) -> str:
    # Here, not above: loading the solver takes a second, and most generations need no explanation.
    from app.engine.explain import reasons

    return json.dumps([[each.kind, dict(each.arguments)] for each in reasons(instance)])


def _asked_to_stop(sessions: Sessions, claim: Claim) -> bool:
    with sessions() as session:
        return bool(session.scalar(select(Generation.stop_requested).where(Generation.id == claim.id)))


def _write(sessions: Sessions, claim: Claim, **values: object) -> None:
    with sessions.begin() as session:
        moment = database.now(session)
        if values.get("state") in ("done", "failed"):
            values["finished_at"] = moment
        own = (Generation.id == claim.id, Generation.worker == claim.worker, Generation.attempts == claim.attempt)
        changed = session.execute(update(Generation).where(*own).values(heartbeat_at=moment, **values))
        if _rows(changed) != 1:
            raise ClaimLostError


def _rows(result: Result[Any]) -> int:
    """How many rows an UPDATE changed."""
    return cast(CursorResult[Any], result).rowcount

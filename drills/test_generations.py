"""Faults in the middle of a generation, and two of what there should be one of: it ends, once, with the best it had."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from delivery import image, job
from delivery.cluster import Manifest
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills import faults
from drills.conftest import FAULTS, Fault, Stage
from drills.database import ROOT, query
from drills.faults import settle
from drills.saves import writing
from drills.watching import until

# Queues a generation of twenty seconds, with nothing before it, and says its id.
REQUEST = """
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from app import database, generation, settings
from app.models import Generation, StoredInstance
chosen = settings.load()
with Session(database.connect(chosen)) as session:
    session.execute(update(Generation).where(Generation.state == "queued").values(state="failed"))
    session.execute(update(Generation).where(Generation.state == "running").values(stop_requested=True))
    instance = session.scalars(select(StoredInstance).order_by(StoredInstance.id)).first()
    made = generation.request(session, instance, chosen)
    made.seconds = 20
    session.commit()
    print(made.id)
"""
STATES = "SELECT id, state, attempts, IFNULL(hard, -1), IFNULL(soft, -1) FROM generation WHERE seconds = 20"
SCHEMA = "two_migrations"
# How many revisions it is at, and how many instances it has twice.
MIGRATED = """SELECT COUNT(*) FROM two_migrations.alembic_version;
SELECT COUNT(*) - COUNT(DISTINCT sha256) FROM two_migrations.instance"""


def request_generation(stage: Stage) -> int:
    command = ("exec", "deployment/school-scheduler", "-c", "school-scheduler", "--", "python", "-c", REQUEST)
    return int(kubectl("-n", stage.namespace, *command))


def state(stage: Stage, generation: int) -> tuple[str, int, tuple[int, int] | None]:
    """(state, attempts, cost of its best timetable) of a generation; `unknown` where the database does not answer."""
    try:
        rows = query(stage, STATES)
    except DeliveryError:
        return "unknown", 0, None
    _, outcome, attempts, hard, soft = next(
        row for row in map(str.split, rows.splitlines()) if row[0] == str(generation)
    )
    return outcome, int(attempts), None if hard == "-1" else (int(hard), int(soft))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.database_crashes, id="the database crashes during a generation"),
        pytest.param(faults.worker_killed, id="the worker is killed during a generation"),
    ],
)
def test_a_generation_keeps_what_it_had_and_ends(
    stage: Stage, request: pytest.FixtureRequest, fault: Callable[[Stage], None]
) -> None:
    generation = request_generation(stage)
    with stage.traffic() as answers:
        until(lambda: state(stage, generation)[2] is not None, seconds=90)
        before = state(stage, generation)[2]
        began = time.monotonic()
        fault(stage)
        until(lambda: state(stage, generation)[0] in ("done", "failed"), seconds=180)
        ended = time.monotonic()
    outcome, attempts, after = state(stage, generation)
    errors = sum(1 for answer in answers if answer.error)
    kept = before is not None and after is not None and after <= before
    lost = "nothing of its best timetable" if kept else "its best timetable"
    seen = f"{errors} of {len(answers)} requests failed, done in attempt {attempts}"
    request.config.stash[FAULTS].append(Fault(request.node.callspec.id, seen, lost, ended - began))
    assert (outcome, kept) == ("done", True)


@contextmanager
def an_hour_ahead(stage: Stage) -> Iterator[None]:
    """The clock of web and worker, not of the database, is an hour ahead."""
    identity = image.build(Path(__file__).parent / "clock", [f"IMAGE={stage.good}"])
    skewed = image.push(identity, f"{stage.registry}/{image.NAME}")
    try:
        for name in ("school-scheduler", "worker"):
            kubectl("-n", stage.namespace, "set", "image", f"deployment/{name}", f"{name}={skewed}")
        settle(stage)
        yield
    finally:
        for name in ("school-scheduler", "worker"):
            kubectl("-n", stage.namespace, "set", "image", f"deployment/{name}", f"{name}={stage.good}")
        settle(stage)


@pytest.mark.slow
def test_a_clock_that_is_an_hour_ahead_disturbs_nothing(stage: Stage, request: pytest.FixtureRequest) -> None:
    with an_hour_ahead(stage), stage.traffic() as answers, writing(stage, 40) as saves:
        ahead = ("exec", "deployment/worker", "--", "python", "-c", "import time; print(time.time())")
        assert float(kubectl("-n", stage.namespace, *ahead)) - time.time() > 3500
        generation = request_generation(stage)
        until(lambda: state(stage, generation)[0] in ("done", "failed"), seconds=120)
    there = set(query(stage, "SELECT id FROM generation").split())
    of_the_future = query(stage, "SELECT COUNT(*) FROM generation WHERE finished_at > UTC_TIMESTAMP()").strip()
    errors = sum(1 for answer in answers if answer.error)
    row = saves.row("the application's clocks are an hour ahead", len(answers), errors, there, 0)
    request.config.stash[FAULTS].append(row)
    assert state(stage, generation)[:2] == ("done", 1)
    assert (of_the_future, errors) == ("0", 0)
    assert set(saves.acknowledged) <= there


@pytest.mark.slow
def test_two_migrations_at_once_make_one_schema(stage: Stage, request: pytest.FixtureRequest) -> None:
    rights = f"GRANT ALL ON {SCHEMA}.* TO 'migration'@'%'"
    query(stage, f"DROP DATABASE IF EXISTS {SCHEMA}; CREATE DATABASE {SCHEMA}; {rights}", client=ROOT)
    began = time.monotonic()
    try:
        with stage.traffic() as answers, ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda _: job.follow(stage.cluster, migration(stage), 120), range(2)))
        took = time.monotonic() - began
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = '{}' ORDER BY 1"
        made, live = (query(stage, tables.format(each), client=ROOT) for each in (SCHEMA, "school_schedule"))
        found = query(stage, MIGRATED, client=ROOT).split()
    finally:
        query(stage, f"DROP DATABASE {SCHEMA}; REVOKE ALL ON {SCHEMA}.* FROM 'migration'@'%'", client=ROOT)
    errors = sum(1 for answer in answers if answer.error)
    row = Fault("two migrations at once", f"{errors} of {len(answers)} requests failed", "nothing", took)
    request.config.stash[FAULTS].append(row)
    assert made == live
    assert found == ["1", "0"]
    assert errors == 0


def migration(stage: Stage) -> Manifest:
    """A Job of the web's own migration, on another schema; it may speak to the database as the Job `accounts` may."""
    pod = copy.deepcopy(stage.render(stage.good).web["spec"]["template"]["spec"])
    (container,) = pod.pop("initContainers")
    container["env"] = [{"name": "DB_NAME", "value": SCHEMA}]
    pod |= {"containers": [container], "restartPolicy": "Never"}
    labels = {"app.kubernetes.io/name": "school-scheduler", "app.kubernetes.io/component": "accounts"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"backoffLimit": 0, "template": template}
    metadata = {"name": f"migration-{secrets.token_hex(3)}", "namespace": stage.namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}

"""Faults are made, the alerts about them arrive at a receiver, and so does the news that they are over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from delivery.image import Image
from delivery.kubectl import kubectl
from drills.conftest import TOLD, Stage
from drills.watching import Watch, until

# Puts a generation into the queue, as of so many seconds ago.
QUEUE = """
import sys
from datetime import timedelta
from sqlalchemy import select
from sqlalchemy.orm import Session
from app import database, generation, settings
from app.models import StoredInstance
chosen = settings.load()
with Session(database.connect(chosen)) as session:
    made = generation.request(session, session.scalars(select(StoredInstance)).first(), chosen)
    made.requested_at -= timedelta(seconds=float(sys.argv[1]))
    session.commit()
"""


@contextmanager
def database_down(stage: Stage) -> Iterator[None]:
    kubectl("-n", stage.namespace, "scale", "statefulset/mysql", "--replicas=0")
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "scale", "statefulset/mysql", "--replicas=1")


@contextmanager
def crash_loop(stage: Stage) -> Iterator[None]:
    kubectl("-n", stage.namespace, "set", "env", "deployment/worker", "GENERATION_SECONDS=-1")
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "set", "env", "deployment/worker", "GENERATION_SECONDS-")


def run_image(stage: Stage, built: Image) -> None:
    kubectl("-n", stage.namespace, "set", "image", "deployment/school-scheduler", f"school-scheduler={built}")


@contextmanager
def errors(stage: Stage) -> Iterator[None]:
    with stage.traffic():
        run_image(stage, stage.faulty("errors"))
        try:
            yield
        finally:
            run_image(stage, stage.good)


def request_generation(stage: Stage, ago: float = 0) -> None:
    """As a visitor does, that many seconds ago."""
    inside = ("exec", "deployment/school-scheduler", "-c", "school-scheduler", "--", "python", "-c", QUEUE, str(ago))
    kubectl("-n", stage.namespace, *inside)


@contextmanager
def queue_stuck(stage: Stage) -> Iterator[None]:
    kubectl("-n", stage.namespace, "scale", "deployment/worker", "--replicas=0")
    request_generation(stage, ago=3600)
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "scale", "deployment/worker", "--replicas=1")


@contextmanager
def backup_too_old(stage: Stage) -> Iterator[None]:
    _succeeded(stage, datetime.now(UTC) - timedelta(days=2))
    try:
        yield
    finally:
        _succeeded(stage, datetime.now(UTC))


def _succeeded(stage: Stage, moment: datetime) -> None:
    """Writes into the CronJob what its controller writes when a backup succeeds: nobody can wait for two days."""
    status = {"status": {"lastSuccessfulTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    options = ("--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
    kubectl("-n", stage.namespace, "patch", "cronjob/backup", *options)


Fault = Callable[[Stage], AbstractContextManager[None]]
Proof = Callable[[Watch, dict[str, str]], None]


def last_words_are_in_loki(watch: Watch, alert: dict[str, str]) -> None:
    """By the query of docs/runbooks/PodCrashLooping.md."""
    query = f'{{namespace="{watch.stage.namespace}"}} | k8s_pod_name="{alert["pod"]}"'
    (newest, *_) = until(lambda: watch.lines(query), seconds=60)
    assert newest == "school_schedule: setting GENERATION_SECONDS: Input should be greater than 0"


def everything_gives_metrics(watch: Watch, alert: dict[str, str]) -> None:
    """What asks the database for some of its metrics has to give the others without it."""
    assert not watch.query(f'up{{namespace="{watch.stage.namespace}"}} == 0')


def nothing_more(watch: Watch, alert: dict[str, str]) -> None:
    """The alert says all."""


SLOW = pytest.mark.slow
FAULTS = [
    pytest.param(database_down, "DatabaseDown", everything_gives_metrics, id="database-down"),
    pytest.param(crash_loop, "PodCrashLooping", last_words_are_in_loki, id="crash-loop", marks=SLOW),
    pytest.param(errors, "ErrorBudgetBurnsFast", nothing_more, id="error-rate", marks=SLOW),
    pytest.param(queue_stuck, "GenerationQueueStuck", nothing_more, id="queue-stuck", marks=SLOW),
    pytest.param(backup_too_old, "BackupTooOld", nothing_more, id="backup-too-old", marks=SLOW),
]


@pytest.mark.parametrize(("fault", "alert", "proof"), FAULTS)
def test_fault_is_told_and_so_is_its_end(
    stage: Stage, watch: Watch, request: pytest.FixtureRequest, fault: Fault, alert: str, proof: Proof
) -> None:
    assert not watch.query(f'ALERTS{{alertname="{alert}", namespace="{stage.namespace}"}}')
    before = {status: len(watch.told(alert, status)) for status in ("firing", "resolved")}
    began = time.monotonic()
    with fault(stage):
        told = until(lambda: watch.told(alert, "firing")[before["firing"] :])[0]
        noticed = time.monotonic()
        assert stage.namespace in told["description"]
        proof(watch, told)
    mended = time.monotonic()
    until(lambda: watch.told(alert, "resolved")[before["resolved"] :], seconds=600)
    request.config.stash[TOLD][request.node.callspec.id] = noticed - began, time.monotonic() - mended

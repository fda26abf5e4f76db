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
from delivery.render import COMPONENT
from drills import runbooks
from drills.conftest import TOLD, Stage
from drills.faults import patch
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
def deleted(stage: Stage, name: str) -> Iterator[None]:
    """Without an object of the environment, which is then created as it was."""
    body = stage.find(name)
    body["metadata"] = {key: body["metadata"].get(key, {}) for key in ("name", "namespace", "labels", "annotations")}
    kubectl("-n", stage.namespace, "delete", name)
    try:
        yield
    finally:
        if not stage.cluster.get(name):
            kubectl("create", "-f", "-", stdin=json.dumps(body))


def ingress_deleted(stage: Stage) -> AbstractContextManager[None]:
    return deleted(stage, "ingress/web")


def web_deleted(stage: Stage) -> AbstractContextManager[None]:
    return deleted(stage, "deployment/school-scheduler")


def certificate_deleted(stage: Stage) -> AbstractContextManager[None]:
    return deleted(stage, "secret/web-tls")


@contextmanager
def selector_wrong(stage: Stage) -> Iterator[None]:
    """The Service leads to no pod."""
    there = stage.find("service/web")["spec"]["selector"]
    patch(stage, "service/web", {"spec": {"selector": {**there, COMPONENT: "wbe"}}})
    try:
        yield
    finally:
        patch(stage, "service/web", {"spec": {"selector": there}})


@contextmanager
def image_missing(stage: Stage) -> Iterator[None]:
    """A release in ImagePullBackOff, while the pods of the one before serve."""
    name, _, _ = str(stage.good).partition("@")
    run_image(stage, f"{name}@sha256:{'0' * 64}")
    try:
        yield
    finally:
        run_image(stage, stage.good)


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


def run_image(stage: Stage, built: Image | str) -> None:
    kubectl("-n", stage.namespace, "set", "image", "deployment/school-scheduler", f"school-scheduler={built}")


@contextmanager
def _faulty(stage: Stage, fault: str) -> Iterator[None]:
    with stage.traffic():
        run_image(stage, stage.faulty(fault))
        try:
            yield
        finally:
            run_image(stage, stage.good)


def errors(stage: Stage) -> AbstractContextManager[None]:
    """Every page fails."""
    return _faulty(stage, "errors")


def leak(stage: Stage) -> AbstractContextManager[None]:
    """One page in twenty fails."""
    return _faulty(stage, "leak")


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


def taken_back(watch: Watch, alert: dict[str, str]) -> None:
    """The runbook leads to `make status`, and that to the line that takes back what was changed by hand."""
    runbooks.take_back(watch.stage)


SLOW = pytest.mark.slow
# Until its end is told, in seconds: two minutes, but for what is counted over the last five.
SOON, LATER = 120, 420
FAULTS = [
    pytest.param(ingress_deleted, "EnvironmentIncomplete", nothing_more, SOON, id="ingress-deleted"),
    pytest.param(database_down, "DatabaseDown", everything_gives_metrics, SOON, id="database-down", marks=SLOW),
    pytest.param(web_deleted, "EnvironmentIncomplete", taken_back, SOON, id="web-deleted", marks=SLOW),
    pytest.param(selector_wrong, "SiteDown", taken_back, SOON, id="selector-wrong", marks=SLOW),
    pytest.param(certificate_deleted, "CertificateRefused", nothing_more, SOON, id="certificate-deleted", marks=SLOW),
    pytest.param(image_missing, "PodCannotStart", taken_back, SOON, id="image-missing", marks=SLOW),
    pytest.param(crash_loop, "PodCrashLooping", last_words_are_in_loki, SOON, id="crash-loop", marks=SLOW),
    pytest.param(errors, "SiteDown", taken_back, SOON, id="every-page-fails", marks=SLOW),
    pytest.param(leak, "ErrorBudgetBurnsFast", nothing_more, LATER, id="error-rate", marks=SLOW),
    pytest.param(queue_stuck, "GenerationQueueStuck", nothing_more, SOON, id="queue-stuck", marks=SLOW),
    pytest.param(backup_too_old, "BackupTooOld", nothing_more, SOON, id="backup-too-old", marks=SLOW),
]


@pytest.mark.parametrize(("fault", "alert", "proof", "seconds"), FAULTS)
def test_one_alert_tells_of_a_fault_and_of_its_end(
    stage: Stage, watch: Watch, request: pytest.FixtureRequest, fault: Fault, alert: str, proof: Proof, seconds: float
) -> None:
    until(lambda: not watch.query(f'ALERTS{{namespace="{stage.namespace}"}}'))
    before = {status: len(watch.told(status)) for status in ("firing", "resolved")}
    began = time.monotonic()
    with fault(stage):
        heard = until(lambda: watch.told("firing")[before["firing"] :], seconds=120)[0]
        noticed = time.monotonic()
        assert stage.namespace in heard["description"]
        runbooks.follow(watch, heard)
        proof(watch, heard)
    mended = time.monotonic()
    until(lambda: watch.told("resolved")[before["resolved"] :], seconds=seconds)
    ended = time.monotonic()
    assert [each["alertname"] for each in watch.told("firing")[before["firing"] :]] == [alert]
    request.config.stash[TOLD][request.node.callspec.id] = noticed - began, ended - mended

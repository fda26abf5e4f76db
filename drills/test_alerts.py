"""Faults are made, the alerts about them arrive at a receiver, and so does the news that they are over."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from drills import runbooks
from drills.conftest import TOLD, Stage
from drills.faults import (
    backup_fails,
    backup_too_old,
    certificate_deleted,
    certificate_expires,
    crash_loop,
    database_down,
    errors,
    image_missing,
    ingress_deleted,
    leak,
    queue_stuck,
    restarted_twice,
    secret_missing,
    selector_wrong,
    web_deleted,
)
from drills.watching import Watch, until

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
SOON, LATER, HOUR = 120, 420, 2400
# Whose alert waits for longer than two minutes on purpose.
PATIENT = {"ScheduledJobFailed": 240, "PodRestarts": 240, "ErrorBudgetBurnsFast": 1200}
FAULTS = [
    pytest.param(ingress_deleted, "EnvironmentIncomplete", nothing_more, SOON, id="ingress-deleted", marks=SLOW),
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
    pytest.param(secret_missing, "PodCannotStart", taken_back, SOON, id="secret-missing", marks=SLOW),
    pytest.param(certificate_expires, "CertificateExpired", nothing_more, LATER, id="certificate-expires", marks=SLOW),
    pytest.param(backup_fails, "ScheduledJobFailed", nothing_more, LATER, id="backup-fails", marks=SLOW),
    pytest.param(restarted_twice, "PodRestarts", nothing_more, HOUR, id="restarted-twice", marks=SLOW),
]


@pytest.mark.parametrize(("fault", "alert", "proof", "seconds"), FAULTS)
def test_one_alert_tells_of_a_fault_and_of_its_end(
    stage: Stage, watch: Watch, request: pytest.FixtureRequest, fault: Fault, alert: str, proof: Proof, seconds: float
) -> None:
    until(lambda: not watch.query(f'ALERTS{{namespace="{stage.namespace}"}}'))
    before = {status: len(watch.told(status)) for status in ("firing", "resolved")}
    began = time.monotonic()
    with fault(stage):
        heard = until(lambda: watch.told("firing")[before["firing"] :], seconds=PATIENT.get(alert, 120))[0]
        noticed = time.monotonic()
        assert stage.namespace in heard["description"]
        runbooks.follow(watch, heard)
        proof(watch, heard)
    mended = time.monotonic()
    until(lambda: watch.told("resolved")[before["resolved"] :], seconds=seconds)
    ended = time.monotonic()
    assert [each["alertname"] for each in watch.told("firing")[before["firing"] :]] == [alert]
    request.config.stash[TOLD][request.node.callspec.id] = noticed - began, ended - mended

"""Every line of a runbook is typed in the state that it is for; those of the likeliest alerts are in test_alerts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from delivery import rollout, workloads
from delivery.render import COMPONENT
from drills import runbooks
from drills.conftest import Stage
from drills.faults import database_down
from drills.test_alerts import FAULTS
from drills.watching import Watch, until
from observability.expressions import rules

Labels = dict[str, str]
State = Callable[[Stage], AbstractContextManager[Labels]]


@contextmanager
def as_it_is(stage: Stage) -> Iterator[Labels]:
    """Nothing is wrong: what is typed looks, or does no harm."""
    yield {}


@contextmanager
def worker_restarted(stage: Stage) -> Iterator[Labels]:
    (pod, *_) = stage.cluster.list("Pod", selector=f"{COMPONENT}=worker")
    name = pod["metadata"]["name"]
    stage.cluster.exec(name, "worker", "python", "-c", "import os; os.kill(1, 15)")
    until(lambda: any(status["restartCount"] for status in workloads.statuses(stage.find(f"pod/{name}"))), seconds=60)
    yield {"pod": name, "container": "worker"}


@contextmanager
def pages_refused(stage: Stage) -> Iterator[Labels]:
    """Errors in the log, as the database is away."""
    with database_down(stage):
        refused = f"/schools/{secrets.randbelow(1000)}"
        until(lambda: stage.site().get(refused).status_code == 503, seconds=30)
        yield {}


STATES: dict[str, State] = {
    "ErrorBudgetBurns": pages_refused,
    "LogErrorsSurge": pages_refused,
    "PodRestarts": worker_restarted,
}
ELSEWHERE = {fault.values[1] for fault in FAULTS}
ALERTS = sorted({rule["alert"] for rule in rules() if "alert" in rule} - ELSEWHERE)


@pytest.mark.slow
@pytest.mark.parametrize("alert", ALERTS)
def test_runbook_is_right_word_for_word(stage: Stage, watch: Watch, alert: str) -> None:
    with STATES.get(alert, as_it_is)(stage) as labels:
        runbooks.follow(watch, {"alertname": alert, **labels})
    rollout.wait(stage.cluster, stage.render(stage.good).objects)

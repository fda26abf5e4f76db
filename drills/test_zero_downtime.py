"""Users lose no request to a rollout, a canary, a rollback or a drained node; without the precautions they do."""

from __future__ import annotations

import json
import time

import pytest

from delivery import deploy, rollout
from delivery.kubectl import kubectl
from delivery.release import last_good
from delivery.shell import DeliveryError
from delivery.traffic import Answer
from drills.conftest import Stage


def failed(answers: list[Answer]) -> list[Answer]:
    assert len(answers) > 100
    return [answer for answer in answers if answer.error]


def test_rollout_loses_no_request(stage: Stage) -> None:
    # An image that no other drill has, so that going back from it can be seen.
    other = stage.faulty("none", after=1)
    with stage.traffic() as answers:
        stage.deploy(other)
    assert failed(answers) == []
    assert set(stage.pods().values()) == {str(other)}


@pytest.mark.slow
def test_rollback_loses_no_request_and_brings_the_release_before(stage: Stage) -> None:
    newest = stage.releases()[0]
    before = last_good(stage.releases(), before=newest.number)
    assert before
    with stage.traffic() as answers:
        deploy.rollback(stage.target, None, deploy.Options())
    assert failed(answers) == []
    assert set(stage.pods().values()) == {before.image} != {newest.image}


@pytest.mark.slow
def test_canary_and_the_rollout_after_it_lose_no_request(stage: Stage) -> None:
    with stage.traffic() as answers:
        stage.deploy(stage.faulty("none"), canary=0.5)
    assert failed(answers) == []
    assert not any("canary" in pod for pod in stage.pods())


@pytest.mark.slow
def test_evictions_of_a_drain_lose_no_request(stage: Stage) -> None:
    before = stage.pods()
    assert len(before) > 1
    with stage.traffic() as answers:
        for pod in before:
            evict(stage.namespace, pod)
        rollout.wait(stage.cluster, stage.render(stage.good).objects)
    assert failed(answers) == []
    assert not before.keys() & stage.pods().keys()


def test_a_rollout_without_the_precautions_loses_requests(stage: Stage) -> None:
    container = {"name": "school-scheduler", "lifecycle": None}
    careless = {
        "strategy": {"rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}},
        "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}},
    }
    with stage.traffic() as answers:
        change = ("patch", "deployment/school-scheduler", "--patch", json.dumps({"spec": careless}))
        kubectl("-n", stage.namespace, *change)
        rollout.wait(stage.cluster, stage.render(stage.good).objects)
    stage.deploy(stage.good)
    assert failed(answers) != []


def evict(namespace: str, pod: str) -> None:
    """Asks for an eviction, as a drain does, until the PodDisruptionBudget allows it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    for _ in range(60):
        try:
            kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
            return
        except DeliveryError as error:
            if "disruption budget" not in str(error):
                raise
            time.sleep(2)
    raise AssertionError(f"{pod} could not be evicted within two minutes")

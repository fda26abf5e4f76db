"""What only waits has its time, and what is forbidden is told of soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from delivery import diagnosis, image, rollout
from delivery.deploy import ReleaseError
from delivery.kubectl import kubectl
from delivery.release import last_good
from delivery.render import COMPONENT
from drills.conftest import Stage
from drills.line import Line, line
from policy_tests.quantity import quantity

pytestmark = pytest.mark.slow
PAUSE = 90


def refused(paused: Line) -> None:
    """Nothing listens there."""
    paused.away(PAUSE)


def silent(paused: Line) -> None:
    """What is asked gets no answer, as from a process that is stopped."""
    paused.delay = PAUSE
    threading.Timer(PAUSE, setattr, (paused, "delay", 0)).start()


@pytest.mark.parametrize("after", [0, 20])
@pytest.mark.parametrize("pause", [refused, silent])
def test_a_pause_of_the_api_server_costs_no_good_release(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: Callable[[Line], None], after: float
) -> None:
    number = stage.releases()[0].number
    other = stage.faulty("none", after=100 * number)

    def begin() -> None:
        while stage.releases()[0].number == number:
            time.sleep(0.5)
        threading.Timer(after, pause, (paused,)).start()

    with line(tmp_path) as paused, monkeypatch.context() as there:
        there.setenv("KUBECONFIG", str(paused.kubeconfig))
        threading.Thread(target=begin).start()
        began = time.monotonic()
        stage.deploy(other)
        assert time.monotonic() - began > PAUSE
    newest = stage.releases()[0]
    assert (newest.number, newest.phase) == (number + 1, "good")
    assert set(stage.pods().values()) == {str(other)}


@contextmanager
def short_of_memory(stage: Stage, mebibytes: int) -> Iterator[None]:
    """A quota that leaves that much to new pods."""
    other = ("-n", stage.namespace, "get", "resourcequota/environment", "-o", "jsonpath={.status.used.limits\\.memory}")
    used = quantity(kubectl(*other))
    assert used is not None
    kind = {"apiVersion": "v1", "kind": "ResourceQuota"}
    body = {**kind, "metadata": {"name": "short", "namespace": stage.namespace}}
    stage.cluster.create({**body, "spec": {"hard": {"limits.memory": str(int(used) + (mebibytes << 20))}}})
    try:
        yield
    finally:
        stage.cluster.delete("resourcequota/short")


def test_a_quota_that_forbids_the_surge_is_told_of_within_a_minute(stage: Stage) -> None:
    good = last_good(stage.releases())
    assert good
    other = stage.faulty("none", after=7)
    # Enough for the Job `accounts`, and not for a pod of the web.
    with short_of_memory(stage, 300), pytest.raises(ReleaseError, match=f"release {good.number} runs again") as error:
        began = time.monotonic()
        stage.deploy(other)
    assert ": its pods are refused: pods " in str(error.value.__cause__)
    assert "exceeded quota: short" in str(error.value.__cause__)
    assert error.value.noticed - began < 60
    assert set(stage.pods().values()) == {good.image}


def test_an_image_that_came_late_is_delivered_by_the_next_try(stage: Stage) -> None:
    built = stage.faulty("none", after=8)
    late = replace(built, name=f"{stage.registry}/late")
    with stage.as_deployer():
        rollout.apply(stage.cluster, stage.render(late).objects)
        while not waits(stage, "ImagePullBackOff"):
            time.sleep(0.5)
    assert image.push(built.tag.removeprefix("local-"), late.name) == late
    assert waits(stage, "ImagePullBackOff")
    stage.deploy(late)
    assert set(stage.pods().values()) == {str(late)}


def waits(stage: Stage, reason: str) -> bool:
    """Whether a web pod waits for that reason."""
    pods = stage.cluster.list("Pod", selector=f"{COMPONENT}=web")
    return any(reason in line for pod in pods for line in diagnosis.hopeless(pod))

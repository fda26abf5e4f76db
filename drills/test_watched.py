"""What watches fails itself: nothing that fired is forgotten, nothing false is told, and no line of a log is lost."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from delivery.kubectl import kubectl
from delivery.observability import NAMESPACE
from delivery.render import COMPONENT
from drills.conftest import Stage
from drills.faults import ingress_deleted
from drills.watching import PARTS, Watch, until

# The ids that requests are given here.
DRILL = re.compile("drill-[0-9a-f]{32}")


@contextmanager
def away(name: str) -> Iterator[None]:
    """Without the only pod of a StatefulSet of what watches."""
    kubectl("-n", NAMESPACE, "scale", f"statefulset/{name}", "--replicas=0")
    kubectl("-n", NAMESPACE, "wait", f"pod/{name}-0", "--for=delete", "--timeout=2m")
    try:
        yield
    finally:
        kubectl("-n", NAMESPACE, "scale", f"statefulset/{name}", "--replicas=1")
        kubectl("-n", NAMESPACE, "rollout", "status", f"statefulset/{name}", "--timeout=3m")


def test_somebody_outside_hears_that_alerts_are_told(watch: Watch) -> None:
    until(watch.signs_of_life, seconds=120)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "minutes"), [("prometheus", 6), ("alertmanager", 3)])
def test_what_fired_is_told_once_and_is_over_when_it_is(stage: Stage, watch: Watch, part: str, minutes: float) -> None:
    before = {status: len(watch.told(status)) for status in ("firing", "resolved")}
    with ingress_deleted(stage):
        until(lambda: watch.told("firing")[before["firing"] :], seconds=120)
        with away(part):
            time.sleep(60 * minutes)
        until(lambda: watch.query(f"min({PARTS}) == 1"), seconds=120)
        time.sleep(60)
        assert watch.told("resolved")[before["resolved"] :] == []
    until(lambda: watch.told("resolved")[before["resolved"] :], seconds=180)
    assert [alert["alertname"] for alert in watch.told("firing")[before["firing"] :]] == ["EnvironmentIncomplete"]


@pytest.mark.slow
def test_what_fires_without_alertmanager_is_told_when_it_is_back(stage: Stage, watch: Watch) -> None:
    before = len(watch.told("firing"))
    with ingress_deleted(stage):
        with away("alertmanager"):
            time.sleep(90)
        until(lambda: watch.told("firing")[before:], seconds=180)


@pytest.mark.slow
def test_lines_of_pods_that_are_gone_wait_for_loki(stage: Stage, watch: Watch) -> None:
    """For longer than a queue of a thousand batches would have room."""
    site, asked, before = stage.site(), [], len(watch.received())
    with away("loki"):
        end = time.monotonic() + 480
        while time.monotonic() < end:
            asked.append(f"drill-{secrets.token_hex(16)}")
            site.session.get(f"{site.url}/schools/1", headers={"X-Request-ID": asked[-1]}, timeout=30)
            time.sleep(0.2)
        for pod in stage.cluster.list("Pod", selector=f"{COMPONENT}=web"):
            kubectl("-n", stage.namespace, "delete", f"pod/{pod['metadata']['name']}")

    def missing() -> set[str]:
        return set(asked) - {identity for line in watch.everything() for identity in DRILL.findall(line)}

    until(lambda: not missing(), seconds=180)
    told = [alert["alertname"] for alert in watch.received()[before:] if alert["status"] == "firing"]
    assert [name for name in told if name.startswith(("Obs", "Log"))] == ["ObservabilityTargetDown"]

"""Deletes a neighbouring environment under the tested one's traffic; runs only with --delete-neighbour."""

from __future__ import annotations

import json
import time

import pytest

from delivery.kubectl import kubectl
from delivery.render import COMPONENT
from delivery.site import Site
from delivery.traffic import traffic
from policy_tests.environment import find
from smoke_tests.environment import Environment


def pods(environment: Environment) -> dict[str, int]:
    """Restarts of each long-running pod, by the pod's uid."""
    found: dict[str, int] = {}
    for component in ("web", "worker", "database"):
        for name in environment.pods(component):
            pod = json.loads(environment.kubectl("get", "pod", name, "-o", "json"))
            found[pod["metadata"]["uid"]] = sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
    return found


def test_deleting_the_neighbour_goes_unnoticed(
    environment: Environment, site: Site, pytestconfig: pytest.Config
) -> None:
    neighbour = find(pytestconfig.getoption("--delete-neighbour")).namespace
    assert neighbour != environment.namespace
    there = ("deployments", f"--selector={COMPONENT}=web", "--for=condition=Available")
    kubectl("-n", neighbour, "wait", *there, "--timeout=60s")
    before, page = pods(environment), site.get("/version").text
    with traffic(site) as answers:
        time.sleep(2)
        kubectl("delete", "namespace", neighbour, "--timeout=300s")
        time.sleep(5)
    assert not kubectl("get", "namespace", neighbour, "--ignore-not-found")
    assert len(answers) > 50
    assert [answer for answer in answers if answer.error] == []
    assert pods(environment) == before
    assert site.get("/version").text == page

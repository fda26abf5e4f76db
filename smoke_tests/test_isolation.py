"""Deletes a neighbouring environment under the tested one's traffic; runs only with --delete-neighbour."""

from __future__ import annotations

import json
import threading
import time

import pytest
import requests

from delivery.shell import kubectl
from smoke_tests.conftest import Environment, Site


class Traffic(threading.Thread):
    """About ten requests a second for the page and the database behind it, until told to stop."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self.site, self.ended = site, threading.Event()
        self.answers: list[int | str] = []

    def run(self) -> None:
        while not self.ended.wait(0.05):
            for path in ("/", "/ready"):
                try:
                    self.answers.append(self.site.get(path).status_code)
                except requests.RequestException as error:
                    self.answers.append(str(error))


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
    neighbour = f"school-scheduler-{pytestconfig.getoption('--delete-neighbour')}"
    assert neighbour != environment.namespace
    kubectl("-n", neighbour, "rollout", "status", "deployment/web", "--timeout=60s")
    before, page = pods(environment), site.get("/version").text
    traffic = Traffic(site)
    traffic.start()
    try:
        time.sleep(2)
        kubectl("delete", "namespace", neighbour, "--timeout=300s")
        time.sleep(5)
    finally:
        traffic.ended.set()
        traffic.join()
    assert not kubectl("get", "namespace", neighbour, "--ignore-not-found")
    assert len(traffic.answers) > 50
    assert set(traffic.answers) == {200}
    assert pods(environment) == before
    assert site.get("/version").text == page

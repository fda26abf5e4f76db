"""Visitors who look at timetables in the environment ENV; ends non-zero where thresholds.py says so.

INGRESS is the ingress controller's address where DNS does not know the host, REQUESTS_CA_BUNDLE the authority of its
certificate where the public ones do not. DIGEST is the image that is to run, before and afterwards.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import requests
from locust import HttpUser, between, events, task

from delivery.ingress import IngressAdapter
from load_tests.thresholds import another, exceeded

PATCH = (Path(__file__).resolve().parent.parent / "overlays" / os.environ["ENV"] / "host.yaml").read_text()
HOST = re.findall(r"value: (\S+)", PATCH)[0]
SCHEME = "https" if "path: /spec/tls/" in PATCH else "http"

# What /version has said it is.
DIGESTS: list[str] = []


def equip(session: requests.Session) -> None:
    """Sends the requests of a session to the environment."""
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE", True)
    if address := os.environ.get("INGRESS"):
        # A proxy in the environment would carry the request away from that address.
        session.trust_env = False
        session.mount(f"{SCHEME}://{HOST}", IngressAdapter(address, HOST))


class Visitor(HttpUser):
    """Opens the home page and its schools, and follows a generation's progress as the page itself does."""

    host = f"{SCHEME}://{HOST}"
    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        equip(self.client)
        self.schools = re.findall(r"/schools/\d+", self.client.get("/").text) or ["/"]

    @task(2)
    def home(self) -> None:
        self.client.get("/")

    @task(2)
    def school(self) -> None:
        self.client.get(self.schools[0], name="/schools/ID")

    @task(1)
    def progress(self) -> None:
        self.client.get(f"{self.schools[0]}/progress", name="/schools/ID/progress")


@events.test_start.add_listener
@events.test_stop.add_listener
def look(**_: Any) -> None:
    """Notes which image runs."""
    with requests.Session() as session:
        equip(session)
        DIGESTS.append(session.get(f"{SCHEME}://{HOST}/version", timeout=10).json()["digest"])
    print(f"load: {HOST} runs {DIGESTS[-1]}")


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Sets the exit code."""
    total = environment.stats.total
    problems = [
        *exceeded(total.num_requests, total.num_failures, total.get_response_time_percentile(0.95) / 1000),
        *another(os.environ.get("DIGEST", ""), DIGESTS),
    ]
    for problem in problems:
        print(f"load: {problem}")
    environment.process_exit_code = 1 if problems else 0

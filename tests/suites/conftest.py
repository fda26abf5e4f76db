"""A stranger, a cluster's objects as they are when all is well, and a kubectl that finds them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from delivery.render import Render
from policy_tests.render import render
from tests.suites.api import Api, kubeconfig, serving
from tests.suites.stranger import Stranger, clone, kubectl

Manifest = dict[str, Any]
# What `kubectl set image` has put there.
IMAGE = f"registry.example/school-scheduler:v9@sha256:{'9' * 64}"
Cluster = Callable[..., Path]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("stranger") / "school-scheduler")


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    """One who has the packages of the documents, and kubectl."""
    stranger = Stranger(tmp_path / "stranger")
    stranger.has(kubectl())
    return stranger


@pytest.fixture(scope="session")
def overlay() -> list[Manifest]:
    return list(Render(render("overlays/dev")).objects)


@pytest.fixture
def deployed(overlay: list[Manifest]) -> list[Manifest]:
    """The objects of the overlay dev in a cluster where every pod runs IMAGE and is ready."""
    objects = copy.deepcopy(overlay)
    return objects + [pod for each in objects if each["kind"] in ("Deployment", "StatefulSet") for pod in _run(each)]


def _run(workload: Manifest) -> Iterator[Manifest]:
    spec, name = workload["spec"], workload["metadata"]["name"]
    if workload["kind"] == "Deployment":
        spec["template"]["spec"]["containers"][0]["image"] = IMAGE
    replicas = spec["replicas"]
    workload["metadata"] |= {"uid": name, "generation": 1}
    ready = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    workload["status"] = {"observedGeneration": 1, **ready}
    for number in range(replicas):
        containers = [
            {"name": each["name"], "imageID": each["image"], "ready": True, "state": {"running": {}}}
            for each in spec["template"]["spec"]["containers"]
        ]
        own = f"{name}-{number}"
        metadata = {"name": own, "uid": own, "labels": spec["template"]["metadata"]["labels"]}
        status = {"phase": "Running", "conditions": [], "containerStatuses": containers}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def find(objects: Sequence[Manifest], key: str) -> Manifest:
    """The object KIND/NAME."""
    return next(each for each in objects if f"{each['kind']}/{each['metadata']['name']}" == key)


def web(objects: Sequence[Manifest]) -> Manifest:
    """The Deployment that serves the pages, whatever its name."""
    labelled = ("Deployment", "web")
    component = "app.kubernetes.io/component"
    return next(
        each for each in objects if (each["kind"], each["metadata"].get("labels", {}).get(component)) == labelled
    )


def pod(workload: Manifest) -> str:
    """KIND/NAME of its pod."""
    return f"Pod/{workload['metadata']['name']}-0"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Starts an API server with some objects; returns a kubeconfig that leads to it."""
    with ExitStack() as running:

        def start(objects: Sequence[Manifest] = (), unreadable: Sequence[str] = ()) -> Path:
            return kubeconfig(tmp_path, running.enter_context(serving(Api(objects, unreadable))))

        yield start


@pytest.fixture
def ingress() -> Iterator[str]:
    """HOST:PORT of what answers as the application behind the ingress does."""

    class Application(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            version = {"image": IMAGE, "digest": IMAGE.partition("@")[2]}
            content = json.dumps(version if self.path == "/version" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Application)) as address:
        yield address

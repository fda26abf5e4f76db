"""Options and fixtures: one deployed environment, seen from outside and from inside."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest
import testinfra
import yaml
from testinfra.host import Host

from app import credentials as keys
from delivery import credentials
from delivery.shell import kubectl
from delivery.site import Site, connect

Manifest = dict[str, Any]


def pytest_configure() -> None:
    # testinfra and the port-forward call kubectl by name: the one of this environment goes first.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--env` says what to test; the others, how the deployed environment differs from its overlay."""
    group = parser.getgroup("smoke tests")
    group.addoption("--env", help="the deployed environment: dev, homolog, preprod or prod")
    group.addoption("--manifests", type=Path, help="the file that was deployed (default: what overlays/ENV renders to)")
    told = "address of the ingress controller (default: $INGRESS; without it the host's own, by DNS)"
    group.addoption("--ingress", default=os.environ.get("INGRESS"), help=told)
    group.addoption("--delete-neighbour", metavar="ENV", help="delete that environment; --env must not notice")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    destructive = collection_path.name == "test_isolation.py"
    return True if destructive and not config.getoption("--delete-neighbour") else None


@dataclass(frozen=True)
class Environment:
    """A deployed environment: its namespace, and the manifests that it was deployed from."""

    namespace: str
    manifests: list[Manifest] = field(repr=False)

    def kubectl(self, *arguments: str) -> str:
        return kubectl("-n", self.namespace, *arguments)

    def manifest(self, kind: str, name: str) -> Manifest:
        found = (each for each in self.manifests if (each["kind"], each["metadata"]["name"]) == (kind, name))
        return next(found)

    def pods(self, component: str) -> list[str]:
        """Names of the component's pods, without those that are ending."""
        selector = f"app.kubernetes.io/component={component}"
        pods = json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        return [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    @property
    def web(self) -> Manifest:
        """The Deployment that serves the pages, by its label: up to v0.1.0 it was called `web`."""
        deployments = (each for each in self.manifests if each["kind"] == "Deployment")
        return next(each for each in deployments if each["metadata"]["labels"]["app.kubernetes.io/component"] == "web")

    @property
    def container(self) -> str:
        """The name of the container that serves the pages."""
        return str(self.web["spec"]["template"]["spec"]["containers"][0]["name"])

    @property
    def image(self) -> str:
        """The application's image reference in the manifests."""
        return str(self.web["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Environment:
    name = pytestconfig.getoption("--env")
    if not name:
        raise pytest.UsageError("say which environment to test: --env=dev, homolog, preprod or prod")
    file = pytestconfig.getoption("--manifests")
    rendered = file.read_text() if file else kubectl("kustomize", f"overlays/{name}")
    return Environment(f"school-scheduler-{name}", list(yaml.safe_load_all(rendered)))


@pytest.fixture(scope="session")
def site(environment: Environment, pytestconfig: pytest.Config) -> Site:
    return connect(environment.namespace, environment.manifests, pytestconfig.getoption("--ingress"))


@pytest.fixture(scope="session")
def web_pod(environment: Environment) -> Host:
    """Inside a web pod, by testinfra over kubectl exec."""
    pod = environment.pods("web")[0]
    return testinfra.get_host(f"kubectl://{pod}?namespace={environment.namespace}&container={environment.container}")


@pytest.fixture(scope="session")
def database(environment: Environment) -> Iterator[pymysql.Connection[Any]]:
    """A connection as the application's own user, through a port-forward to the database's pod."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    forward = subprocess.Popen(
        ["kubectl", "-n", environment.namespace, "port-forward", "pod/mysql-0", f"{port}:3306"],
        stdout=subprocess.DEVNULL,
    )
    try:
        secret = credentials.read(environment.namespace, "db-credentials")
        login = {**secret, **keys.adopted(secret)}
        connection = _connect(port, login["app-user"], login["app-password"])
        yield connection
        connection.close()
    finally:
        forward.terminate()
        forward.wait(timeout=10)


def _connect(port: int, user: str, password: str) -> pymysql.Connection[Any]:
    # MySQL signs its certificate itself, so there is no authority to verify it by.
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + 20
    while True:
        try:
            return pymysql.Connection(
                host="127.0.0.1", port=port, user=user, password=password, database="school_schedule", ssl=tls
            )
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)

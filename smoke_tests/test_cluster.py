"""From inside: what runs, as whom, and what it can reach."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
from testinfra.host import Host

from delivery import foundation, release
from delivery.cluster import Cluster, Manifest, RefusedError
from delivery.kubectl import Kubectl, kubectl
from delivery.rollout import WORKLOADS, name
from delivery.shell import DeliveryError
from policy_tests.environment import find
from smoke_tests.environment import EXEC, Environment

# Seconds for a node to take a pod.
PLACED = 20
# Says "open" or "closed" for each HOST:PORT argument; a dropped packet is a time-out.
PROBE = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        print("open", target)
    except OSError:
        print("closed", target)
"""


def test_every_rollout_is_complete(environment: Environment) -> None:
    workloads = environment.render.kind(*WORKLOADS)
    assert workloads
    for workload in workloads:
        environment.kubectl("rollout", "status", name(workload), "--timeout=120s")


def test_running_pods_have_the_deployed_digest(environment: Environment) -> None:
    for component in ("web", "worker"):
        image = environment.image(component)
        assert "@" in image, "without a digest nothing says which image is meant"
        for pod in environment.pods(component):
            status = json.loads(environment.kubectl("get", "pod", pod, "-o", "json"))["status"]
            digests = {each["imageID"].partition("@")[2] for each in status["containerStatuses"]}
            assert digests == {image.partition("@")[2]}, f"{pod}; {image} is right by {environment.source}"


def test_no_other_deployment_serves_pages(environment: Environment) -> None:
    selector = json.loads(environment.kubectl("get", "service/web", "-o", "json"))["spec"]["selector"]
    there = json.loads(environment.kubectl("get", "deployments", "-o", "json"))["items"]
    serving = {
        deployment["metadata"]["name"]
        for deployment in there
        if selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    }
    others = " ".join(sorted(serving - {environment.deployment("web")["metadata"]["name"]}))
    remedy = f"kubectl -n {environment.namespace} delete deployment {others}"
    assert not others, f"another release serves pages beside this one, docs/document.md says why; type: {remedy}"


def test_what_an_administrator_makes_is_there(environment: Environment, pytestconfig: pytest.Config) -> None:
    """By the newest release, whichever runs again: a delivery brings none of it."""
    recorded = [found.render for found in release.read(environment.cluster) if found.phase != release.UNREADABLE]
    try:
        missing, changed = foundation.compare(environment.cluster, [*recorded, environment.render][0])
    except RefusedError:
        pytest.skip(f"these credentials may not look at what an administrator makes in {environment.namespace}")
    remedy = foundation.remedy(find(pytestconfig.getoption("--env")))
    if missing:
        pytest.fail("; ".join([*missing, remedy]), pytrace=False)
    if changed:
        pytest.skip("; ".join([*changed, remedy]))


def test_database_answers_a_query(database: pymysql.Connection[Any]) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM alembic_version")
        assert cursor.fetchone() == (1,)


def test_database_speaks_tls_only(database: pymysql.Connection[Any]) -> None:
    with database.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone() not in (None, ("Ssl_cipher", ""))
        cursor.execute("SELECT @@require_secure_transport")
        assert cursor.fetchone() == (1,)


@pytest.fixture
def foreign_namespace() -> Iterator[str]:
    """A namespace of its own, as hostile a neighbour as the cluster allows: no policy holds it back."""
    try:
        kubectl("auth", "can-i", "create", "namespaces", "--quiet")
    except DeliveryError:
        pytest.skip("these credentials may not create a namespace to look in from")
    name = f"smoke-probe-{secrets.token_hex(3)}"
    with taken("namespace"):
        kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def test_3306_is_closed_to_other_namespaces(environment: Environment, foreign_namespace: str) -> None:
    database = f"mysql.{environment.namespace}.svc:3306"
    control = "kube-dns.kube-system.svc:53"
    assert (
        probe(foreign_namespace, environment.image("web"), database, control) == f"closed {database}\nopen {control}\n"
    )


def test_3306_is_open_to_the_web(environment: Environment) -> None:
    environment.need(*EXEC)
    pod = environment.pods("web")[0]
    answer = environment.kubectl("exec", pod, "-c", environment.container, "--", "python", "-c", PROBE, "mysql:3306")
    assert answer == "open mysql:3306\n"


def test_web_runs_as_an_ordinary_user(web_pod: Host) -> None:
    assert web_pod.check_output("id -u") == "10001"


def test_web_cannot_write_to_its_root(web_pod: Host) -> None:
    result = web_pod.run("touch /srv/app/new-file")
    assert result.failed
    assert "Read-only file system" in result.stderr


def test_web_holds_no_kubernetes_token(web_pod: Host) -> None:
    assert not web_pod.file("/var/run/secrets/kubernetes.io").exists


@contextmanager
def taken(kind: str) -> Iterator[None]:
    """Skips the test where the cluster refuses what it looks in from, as that says nothing of the release."""
    try:
        yield
    except RefusedError as error:
        pytest.skip(f"the cluster takes no {kind} to look in from: {error}")


def probe(namespace: str, image: str, *targets: str) -> str:
    """What a bare pod in `namespace` says of each target."""
    name = f"probe-{secrets.token_hex(3)}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "command": ["python", "-c", PROBE, *targets],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    with taken("pod"):
        kubectl("create", "-f", "-", stdin=json.dumps(pod))
    try:
        _placed(Kubectl(namespace), name)
        kubectl("-n", namespace, "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
        return kubectl("-n", namespace, "logs", name)
    except DeliveryError as error:
        pytest.fail(f"the probe did not end: {error}\n{kubectl('-n', namespace, 'describe', f'pod/{name}')}")
    finally:
        kubectl("-n", namespace, "delete", f"pod/{name}", "--wait=false")


def _placed(cluster: Cluster, name: str) -> None:
    """Waits until a pod has a node; skips the test where none takes one, as that says nothing of the release."""
    deadline = cluster.now() + PLACED
    while reason := _unplaced(cluster.get(f"pod/{name}")):
        if cluster.now() > deadline:
            pytest.skip(f"no node has had a place for a pod to look in from for {PLACED} s: {reason}")
        cluster.pause(1)


def _unplaced(pod: Manifest | None) -> str:
    """Why a pod has no node, empty where it has one."""
    match pod:
        case None | {"spec": {"nodeName": str()}}:
            return ""
    conditions = pod.get("status", {}).get("conditions", [])
    reasons = (condition.get("message") for condition in conditions if condition.get("type") == "PodScheduled")
    return next(filter(None, reasons), "no scheduler has looked at it")

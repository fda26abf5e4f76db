"""What the cluster itself refuses in this namespace, whoever asks: admission/. Nothing is created here."""

from __future__ import annotations

import json

import pytest

from delivery.cluster import Manifest
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from policy_tests.paths import copied, put
from smoke_tests.environment import SERVICES, WORKLOADS, Environment

UNPINNED = "docker.io/library/mysql:9.7.2"
POD = "spec.template.spec"


@pytest.fixture(autouse=True)
def rights(environment: Environment) -> None:
    environment.need(*WORKLOADS)
    environment.need(*SERVICES)


def verdict(namespace: str, manifest: Manifest) -> str:
    """Why the API server would not create the object; empty where it would."""
    try:
        kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
    except DeliveryError as error:
        return str(error)
    return ""


def deployment(environment: Environment) -> Manifest:
    """The web's, under a name that is free."""
    copy: Manifest = copied(environment.deployment("web"))
    put(copy, "metadata.name", "admission-probe")
    return copy


def service(**spec: object) -> Manifest:
    """One that leads to the database."""
    ports = [{"port": 3306, "targetPort": "mysql"}]
    selector = {"app.kubernetes.io/component": "database"}
    metadata = {"name": "admission-probe"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": ports, "selector": selector, **spec},
    }


def test_a_workload_as_it_should_be_is_accepted(environment: Environment) -> None:
    assert verdict(environment.namespace, deployment(environment)) == ""


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("containers[0].image", UNPINNED, "is not: " + UNPINNED),
        ("initContainers[migrate].image", UNPINNED, "is not: " + UNPINNED),
        ("containers[0].securityContext", {"privileged": True}, "unlike {container}"),
        ("containers[0].securityContext", {}, "unlike {container}"),
        ("hostPID", True, "hostPID"),
        ("containers[0].ports[http].hostPort", 8000, "a hostPort opens the node"),
    ],
)
def test_a_workload_is_refused(environment: Environment, path: str, value: object, reason: str) -> None:
    manifest = deployment(environment)
    put(manifest, f"{POD}.{path}", value)
    said = reason.format(container=environment.container)
    assert said in verdict(environment.namespace, manifest), "an administrator has to install admission/"


def test_a_service_of_the_namespace_s_own_is_accepted(environment: Environment) -> None:
    assert verdict(environment.namespace, service()) == ""


@pytest.mark.parametrize(
    "spec", [{"type": "NodePort"}, {"type": "LoadBalancer"}, {"externalIPs": ["192.0.2.1"]}], ids=str
)
def test_a_service_that_takes_3306_outside_is_refused(environment: Environment, spec: dict[str, object]) -> None:
    assert "the Ingress is the only way in" in verdict(environment.namespace, service(**spec))

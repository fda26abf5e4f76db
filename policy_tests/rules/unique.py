"""Nothing is given twice that can be there once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from policy_tests.manifests import Body, Container, Finding, ManifestSet, items, mapping
from policy_tests.rule import rule

Key = TypeVar("Key")


@rule(
    "references-unique",
    "high",
    why="Of two with one name the API server refuses both, or takes only the last.",
    fix="remove or rename one of the two.",
    source="kube-linter duplicate-env-var; kube-score environment-variable-key-duplication",
)
def unique(manifests: ManifestSet) -> Iterator[Finding]:
    objects = ((each.body["apiVersion"], each.kind, each.namespace, each.name) for each in manifests.manifests)
    for _, kind, namespace, name in _twice(objects):
        if duplicate := manifests.find(kind, name, namespace):
            yield duplicate.finding("metadata.name", name, "is given twice")
    for pod in manifests.pods:
        for name in _twice(container.name for container in pod.containers):
            yield pod.finding(f"containers[{name}]", name, "is given twice")
        for name in _twice(str(volume.get("name")) for volume in pod.volumes):
            yield pod.finding(f"volumes[{name}]", name, "is given twice")
    for container in manifests.containers:
        entries = [mapping(entry) for entry in items(container.body.get("env"))]
        for name in _twice(str(entry.get("name")) for entry in entries):
            yield container.finding(f"env[{name}]", name, "is given twice")
        for value in _ports_given_twice(container.ports, "containerPort"):
            yield container.finding(f"ports[{value}]", value, "is given twice")
    for service in manifests.of("Service"):
        for value in _ports_given_twice([mapping(port) for port in items(service.spec.get("ports"))], "port"):
            yield service.finding(f"spec.ports[{value}]", value, "is given twice")


def _twice(values: Iterable[Key]) -> list[Key]:
    return [value for value, count in Counter(values).items() if count > 1]


def _ports_given_twice(ports: list[Body], field: str) -> Iterator[object]:
    """The names of two ports, and the numbers of two with one protocol."""
    yield from _twice(str(port["name"]) for port in ports if "name" in port)
    yield from (number for number, _ in _twice((str(port.get(field)), port.get("protocol", "TCP")) for port in ports))


@rule(
    "references-ports-apart",
    "high",
    why="The containers of a pod share one network, so that the second to listen on a port fails.",
    fix="let one of them listen on another port.",
    source="Kubernetes: pod networking; no checker has it",
    per_object=True,
)
def ports_apart(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        listening: dict[object, Container] = {}
        for container in pod.containers:
            for port in container.ports if container.role == "containers" or container.sidecar else ():
                number = port.get("containerPort")
                first = listening.setdefault((number, port.get("protocol", "TCP")), container)
                if first is not container:
                    yield container.finding(f"ports[{number}]", number, f"is where {first.name} listens")

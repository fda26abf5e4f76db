"""Where the contract of a Cluster is kept, and what it makes there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from delivery.cluster import Cluster, Manifest


class Place(Protocol):
    """A namespace of a cluster that has the image `good`, and the line to its API server."""

    cluster: Cluster
    good: str

    def by_hand(self, name: str, change: Manifest) -> None:
        """Another field manager merges a change."""

    def scale(self, name: str, replicas: int) -> None:
        """Somebody types `kubectl scale`."""

    def silent(self) -> AbstractContextManager[None]:
        """The webhook `silent.example.com` is asked about each ConfigMap, and does not answer."""

    def nobody(self) -> AbstractContextManager[Cluster]:
        """The same namespace, asked with credentials that have no right."""

    def slow(self) -> AbstractContextManager[None]:
        """The API server does as it is asked, and takes more than two seconds to say so."""

    def away(self, seconds: float) -> None:
        """It cannot be reached until then."""

    def breaks(self) -> Iterable[AbstractContextManager[object]]:
        """For each moment at which the line may break: within it, it does so once."""


def configuration(place: Place, name: str = "one", **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": place.cluster.namespace, **fields.pop("metadata", {})}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    return {**body, **fields}


def pod(place: Place, script: str = "echo begun; exec sleep 600", **fields: Any) -> Manifest:
    main = {"name": "main", "image": place.good, "command": ["sh", "-c", script]}
    return {"terminationGracePeriodSeconds": 1, "containers": [main], **fields}


def workload(place: Place, kind: str = "Deployment", **fields: Any) -> Manifest:
    labels = {"app": kind.lower()}
    template = {"metadata": {"labels": labels}, "spec": pod(place)}
    metadata = {"name": kind.lower(), "namespace": place.cluster.namespace}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **fields}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def with_variables(place: Place, **values: str) -> Manifest:
    """A Deployment without pods whose container has these variables."""
    body = workload(place, replicas=0)
    main = body["spec"]["template"]["spec"]["containers"][0]
    main["env"] = [{"name": name, "value": value} for name, value in values.items()]
    return body


def change_variables(place: Place, **values: str) -> None:
    """Somebody gives it these instead."""
    body = there(place.cluster.get("deployment/deployment"))
    containers = body["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = [{"name": name, "value": value} for name, value in values.items()]
    place.by_hand("deployment/deployment", {"spec": {"template": {"spec": {"containers": containers}}}})


def variables(deployment: Manifest) -> dict[str, str]:
    (main,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in main["env"]}


def job(place: Place, script: str, **fields: Any) -> Manifest:
    metadata = {"name": "job", "namespace": place.cluster.namespace}
    spec = {"restartPolicy": "Never", **pod(place, script), **fields}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }


def there(found: Manifest | None) -> Manifest:
    assert found is not None
    return found


def until(cluster: Cluster, holds: Callable[[], bool], seconds: float = 90) -> None:
    """Waits as delivery does."""
    deadline = cluster.now() + seconds
    while not holds():
        assert cluster.now() < deadline, cluster.list("Pod", "Event")
        cluster.pause(0.5)


def changed(cluster: Cluster, name: str = "one") -> Manifest:
    """What `configuration` makes, with another text."""
    metadata = {"name": name, "namespace": cluster.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "2"}}

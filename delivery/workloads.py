"""Which pods a workload has, and whether they serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from delivery.cluster import Manifest, going

REVISION = "deployment.kubernetes.io/revision"
TEMPLATE = "deprecated.daemonset.template.generation"
# Webhooks that add containers set it.
# https://kubernetes.io/docs/reference/labels-annotations-taints/
MAIN = "kubectl.kubernetes.io/default-container"


def newest_pods(workload: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The pods among `items` that are of a workload's newest template."""
    items = list(items)
    if workload["kind"] == "Deployment":
        return owned(items, "Pod", {body["metadata"]["uid"] for body in newest_sets(workload, items)})
    own = owned(items, "Pod", {workload["metadata"]["uid"]})
    if workload["kind"] == "DaemonSet":
        label, newest = "pod-template-generation", workload["metadata"].get("annotations", {}).get(TEMPLATE)
    else:
        label, newest = "controller-revision-hash", workload.get("status", {}).get("updateRevision")
    return [pod for pod in own if pod["metadata"].get("labels", {}).get(label) in (None, newest)]


def newest_sets(workload: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The ReplicaSets among `items` that are of a Deployment's newest template."""
    revision = workload["metadata"].get("annotations", {}).get(REVISION)
    return [
        body
        for body in owned(items, "ReplicaSet", {workload["metadata"]["uid"]})
        if body["metadata"].get("annotations", {}).get(REVISION) == revision
    ]


def owned(items: Iterable[Manifest], kind: str, owners: set[str]) -> list[Manifest]:
    """Those of a kind among `items` that belong to one of the owners, by their uids."""
    return [
        body
        for body in items
        if body["kind"] == kind and owners & {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}
    ]


def initializing(pod: Manifest) -> Iterator[str]:
    """The container of a pod that does its work before others begin, as a migration does."""
    sidecars = {part["name"] for part in pod["spec"].get("initContainers", []) if part.get("restartPolicy")}
    for container in pod["status"].get("initContainerStatuses", []):
        if "running" in container["state"] and container["name"] not in sidecars:
            yield f"{pod['metadata']['name']}/{container['name']}"


def ready(pod: Manifest) -> bool:
    """Whether all containers of a pod serve, and it is to stay."""
    return not going(pod) and ("Ready", "True") in _conditions(pod)


def lost(pod: Manifest) -> bool:
    """Whether the node of a pod does not answer: what it said of the containers last still stands.

    https://kubernetes.io/docs/concepts/architecture/nodes/#node-status
    """
    said = pod["status"].get("containerStatuses", [])
    unready = ("Ready", "False") in _conditions(pod) and not ended(pod)
    gates = pod["spec"].get("readinessGates")
    return unready and not gates and bool(said) and all(container["ready"] for container in said)


def _conditions(pod: Manifest) -> set[tuple[str, str]]:
    return {(condition["type"], condition["status"]) for condition in pod["status"].get("conditions", [])}


def ended(pod: Manifest) -> bool:
    """Whether nothing of a pod runs any more; one that was evicted stays until it is deleted."""
    return pod["status"].get("phase") in ("Failed", "Succeeded")


def main_container(pod: Manifest) -> Manifest:
    """What a pod is for: its first container, unless whoever put another before it notes which."""
    noted = pod.get("metadata", {}).get("annotations", {}).get(MAIN)
    containers: list[Manifest] = pod["spec"]["containers"]
    return next((container for container in containers if container["name"] == noted), containers[0])


def first_container(pod: Manifest) -> tuple[str, str]:
    """A pod and its main container, whatever a hand has called that, as in Cluster.exec."""
    return pod["metadata"]["name"], main_container(pod)["name"]


def statuses(pod: Manifest) -> list[Manifest]:
    """The status of every container of a pod, in the order in which they start."""
    status = pod["status"]
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]

"""The pods of StatefulSets, of which the old one goes before the new one comes: the database's is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from delivery import rollout
from delivery.cluster import Cluster, Manifest
from delivery.render import Render
from delivery.shell import DeliveryError, say

# What a StatefulSet's pods stand on, and the StatefulSets.
FIRST = ("ServiceAccount", "ConfigMap", "StatefulSet")
# Seconds: for which a database that is replaced is away (docs/database.md#faults), for a node to take its new pod, and
# for the old one to go, which has 120.
AWAY, PLACED, GONE = 25, 30, 150


def foreseen(cluster: Cluster, render: Render) -> Iterator[str]:
    """A line for each StatefulSet that is there and whose pods an apply would replace, with what changes about them."""
    for body in render.kind("StatefulSet"):
        if there := cluster.get(rollout.name(body)):
            after = cluster.preview(body)
            fields = [*_changed(there["spec"]["template"], after["spec"]["template"], "spec.template")]
            if fields:
                more = f" and {len(fields) - 1} more" if fields[1:] else ""
                why = f"{fields[0]}{more} changed"
                yield f"this restarts {rollout.name(body)}, for about {AWAY} s without it: {why}"


def _changed(before: Any, after: Any, path: str) -> Iterator[str]:
    """The paths of the fields in which two objects differ; the items of a list by their names."""
    match before, after:
        case dict(), dict():
            for key in sorted(before.keys() | after.keys()):
                yield from _changed(before.get(key), after.get(key), f"{path}.{key}")
        case list(), list() if (names := _names(before)) and names == _names(after):
            for name, old, new in zip(names, before, after, strict=True):
                yield from _changed(old, new, f"{path}.{name}")
        case _:
            if before != after:
                yield path


def _names(items: list[Any]) -> list[str]:
    """The names of the items of a list; none where one has no name."""
    names = [item["name"] for item in items if isinstance(item, dict) and "name" in item]
    return names if len(names) == len(items) else []


def apply(cluster: Cluster, objects: Iterable[Manifest]) -> None:
    """Applies what a delivery may, the StatefulSets first: what they leave is theirs before others take it.

    Raises:
        DeliveryError: a pod that takes the place of another has found no node for PLACED seconds.
    """
    objects = [*objects]
    first = [body for body in objects if body["kind"] in FIRST]
    rollout.apply(cluster, first)
    settle(cluster, first)
    rollout.apply(cluster, [body for body in objects if body not in first])


def settle(cluster: Cluster, objects: Iterable[Manifest]) -> None:
    """After an apply: no pod of a StatefulSet is of an older template, and those in their place have a node.

    Raises:
        DeliveryError: for PLACED seconds there was none, with what the scheduler says.
    """
    wanted = {rollout.name(body): body for body in objects if body["kind"] == "StatefulSet"}
    began = placed_by = cluster.now()
    replaced = False
    while wanted:
        items = cluster.list("StatefulSet", "Pod")
        sets = [body for body in items if rollout.name(body) in wanted]
        seen = [body for body in sets if rollout.observed(body)]
        old = [(body, pod) for body in seen for pod in _outdated(body, items)]
        now = cluster.now()
        for body, pod in old:
            if _stays(pod) and not rollout.ready(pod) and not (_starts(pod) and now < began + PLACED):
                _take_away(cluster, wanted[rollout.name(body)], pod)
        if old or seen != sets:
            # Why it goes on for so long, the wait for the rollout says.
            if now > began + GONE:
                return
            replaced, placed_by = replaced or bool(old), now + PLACED
        else:
            homeless = [line for body in sets for line in _homeless(body, items)]
            if not replaced or not homeless:
                return
            if now > placed_by:
                raise DeliveryError("\n".join([*homeless, *[*rollout.warnings(cluster)][-5:]]))
        cluster.pause(1)


def _outdated(body: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The pods among `items` that are of an older template than their StatefulSet."""
    newest = rollout.newest_pods(body, items)
    uid = body["metadata"]["uid"]
    owned = [item for item in items if uid in [owner["uid"] for owner in item["metadata"].get("ownerReferences", [])]]
    return [item for item in owned if item["kind"] == "Pod" and item not in newest]


def _stays(pod: Manifest) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def _starts(pod: Manifest) -> bool:
    """Whether a pod that is not ready may yet be: a database that recovers, or upgrades its files, takes its time."""
    return "nodeName" in pod["spec"] and not [*rollout.hopeless(pod), *rollout.started_but_unready(pod)]


def _homeless(body: Manifest, items: Iterable[Manifest]) -> Iterator[str]:
    """Which of a StatefulSet's pods have no node, and why."""
    newest = rollout.newest_pods(body, items)
    if len(newest) < body["spec"]["replicas"]:
        yield f"{rollout.name(body)} has {len(newest)} of {body['spec']['replicas']} pods"
    for pod in newest:
        if "nodeName" not in pod["spec"]:
            conditions = pod["status"].get("conditions", [])
            why = [condition.get("message", "") for condition in conditions if condition["type"] == "PodScheduled"]
            yield f"no node takes {rollout.name(pod)}: {' '.join(why)}"


def _take_away(cluster: Cluster, body: Manifest, pod: Manifest) -> None:
    """Has a StatefulSet make a pod anew that does not get ready, for which it would wait for ever.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    It is scaled down for a moment, as a deployer has no right to delete a pod.
    """
    name = rollout.name(pod)
    say(f"{name} is of an older template and does not get ready: it is made anew")
    ordinal = int(name.rpartition("-")[2])
    cluster.apply([{**body, "spec": {**body["spec"], "replicas": ordinal}}])
    deadline = cluster.now() + PLACED
    while (there := cluster.get(name)) and _stays(there) and cluster.now() < deadline:
        cluster.pause(1)
    cluster.apply([body])

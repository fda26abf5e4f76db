"""ConfigMaps whose content is not a release's, and the pods that may go on with what they read.

A pod reads its environment once, and most programs their files: putting the content back reaches
neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from delivery import rollout, workloads
from delivery.cluster import Cluster, Manifest, name
from delivery.render import Render
from delivery.shell import say

# The fields of a pod that name a ConfigMap.
REFERENCES = ("configMap", "configMapKeyRef", "configMapRef")


def misled(cluster: Cluster, render: Render) -> list[Manifest]:
    """The pods that name a ConfigMap of the render whose content is another now."""
    there = {name(body): body for body in cluster.list("ConfigMap")}
    wanted = [body for body in render.kind("ConfigMap") if name(body) in there]
    changed = {body["metadata"]["name"] for body in wanted if _content(body) != _content(there[name(body)])}
    pods = cluster.list("Pod") if changed else []
    return [pod for pod in pods if changed.intersection(_named(pod["spec"]))]


def renew(cluster: Cluster, render: Render, pods: Iterable[Manifest]) -> None:
    """Restarts each workload that still has one of these pods, StatefulSets first, and waits for it."""
    if not (uids := {pod["metadata"]["uid"] for pod in pods}):
        return
    wanted = {name(body): body["kind"] for body in render.kind(*rollout.WORKLOADS)}
    kinds = [kind for kind in rollout.WORKLOADS if kind in wanted.values()]
    items = cluster.list(*kinds, "ReplicaSet", "Pod")
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    for body in (body for body in items if name(body) in wanted):
        if uids & {pod["metadata"]["uid"] for pod in workloads.newest_pods(body, items)}:
            say(f"restarting {name(body)}, which may have read other content of a ConfigMap")
            rollout.restart(cluster, name(body), moment)
            rollout.wait(cluster, [body])


def _content(body: Manifest) -> list[Manifest]:
    return [body.get(part) or {} for part in ("data", "binaryData")]


def _named(value: Any) -> Iterator[str]:
    """The ConfigMaps that a part of a pod names."""
    if isinstance(value, dict):
        found = (value[field] for field in REFERENCES if isinstance(value.get(field), dict))
        yield from (reference["name"] for reference in found if "name" in reference)
    if isinstance(value, dict | list):
        for inside in value.values() if isinstance(value, dict) else value:
            yield from _named(inside)

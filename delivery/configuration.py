"""ConfigMaps whose content is not a release's, and the pods that may go on with what they read.

A pod reads its environment once, and most programs their files: putting the content back reaches
neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from delivery import managed, rollout, workloads
from delivery.cluster import Cluster, Manifest, MissingError, name
from delivery.render import Render
from delivery.shell import say

# The fields of a pod that name a ConfigMap.
REFERENCES = ("configMap", "configMapKeyRef", "configMapRef")
# An annotation of a workload: the uids of those of its pods that are to be restarted.
NOTE = "school-scheduler/misled"


def misled(cluster: Cluster, render: Render) -> list[Manifest]:
    """The pods that name a ConfigMap of the render whose content is another now.

    They are noted on their workloads: where a command ends before `renew`, the content is the
    render's, and the next one finds them by that.
    """
    standing = {name(body): body["kind"] for body in render.kind(*rollout.WORKLOADS)}
    items = cluster.list("ConfigMap", *sorted(set(standing.values())))
    changed = _changed(cluster, render, {name(body): body for body in items})
    owners = [body for body in items if name(body) in standing]
    noted = {uid for body in owners for uid in _noted(body)}
    if not changed and not noted:
        return []
    items += cluster.list("ReplicaSet", "Pod")
    pods = [pod for pod in items if pod["kind"] == "Pod" and not workloads.ended(pod)]
    found = [pod for pod in pods if pod["metadata"]["uid"] in noted or changed.intersection(_named(pod["spec"]))]
    for body in owners:
        own = [pod["metadata"]["uid"] for pod in workloads.newest_pods(body, items) if pod in found]
        if own != _noted(body):
            _note(cluster, body, own)
    return found


def _changed(cluster: Cluster, render: Render, there: dict[str, Manifest]) -> set[str]:
    """The names of the ConfigMaps that an apply would change; what a webhook adds to each stays."""
    maps = [body for body in render.kind("ConfigMap") if name(body) in there]
    others = [body for body in maps if _content(body) != _content(there[name(body)])]
    managed.own(cluster, managed.live(cluster, others))
    return {
        body["metadata"]["name"]
        for body in others
        if there[name(body)].get("immutable") or _content(cluster.preview(body)) != _content(there[name(body)])
    }


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
            _note(cluster, body, [])
            rollout.wait(cluster, [body])
        elif _noted(body):
            _note(cluster, body, [])


def _noted(body: Manifest) -> list[str]:
    text: str = body["metadata"].get("annotations", {}).get(NOTE, "")
    return text.split()


def _note(cluster: Cluster, body: Manifest, uids: Collection[str]) -> None:
    # Somebody may have deleted it, with its pods.
    with suppress(MissingError):
        cluster.patch(name(body), {"metadata": {"annotations": {NOTE: " ".join(uids) or None}}})


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

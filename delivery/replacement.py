"""The pods of StatefulSets, of which the old one goes before the new one comes: the database's is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from delivery import diagnosis, managed, rollout, workloads
from delivery.cluster import Cluster, Manifest, RefusedError, going
from delivery.render import Render
from delivery.shell import DeliveryError, say
from delivery.sight import Sight
from policy_tests.quantity import quantity

# What a StatefulSet's pods stand on, and the StatefulSets.
FIRST = ("ServiceAccount", "ConfigMap", "StatefulSet")
# Seconds: for which a database that is replaced is away (docs/database.md#faults), for a node to take its new pod, and
# for the old one to go, which has 120.
AWAY, PLACED, GONE = 25, 30, 150


@dataclass(frozen=True)
class Replacement:
    """The pods of a StatefulSet that a delivery would replace, and their templates before and after.

    Attributes:
        misled: whether one of them may have read other content of a ConfigMap.
    """

    name: str
    replicas: int
    before: Manifest
    after: Manifest
    misled: bool = False

    @property
    def reason(self) -> str:
        """What changes about them, in words; empty where no pod is touched."""
        first, *more = [*_changed(self.before, self.after, "spec.template")] or [""]
        if not first:
            return "a ConfigMap that it reads has other content" if self.misled else ""
        return f"{first} and {len(more)} more changed" if more else f"{first} changed"


def announced(cluster: Cluster, render: Render, misled: Iterable[Manifest] = ()) -> list[Replacement]:
    """Says what a delivery would replace, with what changes about it, and returns it.

    What somebody has added goes too; of the `misled` pods (configuration.py) those of StatefulSets do.
    """
    found, misled = [], [*misled]
    there = {rollout.name(body): body for body in managed.live(cluster, render.kind("StatefulSet"))}
    managed.own(cluster, there.values())
    for body in render.kind("StatefulSet"):
        if before := there.get(rollout.name(body)):
            after = cluster.preview(body)["spec"]
            templates = before["spec"]["template"], after["template"]
            own = workloads.owned(misled, "Pod", {before["metadata"]["uid"]})
            found.append(Replacement(rollout.name(body), after["replicas"], *templates, bool(own)))
    found = [replaced for replaced in found if replaced.reason]
    for replaced in found:
        say(f"this restarts {replaced.name}, for about {AWAY} s without it: {replaced.reason}")
    return found


def require_room(cluster: Cluster, replacements: Iterable[Replacement]) -> None:
    """Raises DeliveryError where a quota has no room for the new pods, as far as these credentials may read it."""
    if not (replacements := [*replacements]):
        return
    try:
        quotas = cluster.list("ResourceQuota")
    except RefusedError:
        return
    # Whether one that has a scope counts a pod is the API server's to say.
    for quota in (body for body in quotas if not body["spec"].keys() & {"scopes", "scopeSelector"}):
        status = quota.get("status", {})
        for resource, hard in status.get("hard", {}).items():
            used = status.get("used", {}).get(resource, "0")
            for replaced in replacements:
                more = replaced.replicas * (_asked(replaced.after, resource) - _asked(replaced.before, resource))
                if more > 0 and _number(used) + more > _number(hard):
                    limit = f"quota {quota['metadata']['name']} gives {hard}, of which {used} are in use"
                    wants = f"{replaced.name} would ask for {more:f} more of {resource}"
                    raise DeliveryError(f"{wants}, and {limit}; nothing was applied: ask for less, or raise the quota")


def _asked(template: Manifest, resource: str) -> Decimal:
    """What a pod of a template counts for a quota, of `requests.cpu`, `limits.memory` or, for a request, `cpu`."""
    kind, _, name = resource.rpartition(".")
    parts = [
        [
            _number(container.get("resources", {}).get(kind or "requests", {}).get(name, 0))
            for container in template["spec"].get(part, [])
        ]
        for part in ("containers", "initContainers")
    ]
    serving, initial = parts
    return max([sum(serving, Decimal()), *initial])


def _number(value: object) -> Decimal:
    return quantity(value) or Decimal()


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
    replaced = _have_pods(cluster, first)
    rollout.apply(cluster, first)
    settle(cluster, first, replaced)
    rollout.apply(cluster, [body for body in objects if body not in first])


def settle(cluster: Cluster, objects: Iterable[Manifest], replaced: bool = False) -> None:
    """After an apply: no pod of a StatefulSet is of an older template, and those in their place have a node.

    A first pod may wait for its volume for longer; `replaced` says that there were pods before.

    Raises:
        DeliveryError: for PLACED seconds there was none, with what the scheduler says.
    """
    wanted = {rollout.name(body): body for body in objects if body["kind"] == "StatefulSet"}
    sight = Sight(cluster)
    began = placed_by = sight.now()
    while wanted:
        items = sight.list("StatefulSet", "Pod")
        sets = [body for body in items if rollout.name(body) in wanted]
        seen = [body for body in sets if rollout.observed(body)]
        old = [(body, pod) for body in seen for pod in _outdated(body, items)]
        now = sight.now()
        for body, pod in old:
            if not going(pod) and not workloads.ready(pod) and not (_starts(pod) and now < began + PLACED):
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
                pods = [item for item in items if item["kind"] == "Pod"]
                raise DeliveryError(
                    "\n".join([*homeless, *diagnosis.nodes(pods), *[*diagnosis.warnings(cluster)][-5:]])
                )
        cluster.pause(1)


def _have_pods(cluster: Cluster, objects: Iterable[Manifest]) -> bool:
    """Whether one of the StatefulSets among `objects` has a pod."""
    wanted = set(map(rollout.name, objects))
    items = cluster.list("StatefulSet", "Pod")
    return bool(
        workloads.owned(items, "Pod", {body["metadata"]["uid"] for body in items if rollout.name(body) in wanted})
    )


def _outdated(body: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The pods among `items` that are of an older template than their StatefulSet."""
    newest = workloads.newest_pods(body, items)
    return [pod for pod in workloads.owned(items, "Pod", {body["metadata"]["uid"]}) if pod not in newest]


def _starts(pod: Manifest) -> bool:
    """Whether a pod that is not ready may yet be: a database that recovers, or upgrades its files, takes its time."""
    return "nodeName" in pod["spec"] and not any(diagnosis.troubles(pod))


def _homeless(body: Manifest, items: Iterable[Manifest]) -> Iterator[str]:
    """Which of a StatefulSet's pods have no node, and why."""
    newest = workloads.newest_pods(body, items)
    if len(newest) < body["spec"]["replicas"]:
        yield f"{rollout.name(body)} has {len(newest)} of {body['spec']['replicas']} pods"
    for pod in newest:
        if "nodeName" not in pod["spec"]:
            yield f"no node takes {rollout.name(pod)}: {diagnosis.unscheduled(pod)}"


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
    while (there := cluster.get(name)) and not going(there) and cluster.now() < deadline:
        cluster.pause(1)
    cluster.apply([body])

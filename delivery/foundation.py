"""What only an administrator may make in an environment: its namespace, quota, limits and rights."""

from __future__ import annotations

from typing import Any

from delivery.cluster import Cluster, Manifest, RefusedError, going, name
from delivery.render import Render, component
from delivery.shell import DeliveryError, say
from policy_tests.environment import Environment
from policy_tests.quantity import quantity


def require(environment: Environment, cluster: Cluster, render: Render) -> None:
    """Says what is not as a render has it, which an administrator may have reason for.

    Raises:
        DeliveryError: something is missing; a line each, and the command that brings it back.
    """
    try:
        missing, changed = compare(cluster, render)
    except RefusedError:
        what = f"the quota, the limits and the rights of {cluster.namespace}"
        say(f"the deployer has no right to look at {what}; {remedy(environment)}")
        return
    if changed:
        say("\n".join([*changed, remedy(environment)]))
    if missing:
        raise DeliveryError("\n".join([*missing, f"nothing was changed; {remedy(environment)}"]))


def compare(cluster: Cluster, render: Render) -> tuple[list[str], list[str]]:
    """What is missing of a render, and what is there with other content, a line each.

    Raises:
        RefusedError: these credentials may not look.
    """
    wanted = {name(body): body for body in render.objects if component(body) == "namespace"}
    kinds = sorted({body["kind"] for body in wanted.values()} - {"Namespace"})
    there = cluster.list(*kinds) if kinds else []
    there += filter(None, [cluster.get(f"namespace/{cluster.namespace}")])
    found = {name(body): body for body in there}
    missing = [f"{label} is missing" for label in wanted if label not in found]
    missing += [f"{label} is being deleted" for label in wanted if label in found and going(found[label])]
    changed = [label for label, body in wanted.items() if label in found and not _states(found[label], body)]
    return missing, [f"{label} is not as the release has it" for label in changed]


def remedy(environment: Environment) -> str:
    """What brings it back."""
    return f"an administrator brings it back: `make up ENV={environment.name}`"


def _states(there: Manifest, wanted: Manifest) -> bool:
    """Whether an object says what is wanted; labels and annotations may be more."""
    for part in ("labels", "annotations"):
        if not wanted["metadata"].get(part, {}).items() <= there["metadata"].get(part, {}).items():
            return False
    parts = wanted.keys() - {"apiVersion", "kind", "metadata"}
    return all(_same(there.get(part), wanted[part]) for part in parts)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (quantity(one) is not None and quantity(one) == quantity(other))

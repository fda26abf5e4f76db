"""Faults that nobody names: what a seed draws of all that can be done to the objects of a render."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from delivery.cluster import Manifest, name
from delivery.render import Render

RUNNING = ("Deployment", "StatefulSet")
# What is merged into an object of that kind, so that it refuses what it lets through or gives.
NOWHERE = {"template": {"spec": {"nodeSelector": {"kaos": "nowhere"}}}}
REFUSALS: dict[str, Manifest] = {
    "CronJob": {"spec": {"jobTemplate": {"spec": NOWHERE}}},
    "Deployment": {"spec": NOWHERE},
    "Ingress": {"spec": {"ingressClassName": "kaos"}},
    "LimitRange": {"spec": {"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]}},
    "NetworkPolicy": {"spec": {"ingress": [], "egress": []}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 0, "minAvailable": None}},
    "ResourceQuota": {"spec": {"hard": {"pods": "0"}}},
    "Role": {"rules": []},
    "RoleBinding": {"subjects": []},
    "Service": {"spec": {"selector": {"kaos": "nobody"}}},
    "StatefulSet": {"spec": NOWHERE},
}
# What is done, to objects of which kinds, and why to no others; any kind where there is no reason.
ACTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "delete": ((), ""),
    "change a field": ((), ""),
    "add something": ((), ""),
    "scale to 0": (RUNNING, "it has no replicas"),
    "kill": (RUNNING, "no process of it runs all the time"),
    "pause": ((*RUNNING, "CronJob"), "nothing of it goes on"),
    "slow down": (RUNNING, "no process of it runs all the time"),
    "fill": (RUNNING, "it has no volume that lasts"),
    "take away": ((*RUNNING, "ConfigMap", "Secret"), "it has no keys, and no files"),
    "refuse": (tuple(REFUSALS), "it lets nothing through, and gives nothing"),
}
# Before a text it makes another; it is `kao` in base64, so that in a Secret too it is text.
KAO = "a2Fv"
# By `ACTION OBJECT`.
EXCLUDED = {
    "* job/*": "it has ended when users are served, and each delivery makes it anew",
    "* secret/backup": "a person's, with a copy outside of the cluster (docs/backups.md)",
    "delete namespace/*": "the data goes with it; drills/test_backup.py has the way back",
    "refuse networkpolicy/default-deny": "it lets nothing through as it is",
}


@dataclass(frozen=True)
class Draw:
    """An action on an object, called as kubectl does; `chance` seeds the choice of a field or file."""

    number: int
    object: str
    action: str
    chance: int

    def __str__(self) -> str:
        return f"{self.number}: {self.action} {self.object}"


def draws(render: Render, seed: int, first: int = 0) -> Iterator[Draw]:
    """What a seed draws without end, uniformly over all pairs of an object and an action."""
    chance = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    pairs = [
        (label, action)
        for label, kind in sorted(targets(render).items())
        for action in ACTIONS
        if not reason(action, label, kind)
    ]
    number = 0
    while True:
        label, action = chance.choice(pairs)
        draw = Draw(number, label, action, chance.getrandbits(32))
        if number >= first:
            yield draw
        number += 1


def targets(render: Render) -> dict[str, str]:
    """The kinds of the objects of a render, and of the Secrets that its pods read, by name."""
    found = {name(body): body["kind"] for body in render.objects}
    volumes = [volume for body in render.objects for volume in _volumes(body)]
    return found | {f"secret/{volume['secret']['secretName']}": "Secret" for volume in volumes if "secret" in volume}


def reason(action: str, label: str, kind: str) -> str | None:
    """Why an action on an object is not among what is drawn, None where it is."""
    for pattern, why in EXCLUDED.items():
        if fnmatch(f"{action} {label}", pattern):
            return why
    kinds, why = ACTIONS[action]
    return why if kinds and kind not in kinds else None


def changes(body: Manifest, chance: int) -> list[Manifest]:
    """Operations (RFC 6902), each gives one field another value of its type; in the order to try."""
    fields = [
        {"op": "replace", "path": path, "value": _other(value)}
        for path, value in _inside(body)
        if not isinstance(value, dict | list)
    ]
    return _shuffled(fields, chance)


def additions(body: Manifest, chance: int) -> list[Manifest]:
    """Operations, each adds a key to a mapping, or to a list a copy of an item under another name."""
    found: list[Manifest] = []
    if "annotations" not in body["metadata"]:
        found.append({"op": "add", "path": "/metadata/annotations", "value": {"kaos": "kaos"}})
    for path, value in _inside(body):
        if isinstance(value, list) and value:
            found.append({"op": "add", "path": f"{path}/-", "value": _renamed(value[-1])})
        elif isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
            found.append({"op": "add", "path": f"{path}/kaos", "value": "kaos"})
    return _shuffled(found, chance)


def removals(body: Manifest, chance: int) -> list[Manifest]:
    """Operations, each takes away a key of a ConfigMap or a Secret."""
    keys = sorted(body.get("data", {}))
    return _shuffled([{"op": "remove", "path": f"/data/{_escaped(key)}"} for key in keys], chance)


def _volumes(body: Manifest) -> list[dict[str, Any]]:
    spec = body.get("spec", {})
    spec = spec.get("jobTemplate", {"spec": spec})["spec"]
    volumes: list[dict[str, Any]] = spec.get("template", {}).get("spec", {}).get("volumes", [])
    return volumes


def _inside(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Whatever an object states about itself, but for what it is called, with its JSON pointer."""
    items: Iterable[tuple[object, Any]] = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        there = f"{path}/{_escaped(str(key))}"
        if there in NAMES:
            continue
        yield there, value
        if isinstance(value, dict | list):
            yield from _inside(value, there)


# The API server says the last ones.
NAMES = (
    "/apiVersion",
    "/kind",
    "/status",
    *(
        f"/metadata/{field}"
        for field in (
            "name",
            "namespace",
            "creationTimestamp",
            "generation",
            "managedFields",
            "resourceVersion",
            "uid",
        )
    ),
)


def _escaped(key: str) -> str:
    """A key in a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if value[:1].isdigit():
            return f"1{value}"
    return f"{KAO}{value}"


def _renamed(item: Any) -> Any:
    """The same with its name or whatever it says first changed."""
    if isinstance(item, dict) and item:
        first = "name" if "name" in item else next(iter(item))
        return {**item, first: _renamed(item[first])}
    if isinstance(item, list) and item:
        return [*item[:-1], _renamed(item[-1])]
    return item if isinstance(item, dict | list) else _other(item)


def _shuffled(operations: list[Manifest], chance: int) -> list[Manifest]:
    random.Random(chance).shuffle(operations)  # noqa: S311 (nothing secret is drawn)
    return operations

"""Whose the fields of an object are, as the API server notes it, and taking over what others own.

An apply takes away what its manager owned and no longer names. So what somebody has added goes once
`delivery` owns it: no other way knows as well which fields have a default, and pods change once.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from typing import Any

from delivery.cluster import Cluster, ConflictError, Manifest, MissingError, name

MANAGER = "delivery"
APPLIED = {"manager": MANAGER, "operation": "Apply"}
# Managers that are not hands: what they have added stays.
CONTROLLERS = ("*controller*", "cert-manager*")
# What stays whoever wrote it: taking back a restart would be another one, a revision is for `rollout
# undo`, and a finalizer or an owner has something to clean up.
LEFT = (
    "f:kubectl.kubernetes.io/restartedAt",
    "f:deployment.kubernetes.io/revision",
    "f:finalizers",
    "f:ownerReferences",
)
# A delivery makes Jobs anew, and a Secret has keys from several hands.
SHARED = ("Job", "Secret")

# As `fieldsV1` has them: each level's `f:FIELD`, `k:{KEYS OF AN ITEM}` or `v:VALUE`, and `.` for itself.
Fields = dict[str, Any]


def own(cluster: Cluster, there: Iterable[Manifest], attempts: int = 10) -> None:
    """Makes `delivery` own what others own in objects as `live` has them; no field changes.

    Raises:
        ConflictError: somebody changes them all the time.
    """
    late = []
    for body in there:
        if any(_others(body, entry) and _split(entry["fieldsV1"])[0] for entry in _managers(body)):
            version = body["metadata"]["resourceVersion"]
            change = {"resourceVersion": version, "managedFields": _owned(body)}
            try:
                cluster.patch(name(body), {"metadata": change})
            except ConflictError:
                if attempts == 1:
                    raise
                late.append(body)
            except MissingError:
                continue
    if late:
        own(cluster, live(cluster, late), attempts - 1)


def apply(cluster: Cluster, objects: Iterable[Manifest]) -> None:
    """Applies objects, each in its own namespace; no field that somebody has added is left of them."""
    wanted = list(objects)
    for namespace in sorted({_namespace(cluster, body) for body in wanted}):
        place = cluster.within(namespace)
        own(place, live(place, (body for body in wanted if _namespace(cluster, body) == namespace)))
    cluster.apply(wanted)


def live(cluster: Cluster, objects: Iterable[Manifest]) -> list[Manifest]:
    """Those of `objects` that are there, as they are now, with their managers; no Job or Secret."""
    wanted = {name(body): body["kind"] for body in objects if body["kind"] not in SHARED}
    there = cluster.list(*sorted(set(wanted.values())), managers=True) if wanted else []
    return [body for body in there if name(body) in wanted]


def edits(body: Manifest) -> Iterator[str]:
    """What others alone own in a live object and `own` takes over, as `FIELD, by MANAGER`."""
    entries = _managers(body)
    applied = (entry["fieldsV1"] for entry in entries if APPLIED.items() <= entry.items())
    ours: Fields = next(applied, {})
    for entry in entries:
        if _others(body, entry):
            for path in _paths(_minus(_split(entry["fieldsV1"])[0], ours)):
                yield f"{path}, by {entry.get('manager') or 'a client that gives no name'}"


def autoscaled(body: Manifest) -> bool:
    """Whether a live object has its replicas from a controller that writes nothing else of it."""
    owners = [entry for entry in _managers(body) if "f:replicas" in entry["fieldsV1"].get("f:spec", {})]
    names = {entry.get("manager", "") for entry in owners} - set(controllers(body))
    return any(map(_is_controller, names))


def controllers(body: Manifest) -> list[str]:
    """The controllers that write more of a live object than the cluster's own do."""
    names = {entry.get("manager", "") for entry in _managers(body) if "subresource" not in entry}
    return sorted(filter(_is_controller, names - {"kube-controller-manager"}))


def _managers(body: Manifest) -> list[Manifest]:
    """Who owns what; nobody anything of an object whose list was emptied, until the next apply."""
    managers: list[Manifest] = body["metadata"].get("managedFields", [])
    return managers


def _namespace(cluster: Cluster, body: Manifest) -> str:
    return str(body["metadata"].get("namespace", cluster.namespace))


def _is_controller(manager: str) -> bool:
    return any(fnmatch(manager, pattern) for pattern in CONTROLLERS)


def _others(body: Manifest, entry: Manifest) -> bool:
    """Whether an entry of `managedFields` is a hand's; a subresource is a controller's or `scale`."""
    manager = entry.get("manager", "")
    hand = manager != MANAGER and not _is_controller(manager)
    return hand and "subresource" not in entry and entry["apiVersion"] == body["apiVersion"]


def _owned(body: Manifest) -> list[Manifest]:
    """The `managedFields` by which `delivery` owns what others did."""
    ours: Fields = {}
    rest = []
    for entry in body["metadata"]["managedFields"]:
        taken, left = _split(entry["fieldsV1"]) if _others(body, entry) else ({}, entry["fieldsV1"])
        if APPLIED.items() <= entry.items():
            taken, left = left, {}
        ours = _union(ours, taken)
        rest += [{**entry, "fieldsV1": left}] if left else []
    kind = {"apiVersion": body["apiVersion"], "fieldsType": "FieldsV1"}
    return [{**APPLIED, **kind, "fieldsV1": ours}, *rest]


def _split(fields: Fields) -> tuple[Fields, Fields]:
    """The fields that are taken over, and those that are left to their manager."""
    taken, left = {}, {}
    for key, inside in fields.items():
        if key in LEFT:
            left[key] = inside
            continue
        more, kept = _split(inside)
        if kept:
            left[key] = kept
            # Whoever owns a field as a whole takes away all that is in it.
            more.pop(".", None)
        if more or not kept:
            taken[key] = more
    return taken, left


def _union(one: Fields, other: Fields) -> Fields:
    return {**one, **{key: _union(one.get(key, {}), inside) for key, inside in other.items()}}


def _minus(one: Fields, other: Fields) -> Fields:
    left = {key: _minus(inside, other[key]) if key in other else inside for key, inside in one.items()}
    return {key: inside for key, inside in left.items() if inside or key not in other}


def _paths(fields: Fields, before: str = "") -> Iterator[str]:
    for key, inside in fields.items():
        path = f"{before}{_step(key)}"
        if inside and not ("." in inside and key.startswith("k:")):
            yield from _paths(inside, path)
        elif ":" in key:
            yield path.removeprefix(".")


def _step(key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f".{rest}"
    words = json.loads(rest) if rest else ""
    return f"[{','.join(map(str, words.values())) if isinstance(words, dict) else words}]"

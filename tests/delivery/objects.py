"""What an API server does with any object: kinds, labels, whose a field is, and what cannot change.

Server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import base64
import itertools
import json
import pickle
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from delivery.cluster import Manifest
from delivery.shell import DeliveryError

Path = tuple[str, ...]
# What each manager owns by each of its operations, and by which subresource where it was by one.
Owner = tuple[str, ...]
Owners = dict[Owner, set[Path]]
OWNER = ("manager", "operation", "subresource")
APPLIED: Owner = ("delivery", "Apply")
FIRST: Owner = ("before-first-apply", "Update")
CLIENT_SIDE: Path = ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")

CLUSTER_WIDE = {
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
NAMESPACED = {
    "ConfigMap",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Event",
    "ExternalSecret",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "Lease",
    "LimitRange",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "SealedSecret",
    "Secret",
    "SecretStore",
    "Service",
    "ServiceAccount",
    "StatefulSet",
}
# Those of which delivery looks at a generation.
COUNTED = {"CronJob", "DaemonSet", "Deployment", "Ingress", "Job", "ReplicaSet", "StatefulSet"}
# Lists that are merged by a key of their items; all others are one value.
KEYS = {
    "containers": "name",
    "env": "name",
    "initContainers": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
TERM = re.compile(r"(?P<key>[^\s=!,]+)\s*((?P<is>==?|!=)\s*(?P<value>\S*)|(?P<among>in|notin)\s*\((?P<set>.*)\))?")
# A CronJob adds eleven characters to the name of each Job, whose pods have that as a label.
LONGEST_NAMES = {"CronJob": 52, "Job": 63, "Service": 63}
FROZEN = {
    "DaemonSet": ("selector",),
    "Deployment": ("selector",),
    "Job": ("completionMode", "completions", "selector", "template"),
    "StatefulSet": ("podManagementPolicy", "selector", "serviceName", "volumeClaimTemplates"),
}


@cache
def kind_of(word: str) -> str:
    """The kind that a word of kubectl's means, as `deployment`, `Deployments` or `ingresses`."""
    for kind in NAMESPACED | CLUSTER_WIDE:
        singular = kind.lower()
        plural = re.sub("y$", "ie", singular) + ("es" if singular.endswith("s") else "s")
        if word.lower() in (singular, plural):
            return kind
    raise DeliveryError(f'error: the server doesn\'t have a resource type "{word}"')


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels satisfy a selector: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`."""
    return all(_holds(term.strip(), labels) for term in _terms(selector))


def _terms(selector: str) -> list[str]:
    return [term for term in re.split(r",(?![^(]*\))", selector) if term.strip()]


def _holds(term: str, labels: dict[str, str]) -> bool:
    if term.startswith("!"):
        return term[1:] not in labels
    found = TERM.fullmatch(term)
    if not found:
        raise DeliveryError(f"error: unable to parse requirement: {term}")
    value = labels.get(found["key"])
    if found["among"]:
        inside = value in [word.strip() for word in found["set"].split(",")]
        return inside == (found["among"] == "in")
    if found["is"]:
        return (value == found["value"]) == (found["is"] != "!=")
    return value is not None


def copied(body: Manifest) -> Manifest:
    """An object that whoever asked may change."""
    copy: Manifest = pickle.loads(pickle.dumps(body))  # noqa: S301 (it was pickled here)
    return copy


def normal(body: Manifest) -> Manifest:
    """An object as it is stored: without what only controllers write, with the defaults."""
    body = copied(body)
    if body["kind"] in NAMESPACED:
        body["metadata"].setdefault("namespace", "default")
    if body["kind"] in COUNTED:
        body["status"] = {}
    texts = body.pop("stringData", {}) if body["kind"] == "Secret" else {}
    if texts:
        coded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        body["data"] = {**(body.get("data") or {}), **coded}
    if body["kind"] in ("Deployment", "StatefulSet"):
        body["spec"].setdefault("replicas", 1)
    return body


def refusal(before: Manifest | None, after: Manifest) -> str:
    """Why the API server does not take an object, empty where it does."""
    kind, spec = after["kind"], after.get("spec", {})
    if not NAME.fullmatch(after["metadata"]["name"]):
        return "metadata.name: a lowercase RFC 1123 subdomain must consist of lower case letters"
    if reason := _too_long(after):
        return reason
    if kind in ("DaemonSet", "Deployment", "StatefulSet"):
        labels = spec["template"].get("metadata", {}).get("labels", {})
        if not spec["selector"]["matchLabels"].items() <= labels.items():
            return "spec.template.metadata.labels: `selector` does not match template `labels`"
    if before is None:
        return ""
    if before.get("immutable"):
        for field in ("data", "binaryData", "immutable"):
            if before.get(field) != after.get(field):
                return f"{field}: Forbidden: field is immutable when `immutable` is set"
    if kind == "Service" and spec.get("clusterIP") == "None" != before["spec"].get("clusterIP"):
        return 'spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'
    for field in FROZEN.get(kind, ()):
        if before["spec"].get(field) != spec.get(field):
            if kind == "StatefulSet":
                return "spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"
            return f"spec.{field}: field is immutable"
    return ""


def _too_long(body: Manifest) -> str:
    """Which part of an object is longer than the API server takes it, empty for none."""
    metadata = body["metadata"]
    if len(metadata["name"]) > (most := LONGEST_NAMES.get(body["kind"], 253)):
        return f"metadata.name: Invalid value: must be no more than {most} characters"
    if any(len(value) > 63 for value in (metadata.get("labels") or {}).values()):
        return "metadata.labels: Invalid value: must be no more than 63 characters"
    if sum(len(key) + len(value) for key, value in (metadata.get("annotations") or {}).items()) > 256 << 10:
        return "metadata.annotations: Too long: may not be more than 262144 bytes"
    if body["kind"] in ("ConfigMap", "Secret"):
        coded = 3 / 4 if body["kind"] == "Secret" else 1
        size = sum(len(value) * coded for value in (body.get("data") or {}).values())
        size += sum(len(value) * 3 / 4 for value in (body.get("binaryData") or {}).values())
        if size > 1 << 20:
            return "data: Too long: may not be more than 1048576 bytes"
    return ""


def merged(there: Any, change: Any) -> Any:
    """RFC 7396: null removes, objects are merged, all else takes the place of what is there."""
    if not isinstance(change, dict):
        return change
    result = dict(there) if isinstance(there, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def applied(there: Manifest, owners: Owners, wanted: Manifest) -> tuple[Manifest, set[Path]]:
    """The object after a server-side apply by `delivery`, and what it owns then."""
    after, named = _open(there), _open(wanted)
    paths = set(_paths(named))
    others = {path for owner, owned in owners.items() if owner != APPLIED for path in owned}
    for path in owners.get(APPLIED, set()) - paths - others:
        _take(after, path)
    result: Manifest = _close(_lay(after, named))
    return result, {path for path in paths if _managed(path)}


def migrated(owners: Owners, there: Manifest) -> Owners:
    """The owners of an object once kubectl has taken over what client-side applies have written.

    `kubectl apply --server-side` does so before its own, by csaupgrade of client-go. Of one that
    has no owners all is a manager's that stands for whoever was before the first apply.
    """
    if there and not owners:
        return {FIRST: {path for path in _paths(_open(there)) if _managed(path)}}
    clients = {owner: owned for owner, owned in owners.items() if owner[1] == "Update" and CLIENT_SIDE in owned}
    if not clients:
        return owners
    left = {owner: owned for owner, owned in owners.items() if owner not in clients}
    return {**left, APPLIED: left.get(APPLIED, set()).union(*clients.values())}


def written(owners: Owners, before: Manifest, after: Manifest, owner: Owner, paths: set[Path] | None) -> Owners:
    """The owners once one of them has written an object: of `paths`, or else of what changed."""
    old, new = _open(before), _open(after)
    kept = {other: {path for path in owned if _look(old, path) == _look(new, path)} for other, owned in owners.items()}
    if paths is None:
        changed = {path for path in _paths(new) if _managed(path) and _look(old, path) != _look(new, path)}
        paths = kept.get(owner, set()) | changed
    return {other: owned for other, owned in {**kept, owner: paths}.items() if owned}


def managed_fields(body: Manifest, owners: Owners) -> list[Manifest]:
    """Owners as an object shows them."""
    kind = {"apiVersion": body["apiVersion"], "fieldsType": "FieldsV1"}
    return [
        {**dict(zip(OWNER, owner, strict=False)), **kind, "fieldsV1": _tree(frozenset(owned))}
        for owner, owned in owners.items()
    ]


def owners_of(entries: list[Manifest]) -> Owners:
    """The inverse of `managed_fields`."""
    # A list with an empty entry has the API server forget them all.
    return {
        tuple(entry[part] for part in OWNER if part in entry): set(_leaves(entry["fieldsV1"]))
        for entry in entries
        if entry
    }


@cache
def _tree(owned: frozenset[Path]) -> Manifest:
    """Nobody may change it: the next one who asks gets the same."""
    tree: Manifest = {}
    for path in sorted(owned):
        level = tree
        for at, (before, step) in enumerate(itertools.pairwise(("", *path))):
            key = KEYS.get(before)
            item = f"k:{json.dumps({key: step}, separators=(',', ':'))}" if key else f"f:{step}"
            level = level.setdefault(item, {})
            if path[at + 1 :] == (key,):
                level["."] = {}
    return tree


def _leaves(tree: Manifest, before: Path = ()) -> Iterator[Path]:
    for key, inside in tree.items():
        kind, _, rest = key.partition(":")
        step = next(iter(json.loads(rest).values())) if kind == "k" else rest
        if kind == "f" and not inside:
            yield (*before, step)
        elif rest:
            yield from _leaves(inside, (*before, step))


def _managed(path: Path) -> bool:
    """Whether the API server notes whose a field is."""
    metadata = path[0] == "metadata" and path[1:2] not in (("labels",), ("annotations",))
    return path[0] not in ("apiVersion", "kind", "status") and not metadata


class _Keyed(dict[str, Any]):
    """A list whose items have keys."""


def _open(value: Any, field: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _open(item, key) for key, item in value.items()}
    key = KEYS.get(field)
    if key and isinstance(value, list) and all(isinstance(item, dict) and key in item for item in value):
        return _Keyed((item[key], _open(item)) for item in value)
    return value


def _close(value: Any) -> Any:
    if isinstance(value, _Keyed):
        return [_close(item) for item in value.values()]
    if isinstance(value, dict):
        return {key: _close(item) for key, item in value.items()}
    return value


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    else:
        yield path


def _look(value: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def _take(value: Any, path: Path) -> None:
    """Removes a field, and what is empty without it."""
    parent = _look(value, path[:-1])
    if not isinstance(parent, dict) or path[-1] not in parent:
        return
    left = parent[path[-1]]
    if not (isinstance(left, dict) and left):
        del parent[path[-1]]
        if len(path) > 1 and not parent:
            _take(value, path[:-1])


def _lay(there: Any, wanted: Any) -> Any:
    if not (isinstance(there, dict) and isinstance(wanted, dict)):
        return wanted
    laid = {key: _lay(there.get(key), item) for key, item in wanted.items()}
    return type(wanted)({**laid, **{key: item for key, item in there.items() if key not in laid}})

"""What an API server refuses for good, and the line to type: fields that nobody changes, quotas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from delivery.cluster import RefusedError

# What it says of such a field, of objects that hold no data.
REFUSAL = re.compile(
    r'\b(?P<kind>\w++)[\w.]*+ "(?P<name>[^"]+)" is invalid: .*'
    "(cannot change roleRef|field is immutable|may not change once set|updates to statefulset spec)"
)
# The pods of a StatefulSet go on, and become the next one's; a Secret's values are nowhere else.
LINES = {
    # What nodes know of one outlives it (rollout.apply).
    "ConfigMap": "",
    "PersistentVolumeClaim": "",
    "Secret": "get secret/{name} -o yaml | sed '/^immutable:/d' | kubectl replace --force -f -",
    "StatefulSet": "delete statefulset/{name} --cascade=orphan",
}
LINE = "delete {kind}/{name}"
QUOTA = "exceeded quota"


def refused(error: RefusedError, namespace: str) -> RefusedError:
    """The error with a line to type for each object of which a field cannot be changed, or for a quota."""
    return RefusedError("\n".join([str(error), *_remedies(str(error), namespace)]))


def _remedies(text: str, namespace: str) -> Iterator[str]:
    if QUOTA in text:
        shown = f"`kubectl -n {namespace} describe resourcequota` shows what takes it"
        yield f"{shown}: free or raise it, then the same command again"
    for found in REFUSAL.finditer(text):
        kind, name = found["kind"], found["name"]
        if line := LINES.get(kind, LINE).format(kind=kind.lower(), name=name):
            yield f"`kubectl -n {namespace} {line}`, then the same command again"

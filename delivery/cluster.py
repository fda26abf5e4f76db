"""A cluster as a delivery sees it: objects, what runs in its pods, and the clock that a wait goes by.

`delivery.kubectl.Kubectl` is the real one. An object is named as kubectl names it: `deployment/web`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from delivery.shell import DeliveryError

Manifest = dict[str, Any]
# What others give finalizers to, of a namespace that somebody deletes; its claims go after the pods.
HELD = ("Pod", "Job", "Service", "Ingress")


class ConflictError(DeliveryError):
    """The object exists already, or is not at the version that the change was made for."""


class MissingError(DeliveryError):
    """What was asked for is not there."""


class RefusedError(DeliveryError):
    """The API server will not: these credentials lack the right, or the object is not valid.

    Where a field cannot be changed, the text has a line to type after which it can (fixed.py).
    """


class UnavailableError(DeliveryError):
    """The API server did not answer in time. What was asked for may have been done all the same."""


def name(body: Manifest) -> str:
    """An object's name as kubectl has it: `deployment/web`."""
    return f"{body['kind'].lower()}/{body['metadata']['name']}"


def going(body: Manifest) -> bool:
    """Whether somebody is deleting an object that is still there."""
    return "deletionTimestamp" in body["metadata"]


def lasting(cluster: Cluster, names: Iterable[str]) -> Iterator[str]:
    """Which of some objects are being deleted and still there, what keeps each, and the line against it."""
    for label in names:
        if not (body := cluster.get(label)) or not going(body):
            continue
        if body["kind"] == "Namespace":
            yield f"{label} is being deleted and waits for what is in it"
            yield from lasting(cluster, [name(inside) for inside in cluster.list(*HELD)])
            continue
        keepers = ", ".join(body["metadata"].get("finalizers", [])) or "what it owns"
        patch = f"kubectl -n {cluster.namespace} patch {label} --type=merge"
        line = f'`{patch} --patch=\'{{"metadata":{{"finalizers":null}}}}\'`'
        yield f"{label} is being deleted and waits for {keepers}; {line} lets it go without"


class Cluster(Protocol):
    """One namespace of a cluster, asked with somebody's credentials.

    Every method may raise RefusedError and UnavailableError. An answer that got lost is asked for again for as long
    as the patience lasts, so `create` and `replace` may raise ConflictError for what they did themselves.
    """

    @property
    def namespace(self) -> str:
        """What `get`, `list`, `patch`, `delete`, `exec` and `logs` look into."""

    def within(self, namespace: str) -> Cluster:
        """The same cluster, in another namespace."""

    def patient(self, seconds: float, timeout: float = 600) -> Cluster:
        """The same, with another patience: how long an API server that is away is asked again.

        What takes longer than `timeout` seconds, with all its answers, is given up.
        """

    def guarded(self, check: Callable[[], None]) -> Cluster:
        """The same; `check` is called before each change and `exec`, and prevents it by an error."""

    def get(self, name: str) -> Manifest | None:
        """An object as it is now, None where there is none."""

    def list(self, *kinds: str, selector: str = "", managers: bool = False) -> list[Manifest]:
        """The objects of some kinds (`Pod`, `Event`), in the order of the kinds, that a label selector matches.

        With their `metadata.managedFields` if `managers`.
        """

    def apply(self, objects: Iterable[Manifest]) -> None:
        """Applies objects server-side, in order and each in its own namespace, as the field manager `delivery`.

        Fields that somebody else has changed are set back; what `delivery` no longer names is taken away.
        """

    def difference(self, objects: Iterable[Manifest]) -> str:
        """What applying them would change, as a unified diff; empty for nothing."""

    def preview(self, body: Manifest) -> Manifest:
        """An object as applying it would leave it, with the API server's defaults."""

    def create(self, body: Manifest) -> None:
        """Creates an object; ConflictError where there is one of its name."""

    def rehearse(self, body: Manifest) -> Manifest:
        """What `create` would make of an object, with the cluster's own defaults; nothing is created."""

    def replace(self, body: Manifest) -> None:
        """Writes an object that is still at `metadata.resourceVersion`; ConflictError where it is not."""

    def patch(self, name: str, change: Manifest) -> None:
        """Merges a change into an object (RFC 7396: null removes); MissingError where there is none.

        ConflictError where the change names a resourceVersion that the object no longer has.
        """

    def delete(self, *names: str) -> None:
        """Deletes what is there of some objects, and waits until it has gone, the pods that it owns first.

        What is not gone in time is named in the UnavailableError, with what keeps it.
        """

    def exec(self, pod: str, container: str, *command: str) -> str:
        """What a command in a container prints; DeliveryError with its last words where it fails."""

    def logs(self, pod: str, container: str = "", tail: int = -1) -> str:
        """What a container has printed, or all of a pod with their names before each line; the last `tail` lines.

        MissingError where there is no such pod.
        """

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""

    def pause(self, seconds: float) -> None:
        """Waits."""

    def every(self, seconds: float, action: Callable[[], bool]) -> AbstractContextManager[None]:
        """Beside the body of a `with`, calls `action` again and again until it answers False."""

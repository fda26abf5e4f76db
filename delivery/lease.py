"""One delivery, backup or restore at a time: a Lease in the environment's namespace.

It is renewed as long as its holder lives. As in Kubernetes' own leader election, a lease is
abandoned when nobody has renewed it for as long as it lasts, by the watcher's own clock, so that
clocks that differ do no harm.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from delivery.cluster import Cluster, ConflictError, Manifest
from delivery.shell import DeliveryError, say

NAME = "lease/delivery"
SECONDS = 30


def who() -> str:
    """The person at the terminal, or the actor of the pipeline's run."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return f"{actor}, run {os.environ.get('GITHUB_RUN_ID', 'unknown')}"
    return f"{getpass.getuser()}@{socket.gethostname()}"


@contextmanager
def held(cluster: Cluster, wait: float = 2 * SECONDS, work: str = "delivery") -> Iterator[None]:
    """Holds the lease, having waited for another holder for up to `wait` seconds.

    Raises:
        DeliveryError: another still holds it; the text names who, and the `work` that they do.
    """
    holder = f"{work} by {who()}, {secrets.token_hex(3)}"
    _acquire(cluster, holder, wait)

    def renew() -> bool:
        try:
            if not _renew(cluster, holder, holder):
                say("the lease has gone to somebody else, as it was not renewed in time")
                return False
        except DeliveryError as error:
            say(f"the lease could not be renewed: {error}")
        return True

    try:
        with cluster.every(SECONDS / 3, renew):
            yield
    finally:
        try:
            _renew(cluster, holder, "")
        except DeliveryError as error:
            say(f"the lease ends by itself in {SECONDS} s: {error}")


def _renew(cluster: Cluster, holder: str, next_holder: str) -> bool:
    """Writes the next holder where `holder` still has the lease; whether it does."""
    lease = _get(cluster)
    if _holder(lease) != holder:
        return False
    _hold(cluster, lease, next_holder)
    return True


def _acquire(cluster: Cluster, holder: str, wait: float) -> None:
    with suppress(ConflictError):
        return cluster.create(_lease(cluster.namespace, holder))
    version, since, seen = "", cluster.now(), ""
    deadline = since + wait
    while True:
        lease = _get(cluster)
        other = _holder(lease)
        if other == holder:
            # The answer that would have said so was lost.
            return
        if lease["metadata"]["resourceVersion"] != version:
            version, since = lease["metadata"]["resourceVersion"], cluster.now()
        if not other or cluster.now() > since + SECONDS:
            try:
                return _hold(cluster, lease, holder)
            except ConflictError:
                # Somebody else was faster, or it was this very question whose answer was lost.
                continue
        if other != seen:
            seen = other
            say(f"waiting for the {other}")
        if cluster.now() > deadline:
            in_use = f"{cluster.namespace} is in use: {other}"
            raise DeliveryError(f"{in_use}; try again when that has ended")
        cluster.pause(1)


def _lease(namespace: str, holder: str) -> Manifest:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "delivery", "namespace": namespace},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": SECONDS,
            "acquireTime": moment,
            "renewTime": moment,
        },
    }


def _get(cluster: Cluster) -> Manifest:
    lease = cluster.get(NAME)
    if lease is None:
        raise DeliveryError(f"somebody deleted {NAME} of {cluster.namespace}; try again")
    return lease


def _holder(lease: Manifest) -> str:
    """Who has it; nobody where somebody made it by hand without saying who."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _hold(cluster: Cluster, lease: Manifest, holder: str) -> None:
    """Writes the holder into the lease as it was read; ConflictError where it has changed since."""
    renewed = _lease(cluster.namespace, holder)
    renewed["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
    cluster.replace(renewed)

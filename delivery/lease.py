"""One delivery, backup or restore at a time: a Lease in the environment's namespace.

It is renewed as long as its holder lives.

As in Kubernetes' own leader election, a lease is abandoned when nobody has renewed it for as long as it lasts, by the
watcher's own clock, so that clocks that differ do no harm.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from delivery.shell import DeliveryError, kubectl, say

SECONDS = 30
Lease = dict[str, Any]


def who() -> str:
    """The person at the terminal, or the actor of the pipeline's run."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return f"{actor}, run {os.environ.get('GITHUB_RUN_ID', 'unknown')}"
    return f"{getpass.getuser()}@{socket.gethostname()}"


@contextmanager
def held(namespace: str, wait: float = 2 * SECONDS, work: str = "delivery") -> Iterator[None]:
    """Holds the lease of `namespace`, having waited for another holder for up to `wait` seconds.

    Raises:
        DeliveryError: another still holds it; the text names who, and the `work` that they do.
    """
    holder = f"{work} by {who()}, {secrets.token_hex(3)}"
    _acquire(namespace, holder, wait)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(SECONDS / 3):
            try:
                if not _renew(namespace, holder, holder):
                    return say("the lease has gone to somebody else, as it was not renewed in time")
            except DeliveryError as error:
                say(f"the lease could not be renewed: {error}")

    renewer = threading.Thread(target=renew, daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        try:
            _renew(namespace, holder, "")
        except DeliveryError as error:
            say(f"the lease ends by itself in {SECONDS} s: {error}")


def _renew(namespace: str, holder: str, next_holder: str) -> bool:
    """Writes the next holder where `holder` still has the lease; whether it does."""
    lease = _get(namespace)
    if lease["spec"]["holderIdentity"] != holder:
        return False
    _hold(namespace, lease, next_holder)
    return True


def _acquire(namespace: str, holder: str, wait: float) -> None:
    try:
        kubectl("create", "-f", "-", stdin=json.dumps(_lease(namespace, holder)))
        return
    except DeliveryError as error:
        if "AlreadyExists" not in str(error):
            raise
    version, since, seen = "", time.monotonic(), ""
    deadline = since + wait
    while True:
        lease = _get(namespace)
        other = lease["spec"]["holderIdentity"]
        if other and other != seen:
            seen = other
            say(f"waiting for the {other}")
        if lease["metadata"]["resourceVersion"] != version:
            version, since = lease["metadata"]["resourceVersion"], time.monotonic()
        if other in ("", holder) or time.monotonic() > since + SECONDS:
            try:
                return _hold(namespace, lease, holder)
            except DeliveryError as error:
                # Somebody else was faster.
                if "Conflict" not in str(error):
                    raise
        if time.monotonic() > deadline:
            raise DeliveryError(f"{namespace} is in use: {other}; try again when that has ended")
        time.sleep(1)


def _lease(namespace: str, holder: str) -> Lease:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "delivery", "namespace": namespace},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": moment, "renewTime": moment},
    }


def _get(namespace: str) -> Lease:
    lease: Lease = json.loads(kubectl("-n", namespace, "get", "lease", "delivery", "-o", "json"))
    return lease


def _hold(namespace: str, lease: Lease, holder: str) -> None:
    """Writes the holder into the lease as it was read; the API server refuses if it has changed since."""
    renewed = _lease(namespace, holder)
    renewed["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
    kubectl("replace", "-f", "-", stdin=json.dumps(renewed))

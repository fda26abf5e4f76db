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
from dataclasses import dataclass
from datetime import UTC, datetime

from delivery.cluster import Cluster, ConflictError, Manifest, RefusedError, UnavailableError
from delivery.shell import DeliveryError, say
from delivery.sight import PATIENCE, Sight

NAME = "lease/delivery"
SECONDS = 30


def who() -> str:
    """The person at the terminal, or the actor of the pipeline's run."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return f"{actor}, run {os.environ.get('GITHUB_RUN_ID', 'unknown')}"
    try:
        user = getpass.getuser()
    # In a container whoever runs this need not have a name.
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class TakenError(DeliveryError):
    """Somebody else has the lease by now: nothing more may be changed."""


@contextmanager
def held(cluster: Cluster, wait: float = 2 * SECONDS, work: str = "delivery") -> Iterator[Cluster]:
    """Holds the lease, having waited for another holder for up to `wait` seconds.

    Yields:
        The cluster for whoever holds it: asked with sight.PATIENCE, and with TakenError instead of
        a change once the lease has gone to somebody else.

    Raises:
        DeliveryError: another still holds it; the text names who, and the `work` that they do.
    """
    claim = _Claim(cluster, f"{work} by {who()}, {secrets.token_hex(3)}")
    _acquire(cluster, claim.holder, wait)
    claim.renewed = cluster.now()
    try:
        with cluster.every(SECONDS / 3, claim.keep):
            yield cluster.patient(PATIENCE).guarded(claim.check)
    finally:
        try:
            claim.renew(cluster, "")
        except TakenError:
            pass
        except DeliveryError as error:
            say(f"the lease ends by itself in {SECONDS} s: {error}")


@dataclass
class _Claim:
    """A lease that `holder` got; `renewed` is when that was certain, by the cluster's clock.

    Attributes:
        said: why it could not be renewed, the last time.
    """

    cluster: Cluster
    holder: str
    renewed: float = 0
    said: str = ""

    def keep(self) -> bool:
        """Renews it; False once it has gone."""
        try:
            self.renew(self.cluster, self.holder)
        except TakenError:
            # Whoever is about to change something says so.
            return False
        except DeliveryError as error:
            if str(error) != self.said:
                self.said = str(error)
                say(f"the lease could not be renewed: {error}")
        return True

    def check(self) -> None:
        """Raises TakenError where another may change things by now, UnavailableError where that stays unknown."""
        deadline = self.cluster.now() + PATIENCE
        while self.cluster.now() > self.renewed + SECONDS:
            if self.cluster.now() > deadline:
                slow = f"the API server answers too slowly to keep the lease of {self.cluster.namespace}"
                raise UnavailableError(f"{slow}; try again when it is faster")
            lease = self._own(self.cluster.patient(PATIENCE))
            asked = self.cluster.now()
            try:
                _give(self.cluster.patient(0), lease, self.holder)
            except ConflictError:
                continue
            except (RefusedError, UnavailableError):
                # A webhook may keep everybody from writing it; nobody else has, as was just read.
                return
            self.renewed = asked

    def renew(self, cluster: Cluster, next_holder: str) -> None:
        """Writes the next holder, however late; TakenError where another has the lease."""
        while True:
            lease = self._own(cluster)
            asked = cluster.now()
            with suppress(ConflictError):
                _give(cluster, lease, next_holder)
                self.renewed = asked
                return

    def _own(self, cluster: Cluster) -> Manifest | None:
        """The lease as it is, None where somebody deleted it; TakenError where another has it."""
        lease = cluster.get(NAME)
        other = _holder(lease) if lease else self.holder
        if other != self.holder:
            self.renewed = float("-inf")
            now = f"has gone to {other}" if other else "was taken away"
            raise TakenError(f"the lease of {cluster.namespace} {now}; nothing more was changed")
        return lease


def _give(cluster: Cluster, lease: Manifest | None, holder: str) -> None:
    """Writes the holder; ConflictError where somebody was faster."""
    if lease:
        _hold(cluster, lease, holder)
    else:
        cluster.create(_lease(cluster.namespace, holder))


def _acquire(cluster: Cluster, holder: str, wait: float) -> None:
    with suppress(ConflictError):
        return cluster.create(_lease(cluster.namespace, holder))
    cluster = cluster.patient(PATIENCE)
    # The holder cannot renew it while the API server does not answer.
    sight = Sight(cluster)
    version, since, seen = "", sight.now(), ""
    deadline = since + wait
    while True:
        lease = _get(sight)
        other = _holder(lease)
        if other == holder:
            # The answer that would have said so was lost.
            return
        if lease["metadata"]["resourceVersion"] != version:
            version, since = lease["metadata"]["resourceVersion"], sight.now()
        if not other or sight.now() > since + SECONDS:
            try:
                return _hold(cluster, lease, holder)
            except ConflictError:
                # Somebody else was faster, or it was this very question whose answer was lost.
                continue
        if other != seen:
            seen = other
            say(f"waiting for the {other}")
        if sight.now() > deadline:
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


def _get(sight: Sight) -> Manifest:
    lease = sight.get(NAME)
    if lease is None:
        raise DeliveryError(f"somebody deleted {NAME} of {sight.cluster.namespace}; try again")
    return lease


def _holder(lease: Manifest) -> str:
    """Who has it; nobody where somebody made it by hand without saying who."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _hold(cluster: Cluster, lease: Manifest, holder: str) -> None:
    """Writes the holder into the lease as it was read; ConflictError where it has changed since."""
    renewed = _lease(cluster.namespace, holder)
    renewed["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
    cluster.replace(renewed)

"""What a wait sees of a cluster, and for how long: a pause of the API server costs no time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from delivery.cluster import Cluster, Manifest

# Seconds for which an API server, or its etcd, may pause in the midst of a work.
PATIENCE = 240
# Seconds that an answer may take; what it takes beyond is time in which nothing was known.
ANSWER = 10


@dataclass
class Sight:
    """A cluster that is asked with patience.

    Attributes:
        patience: seconds for which one question is asked again, as in Cluster.patient.
        blind: the seconds in which it did not answer.
    """

    cluster: Cluster
    patience: float = PATIENCE
    blind: float = 0

    def get(self, name: str) -> Manifest | None:
        """As in Cluster."""
        with self._answer() as cluster:
            return cluster.get(name)

    def list(self, *kinds: str, selector: str = "") -> list[Manifest]:
        """As in Cluster."""
        with self._answer() as cluster:
            return cluster.list(*kinds, selector=selector)

    def exec(self, pod: str, container: str, *command: str) -> str:
        """As in Cluster."""
        with self._answer() as cluster:
            return cluster.exec(pod, container, *command)

    def now(self) -> float:
        """Seconds of the cluster's clock, without those in which nothing was known."""
        return self.cluster.now() - self.blind

    @contextmanager
    def _answer(self) -> Iterator[Cluster]:
        began = self.cluster.now()
        try:
            yield self.cluster.patient(self.patience)
        finally:
            self.blind += max(self.cluster.now() - began - ANSWER, 0)

"""Several people who type at the same time, on one cluster in memory: whose turn it is is drawn."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from delivery.cluster import Manifest
from tests.delivery.fake import FakeCluster, Killed
from tests.delivery.server import Server

LEASE = "lease/delivery"
CHANGES = ("apply", "create", "delete", "exec", "patch", "replace")


@dataclass(frozen=True)
class Theirs(FakeCluster):
    """The cluster as one of the people has it; what they do beside their work sleeps when they do."""

    person: Person | None = None

    @contextmanager
    def every(self, seconds: float, action: Callable[[], bool]) -> Iterator[None]:
        def awake() -> bool:
            asleep = self.person and self.server.clock < self.person.asleep_until
            return not self.faults.dead and (asleep or action())

        with super().every(seconds, awake):
            yield


@dataclass(eq=False)
class Person:
    """Somebody who types one command.

    Attributes:
        failure: what came of it, None where it was done.
        sleeps_at: when, at their next wait, their machine is suspended for a while.
        dies_at: when their command is killed.
        asleep_until, wakes: of the cluster's clock.
        holder: what the lease said when they wrote it last.
        strayed: what they changed while the lease was not theirs.
    """

    server: Server
    namespace: str
    sleeps_at: float = float("inf")
    dies_at: float = float("inf")
    asleep_until: float = 0
    wakes: float = 0
    holder: str = ""
    strayed: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    ended: bool = False
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def cluster(self) -> FakeCluster:
        theirs = Theirs(self.namespace, self.server, person=self)
        theirs.faults.before, theirs.faults.after = self._before, self._after
        return theirs

    def _before(self, cluster: FakeCluster, operation: str, name: str) -> None:
        if self.server.clock >= self.dies_at:
            raise Killed
        if operation in CHANGES and name != LEASE and not self._has_lease():
            self.strayed.append(f"{operation} {name}")

    def _after(self, cluster: FakeCluster, operation: str, name: str) -> None:
        if operation in CHANGES and name == LEASE:
            self.holder = self._lease()

    def _has_lease(self) -> bool:
        return bool(self.holder) and self._lease() == self.holder

    def _lease(self) -> str:
        lease: Manifest = self.server.objects.get(("Lease", self.namespace, "delivery"), {})
        return str(lease.get("spec", {}).get("holderIdentity", ""))


class Turns:
    """At each moment one of the people goes on until something is asked of the cluster, or waited for."""

    def __init__(self, server: Server, draw: random.Random) -> None:
        self.server, self.draw, self.pass_time = server, draw, server.advance
        self.threads: dict[threading.Thread, Person] = {}
        self.back = threading.Semaphore(0)

    def take(self, works: Sequence[tuple[Person, Callable[[], None]]]) -> None:
        """Lets each person do their work, until all have ended it."""
        self.threads = {threading.Thread(target=self._work, args=pair, daemon=True): pair[0] for pair in works}
        vars(self.server)["advance"] = self._advance
        for thread in self.threads:
            thread.start()
        while left := [person for person in self.threads.values() if not person.ended]:
            ready = [person for person in left if person.wakes <= self.server.clock]
            if ready:
                self.draw.choice(ready).go.release()
                self.back.acquire()
            else:
                self.pass_time(min(person.wakes for person in left) - self.server.clock)
        del vars(self.server)["advance"]

    def _work(self, person: Person, work: Callable[[], None]) -> None:
        person.go.acquire()
        try:
            work()
        except BaseException as error:
            person.failure = error
        finally:
            person.ended = True
            self.back.release()

    def _advance(self, seconds: float) -> None:
        person = self.threads.get(threading.current_thread())
        if person is None:
            # What is done beside the work of all.
            return self.pass_time(seconds)
        person.wakes = self.server.clock + seconds
        # Between the look at the lease and what it allows nobody is suspended.
        if seconds >= 1 and self.server.clock >= person.sleeps_at:
            person.sleeps_at = float("inf")
            person.wakes = person.asleep_until = self.server.clock + self.draw.choice((20, 45, 200))
        self.back.release()
        person.go.acquire()

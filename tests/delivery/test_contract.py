"""The contract of a Cluster, kept by the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import pytest

from delivery.cluster import Cluster, Manifest
from delivery.shell import DeliveryError
from tests.delivery.contract import Contract
from tests.delivery.fake import FakeCluster, LostError, nothing
from tests.delivery.objects import CLUSTER_WIDE, NAMESPACED
from tests.delivery.server import Container, StepError, Webhook

# What the contract's containers and images have on a real cluster by what they ask for.
ILL = {
    "127.0.0.1:1/none:1": "ImagePullBackOff",
    "crashing": "CrashLoopBackOff",
    "crowded": "FailedScheduling",
    "limited": "FailedCreate",
    "unready": "unready",
    "unset": "CreateContainerConfigError",
    "unstarted": "unstarted",
}
VERBS = ("create", "delete", "get", "list", "patch", "update")


@dataclass
class InMemory:
    cluster: FakeCluster
    good: str = "good:1"

    def by_hand(self, name: str, change: Manifest) -> None:
        self.cluster.by_hand(name, change)

    def scale(self, name: str, replicas: int) -> None:
        self.cluster.scale(name, replicas)

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.cluster.server.webhooks = [Webhook("silent.example.com", frozenset({"ConfigMap"}), silent=True)]
        yield
        self.cluster.server.webhooks = []

    def nobody(self) -> AbstractContextManager[Cluster]:
        kinds = {*NAMESPACED, *CLUSTER_WIDE, "pods/exec", "pods/log"}
        forbidden = {(verb, kind) for verb in VERBS for kind in kinds}
        return nullcontext(replace(self.cluster, forbidden=forbidden))

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.cluster.faults.latency = 10
        yield
        self.cluster.faults.latency = 0.05

    def away(self, seconds: float) -> None:
        self.cluster.away(seconds)

    def breaks(self) -> Iterator[AbstractContextManager[object]]:
        yield self._once("before")
        yield self._once("after")

    @contextmanager
    def _once(self, moment: str) -> Iterator[None]:
        def lost(cluster: FakeCluster, operation: str, name: str) -> None:
            if operation != "get":
                setattr(self.cluster.faults, moment, nothing)
                raise LostError("unexpected EOF")

        setattr(self.cluster.faults, moment, lost)
        yield


def program(pod: Manifest, command: tuple[str, ...]) -> str:
    if command[0] == "echo":
        return " ".join(command[1:]) + "\n"
    raise DeliveryError("some words\ncommand terminated with exit code 3")


def script(container: Container) -> str:
    """The shell, as far as the contract speaks to it."""
    words = container.spec["command"][2].removeprefix("echo ")
    if words.endswith("; exit 3"):
        raise StepError(words.removesuffix("; exit 3"), code=3)
    return f"{words}\n"


@pytest.fixture
def place() -> InMemory:
    cluster = FakeCluster("contract")
    for name in ("contract", "kube-public"):
        metadata = {"name": name}
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    cluster.server.programs["main"] = program
    cluster.server.printed["main"] = "begun\n"
    cluster.server.steps |= {"first": script, "main": script}
    cluster.server.ill |= ILL
    return InMemory(cluster)


class TestInMemory(Contract):
    """Each in milliseconds."""

"""Where to deliver: an environment, its cluster, and how what runs there is proven."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from delivery.cluster import Cluster
from delivery.render import Render
from delivery.traffic import Answer
from policy_tests.environment import Environment


class Proofs(Protocol):
    """What a render and the environment that it was applied to have to pass.

    `delivery.suites.Suites` has the real ones.
    """

    def policy(self, environment: Environment, render: Render) -> None:
        """DeliveryError where the render breaks a rule."""

    def smoke(self, environment: Environment, render: Render) -> None:
        """DeliveryError where the environment does not serve as the render says."""

    def traffic(self, cluster: Cluster, render: Render) -> AbstractContextManager[list[Answer]]:
        """Requests as users send them, while the context lasts; the list grows as they are answered."""


@dataclass(frozen=True)
class Target:
    """An environment to deliver to."""

    environment: Environment
    cluster: Cluster
    proofs: Proofs

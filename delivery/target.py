"""Where to deliver: an environment, its cluster, and how what runs there is proven."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from delivery.cluster import Cluster, RefusedError, UnavailableError
from delivery.render import Render
from delivery.shell import DeliveryError, say
from delivery.sight import ANSWER, PATIENCE
from delivery.traffic import Answer
from policy_tests.environment import Environment

# Seconds between two looks whether the API server answers, and how often the tests run at most.
LOOK_EVERY, RUNS = 2, 3
QUESTION = "lease/delivery"


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

    def smoke(self, render: Render) -> None:
        """Proofs.smoke; once more where the API server, which the tests ask, did not answer."""
        for run in range(RUNS):
            silences: list[str] = []
            try:
                with self.cluster.every(LOOK_EVERY, partial(self._listen, silences)):
                    return self.proofs.smoke(self.environment, render)
            except DeliveryError:
                if not silences or run == RUNS - 1:
                    raise
                say(f"once more, as the API server did not answer: {silences[0]}")
                with suppress(RefusedError):
                    self.cluster.patient(PATIENCE).get(QUESTION)

    def _listen(self, silences: list[str]) -> bool:
        """Whether the API server answers; a refusal is an answer."""
        try:
            self.cluster.patient(0, timeout=ANSWER).get(QUESTION)
        except UnavailableError as error:
            silences.append(str(error).splitlines()[-1])
        except DeliveryError:
            pass
        return not silences

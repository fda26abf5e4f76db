"""The suites that a delivery runs: the policy suite on a render, the smoke tests where it was applied."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass

from delivery import traffic
from delivery.cluster import Cluster
from delivery.render import Render
from delivery.shell import ROOT, DeliveryError, say, screen, show
from delivery.site import connect
from delivery.traffic import Answer
from policy_tests.environment import Environment

# Seconds that a suite may take, however slowly the site answers.
LONGEST = 600


@dataclass(frozen=True)
class Suites:
    """The proofs of a delivery; `ingress` is the ingress controller's address where DNS is silent."""

    ingress: str | None = None

    def policy(self, environment: Environment, render: Render) -> None:
        """As in delivery.target.Proofs."""
        _pytest("policy_tests", environment, render, why="it breaks the rules; nothing was applied")

    def smoke(self, environment: Environment, render: Render) -> None:
        """As in delivery.target.Proofs."""
        options = [f"--ingress={self.ingress}"] if self.ingress else []
        _pytest("smoke_tests", environment, render, *options, why="its smoke tests fail")

    def traffic(self, cluster: Cluster, render: Render) -> AbstractContextManager[list[Answer]]:
        """As in delivery.target.Proofs."""
        return traffic.traffic(connect(cluster, render, self.ingress))


def _pytest(suite: str, environment: Environment, render: Render, *options: str, why: str) -> None:
    """Runs a suite; what it prints is at most a screen of it, and whole in build/ENV.

    Raises:
        DeliveryError: it fails or does not end, or this machine cannot run it.
    """
    folder = ROOT / "build" / environment.name
    file, report = folder / "proven.yaml", folder / f"{suite}.txt"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--color=no", "-p", "no:cacheprovider", suite]
    options = (f"--env={environment.name}", f"--manifests={file}", *options)
    say(f"running {suite}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(render.text)
        with report.open("w") as written:
            done = subprocess.run(
                [*command, *options],
                cwd=ROOT,
                check=False,
                stdout=written,
                stderr=subprocess.STDOUT,
                timeout=LONGEST,
            )
        shown = report.read_text(errors="replace")
    except OSError as error:
        raise DeliveryError(f"{suite} cannot be run: {error}; it writes into {folder}") from None
    except subprocess.TimeoutExpired:
        raise DeliveryError(f"{suite} did not end within {LONGEST} s; {report} has what it did") from None
    show(screen(shown, report))
    if done.returncode:
        raise DeliveryError(why)

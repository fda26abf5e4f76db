"""A run as GitHub tells a step of it, and what the step tells GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delivery.shell import run


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        environ: its environment, as on
            https://docs.github.com/en/actions/reference/workflows-and-actions/variables
    """

    environ: Mapping[str, str]

    def ask(self, path: str) -> Any:
        """What GitHub's API answers for a path below this repository; GH_TOKEN asks."""
        return json.loads(run("gh", "api", f"repos/{self.environ['GITHUB_REPOSITORY']}/{path}", timeout=60))

    def give(self, **outputs: str) -> None:
        """Sets outputs of the step."""
        self._append("GITHUB_OUTPUT", "".join(f"{name}={value}\n" for name, value in outputs.items()))

    def export(self, name: str, value: str) -> None:
        """Sets a variable of the steps after it."""
        self._append("GITHUB_ENV", f"{name}={value}\n")

    def tell(self, level: str, text: str) -> None:
        """One line for whoever looks at the run: its `level` is notice, warning or error."""
        print(f"::{level}::{text}")
        self._append("GITHUB_STEP_SUMMARY", f"{text}\n\n")

    def _append(self, variable: str, text: str) -> None:
        with Path(self.environ[variable]).open("a", encoding="utf-8") as file:
            file.write(text)

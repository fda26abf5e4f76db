"""The commands against a fake, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from unittest.mock import patch

from repository import github
from repository.__main__ import main
from tests.repository.fake import REPOSITORY, TOKEN, Fake


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str

    @property
    def differences(self) -> list[str]:
        """The differences that it showed."""
        return [line.removeprefix("differs: ") for line in self.output.splitlines() if line.startswith("differs: ")]


def run(fake: Fake, *arguments: str, **variables: str) -> Result:
    """Runs `python -m repository` with variables of the environment beside those that name the fake."""
    out, errors = StringIO(), StringIO()
    named = {
        "GH_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_API_URL": fake.url,
        "GITHUB_ACTIONS": "",
    }
    with patch.dict(os.environ, named | variables), redirect_stdout(out), redirect_stderr(errors):
        code = main(arguments)
    result = Result(code, out.getvalue(), errors.getvalue())
    assert TOKEN not in result.output + result.errors
    return result


@contextmanager
def impatient() -> Iterator[list[float]]:
    """Nobody waits; the list holds for how many seconds somebody would have."""
    pauses: list[float] = []
    with patch.object(github, "sleep", pauses.append), patch.object(github, "TIMEOUT", 1):
        yield pauses

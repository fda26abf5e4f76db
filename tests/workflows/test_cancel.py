"""A run that is cancelled: GitHub sends SIGINT to the step's own process, and to no child of it.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-cancellation
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.delivery.small import render
from tests.workflows.act import ROOT

STEPS = {
    step["name"]: step["run"]
    for step in yaml.safe_load((ROOT / ".github/workflows/ci-prod.yml").read_text())["jobs"]["deploy"]["steps"]
    if "run" in step
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv delivers to a cluster in memory."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.workflows.interrupted "$@"\n')
    python.chmod(0o755)
    return tmp_path


def start(checkout: Path, script: str) -> subprocess.Popen[str]:
    """A step, as the runner starts it."""
    file = checkout / "step.sh"
    file.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STATE": str(checkout / "state")}
    environment |= {"IMAGE": render("2").image, "OPTIONS": ""}
    return subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The runner's own: what is sent to the process goes to nobody else, and nobody ignores it for it.
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def heard(step: subprocess.Popen[str], word: str) -> Iterator[str]:
    """What a step says until it says that."""
    assert step.stderr
    for line in step.stderr:
        yield line
        if re.search(word, line):
            return


@pytest.mark.parametrize("moment", ["starting web-canary", "watching prod for 2 min", "waiting for .*deployment/web,"])
def test_a_delivery_that_is_cancelled_is_taken_back(moment: str, checkout: Path) -> None:
    step = start(checkout, STEPS["Deploy"])
    assert list(heard(step, moment))[-1:] != []
    os.kill(step.pid, signal.SIGINT)
    out, err = step.communicate(timeout=60)
    assert (step.returncode, "interrupted" in err) == (130, True)
    back = start(checkout, STEPS["Take back"])
    out, err = back.communicate(timeout=60)
    assert (back.returncode, out.splitlines()[-1]) == (0, "serving 1 alone"), err


def test_a_delivery_that_ended_before_is_left(checkout: Path) -> None:
    step = start(checkout, STEPS["Deploy"].replace("--canary 2 --watch 10", ""))
    out, err = step.communicate(timeout=60)
    assert (step.returncode, out.splitlines()[-1]) == (0, "serving 2 alone"), err
    back = start(checkout, STEPS["Take back"])
    out, err = back.communicate(timeout=60)
    assert (back.returncode, out.splitlines()[-1]) == (0, "serving 2 alone"), err


def test_behind_a_shell_or_a_pipe_a_delivery_would_not_hear_of_it(checkout: Path) -> None:
    step = start(checkout, STEPS["Deploy"].replace("exec ", "") + " | cat\n")
    assert list(heard(step, "watching prod for 2 min"))
    os.kill(step.pid, signal.SIGINT)
    out, _ = step.communicate(timeout=60)
    assert "serving 2 alone" in out

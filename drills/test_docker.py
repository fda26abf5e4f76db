"""The lines for docker, as they are typed; PYTHON_IMAGE and MYSQL_IMAGE replace images that cannot be pulled here."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from delivery.shell import ROOT, run
from drills.watching import until

DEV = ("docker", "compose", "-f", "docker-compose.dev.yml")
GUI = (*DEV, "-f", "docker-compose.gui.yml")


@contextmanager
def compose(line: tuple[str, ...], folder: Path, patch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """`up --build` of a line of compose, in a project of its own; afterwards nothing of it is left."""
    patch.setenv("COMPOSE_PROJECT_NAME", "school-scheduler-drill")
    log = folder / "log"
    with log.open("wb") as file:
        up = subprocess.Popen([*line, "up", "--build"], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield up
        except AssertionError as error:
            raise AssertionError(log.read_text()[-3000:]) from error
        finally:
            up.terminate()
            up.wait(timeout=60)
            run(*line, "down", "--volumes")


def page(address: str, path: str) -> str:
    """The page, or nothing where it is not served yet."""
    try:
        answer = requests.get(f"{address}{path}", timeout=5)
    except requests.ConnectionError:
        return ""
    return answer.text if answer.ok else ""


def test_the_image_is_built_and_serves_by_itself() -> None:
    given = [f"--build-arg=PYTHON_IMAGE={os.environ['PYTHON_IMAGE']}"] if "PYTHON_IMAGE" in os.environ else []
    run("docker", "build", "-t", "school_scheduler-app:latest", *given, ".", timeout=1800)
    container = run("docker", "run", "-d", "--rm", "-p", "127.0.0.1:0:8000", "school_scheduler-app").strip()
    try:
        address = "http://" + run("docker", "port", container, "8000").strip()
        until(lambda: page(address, "/ready"), seconds=60)
        assert "School Scheduler" in page(address, "/")
    finally:
        run("docker", "stop", container)


@pytest.mark.slow
def test_compose_generates_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with compose(DEV, tmp_path, monkeypatch) as up:

        def ended() -> bool:
            assert up.poll() is None
            lines = run(*DEV, "ps", "--all", "--format", "json", "generate").splitlines()
            return any(json.loads(line)["State"] == "exited" for line in lines)

        until(ended, seconds=900)
        (generate,) = map(json.loads, run(*DEV, "ps", "--all", "--format", "json", "generate").splitlines())
        assert generate["ExitCode"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True])
def test_compose_serves_the_pages(alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (*DEV[:2], *GUI[-2:]) if alone else GUI
    with compose(line, tmp_path, monkeypatch) as up:

        def served() -> str:
            assert up.poll() is None
            return page("http://127.0.0.1:8000", "/ready") and page("http://127.0.0.1:8000", "/")

        assert "School Scheduler" in until(served, seconds=900)

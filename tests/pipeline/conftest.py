"""Steps of a run without GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.github import Step


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """A step of the first attempt of a run on main."""
    files = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")
    environ = {name: str(tmp_path / name) for name in files} | {"RUNNER_TEMP": str(tmp_path)}
    environ |= {"GITHUB_REPOSITORY": "escola/horario", "GITHUB_WORKFLOW": "ci-preprod"}
    environ |= {"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": "a" * 40}
    environ |= {"GITHUB_RUN_ATTEMPT": "1", "GITHUB_RUN_NUMBER": "7"}
    return Step(environ)

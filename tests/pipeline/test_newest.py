"""Which runs are superseded, by what GitHub's API says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from delivery.shell import DeliveryError
from pipeline import github
from pipeline.github import Step
from pipeline.newest import successor

OLD, NEW = "a" * 40, "b" * 40
MAIN, RELEASE, TAG = "refs/heads/main", "refs/heads/release/1.2", "refs/tags/preprod/1"


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The branches of the repository, whose latest run is number 8."""
    heads = {MAIN: OLD, "refs/heads/main-2": NEW, RELEASE: OLD}

    def ask(step: Step, path: str) -> Any:
        if path.startswith("git/matching-refs/"):
            wanted = "refs/" + path.removeprefix("git/matching-refs/")
            return [{"ref": ref, "object": {"sha": sha}} for ref, sha in heads.items() if ref.startswith(wanted)]
        assert path == "actions/workflows/ci-preprod.yml/runs?event=push&per_page=1"
        return {"workflow_runs": [{"run_number": 8, "head_sha": NEW}]}

    monkeypatch.setattr(github.Step, "ask", ask)
    return heads


def at(step: Step, ref: str, attempt: int = 1, number: int = 7) -> Step:
    run = {"GITHUB_REF": ref, "GITHUB_RUN_ATTEMPT": str(attempt), "GITHUB_RUN_NUMBER": str(number)}
    return replace(step, environ={**step.environ, **run})


@pytest.mark.parametrize("ref", [MAIN, RELEASE, TAG])
def test_a_run_of_the_newest_commit_goes_on(ref: str, step: Step, heads: dict[str, str]) -> None:
    assert successor(at(step, ref)) == ""


@pytest.mark.parametrize("ref", [MAIN, RELEASE])
def test_a_run_is_superseded_by_the_newer_commit_of_its_branch(ref: str, step: Step, heads: dict[str, str]) -> None:
    heads[ref] = NEW
    assert successor(at(step, ref)) == NEW


def test_a_run_of_a_branch_that_is_gone_is_superseded(step: Step, heads: dict[str, str]) -> None:
    del heads[MAIN]
    assert "deleted" in successor(step)


@pytest.mark.parametrize("ref", [MAIN, RELEASE, TAG])
def test_a_repeated_run_is_superseded_by_a_later_one(ref: str, step: Step, heads: dict[str, str]) -> None:
    assert successor(at(step, ref, attempt=2)) == f"run 8 at {NEW}"
    assert successor(at(step, ref, attempt=2, number=8)) == ""


def test_what_github_does_not_say_stops_the_run(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "run", lambda *words, **options: (_ for _ in ()).throw(DeliveryError("gh: HTTP 503")))
    with pytest.raises(DeliveryError, match="503"):
        successor(step)

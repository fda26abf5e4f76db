from __future__ import annotations

import pytest
import yaml

from tests.workflows.act import ROOT
from tests.workflows.triggers import Event, matches, starts

# The key `on` is true to YAML 1.1.
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text())[True] for file in ROOT.glob(".github/workflows/*.yml")}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("pull_request"), ["ci-cd"]),
        (Event("merge_group"), ["ci-cd"]),
        (Event("push", "refs/heads/develop"), ["ci-cd"]),
        (Event("push", "refs/heads/homolog"), ["ci-homolog"]),
        (Event("push", "refs/heads/release/1.2"), ["ci-homolog"]),
        (Event("push", "refs/heads/main"), ["ci-preprod"]),
        (Event("push", "refs/tags/preprod/2026-11-24"), ["ci-preprod"]),
        (Event("push", "refs/tags/v1.2.3"), ["ci-prod"]),
        (Event("schedule"), ["backup-drill", "chaos", "generate", "repository"]),
        (Event("workflow_dispatch"), ["backup-drill", "chaos", "generate", "repository", "rollback"]),
        (Event("push", "refs/heads/feature/faster"), []),
        (Event("push", "refs/heads/v1.2.3"), []),
        (Event("push", "refs/heads/preprod/2026-11-24"), []),
        (Event("push", "refs/heads/release/1.2/fix"), []),
        (Event("push", "refs/heads/release"), []),
        (Event("push", "refs/tags/main"), []),
        (Event("push", "refs/tags/release/1.2"), []),
        (Event("push", "refs/tags/1.2.3"), []),
        (Event("pull_request_target"), []),
        (Event("workflow_run"), []),
    ],
    ids=str,
)
def test_an_event_starts_these_workflows_and_no_other(event: Event, expected: list[str]) -> None:
    assert sorted(name for name, on in WORKFLOWS.items() if starts(on, event)) == expected


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        (["main"], "main", True),
        (["main"], "mainly", False),
        (["v*"], "v1.2.3", True),
        (["v*"], "v1/2", False),
        (["v.*"], "v1", False),
        (["release/*"], "release/", True),
        (["release/**"], "release/1/2", True),
        (["**", "!v*"], "v1", False),
        (["!v*", "**"], "v1", True),
        ([], "main", False),
    ],
)
def test_patterns_match_as_github_says(patterns: list[str], name: str, expected: bool) -> None:
    assert matches(patterns, name) is expected


@pytest.mark.parametrize(
    ("on", "ref", "expected"),
    [
        ({"push": None}, "refs/heads/main", True),
        ({"push": {"tags": ["v*"]}}, "refs/heads/v1", False),
        ({"push": {"branches": ["v*"]}}, "refs/tags/v1", False),
        ({"pull_request": None}, "refs/heads/main", False),
    ],
)
def test_filters_of_one_kind_shut_the_other_out(on: dict[str, None], ref: str, expected: bool) -> None:
    assert starts(on, Event("push", ref)) is expected


def test_what_is_not_known_is_refused_rather_than_guessed() -> None:
    with pytest.raises(ValueError, match=r"unknown special character in 'v\[0-9\]'"):
        matches(["v[0-9]"], "v1")
    with pytest.raises(ValueError, match="unknown filters of push: paths"):
        starts({"push": {"paths": ["app/**"]}}, Event("push", "refs/heads/main"))
    with pytest.raises(ValueError, match="unknown filters of pull_request: types"):
        starts({"pull_request": {"types": ["closed"]}}, Event("pull_request"))

from __future__ import annotations

import pytest

from tests.workflows.conftest import Start


@pytest.mark.parametrize("event", ["schedule", "workflow_dispatch"])
def test_without_an_app_the_repository_is_not_checked_and_the_run_says_so(start: Start, event: str) -> None:
    run = start("repository", event, {})
    assert (run.passed, run.jobs, run.calls) == (True, {"skipped": "success"}, [])
    assert "Not checked: there is no App (variable REPOSITORY_APP_ID)" in run.log


def test_with_an_app_the_repository_is_checked_by_a_token_that_only_reads(start: Start) -> None:
    settings, secrets = {"REPOSITORY_APP_ID": "Iv23li"}, {"REPOSITORY_APP_KEY": "key"}
    run = start("repository", "schedule", {}, settings=settings, secrets=secrets)
    assert (run.passed, run.jobs) == (True, {"check": "success"})
    assert run.calls == ["token of Iv23li to read read read read", "make github"]


def test_a_repository_that_is_not_what_it_should_be_fails_the_run(start: Start) -> None:
    settings, secrets = {"REPOSITORY_APP_ID": "Iv23li"}, {"REPOSITORY_APP_KEY": "key"}
    run = start("repository", "schedule", {}, settings=settings, secrets=secrets, fail="make github")
    assert (run.passed, run.jobs) == (False, {"check": "failure"})

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.shell import DeliveryError
from repository import github
from repository.wanted import RepositoryError
from tests.conftest import ROOT
from tests.repository.command import run
from tests.repository.fake import REPOSITORY, TOKEN, Fake, environment


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "limit", "slow", "cut"])
def test_a_question_is_asked_again(fake: Fake, pauses: list[float], fault: int | str) -> None:
    fake.faults = {0: fault, 1: fault}
    assert run(fake).differences
    assert len(pauses) == 2
    assert (fault == "limit") is (pauses == [1.0, 1.0])


@pytest.mark.parametrize("fault", [500, "limit", "slow", "cut"])
def test_a_github_that_does_not_answer_is_told_of_in_one_line(
    fake: Fake, pauses: list[float], fault: int | str
) -> None:
    fake.faults = dict.fromkeys(range(20), fault)
    result = run(fake)
    assert (result.code, result.output) == (1, "")
    assert len(result.errors.splitlines()) == 1
    assert len(fake.requests) == github.ATTEMPTS


def test_a_setting_whose_answer_is_lost_is_set_again(fake: Fake, pauses: list[float]) -> None:
    run(fake, "--apply")
    fake.state["workflow"]["default_workflow_permissions"] = "write"
    before = len(fake.requests)
    run(fake)
    # What is set is asked for after as many questions again.
    first = 2 * len(fake.requests) - before
    fake.faults = {first: "lost", first + 1: "lost"}
    run(fake, "--apply")
    puts = [path for method, path, _ in fake.writes if method == "PUT" and path.endswith("/permissions/workflow")]
    assert len(puts) == 4
    assert fake.state["workflow"]["default_workflow_permissions"] == "read"


def test_what_adds_something_is_never_asked_twice(fake: Fake, pauses: list[float]) -> None:
    api = github.GitHub(REPOSITORY, TOKEN, fake.url)
    fake.faults = {0: 500}
    with pytest.raises(github.RefusalError):
        api.post("{repo}/rulesets", {"name": "one", "enforcement": "active", "rules": []})
    assert len(fake.requests) == 1


def test_what_has_gone_is_taken_away_and_what_may_not_be_is_told(fake: Fake) -> None:
    api = github.GitHub(REPOSITORY, TOKEN, fake.url)
    fake.state["environments"]["dev"] = environment(policy="custom")
    path = "{repo}/environments/dev/deployment-branch-policies/7"
    api.delete(path)
    fake.faults = {1: 403}
    with pytest.raises(github.RefusalError):
        api.delete(path)


def test_a_pause_of_an_hour_is_left_to_whoever_waits(fake: Fake, pauses: list[float]) -> None:
    fake.pause = 3600
    fake.faults = {0: "limit"}
    assert "GitHub asks for a pause of 3600 s; start the command again after it" in run(fake).errors
    assert pauses == []


@pytest.mark.parametrize(
    ("status", "text"),
    [(401, "GitHub answers 401"), (403, "GitHub answers 403"), (404, "GitHub answers 404")],
)
def test_a_refusal_is_one_line(fake: Fake, status: int, text: str) -> None:
    fake.faults = {0: status}
    result = run(fake)
    assert (result.code, result.output) == (1, "")
    assert result.errors.startswith(f"repository: {text} to GET /repos/{REPOSITORY}: ")
    assert len(result.errors.splitlines()) == 1


def test_a_wrong_token_is_told_and_not_shown(fake: Fake) -> None:
    result = run(fake, GH_TOKEN="ghp_wrong")
    assert "GitHub answers 401" in result.errors
    assert "Bad credentials" in result.errors
    assert "ghp_wrong" not in result.errors


@pytest.mark.parametrize("token", ["ghp_two words", "ghp_a\r\nX-Other: b", "ghp_ã"])
def test_what_is_no_token_is_refused_and_not_shown(fake: Fake, token: str) -> None:
    result = run(fake, GH_TOKEN=token)
    assert result.errors == "repository: what stands in place of the token is none\n"
    assert fake.requests == []


@pytest.mark.parametrize("url", ["http://example.org", "http://127.0.0.1.example.org", "ftp://127.0.0.1"])
def test_the_token_goes_nowhere_unencrypted(fake: Fake, url: str) -> None:
    assert f"the token is not sent to {url}, which is not https" in run(fake, GITHUB_API_URL=url).errors


@pytest.mark.parametrize("name", ["", "school", "a/b/c", "../b/c", "a b/c", "a/b?x"])
def test_what_is_no_repository_is_refused(fake: Fake, name: str) -> None:
    with pytest.raises(RepositoryError, match="is no repository"):
        github.GitHub(name, TOKEN, fake.url)


def test_a_repository_that_has_moved_is_not_followed(fake: Fake) -> None:
    fake.faults = {0: 301}
    assert "GitHub answers 301" in run(fake).errors
    assert len(fake.requests) == 1


@pytest.mark.parametrize("content", ["[]", '"x"', "{}", "null", "<html>"])
def test_an_answer_that_is_not_github_s_is_one_line(fake: Fake, content: str) -> None:
    fake.garbage = content
    for moment in range(4):
        fake.requests.clear()
        fake.faults = {moment: "garbage"}
        result = run(fake)
        assert result.code == 1
        assert len(result.errors.splitlines()) <= 1


def test_an_answer_of_any_length_is_not_read_to_its_end(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "SIZE", 1000)
    assert f"GitHub's answer to /repos/{REPOSITORY} is longer than 1000 bytes" in run(fake).errors


@pytest.mark.parametrize(
    "url",
    [
        f"https://github.com/{REPOSITORY}.git",
        f"https://github.com/{REPOSITORY}",
        f"git@github.com:{REPOSITORY}.git",
        f"ssh://git@github.com/{REPOSITORY}/",
    ],
)
def test_git_s_origin_is_the_repository_that_is_not_named(
    fake: Fake, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "run", lambda *command, **options: f"{url}\n")
    assert run(fake, GITHUB_REPOSITORY="").differences


def test_without_any_repository_or_token_the_option_or_command_is_named(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*command: str, **options: object) -> str:
        raise DeliveryError("no")

    monkeypatch.setattr(github, "run", fail)
    assert "give OPTIONS='--repo OWNER/NAME'" in run(fake, GITHUB_REPOSITORY="").errors
    assert "set GH_TOKEN, or run `gh auth login`" in run(fake, GH_TOKEN="", GITHUB_TOKEN="").errors


def test_the_token_of_gh_is_taken_where_no_variable_has_one(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "run", lambda *command, **options: f"{TOKEN}\n")
    assert run(fake, GH_TOKEN="", GITHUB_TOKEN="").differences


def test_the_option_names_another_repository(fake: Fake) -> None:
    assert "GET /repos/somebody/else" in run(fake, "--repo", "somebody/else").errors


def test_the_command_runs_as_make_calls_it(fake: Fake) -> None:
    variables = {"GH_TOKEN": TOKEN, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_API_URL": fake.url}
    command = [sys.executable, "-m", "repository"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "make github OPTIONS=--apply sets 12 of them" in done.stdout


def test_a_file_that_says_something_else_is_refused_before_anybody_is_asked(fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "repository.yaml"
    file.write_text("environments: {}\n")
    result = run(fake, "--file", str(file))
    assert result.errors.startswith("repository: repository.yaml: ")
    assert fake.requests == []

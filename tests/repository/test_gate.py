from __future__ import annotations

from typing import Any

import pytest

from tests.repository.command import Result, run
from tests.repository.fake import USERS, Fake, environment

COMMAND = "make github OPTIONS=--apply"
PRODUCTION = environment(reviewers=[["User", USERS["ana"]]], policy="custom", refs=[[1, "tag", "v*"]])


@pytest.fixture
def guarded(fake: Fake) -> Fake:
    """A repository whose production asks Ana, and that nobody has been asked about."""
    fake.state["environments"] = {"production": dict(PRODUCTION), "preprod": environment()}
    return fake


def gate(fake: Fake, **variables: str) -> Result:
    """The gate of production, in run 7 that Ben started."""
    return run(
        fake,
        "gate",
        "production",
        **({"GITHUB_RUN_ID": "7", "GITHUB_TRIGGERING_ACTOR": "ben"} | variables),
    )


def decided(fake: Fake, *decisions: tuple[str, str, list[str], str]) -> Fake:
    """The run's decisions: state, login, environments and comment."""
    fake.state["approvals"] = list(decisions)
    return fake


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("", ""),
        ("go", " (go)"),
        ("two\n\nlines\x1b[2J", " (two lines?[2J)"),
        ("x" * 900, f" ({'x' * 200})"),
    ],
)
def test_who_approved_the_run_is_told(guarded: Fake, comment: str, words: str) -> None:
    decided(guarded, ("approved", "ana", ["preprod", "production"], comment))
    result = gate(guarded)
    assert (result.code, result.output, result.errors) == (
        0,
        f"production: approved by ana{words}\n",
        "",
    )


@pytest.mark.parametrize(
    "decisions",
    [
        [],
        [("approved", "ana", ["preprod"], "")],
        [("approved", "ana", ["production-2"], "")],
        [("pending", "ana", ["production"], "")],
        [("approved", "ana", [], "")],
    ],
)
def test_a_run_that_nobody_approved_is_refused(guarded: Fake, decisions: list[Any]) -> None:
    result = gate(decided(guarded, *decisions))
    assert result.code == 1
    assert "production: nobody approved this run" in result.errors
    assert COMMAND in result.errors
    assert len(result.errors.splitlines()) == 1


@pytest.mark.parametrize("first", ["approved", "rejected"])
def test_a_run_that_was_rejected_once_is_refused_whichever_decision_came_first(guarded: Fake, first: str) -> None:
    second = {"approved": "rejected", "rejected": "approved"}[first]
    decisions = [(state, login, ["production"], "") for state, login in ((first, "ana"), (second, "eva"))]
    result = gate(decided(guarded, *decisions))
    assert result.code == 1
    assert "rejected this run; start another one" in result.errors


def test_another_environment_s_rejection_is_its_own(guarded: Fake) -> None:
    decided(guarded, ("rejected", "eva", ["preprod"], ""), ("approved", "ana", ["production"], ""))
    assert gate(guarded).code == 0


APPROVED = ("approved", "ana", ["production"], "")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reviewers": []}, "production has no reviewers, so that nobody was asked"),
        ({"policy": None, "refs": []}, "production admits every ref"),
        # Protected branches are whichever somebody protects.
        ({"policy": "protected", "refs": []}, "production admits every ref"),
    ],
)
def test_an_environment_that_is_not_set_up_is_refused_with_what_sets_it_up(
    guarded: Fake, change: dict[str, Any], text: str
) -> None:
    guarded.state["environments"]["production"] |= change
    result = gate(decided(guarded, APPROVED))
    assert result.code == 1
    assert text in result.errors
    assert COMMAND in result.errors
    assert len(result.errors.splitlines()) == 1


def test_an_environment_that_nobody_made_is_refused(fake: Fake) -> None:
    result = gate(decided(fake, APPROVED))
    assert result.code == 1
    assert f"production has no reviewers, so that nobody was asked; set it up: {COMMAND}" in result.errors


@pytest.mark.parametrize(("plan", "made"), [("free", False), ("team", True)])
def test_a_private_repository_without_reviewers_asks_whether_an_approver_started_the_run(
    fake: Fake, plan: str, made: bool
) -> None:
    fake.private, fake.plan = True, plan
    if made:
        fake.state["environments"]["production"] = environment(policy="custom")
    assert "has no reviewers" in gate(fake).errors
    refused = gate(fake, APPROVERS="ana, eva")
    assert refused.code == 1
    assert "production: ben started this, and is not one of APPROVERS" in refused.errors
    passed = gate(fake, APPROVERS="ana,Ben")
    assert (passed.code, passed.output) == (
        0,
        "production: started by ben, one of APPROVERS; GitHub asked nobody\n",
    )


@pytest.mark.parametrize("actor", ["", "be", "ben,ana"])
def test_an_actor_who_is_not_one_of_the_approvers_is_refused(fake: Fake, actor: str) -> None:
    fake.private = True
    assert gate(fake, APPROVERS="ben, ana", GITHUB_TRIGGERING_ACTOR=actor).code == 1


def test_a_list_of_approvers_opens_no_public_repository_and_no_environment_with_reviewers(
    guarded: Fake,
) -> None:
    assert "nobody approved" in gate(guarded, APPROVERS="ben").errors
    guarded.private, guarded.plan = True, "enterprise"
    assert "nobody approved" in gate(guarded, APPROVERS="ben").errors
    guarded.private = False
    guarded.state["environments"]["production"]["reviewers"] = []
    assert "production has no reviewers" in gate(guarded, APPROVERS="ben").errors


@pytest.mark.parametrize("number", ["", "x", "7/../8"])
def test_a_gate_outside_a_run_is_refused(guarded: Fake, number: str) -> None:
    result = gate(guarded, GITHUB_RUN_ID=number)
    assert result.code == 1
    assert "a gate is for a run of GitHub Actions" in result.errors
    assert guarded.requests == []


@pytest.mark.parametrize("fault", [500, 403, "garbage", "cut", "slow"])
@pytest.mark.parametrize("moment", [0, 1])
def test_a_gate_that_github_does_not_answer_stays_shut(
    guarded: Fake, pauses: list[float], moment: int, fault: int | str
) -> None:
    decided(guarded, APPROVED)
    guarded.faults = dict.fromkeys(range(moment, 20), fault)
    result = gate(guarded)
    assert (result.code, result.output) == (1, "")
    assert len(result.errors.splitlines()) == 1


def test_in_a_run_a_refusal_is_shown_on_the_run_s_page(guarded: Fake) -> None:
    assert gate(guarded, GITHUB_ACTIONS="true").errors.startswith("::error::production: nobody approved")

"""Who lets a run through to an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from delivery.shell import CONTROLS
from repository.differences import custom
from repository.github import GitHub, RefusalError
from repository.wanted import RepositoryError

COMMAND = "make github OPTIONS=--apply"


def passed(github: GitHub, environment: str, run: str, actor: str = "", approvers: str = "") -> str:
    """One line that says who let the run of that number through.

    An environment must have reviewers and policies of refs of its own. One of a private repository may have none, as
    the plan lacks them; then `actor`, who started the run or started it again, has to be in `approvers` (logins,
    divided by commas or white space).

    Raises:
        RepositoryError: nobody did; its text says what sets the gate up.
    """
    if not run.isdecimal():
        raise RepositoryError(f"{environment}: a gate is for a run of GitHub Actions; GITHUB_RUN_ID is {run!r}")
    try:
        settings = github.get(f"{{repo}}/environments/{quote(environment, safe='')}")
    except RefusalError as error:
        if error.status != 404:
            raise
        settings = {}
    try:
        return _decision(github, environment, settings, run, actor, approvers.replace(",", " ").split())
    except (KeyError, TypeError, AttributeError) as error:
        raise RepositoryError(f"{environment}: GitHub's answer is not what it should be: {error!r}") from None


def _decision(
    github: GitHub,
    environment: str,
    settings: Mapping[str, Any],
    run: str,
    actor: str,
    approvers: list[str],
) -> str:
    rules = {rule["type"]: rule for rule in settings.get("protection_rules", [])}
    if not rules.get("required_reviewers", {}).get("reviewers"):
        if not approvers or not github.get("{repo}")["private"]:
            raise RepositoryError(f"{environment} has no reviewers, so that nobody was asked; set it up: {COMMAND}")
        if actor.lower() not in {approver.lower() for approver in approvers}:
            raise RepositoryError(f"{environment}: {actor or 'nobody'} started this, and is not one of APPROVERS")
        return f"{environment}: started by {actor}, one of APPROVERS; GitHub asked nobody"
    if not custom(settings):
        raise RepositoryError(f"{environment} admits every ref; set its policy of refs up: {COMMAND}")
    decisions = [
        (decision["state"], decision["user"]["login"], decision.get("comment", ""))
        for decision in github.get(f"{{repo}}/actions/runs/{run}/approvals")
        if environment in {entry["name"] for entry in decision["environments"]}
    ]
    # GitHub does not say in which order it lists them: a run that was rejected once is not asked about again.
    for state, login, _ in decisions:
        if state == "rejected":
            raise RepositoryError(f"{environment}: {login} rejected this run; start another one")
    for state, login, comment in decisions:
        if state == "approved":
            words = " ".join(comment.split()).translate(CONTROLS)[:200]
            return f"{environment}: approved by {login}{f' ({words})' if words else ''}"
    raise RepositoryError(f"{environment}: nobody approved this run; its reviewers have to (set up by {COMMAND})")

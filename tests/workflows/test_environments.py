"""What GitHub lets each run of each workflow have, by tests/workflows/model.py; each mutant of it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import yaml

from repository import wanted
from repository.wanted import Environment, Wanted
from tests.workflows.act import ROOT, definitions
from tests.workflows.model import (
    UNKNOWN,
    Expression,
    Start,
    UnknownError,
    admits,
    environments,
    findings,
    read,
    runs,
    starts,
    unread,
    unreported,
)

WORKFLOWS = read(ROOT)
WANTED = wanted.read()
BEFORE = findings(WORKFLOWS, WANTED)


@pytest.mark.parametrize("file", WORKFLOWS)
def test_every_run_is_admitted_by_its_environments_and_finds_its_secrets_and_variables(
    file: str,
) -> None:
    assert findings({file: WORKFLOWS[file]}, WANTED) == set()


def test_every_event_that_a_rule_waits_for_reports_the_required_check() -> None:
    assert unreported(WORKFLOWS, WANTED) == set()


def test_every_secret_and_variable_that_is_listed_is_read() -> None:
    assert unread(WORKFLOWS, WANTED) == set()


def test_no_action_reads_secrets_or_variables_by_itself() -> None:
    for file in definitions():
        if "actions" in file.parts:
            assert "secrets." not in file.read_text()
            assert "vars." not in file.read_text()


def changed(change: Callable[[dict[str, Any]], None]) -> Wanted:
    """What is wanted, after a change of the file."""
    content = yaml.safe_load(wanted.FILE.read_text())
    change(content)
    return Wanted.model_validate(content)


def noticed(workflows: dict[str, Any], policies: Wanted) -> bool:
    """Whether something is found that was not before."""
    new = findings(workflows, policies) - BEFORE
    return bool(new | unread(workflows, policies) - unread(WORKFLOWS, WANTED))


def test_without_a_change_nothing_is_noticed() -> None:
    assert not noticed(deepcopy(WORKFLOWS), changed(lambda content: None))


REFS = [(name, kind, pattern) for name, entry in WANTED.environments.items() for kind, pattern in sorted(entry.refs)]


@pytest.mark.parametrize(("name", "kind", "pattern"), REFS)
def test_each_ref_that_an_environment_admits_is_needed(name: str, kind: str, pattern: str) -> None:
    def without(content: dict[str, Any]) -> None:
        content["environments"][name][f"{kind}es" if kind == "branch" else "tags"].remove(pattern)
        # Or there would be none, which the file may not say.
        content["environments"][name].setdefault("branches", []).append("none")

    assert noticed(WORKFLOWS, changed(without))


@pytest.mark.parametrize("name", WANTED.environments)
def test_each_environment_is_needed(name: str) -> None:
    def renamed(content: dict[str, Any]) -> None:
        content["environments"]["other"] = content["environments"].pop(name)
        for kept in content["secrets"] + content["variables"]:
            for places in (kept["in"], kept.get("needed", [])):
                places[:] = ["other" if place == name else place for place in places]

    assert noticed(WORKFLOWS, changed(renamed))


READ = [
    (kind, kept.name)
    for kind, context in (("secrets", "secrets"), ("variables", "vars"))
    for kept in getattr(WANTED, kind)
    if f"{context}.{kept.name}" not in unread(WORKFLOWS, WANTED)
]


@pytest.mark.parametrize(("kind", "name"), READ)
def test_a_secret_or_variable_that_is_kept_elsewhere_is_missed(kind: str, name: str) -> None:
    def moved(content: dict[str, Any]) -> None:
        (entry,) = [entry for entry in content[kind] if entry["name"] == name]
        entry["in"] = ["registry" if entry["in"] == ["repository-check"] else "repository-check"]
        entry.pop("needed", None)

    assert noticed(WORKFLOWS, changed(moved))


Change = Callable[[dict[str, Any]], object]
MUTANTS: dict[str, Change] = {
    "homolog is started by tags": lambda w: w["ci-homolog"][True]["push"].update(tags=["v*"]),
    "homolog is started by any branch": lambda w: w["ci-homolog"][True]["push"].update(branches=["*"]),
    "preprod is started by develop": lambda w: w["ci-preprod"][True]["push"].update(branches=["main", "develop"]),
    "production is delivered to by pull requests": lambda w: w["ci-prod"][True].update(pull_request=None),
    "dev is delivered to by pull requests": lambda w: w["ci-cd"]["jobs"]["image"].pop("if"),
    "the nightly generation is dev's": lambda w: w["generate"]["jobs"]["generate"].update(
        environment="${{ inputs.environment || 'develop' }}"
    ),
    "the nightly generation waits for reviewers": lambda w: w["generate"]["jobs"]["generate"].update(
        environment="${{ inputs.environment || 'production' }}"
    ),
    "the delivery has no environment": lambda w: w["ci-homolog"]["jobs"]["deploy"].pop("environment"),
    "the delivery has another environment": lambda w: w["ci-homolog"]["jobs"]["deploy"].update(environment="preprod"),
    "the registry's token is read by all": lambda w: w["ci-prod"]["jobs"]["verify"].pop("environment"),
    "a step reads an unknown secret": lambda w: w["ci-cd"]["jobs"]["unit"].update(env={"A": "${{ secrets.OTHER }}"}),
    "a condition reads an environment's variable": lambda w: w["chaos"]["jobs"]["chaos"].update(
        {"if": "vars.DEPLOY_OPTIONS == ''"}
    ),
    "a runner is an environment's variable": lambda w: w["ci-prod"]["jobs"]["promote"].update(
        {"runs-on": "${{ vars.DEPLOY_OPTIONS }}"}
    ),
    "the key of the App is read without its environment": lambda w: w["repository"]["jobs"]["check"].pop("environment"),
}


@pytest.mark.parametrize("change", MUTANTS.values(), ids=MUTANTS)
def test_a_workflow_that_github_would_refuse_is_noticed(change: Change) -> None:
    workflows = deepcopy(WORKFLOWS)
    change(workflows)
    assert noticed(workflows, WANTED)


# A gate as it should be, whatever the workflows have.
GATED: dict[Any, Any] = {
    True: {"push": {"tags": ["v*"]}},
    "jobs": {
        "deploy": {
            "environment": "production",
            "permissions": {"actions": "read"},
            "steps": [{"run": "make --silent gate GATE=production"}],
        }
    },
}


def test_a_gate_is_asked_by_the_job_or_by_one_that_waits_for_it() -> None:
    assert findings({"gated": GATED}, WANTED) == set()
    apart = deepcopy(GATED)
    apart["jobs"]["after"] = {**apart["jobs"]["deploy"], "needs": "deploy"}
    apart["jobs"]["after"].pop("environment")
    apart["jobs"]["deploy"]["steps"] = [{"run": "echo"}]
    assert findings({"gated": apart}, WANTED) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"steps": [{"run": "echo gate"}]},
        {"steps": [{"run": "make gate GATE=preprod"}]},
        {"steps": [{"run": "make gate GATE=production-2"}]},
        {"permissions": {}},
        {"permissions": {"contents": "read"}},
    ],
)
def test_a_gate_that_nobody_asks_or_may_ask_is_noticed(change: dict[str, Any]) -> None:
    gated = deepcopy(GATED)
    gated["jobs"]["deploy"] |= change
    assert findings({"gated": gated}, WANTED) == {"gated: deploy: nobody asks the gate of production"}


def test_a_required_check_of_another_event_or_name_is_noticed() -> None:
    workflows = deepcopy(WORKFLOWS)
    workflows["ci-cd"][True]["merge_group"] = None
    assert unreported(workflows, WANTED) == set()
    workflows["ci-cd"]["jobs"]["done"]["name"] = "verdict"
    missing = {f"check done is not reported for {event}" for event in ("pull_request", "merge_group")}
    assert unreported(workflows, WANTED) == missing


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("refs/heads/main", True),
        ("refs/heads/release/1.2", True),
        ("refs/heads/release/1/2", False),
        ("refs/heads/release", False),
        ("refs/heads/mainly", False),
        ("refs/tags/main", False),
        ("refs/tags/v1.2.3", True),
        ("refs/tags/v1/2", False),
        ("refs/heads/v1.2.3", False),
        ("refs/pull/1/merge", False),
    ],
)
def test_policies_admit_refs_as_github_says(ref: str, expected: bool) -> None:
    assert admits(Environment(branches=["main", "release/*"], tags=["v*"]), ref) is expected


KNOWN = {"github.event_name": "push", "inputs.*": "", "inputs.environment": "dev"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a'", "a"),
        ("'it''s'", "it's"),
        ("github.event_name == 'PUSH'", True),
        ("github.event_name != 'push'", False),
        ("!(github.event_name == 'push')", False),
        ("inputs.environment || 'homolog'", "dev"),
        ("inputs.release || 'none'", "none"),
        ("inputs.environment == 'production' && 'prod' || inputs.environment || 'preprod'", "dev"),
        ("inputs.environment == 'dev' && 'a' || 'b'", "a"),
        ("false && vars.A", False),
        ("vars.A && false", False),
        ("vars.A == 'x' && github.event_name == 'push'", UNKNOWN),
        ("vars.A || 'homolog'", UNKNOWN),
        ("vars.A && 'homolog'", UNKNOWN),
        ("always() && github.event_name == 'push'", True),
        ("!cancelled() && github.event_name == 'pull_request'", False),
        ("contains(needs.*.result, 'failure')", UNKNOWN),
        ("needs.test-mysql.result == 'success'", UNKNOWN),
    ],
)
def test_an_expression_has_the_value_that_github_gives_it(text: str, expected: object) -> None:
    assert Expression(text, KNOWN).value() == expected


@pytest.mark.parametrize("text", ["secrets[inputs.name]", "a b", "'open", "(a", "a ==", "&& a", "format('{0}' a"])
def test_an_expression_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(UnknownError):
        Expression(text, KNOWN).value()


def test_only_what_an_expression_comes_to_is_read() -> None:
    expression = Expression("inputs.environment == 'homolog' && secrets.A || secrets.B || secrets.C", KNOWN)
    expression.value()
    assert expression.read == {"inputs.environment", "secrets.B", "secrets.C"}


def test_a_job_is_skipped_with_what_it_waits_for_unless_it_asks_how_that_ended() -> None:
    jobs: dict[str, Any] = {
        "image": {"if": "github.event_name == 'push'"},
        "deploy": {"needs": ["image"]},
        "done": {"needs": ["deploy"], "if": "always()"},
    }
    running = [job for job in jobs if runs(job, {"jobs": jobs}, Start("pull_request", "refs/pull/1/merge"))]
    assert running == ["done"]
    running = [job for job in jobs if runs(job, {"jobs": jobs}, Start("push", "refs/heads/develop"))]
    assert running == ["image", "deploy", "done"]


def test_a_start_by_hand_is_tried_with_each_environment() -> None:
    chosen = [start.inputs for start in starts(WORKFLOWS["rollback"])]
    assert chosen == [(("environment", name),) for name in environments()]


@pytest.mark.parametrize(
    "change",
    [
        lambda workflow: workflow[True].update(workflow_run=None),
        lambda workflow: workflow["jobs"]["deploy"].update(environment="${{ vars.ENVIRONMENT }}"),
        lambda workflow: workflow["jobs"]["deploy"].update(uses="./.github/workflows/other.yml"),
    ],
)
def test_what_the_model_does_not_know_is_refused_rather_than_guessed(change: Change) -> None:
    gated = deepcopy(GATED)
    change(gated)
    with pytest.raises(UnknownError):
        findings({"gated": gated}, WANTED)

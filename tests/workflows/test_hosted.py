"""What act leaves out: each rule finds nothing in the workflows, and something in each mutant of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import yaml

from tests.workflows.act import ROOT
from tests.workflows.hosted import Model, texts

Find = Callable[[Model], Any]
FINDERS: dict[str, Find] = {
    "dropped": Model.dropped,
    "late": Model.late,
    "deaf": Model.deaf,
    "inner": Model.inner,
    "groups": lambda model: [*model.groups()],
    "rights": lambda model: [*model.rights()],
}
IMAGE, LOOK = "actions/image/action.yml", "actions/look/action.yml"
HOMOLOG, PREPROD, PROD = (f"workflows/ci-{name}.yml" for name in ("homolog", "preprod", "prod"))
MUTANTS = {
    "an output with the name": ("dropped", HOMOLOG, "steps.image.outputs.tag }}", "steps.image.outputs.name }}"),
    "a name where a digest was": ("dropped", IMAGE, "steps.look.outputs.digest ||", "steps.look.outputs.name ||"),
    "what a step was told": ("dropped", LOOK, "digest=$(.venv/bin/python -m delivery digest", "digest=$(echo"),
    "a secret itself": ("dropped", PREPROD, "tag: sha-${{ github.sha }}\n", "tag: ${{ secrets.DOCKERHUB_TOKEN }}\n"),
    "an image's name": ("dropped", PREPROD, "steps.cluster.outputs.ready }}", "steps.cluster.outputs.image }}"),
    "a shorter limit": ("late", PROD, "timeout-minutes: 280", "timeout-minutes: 60"),
    "a limit beyond GitHub's": ("late", PREPROD, "timeout-minutes: 345", "timeout-minutes: 400"),
    "a longer watch": ("late", PROD, "--watch 10", "--watch 60"),
    "a pipe": ("deaf", HOMOLOG, '"${options[@]}"\n', '"${options[@]}" | tee log\n'),
    "a shell between": ("deaf", HOMOLOG, "exec .venv/bin/python -m delivery deploy", "python -m delivery deploy"),
    "a delivery in an action": (
        "inner",
        "actions/cluster/action.yml",
        "make --silent .venv/test",
        "x -m delivery deploy",
    ),
    "a group for a workflow": ("groups", PREPROD, "\njobs:", "\nconcurrency: {group: preprod}\n\njobs:"),
    "an approval in a group": (
        "groups",
        PROD,
        "    environment: production\n",
        "    environment: production\n    concurrency: {group: deploy-prod}\n",
    ),
    "a delivery in no group": ("groups", HOMOLOG, "group: deploy-homolog", "group: ci-homolog"),
    "a scan that may write": ("rights", PROD, "packages: read #", "packages: write #"),
    "a gate that may not ask": ("rights", PROD, "      actions: read # who approved this run\n", ""),
    "a branch that may not be asked": ("rights", HOMOLOG, "      actions: read # whether a later run has begun\n", ""),
    "a checkout without its right": (
        "rights",
        PREPROD,
        "    permissions:\n      contents: read # checkout\n",
        "    permissions:\n",
    ),
}


@pytest.mark.parametrize("finder", FINDERS)
def test_the_workflows_are_as_github_needs_them(finder: str) -> None:
    found = FINDERS[finder](Model.of(texts()))
    assert not found


@pytest.mark.parametrize(("finder", "path", "old", "new"), MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_found(finder: str, path: str, old: str, new: str) -> None:
    mutants = texts()
    assert old in mutants[path]
    mutants[path] = mutants[path].replace(old, new)
    assert FINDERS[finder](Model.of(mutants))


def test_every_rule_has_a_mutant() -> None:
    assert {finder for finder, *_ in MUTANTS.values()} == set(FINDERS)


def waivers(text: str, today: date) -> list[str]:
    """What is wrong with the findings that are left, as .trivyignore.yaml has them."""
    problems = []
    for kind, entries in yaml.safe_load(text).items():
        for entry in entries:
            name = f"{kind} {entry['id']}"
            if len(entry.get("statement", "")) < 20:
                problems.append(f"{name} has no reason")
            if not isinstance(end := entry.get("expired_at"), date) or not today <= end:
                problems.append(f"{name} has no end that is still to come")
    return problems


def test_a_finding_that_is_left_has_a_reason_and_an_end() -> None:
    assert waivers((ROOT / ".trivyignore.yaml").read_text(), date.today()) == []
    good = "vulnerabilities: [{id: CVE-1, statement: not reachable from any page, expired_at: 2030-01-31}]"
    assert waivers(good, date(2030, 1, 31)) == []
    for wrong in (
        good.replace("statement", "paths"),
        good.replace("expired_at", "purls"),
        good.replace("2030", "2029"),
    ):
        assert len(waivers(wrong, date(2030, 1, 31))) == 1


def test_every_scan_knows_the_findings_that_are_left() -> None:
    steps = [step for _, job in Model.of(texts()).jobs() for step in job["steps"]]
    scans = [step for step in steps if "trivy-action" in step.get("uses", "") and "exit-code" in step["with"]]
    assert len(scans) == 2
    assert all(step["env"]["TRIVY_IGNOREFILE"] == ".trivyignore.yaml" for step in scans)


def test_every_job_at_a_cluster_runs_where_the_variable_says() -> None:
    for name, job in Model.of(texts()).jobs():
        at_a_cluster = any(step.get("uses", "").endswith("/cluster") for step in job["steps"])
        label = "${{ vars.RUNNER_DEPLOY && fromJSON(vars.RUNNER_DEPLOY) || 'ubuntu-24.04' }}"
        assert job["runs-on"] == (label if at_a_cluster else "ubuntu-24.04"), name


def test_every_delivery_is_taken_back_where_it_is_cancelled() -> None:
    for name, job in Model.of(texts()).jobs():
        deliveries = re.findall(r"-m delivery deploy (\w+)", "\n".join(step.get("run", "") for step in job["steps"]))
        back = [step["run"].split()[-2] for step in job["steps"] if step.get("if", "").startswith("cancelled()")]
        assert back == deliveries, name

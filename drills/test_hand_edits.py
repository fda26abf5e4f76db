"""What people type about the objects of a release, and that the next delivery brings exactly the release back."""

from __future__ import annotations

import json
import random
import shlex
from typing import Any

import pytest

from delivery import drift, managed, rollout
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills.conftest import Stage
from drills.test_by_hand import DEPLOYMENT, typed

WEB = f"{DEPLOYMENT}: spec.template.spec.containers[school-scheduler]"
WORKER = "deployment/worker: spec.template.spec.containers"
PROBE = {
    "spec": {
        "template": {"spec": {"containers": [{"name": "worker", "livenessProbe": {"exec": {"command": ["false"]}}}]}}
    }
}


def patch(name: str, change: object) -> str:
    return f"patch {name} --patch={shlex.quote(json.dumps(change))}"


# What is typed, and how what is said of it begins.
EDITS = {
    f"set env {DEPLOYMENT} DB_HOST=nowhere.invalid": f"{WEB}.env[DB_HOST]",
    "set env deployment/worker MORE=1": f"{WORKER}[worker].env[MORE], by kubectl-set",
    "set env deployment/worker IMAGE-": "deployment/worker",
    "set resources deployment/worker --limits=memory=300Mi": f"{WORKER}[worker].resources.limits.memory",
    "scale deployment/worker --replicas=0": "deployment/worker",
    patch("deployment/worker", PROBE): f"{WORKER}[worker].livenessProbe",
    patch("cronjob/generation", {"spec": {"suspend": True}}): "cronjob/generation: spec.suspend, by kubectl-patch",
    patch(
        "ingress/web", {"spec": {"ingressClassName": "other"}}
    ): "ingress/web: spec.ingressClassName, by kubectl-patch",
    "annotate service/web note=x": "service/web: metadata.annotations.note, by kubectl-annotate",
    "label statefulset/mysql note=x": "statefulset/mysql: metadata.labels.note, by kubectl-label",
    "delete networkpolicy/web": "networkpolicy/web is deleted",
    "delete serviceaccount/worker": "serviceaccount/worker is deleted",
    "set serviceaccount deployment/worker web": "deployment/worker: spec.template.spec.serviceAccountName",
}


def content(stage: Stage) -> dict[str, Any]:
    """The objects of a release without what the cluster itself writes."""
    found = {}
    for body in managed.live(stage.cluster, filter(rollout.delivered, stage.render(stage.good).objects)):
        metadata = {part: dict(body["metadata"].get(part, {})) for part in ("labels", "annotations")}
        metadata["annotations"].pop(rollout.REVISION, None)
        found[rollout.name(body)] = {**body, "metadata": metadata, "status": None}
    return found


def edited(stage: Stage) -> list[str]:
    with stage.as_deployer():
        return list(drift.found(stage.cluster, stage.render(stage.good)))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_hand_edits_are_named_and_taken_back(stage: Stage, seed: int) -> None:
    stage.deploy(stage.good)
    before = content(stage)
    assert edited(stage) == []
    lines = random.Random(seed).sample(sorted(EDITS), 8)  # noqa: S311 (nothing secret is drawn)
    for line in lines:
        typed(stage, *shlex.split(line))
    named = edited(stage)
    assert [line for line in lines if not any(words.startswith(EDITS[line]) for words in named)] == [], named
    stage.deploy(stage.good)
    assert content(stage) == before
    assert edited(stage) == []


@pytest.mark.slow
def test_an_ingress_that_somebody_made_anew_keeps_its_class(stage: Stage) -> None:
    stage.deploy(stage.good)
    before = content(stage)["ingress/web"]
    own = typed(stage, "get", "ingress/web", "-o", "yaml")
    typed(stage, "delete", "ingress/web")
    # Its uid and version are the old one's.
    there = "\n".join(line for line in own.splitlines() if not line.startswith(("  uid:", "  resourceVersion:")))
    kubectl("apply", "-f", "-", stdin=there)
    for _ in range(2):
        stage.deploy(stage.good)
        assert content(stage)["ingress/web"] == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["role/deployer", "resourcequota/environment", "networkpolicy/default-deny"])
def test_what_only_an_administrator_makes_is_named_and_brought_back(
    stage: Stage, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(stage, "delete", name)
    remedy = f"`make up ENV={stage.environment.name}`"
    with pytest.raises(DeliveryError) as error:
        stage.deploy(stage.good)
    words = f"{error.value} {capsys.readouterr().err}"
    assert remedy in words
    with pytest.raises(DeliveryError):
        stage.target.proofs.smoke(stage.environment, stage.render(stage.good))
    shown = capsys.readouterr().out
    assert f"{name} is missing" in shown
    assert remedy in shown
    stage.deploy(stage.good, bootstrap=True)
    stage.deploy(stage.good)

"""What people type about the objects of a release, and that the next delivery brings exactly the release back."""

from __future__ import annotations

import copy
import json
import random
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from delivery import deploy, drift, managed, rollout, workloads
from delivery.cluster import going
from delivery.deploy import ReleaseError
from delivery.kubectl import kubectl
from delivery.render import COMPONENT, Render, component
from delivery.shell import DeliveryError
from delivery.suites import Suites
from drills.conftest import Stage
from drills.test_by_hand import DEPLOYMENT, typed
from policy_tests.environment import Environment

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
        metadata["annotations"].pop(workloads.REVISION, None)
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


@dataclass(frozen=True)
class Meddling(Suites):
    """The proofs, before the first of which somebody types a line."""

    stage: Stage | None = None
    line: tuple[str, ...] = ()
    typed: list[str] = field(default_factory=list)

    def smoke(self, environment: Environment, render: Render) -> None:
        if self.stage and not self.typed:
            self.typed.append(typed(self.stage, *self.line))
        super().smoke(environment, render)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [patch("deployment/worker", {"spec": {"replicas": 0}}), f"rollout pause {DEPLOYMENT}"],
    ids=["scale", "pause"],
)
def test_what_somebody_changes_during_a_delivery_is_named_and_taken_back(
    stage: Stage, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.deploy(stage.good)
    before = content(stage)
    target = replace(stage.target, proofs=Meddling(stage.ingress, stage, tuple(shlex.split(line))))
    with stage.as_deployer():
        deploy.deploy(target, stage.render(stage.good), deploy.Options())
    assert "changed by hand meanwhile, and taken back" in capsys.readouterr().err
    assert content(stage) == before


def configmap(stage: Stage, start: str) -> str:
    """The one of the release whose name begins so."""
    names = map(rollout.name, stage.render(stage.good).kind("ConfigMap"))
    (found,) = (name for name in names if name.startswith(f"configmap/{start}"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "workload", "change"),
    [
        ("app-config", "deployment/worker", {"GENERATION_SECONDS": "7"}),
        ("mysql-config", "statefulset/mysql", {"note": "x"}),
    ],
)
def test_pods_that_may_have_read_a_configuration_by_hand_are_restarted(
    stage: Stage, start: str, workload: str, change: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(stage, *shlex.split(patch(configmap(stage, start), {"data": change})))
    typed(stage, "rollout", "restart", workload)
    typed(stage, "rollout", "status", workload)
    selector = f"{COMPONENT}={component(stage.find(workload))}"
    pods = {pod["metadata"]["uid"] for pod in stage.cluster.list("Pod", selector=selector)}
    stage.deploy(stage.good)
    assert f"restarting {workload}, which may have read" in capsys.readouterr().err
    assert pods.isdisjoint(pod["metadata"]["uid"] for pod in stage.cluster.list("Pod", selector=selector))
    assert edited(stage) == []


@pytest.mark.slow
def test_a_release_whose_job_fails_goes_back(stage: Stage) -> None:
    stage.deploy(stage.good)
    objects = copy.deepcopy(stage.render(stage.good).objects)
    (job,) = (body for body in objects if rollout.name(body) == "job/accounts")
    job["spec"]["backoffLimit"] = 0
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["accounts", "--nonsense"]
    with stage.as_deployer(), pytest.raises(ReleaseError, match="runs again") as error:
        deploy.deploy(stage.target, Render.of(objects), deploy.Options())
    assert "job/accounts failed: " in str(error.value.__cause__)
    assert "/accounts ended with code 2: " in str(error.value.__cause__)


@pytest.mark.slow
def test_a_configuration_that_nodes_keep_with_other_content_is_named_with_a_way_out(stage: Stage) -> None:
    def variable() -> str:
        (pod,) = (pod for pod in stage.cluster.list("Pod", selector=f"{COMPONENT}=worker") if not going(pod))
        return stage.cluster.exec(pod["metadata"]["name"], "worker", "printenv", "GENERATION_SECONDS").strip()

    stage.deploy(stage.good)
    before = variable()
    change = {"data": {"GENERATION_SECONDS": "7"}, "immutable": True}
    typed(stage, *shlex.split(patch(configmap(stage, "app-config"), change)))
    typed(stage, "rollout", "restart", "deployment/worker")
    typed(stage, "rollout", "status", "deployment/worker")
    assert variable() == "7" != before
    with pytest.raises(DeliveryError) as error:
        stage.deploy(stage.good)
    (first, second) = re.findall(r"kubectl -n \S+ (delete [^&`]+)", str(error.value))
    typed(stage, *first.split())
    typed(stage, *second.split())
    stage.deploy(stage.good)
    assert variable() == before
    assert edited(stage) == []


@pytest.mark.slow
def test_a_workload_of_other_pods_is_named_with_the_line_that_makes_it_anew(stage: Stage) -> None:
    stage.deploy(stage.good)
    worker = stage.find("deployment/worker")
    labels = {"app": "other"}
    worker["spec"]["selector"]["matchLabels"] = labels
    worker["spec"]["template"]["metadata"]["labels"] |= labels
    typed(stage, "delete", "deployment/worker")
    stage.cluster.create({**worker, "metadata": {"name": "worker", "namespace": stage.namespace}})
    with pytest.raises(DeliveryError) as error:
        stage.deploy(stage.good)
    (line,) = re.findall(r"`kubectl -n \S+ (.*)`, then the same command again", str(error.value))
    typed(stage, *line.split())
    stage.deploy(stage.good)
    assert edited(stage) == []

"""A rollout replaces the pods, bit by bit, and can be undone."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import LONG_RUNNING, Finding, ManifestSet, dig
from policy_tests.rule import rule
from policy_tests.rules.availability import MULTIPLIED, autoscalers, least_replicas
from policy_tests.rules.probes import startup_seconds


@rule(
    "rollouts-take-effect",
    "medium",
    why="A workload that is paused, waits for hands, has no replicas or updates none of them does not run what was "
    "released, and no tool calls that a failure.",
    fix="take out paused, OnDelete and replicas: 0, and keep partition below the replicas.",
    source="kube-linter no-rolling-update-strategy; Kubernetes: StatefulSet, partitioned rolling updates",
)
def take_effect(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        spec = pod.owner.spec
        partition = dig(spec, "updateStrategy.rollingUpdate.partition")
        if pod.owner.kind == "Deployment" and spec.get("paused"):
            yield pod.owner.finding("spec.paused", True, "never rolls out")
        if dig(spec, "updateStrategy.type") == "OnDelete":
            yield pod.owner.finding("spec.updateStrategy.type", "OnDelete", "updates no pod by itself")
        if isinstance(partition, int) and partition and partition >= least_replicas(manifests, pod):
            path = "spec.updateStrategy.rollingUpdate.partition"
            yield pod.owner.finding(path, partition, f"updates none of {least_replicas(manifests, pod)} replicas")
        if pod.owner.kind in MULTIPLIED and spec.get("replicas") == 0 and not autoscalers(manifests, pod):
            yield pod.owner.finding("spec.replicas", 0, "runs nothing")


@rule(
    "rollouts-agents-in-turn",
    "medium",
    why="When all pods of a DaemonSet are replaced at once, a bad version is on every node before anybody sees it.",
    fix="set updateStrategy.rollingUpdate.maxUnavailable to 1, or to a small percentage.",
    source="Kubernetes: perform a rolling update on a DaemonSet; no checker has it",
    per_object=True,
)
def agents_in_turn(manifests: ManifestSet) -> Iterator[Finding]:
    for daemon_set in manifests.of("DaemonSet"):
        most = dig(daemon_set.spec, "updateStrategy.rollingUpdate.maxUnavailable")
        if most == "100%":
            yield daemon_set.finding("spec.updateStrategy.rollingUpdate.maxUnavailable", most, "takes all pods at once")


@rule(
    "rollouts-progress-deadline",
    "high",
    why="A rollout whose deadline passes while its pods may still be starting is called failed, and is rolled back.",
    fix="set progressDeadlineSeconds above minReadySeconds and what startupProbe allows together.",
    source="Kubernetes: Deployments, progress deadline seconds; no checker has it",
    per_object=True,
)
def progress_deadline(manifests: ManifestSet) -> Iterator[Finding]:
    for deployment in manifests.of("Deployment"):
        deadline, ready = deployment.spec.get("progressDeadlineSeconds", 600), deployment.spec.get("minReadySeconds", 0)
        slowest = max(map(startup_seconds, deployment.pod.containers), default=0)
        if isinstance(deadline, int) and isinstance(ready, int) and deadline <= ready + slowest:
            message = f"is not above the {ready + slowest} s that a pod may take until it counts as available"
            yield deployment.finding("spec.progressDeadlineSeconds", deadline, message)


@rule(
    "rollouts-revisions-kept",
    "low",
    why="Without an old revision `kubectl rollout undo` has nothing to return to.",
    fix="keep a few revisions: revisionHistoryLimit: 3, or leave it out.",
    source="Kubernetes: Deployments, clean up policy; no checker has it",
    per_object=True,
)
def revisions_kept(manifests: ManifestSet) -> Iterator[Finding]:
    for workload in manifests.of(*LONG_RUNNING):
        if workload.spec.get("revisionHistoryLimit") == 0:
            yield workload.finding("spec.revisionHistoryLimit", 0, "keeps no old revision")

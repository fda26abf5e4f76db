"""Rollouts, drains and jobs end, and nobody notices them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from policy_tests.manifests import Finding, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule

MULTIPLIED = ("Deployment", "StatefulSet")


def autoscalers(manifests: ManifestSet, pod: Pod) -> list[tuple[str, int]]:
    """(name, minReplicas) of the autoscalers of the pod's workload."""
    return [
        (autoscaler.name, autoscaler.spec.get("minReplicas") or 1)
        for autoscaler in manifests.of("HorizontalPodAutoscaler")
        if autoscaler.namespace == pod.owner.namespace
        and dig(autoscaler.body, "spec.scaleTargetRef.kind") == pod.owner.kind
        and dig(autoscaler.body, "spec.scaleTargetRef.name") == pod.owner.name
    ]


def least_replicas(manifests: ManifestSet, pod: Pod) -> int:
    return min([least for _, least in autoscalers(manifests, pod)], default=pod.replicas)


@rule(
    "availability-two-replicas",
    "high",
    why="With one replica every drained or broken node is an outage.",
    fix="set replicas to 2 or more in production.",
    source="kube-linter minimum-three-replicas; 8 of 13 checkers",
)
def two_replicas(manifests: ManifestSet) -> Iterator[Finding]:
    if manifests.is_environment and manifests.name != "prod":
        return
    for pod in manifests.pods:
        if pod.owner.kind == "Deployment" and least_replicas(manifests, pod) < 2:
            yield pod.owner.finding("spec.replicas", pod.owner.spec.get("replicas"), "is fewer than two")


@rule(
    "availability-budget-exists",
    "medium",
    why="Without a budget a drain may evict all replicas behind a Service at once.",
    fix="add a PodDisruptionBudget with maxUnavailable: 1.",
    source="kube-score deployment-has-poddisruptionbudget; polaris missingPodDisruptionBudget",
)
def budget_exists(manifests: ManifestSet) -> Iterator[Finding]:
    budgets = manifests.of("PodDisruptionBudget")
    guarded = [pod for budget in budgets for pod in manifests.select(budget.spec.get("selector"), budget.namespace)]
    served = [pod for service in manifests.of("Service") for pod in manifests.behind(service)]
    for pod in served:
        if pod.owner.kind in MULTIPLIED and least_replicas(manifests, pod) > 1 and pod not in guarded:
            yield pod.owner.finding("spec.replicas", pod.replicas, "has no PodDisruptionBudget")


@rule(
    "availability-budget-allows-drains",
    "high",
    why="A budget that never allows an eviction stops every upgrade of the cluster's nodes.",
    fix="set maxUnavailable: 1, which fits any number of replicas.",
    source="kube-linter pdb-max-unavailable, pdb-min-available; polaris pdbDisruptionsIsZero",
)
def budget_allows_drains(manifests: ManifestSet) -> Iterator[Finding]:
    for budget in manifests.of("PodDisruptionBudget"):
        most, least = budget.spec.get("maxUnavailable"), budget.spec.get("minAvailable")
        if most in (0, "0", "0%"):
            yield budget.finding("spec.maxUnavailable", most, "allows no eviction")
        if most is None and least is None:
            yield budget.finding("spec", budget.spec, "sets neither minAvailable nor maxUnavailable")
        for pod in manifests.select(budget.spec.get("selector"), budget.namespace):
            replicas = least_replicas(manifests, pod)
            needed = _rounded_up(least, replicas)
            if needed is not None and needed >= replicas:
                yield budget.finding("spec.minAvailable", least, f"{pod.owner} has {replicas} replicas")


def _rounded_up(value: object, replicas: int) -> int | None:
    """An absolute number, or a percentage as the disruption controller rounds it."""
    if isinstance(value, str) and value.removesuffix("%").isdigit():
        return -(-int(value.removesuffix("%")) * replicas // 100)
    return value if isinstance(value, int) else None


@rule(
    "availability-autoscaler-consistent",
    "medium",
    why="An autoscaler that cannot move, has a rival, or is reset by every apply does not scale.",
    fix="set maxReplicas above minReplicas, keep one autoscaler a workload, and leave spec.replicas out.",
    source="Kubernetes: HPA, migrating to horizontal autoscaling; kube-score hpa rules",
)
def autoscaler_consistent(manifests: ManifestSet) -> Iterator[Finding]:
    for autoscaler in manifests.of("HorizontalPodAutoscaler"):
        least, most = autoscaler.spec.get("minReplicas") or 1, autoscaler.spec.get("maxReplicas") or 0
        if most <= least:
            yield autoscaler.finding("spec.maxReplicas", most, f"is not above minReplicas, {least}")
    for pod in manifests.pods:
        scalers = autoscalers(manifests, pod)
        if scalers and "replicas" in pod.owner.spec:
            yield pod.owner.finding("spec.replicas", pod.replicas, f"fights autoscaler {scalers[0][0]}")
        if len(scalers) > 1:
            yield pod.owner.finding("metadata.name", pod.owner.name, f"has {len(scalers)} autoscalers")


@rule(
    "availability-rolling-update",
    "medium",
    why="A Service loses requests when a rollout takes a pod away before its successor is ready.",
    fix="set strategy RollingUpdate with maxUnavailable: 0.",
    source="redhat-cop; flagger: zero-downtime deployments",
)
def rolling_update(manifests: ManifestSet) -> Iterator[Finding]:
    served = [pod for service in manifests.of("Service") for pod in manifests.behind(service)]
    for pod in served:
        strategy = mapping(pod.owner.spec.get("strategy"))
        gentle = dig(strategy, "rollingUpdate.maxUnavailable") in (0, "0", "0%")
        if pod.owner.kind == "Deployment" and (strategy.get("type") == "Recreate" or not gentle):
            yield pod.owner.finding("spec.strategy", strategy, "takes pods away before others are ready")


@rule(
    "availability-spread",
    "medium",
    why="Replicas on one node go down together with it.",
    fix="add topologySpreadConstraints over kubernetes.io/hostname.",
    source="kube-linter no-anti-affinity; kube-score deployment-has-host-podantiaffinity",
)
def spread(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        apart = pod.spec.get("topologySpreadConstraints") or dig(pod.spec, "affinity.podAntiAffinity")
        if pod.owner.kind in MULTIPLIED and least_replicas(manifests, pod) > 1 and not apart:
            yield pod.finding("topologySpreadConstraints", None, f"{pod.replicas} replicas may share a node")


@rule(
    "availability-drain-before-stop",
    "medium",
    why="Proxies send requests to a pod for some seconds after it was told to stop.",
    fix="add a lifecycle.preStop sleep to the container behind the Service.",
    source="flagger: zero-downtime deployments; datree CONTAINERS_MISSING_PRESTOP_KEY",
)
def drain_before_stop(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        for pod in manifests.behind(service):
            for container in pod.containers:
                listens = pod.owner.kind == "Deployment" and container.long_running and container.ports
                if listens and not dig(container.body, "lifecycle.preStop"):
                    yield container.finding("lifecycle.preStop", None, "is missing behind a Service")


@rule(
    "availability-graceful-stop",
    "medium",
    why="When preStop lasts as long as the grace period, the process is killed in the middle of its work.",
    fix="set terminationGracePeriodSeconds well above the preStop sleep.",
    source="Kubernetes: pod termination; no checker has it",
)
def graceful_stop(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        grace = container.pod.spec.get("terminationGracePeriodSeconds", 30)
        hook = mapping(dig(container.body, "lifecycle.preStop"))
        words = " ".join(map(str, items(dig(hook, "exec.command")))).split()
        slept = [word for previous, word in pairwise(words) if previous.endswith("sleep")]
        seconds = dig(hook, "sleep.seconds") or max((int(word) for word in slept if word.isdigit()), default=0)
        if seconds and seconds >= grace:
            yield container.finding("lifecycle.preStop", hook, f"lasts as long as the grace period of {grace} s")


@rule(
    "availability-jobs-end",
    "medium",
    why="A job that hangs holds its resources for ever, and under Forbid no later run ever starts.",
    fix="set activeDeadlineSeconds and backoffLimit, ttlSecondsAfterFinished on a bare Job, and concurrencyPolicy "
    "Forbid or Replace on a CronJob.",
    source="KBVE/kbve #13135; gatekeeper-library; redhat-cop cronjob rules",
)
def jobs_end(manifests: ManifestSet) -> Iterator[Finding]:
    for job in manifests.of("CronJob", "Job"):
        path = "spec.jobTemplate.spec" if job.kind == "CronJob" else "spec"
        spec = mapping(dig(job.body, path))
        needed = ["activeDeadlineSeconds", "backoffLimit", *(["ttlSecondsAfterFinished"] if job.kind == "Job" else [])]
        for name in needed:
            if spec.get(name) is None:
                yield job.finding(f"{path}.{name}", None, "is not set")
        if job.kind == "CronJob" and job.spec.get("concurrencyPolicy") not in ("Forbid", "Replace"):
            yield job.finding("spec.concurrencyPolicy", job.spec.get("concurrencyPolicy"), "lets runs pile up")


@rule(
    "availability-restart-policy",
    "high",
    why="The API server refuses a Job that always restarts, and a Deployment that does not.",
    fix="use Never or OnFailure for jobs, Always for everything else.",
    source="kyverno: restart policies; Kubernetes: pod lifecycle",
)
def restart_policy(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        policy = pod.spec.get("restartPolicy", "Always")
        ends = pod.owner.kind in ("CronJob", "Job")
        if pod.owner.kind != "Pod" and (policy == "Always") == ends:
            yield pod.finding("restartPolicy", policy, f"does not fit a {pod.owner.kind}")


@rule(
    "availability-no-naked-pods",
    "medium",
    why="A pod without a controller is gone with its node.",
    fix="make it a Deployment or a Job.",
    source="kyverno restrict-naked-pods; CIS 5.7",
)
def no_naked_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.of("Pod", "ReplicaSet", "ReplicationController"):
        yield pod.finding("kind", pod.kind, "has no controller that rolls it out")

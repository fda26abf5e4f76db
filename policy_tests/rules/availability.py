"""Rollouts, drains and jobs end, and nobody notices them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from policy_tests.manifests import Container, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule

# Five fields of numbers, names, lists, ranges and steps, or a macro.
SCHEDULE = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every \S+|(?:\S+\s+){4}\S+")
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
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
        # Elsewhere a worker that nobody calls, or whatever owns a volume, may be alone.
        alone = pod not in manifests.served or any("persistentVolumeClaim" in volume for volume in pod.volumes)
        may = alone and not manifests.is_environment and not autoscalers(manifests, pod)
        if pod.owner.kind == "Deployment" and least_replicas(manifests, pod) < 2 and not may:
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
    for pod in manifests.served:
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
        if (most is None) == (least is None):
            yield budget.finding("spec", budget.spec, "sets neither, or both, of minAvailable and maxUnavailable")
        for pod in manifests.select(budget.spec.get("selector"), budget.namespace):
            replicas = least_replicas(manifests, pod)
            needed = _rounded_up(least, replicas)
            if needed is not None and needed >= replicas:
                yield budget.finding("spec.minAvailable", least, f"{pod.owner} has {replicas} replicas")


@rule(
    "availability-budget-evicts-the-sick",
    "low",
    why="Pods that never become ready block the drain of their node, unless the budget lets them go.",
    fix="set unhealthyPodEvictionPolicy: AlwaysAllow.",
    source="kube-linter pdb-unhealthy-pod-eviction-policy",
)
def budget_evicts_the_sick(manifests: ManifestSet) -> Iterator[Finding]:
    field = "unhealthyPodEvictionPolicy"
    budgets = manifests.of("PodDisruptionBudget")
    for budget in manifests.lacking(budgets, lambda each: each.spec.get(field) == "AlwaysAllow"):
        yield budget.finding(f"spec.{field}", budget.spec.get(field), "is not AlwaysAllow")


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
    source="kube-linter no-rolling-update-strategy; flagger: zero-downtime deployments",
)
def rolling_update(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.served:
        strategy = mapping(pod.owner.spec.get("strategy"))
        most, surge = (dig(strategy, f"rollingUpdate.{name}") for name in ("maxUnavailable", "maxSurge"))
        replicas = least_replicas(manifests, pod)
        gentle = most in (0, "0", "0%")
        if not manifests.is_environment:
            gentle = most is None or (_rounded_up(most, replicas) or 0) < max(replicas, 2)
        stuck = most in (0, "0", "0%") and surge in (0, "0", "0%")
        # Elsewhere a single replica may own a volume that only one pod at a time can mount.
        at_once = strategy.get("type") == "Recreate" and (replicas > 1 or manifests.is_environment)
        if pod.owner.kind == "Deployment" and (at_once or not gentle or stuck):
            yield pod.owner.finding("spec.strategy", strategy, "takes pods away before others are ready, or takes none")


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
        expected = manifests.is_environment or pod in manifests.served
        if pod.owner.kind in MULTIPLIED and least_replicas(manifests, pod) > 1 and not apart and expected:
            yield pod.finding("topologySpreadConstraints", None, f"{pod.replicas} replicas may share a node")


@rule(
    "availability-drain-before-stop",
    "medium",
    why="Proxies send requests to a pod for some seconds after it was told to stop.",
    fix="add a lifecycle.preStop sleep to the container behind the Service.",
    source="flagger: zero-downtime deployments; datree CONTAINERS_MISSING_PRESTOP_KEY",
)
def drain_before_stop(manifests: ManifestSet) -> Iterator[Finding]:
    def drains(container: Container) -> object:
        return dig(container.body, "lifecycle.preStop")

    called = [each for pod in manifests.served if pod.owner.kind == "Deployment" for each in pod.containers]
    for container in manifests.lacking([each for each in called if each.long_running and each.ports], drains):
        yield container.finding("lifecycle.preStop", None, "is missing behind a Service")


@rule(
    "availability-graceful-stop",
    "medium",
    why="When preStop lasts as long as the grace period, the process is killed in the middle of its work.",
    fix="set terminationGracePeriodSeconds well above the preStop sleep.",
    source="Kubernetes: pod termination; no checker has it",
    per_object=True,
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
    crons, jobs = manifests.of("CronJob"), manifests.of("Job")
    needed = [
        ("spec.jobTemplate.spec.activeDeadlineSeconds", crons, True),
        ("spec.jobTemplate.spec.backoffLimit", crons, None),
        ("spec.startingDeadlineSeconds", crons, None),
        ("spec.concurrencyPolicy", crons, None),
        ("spec.activeDeadlineSeconds", jobs, None),
        ("spec.backoffLimit", jobs, None),
        ("spec.ttlSecondsAfterFinished", jobs, None),
    ]
    for path, owners, always in needed:
        for job in manifests.lacking(owners, _states(path), always=always):
            yield job.finding(path, None, "is not set")
    for cron in crons:
        if cron.spec.get("concurrencyPolicy") == "Allow":
            yield cron.finding("spec.concurrencyPolicy", "Allow", "lets runs pile up")


def _states(path: str) -> Callable[[Manifest], bool]:
    return lambda manifest: dig(manifest.body, path) is not None


@rule(
    "availability-schedule",
    "high",
    why="The API server refuses a schedule that is no schedule; one for a day that no month has never runs.",
    fix="write five fields: minute, hour, day of the month, month, day of the week.",
    source="Kubernetes: CronJob, schedule syntax; no checker has it",
    per_object=True,
)
def schedule(manifests: ManifestSet) -> Iterator[Finding]:
    for cron in manifests.of("CronJob"):
        text = str(cron.spec.get("schedule"))
        fields = text.split()
        numbers = [[int(number) for number in re.findall(r"(?<![/\w])\d+", each)] for each in fields]
        bounds = zip(FIELDS, numbers, strict=False)
        within = all(least <= number <= most for (least, most), given in bounds for number in given)
        if not SCHEDULE.fullmatch(text) or not within or fields[2:4] in (["30", "2"], ["31", "2"]):
            yield cron.finding("spec.schedule", text, "is no schedule")
        if cron.spec.get("suspend"):
            yield cron.finding("spec.suspend", True, "never runs")


@rule(
    "availability-priority",
    "low",
    why="A pod without the priority of its neighbours is evicted before them, and scheduled after them.",
    fix="set priorityClassName as the other workloads do.",
    source="kube-linter priority-class-name; polaris priorityClassNotSet; kyverno require-pod-priorityclassname",
)
def priority(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.lacking(manifests.pods, lambda each: each.spec.get("priorityClassName"), always=False):
        yield pod.finding("priorityClassName", None, "is missing, where the other pods have one")


@rule(
    "availability-restart-policy",
    "high",
    why="The API server refuses a Job that always restarts, and a Deployment that does not.",
    fix="use Never or OnFailure for jobs, Always for everything else.",
    source="kyverno: restart policies; Kubernetes: pod lifecycle",
    per_object=True,
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
    per_object=True,
)
def no_naked_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.of("Pod", "ReplicaSet", "ReplicationController"):
        yield pod.finding("kind", pod.kind, "has no controller that rolls it out")

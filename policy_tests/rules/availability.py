"""Rollouts and drains end, and nobody notices them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from policy_tests.manifests import LONG_RUNNING, Container, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule

MULTIPLIED = ("Deployment", "StatefulSet")
# Where each kind of autoscaler says how few replicas it leaves, and how few when it does not say.
AUTOSCALERS = {"HorizontalPodAutoscaler": ("minReplicas", 1), "ScaledObject.keda.sh": ("minReplicaCount", 0)}


def autoscalers(manifests: ManifestSet, pod: Pod) -> list[tuple[str, int]]:
    """(name, least replicas) of the autoscalers of the pod's workload."""
    return [
        (autoscaler.name, autoscaler.spec.get(field) or default)
        for kind, (field, default) in AUTOSCALERS.items()
        for autoscaler in manifests.of(kind)
        if autoscaler.namespace == pod.owner.namespace
        and dig(autoscaler.body, "spec.scaleTargetRef.kind") in (None, pod.owner.kind)
        and dig(autoscaler.body, "spec.scaleTargetRef.name") == pod.owner.name
    ]


def least_replicas(manifests: ManifestSet, pod: Pod) -> int:
    return min([least for _, least in autoscalers(manifests, pod)], default=pod.replicas)


def guarded(manifests: ManifestSet) -> list[Pod]:
    """The pods that a PodDisruptionBudget selects."""
    selectors = [(each.spec.get("selector"), each.namespace) for each in manifests.of("PodDisruptionBudget")]
    return [pod for chosen, namespace in selectors if chosen is not None for pod in manifests.select(chosen, namespace)]


@rule(
    "availability-two-replicas",
    "high",
    why="With one replica every drained or broken node is an outage.",
    fix="set replicas to 2 or more in production.",
    source="kube-linter minimum-three-replicas; 8 of 13 checkers",
    where_required=True,
)
def two_replicas(manifests: ManifestSet) -> Iterator[Finding]:
    several = {*manifests.served, *guarded(manifests)}
    for pod in manifests.pods:
        # Elsewhere a worker that nobody calls and no budget guards, or whatever owns a volume, may be alone.
        alone = pod not in several or any("persistentVolumeClaim" in volume for volume in pod.volumes)
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
    kept = guarded(manifests)
    for pod in manifests.served:
        if pod.owner.kind in MULTIPLIED and least_replicas(manifests, pod) > 1 and pod not in kept:
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
    "availability-budget-protects",
    "medium",
    why="A budget under which a drain may take all replicas, or most members of a quorum, protects nothing.",
    fix="set maxUnavailable: 1.",
    source="Kubernetes: specifying a disruption budget, quorums; no checker has it",
)
def budget_protects(manifests: ManifestSet) -> Iterator[Finding]:
    for budget in manifests.of("PodDisruptionBudget"):
        field = "maxUnavailable" if "maxUnavailable" in budget.spec else "minAvailable"
        stated = budget.spec.get(field)
        for pod in manifests.select(budget.spec.get("selector"), budget.namespace):
            replicas = least_replicas(manifests, pod)
            number = _rounded_up(stated, replicas)
            # An even number of members is no quorum, but shards or copies.
            quorum = pod.owner.kind == "StatefulSet" and replicas >= 3 and replicas % 2
            bearable = replicas // 2 if quorum else replicas - 1
            if pod.owner.kind in MULTIPLIED and replicas > 1 and number is not None:
                gone = number if field == "maxUnavailable" else replicas - number
                if gone > bearable:
                    yield budget.finding(f"spec.{field}", stated, f"lets {gone} of {replicas} pods of {pod.owner} go")


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
    why="An autoscaler that cannot move, cannot measure, has a rival, or is reset by every apply does not scale.",
    fix="set maxReplicas above minReplicas, request what is measured, keep one autoscaler a workload, and leave "
    "spec.replicas out.",
    source="Kubernetes: HPA, migrating to horizontal autoscaling; kube-score hpa rules",
)
def autoscaler_consistent(manifests: ManifestSet) -> Iterator[Finding]:
    for autoscaler in manifests.of("HorizontalPodAutoscaler"):
        least, most = autoscaler.spec.get("minReplicas") or 1, autoscaler.spec.get("maxReplicas") or 0
        if most <= least:
            yield autoscaler.finding("spec.maxReplicas", most, f"is not above minReplicas, {least}")
        yield from _unmeasured(manifests, autoscaler)
    for pod in manifests.pods:
        scalers = autoscalers(manifests, pod)
        if scalers and "replicas" in pod.owner.spec:
            yield pod.owner.finding("spec.replicas", pod.replicas, f"fights autoscaler {scalers[0][0]}")
        if len(scalers) > 1:
            yield pod.owner.finding("metadata.name", pod.owner.name, f"has {len(scalers)} autoscalers")


def _unmeasured(manifests: ManifestSet, autoscaler: Manifest) -> Iterator[Finding]:
    """Utilizations are shares of a request, which a limit or the namespace's defaults may stand in for."""
    target = mapping(autoscaler.spec.get("scaleTargetRef"))
    workload = manifests.find(str(target.get("kind")), target.get("name"), autoscaler.namespace)
    ranges = [each for each in manifests.of("LimitRange") if each.namespace == autoscaler.namespace]
    for index, metric in enumerate(items(autoscaler.spec.get("metrics"))):
        resource = dig(metric, "resource.name")
        if not workload or workload.kind not in LONG_RUNNING or dig(metric, "resource.target.type") != "Utilization":
            continue
        bounds = [bound for each in ranges for bound in items(each.spec.get("limits"))]
        defaults = [dig(bound, field) for bound in bounds for field in ("default", "defaultRequest")]
        for container in workload.pod.containers:
            given = [dig(container.body, "resources.requests"), dig(container.body, "resources.limits"), *defaults]
            if container.long_running and not any(resource in mapping(each) for each in given):
                path = f"spec.metrics[{index}].resource"
                yield autoscaler.finding(path, resource, f"is a share of what {container.name} does not request")


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
    several = {*manifests.served, *guarded(manifests)}
    for pod in manifests.pods:
        apart = pod.spec.get("topologySpreadConstraints") or dig(pod.spec, "affinity.podAntiAffinity")
        expected = manifests.is_environment or pod in several
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
    why="When there is no grace period, or preStop lasts as long, the process is killed in the middle of its work.",
    fix="set terminationGracePeriodSeconds well above the preStop sleep.",
    source="Kubernetes: pod termination; no checker has it",
    per_object=True,
)
def graceful_stop(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        # Elsewhere an agent of the node may have nothing to end.
        agent = pod.owner.kind == "DaemonSet" and not manifests.is_environment
        if pod.spec.get("terminationGracePeriodSeconds") == 0 and not agent:
            yield pod.finding("terminationGracePeriodSeconds", 0, "kills at once")
    for container in manifests.containers:
        grace = container.pod.spec.get("terminationGracePeriodSeconds", 30)
        hook = mapping(dig(container.body, "lifecycle.preStop"))
        words = " ".join(map(str, items(dig(hook, "exec.command")))).split()
        slept = [word for previous, word in pairwise(words) if previous.endswith("sleep")]
        seconds = dig(hook, "sleep.seconds") or max((int(word) for word in slept if word.isdigit()), default=0)
        if seconds and seconds >= grace > 0:
            yield container.finding("lifecycle.preStop", hook, f"lasts as long as the grace period of {grace} s")


@rule(
    "availability-priority",
    "low",
    why="A pod without the priority of its neighbours is evicted before them, and scheduled after them.",
    fix="set priorityClassName as the other workloads do.",
    source="kube-linter priority-class-name; polaris priorityClassNotSet; kyverno require-pod-priorityclassname",
)
def priority(manifests: ManifestSet) -> Iterator[Finding]:
    # Pods that stay and pods that end compete for different things, and keep customs of their own.
    stay, end = ([pod for pod in manifests.pods if (pod.owner.kind in LONG_RUNNING) is kind] for kind in (True, False))
    for pods in (stay, end):
        for pod in manifests.lacking(pods, lambda each: each.spec.get("priorityClassName"), always=False):
            yield pod.finding("priorityClassName", None, "is missing, where the other pods have one")


@rule(
    "availability-restart-policy",
    "high",
    why="The API server refuses a Job that always restarts, and a Deployment that does not or that has a deadline.",
    fix="use Never or OnFailure for jobs, Always without activeDeadlineSeconds for everything else.",
    source="kyverno: restart policies; Kubernetes: pod lifecycle",
    per_object=True,
)
def restart_policy(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        policy = pod.spec.get("restartPolicy", "Always")
        ends = pod.owner.kind in ("CronJob", "Job")
        if pod.owner.kind != "Pod" and (policy == "Always") == ends:
            yield pod.finding("restartPolicy", policy, f"does not fit a {pod.owner.kind}")
        if not ends and pod.owner.kind != "Pod" and "activeDeadlineSeconds" in pod.spec:
            yield pod.finding("activeDeadlineSeconds", pod.spec["activeDeadlineSeconds"], "is for pods that end")


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
        # A test or a step of `helm install` ends, and helm starts it anew.
        if "helm.sh/hook" not in pod.annotations:
            yield pod.finding("kind", pod.kind, "has no controller that rolls it out")

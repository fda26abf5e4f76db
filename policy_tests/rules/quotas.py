"""The bounds of a namespace: ResourceQuota and LimitRange, and whether what is deployed fits into them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule
from policy_tests.rules.containers import amounts
from policy_tests.rules.storage import claims

BOUNDS = ("requests", "limits")
RESOURCES = ("cpu", "memory", "ephemeral-storage")
QUOTAS = re.compile(
    r"((requests|limits)\.)?(cpu|memory|ephemeral-storage)|requests\.storage|(requests\.)?hugepages-\w+|pods|secrets"
    r"|configmaps|persistentvolumeclaims|replicationcontrollers|resourcequotas|services(\.nodeports|\.loadbalancers)?"
)
# From the least to the most.
ORDER = ("min", "defaultRequest", "default", "max")
NONE = Decimal(0)


@rule(
    "containers-namespace-bounded",
    "low",
    why="Without a quota and defaults one namespace can starve the others of the cluster.",
    fix="add a ResourceQuota and a LimitRange to the Namespace.",
    source="NSA/CISA Kubernetes Hardening Guidance; trivy KSV-0039, KSV-0040",
)
def namespace_bounded(manifests: ManifestSet) -> Iterator[Finding]:
    for kind in ("ResourceQuota", "LimitRange"):
        bounded = {each.namespace for each in manifests.of(kind)}
        # Who bounds the containers of a namespace, elsewhere, surely meant to bound the namespace.
        half = {each.namespace for each in manifests.of("LimitRange")} if kind == "ResourceQuota" else set()
        for namespace in manifests.of("Namespace"):
            if namespace.name not in bounded and (manifests.is_environment or namespace.name in half):
                yield namespace.finding("", namespace.name, f"has no {kind}")


@rule(
    "containers-quota-known",
    "high",
    why="The API server refuses a quota for a resource that it does not know, and the namespace stays without bounds.",
    fix="write one of Kubernetes' names, such as requests.cpu or pods, and an amount.",
    source="Kubernetes: resource quotas; no checker has it",
    per_object=True,
)
def quota_known(manifests: ManifestSet) -> Iterator[Finding]:
    for quota in manifests.of("ResourceQuota"):
        for key, hard in mapping(quota.spec.get("hard")).items():
            # Whoever adds a resource to the cluster chooses what stands around its slash.
            if "/" not in key and not QUOTAS.fullmatch(key):
                yield quota.finding(f"spec.hard[{key}]", hard, "is no resource that has a quota")
            elif quantity(hard) is None:
                yield quota.finding(f"spec.hard[{key}]", hard, "is no amount")


@rule(
    "containers-fit-the-quota",
    "high",
    why="Pods beyond the ResourceQuota are never created; a rollout that needs its surge then hangs.",
    fix="raise the quota above what all replicas and one rollout need, or lower the requests.",
    source="Kubernetes: resource quotas",
)
def fit_the_quota(manifests: ManifestSet) -> Iterator[Finding]:
    for quota in manifests.of("ResourceQuota"):
        if quota.spec.get("scopes") or quota.spec.get("scopeSelector"):
            continue
        needed = _needed(manifests, quota.namespace)
        for key, hard in mapping(quota.spec.get("hard")).items():
            granted, need = quantity(hard), needed.get(f"requests.{key}" if key in RESOURCES else key, NONE)
            if granted is not None and need > granted:
                yield quota.finding(f"spec.hard[{key}]", hard, f"all replicas and one rollout need {need:f}")


def _needed(manifests: ManifestSet, namespace: str) -> dict[str, Decimal]:
    """What a namespace uses at once, with one pod more than its replicas for each Deployment that is rolled out."""
    needed: dict[str, Decimal] = defaultdict(Decimal)
    for pod in manifests.pods:
        if pod.owner.namespace == namespace:
            count = _most_pods(manifests, pod) + _surges(pod)
            needed["pods"] += count
            for bound in BOUNDS:
                for resource in RESOURCES:
                    needed[f"{bound}.{resource}"] += count * of_one_pod(pod, bound, resource)
    for owner, _, spec in claims(manifests):
        if owner.namespace == namespace:
            count = owner.pod.replicas if owner.kind == "StatefulSet" else 1
            needed["persistentvolumeclaims"] += count
            needed["requests.storage"] += count * (quantity(dig(spec, "resources.requests.storage")) or NONE)
    for service in manifests.of("Service"):
        if service.namespace == namespace:
            kind = service.spec.get("type")
            needed["services"] += 1
            needed["services.loadbalancers"] += kind == "LoadBalancer"
            needed["services.nodeports"] += kind in ("NodePort", "LoadBalancer")
    return needed


def _most_pods(manifests: ManifestSet, pod: Pod) -> int:
    """The replicas, or the most that an autoscaler may make of them, or the pods of a job that run side by side."""
    most = [
        autoscaler.spec.get("maxReplicas")
        for autoscaler in manifests.of("HorizontalPodAutoscaler")
        if autoscaler.namespace == pod.owner.namespace
        and dig(autoscaler.spec, "scaleTargetRef.kind") == pod.owner.kind
        and dig(autoscaler.spec, "scaleTargetRef.name") == pod.owner.name
    ]
    job = pod.owner.spec if pod.owner.kind == "Job" else mapping(dig(pod.owner.spec, "jobTemplate.spec"))
    side_by_side = [job.get("parallelism", 1), job.get("completions", job.get("parallelism", 1))]
    usual = min(each for each in side_by_side if isinstance(each, int)) if job else pod.replicas
    return max((each for each in most if isinstance(each, int)), default=usual)


def _surges(pod: Pod) -> bool:
    strategy = mapping(pod.owner.spec.get("strategy"))
    none = strategy.get("type") == "Recreate" or dig(strategy, "rollingUpdate.maxSurge") in (0, "0%")
    return pod.owner.kind == "Deployment" and not none


def of_one_pod(pod: Pod, bound: str, resource: str) -> Decimal:
    """What one pod asks for: its containers together, or an init container if that alone needs more."""
    whole = quantity(mapping(dig(pod.spec, f"resources.{bound}")).get(resource))
    if whole is not None:
        return whole
    running, starting = NONE, NONE
    # What an init container that goes on running asks for counts for those after it as well.
    for container in sorted(pod.containers, key=lambda each: each.role == "containers"):
        amount = quantity(amounts(container, bound).get(resource)) or NONE
        if container.role == "containers" or container.body.get("restartPolicy") == "Always":
            running += amount
        elif container.role == "initContainers":
            starting = max(starting, running + amount)
    return max(running, starting)


def limits_of(limit_range: Manifest) -> Iterator[tuple[str, Body]]:
    """(path, limit) of what a LimitRange says for each type."""
    for index, limit in enumerate(map(mapping, items(limit_range.spec.get("limits")))):
        yield f"spec.limits[{index}]", limit


@rule(
    "containers-limit-range-ordered",
    "high",
    why="The API server refuses a LimitRange whose defaults contradict each other or its own bounds.",
    fix="let min, defaultRequest, default and max rise in this order.",
    source="Kubernetes: limit ranges; no checker has it",
    per_object=True,
)
def limit_range_ordered(manifests: ManifestSet) -> Iterator[Finding]:
    for limit_range in manifests.of("LimitRange"):
        for path, limit in limits_of(limit_range):
            for resource in sorted({str(key) for bound in ORDER for key in mapping(limit.get(bound))}):
                amounts = [(bound, quantity(mapping(limit.get(bound)).get(resource))) for bound in ORDER]
                given = [(bound, amount) for bound, amount in amounts if amount is not None]
                for (low, least), (high, most) in pairwise(given):
                    if least > most:
                        value = mapping(limit[low])[resource]
                        yield limit_range.finding(f"{path}.{low}.{resource}", value, f"is above {high}, {most:f}")


@rule(
    "containers-fit-the-limit-range",
    "high",
    why="The API server refuses a pod or a claim outside the LimitRange of its namespace; its workload gets no pod.",
    fix="bring requests and limits between min and max, or widen the LimitRange.",
    source="Kubernetes: limit ranges; no checker has it",
)
def fit_the_limit_range(manifests: ManifestSet) -> Iterator[Finding]:
    for limit_range in manifests.of("LimitRange"):
        for _, limit in limits_of(limit_range):
            least, most = mapping(limit.get("min")), mapping(limit.get("max"))
            for resource in {*least, *most}:
                low, high = quantity(least.get(resource)), quantity(most.get(resource))
                for owner, path, value in _asked(manifests, limit_range.namespace, limit.get("type"), resource):
                    amount = quantity(value)
                    if amount is not None and low is not None and amount < low:
                        yield owner.finding(path, value, f"is below the least of {limit_range}, {low:f}")
                    if amount is not None and high is not None and amount > high:
                        yield owner.finding(path, value, f"is above the most of {limit_range}, {high:f}")


def _asked(
    manifests: ManifestSet, namespace: str, kind: object, resource: str
) -> Iterator[tuple[Manifest, str, object]]:
    """(object, path, amount) of all that a LimitRange bounds in its namespace."""
    if kind == "PersistentVolumeClaim":
        for owner, path, spec in claims(manifests):
            if owner.namespace == namespace:
                yield owner, f"{path}.resources.requests.{resource}", dig(spec, f"resources.requests.{resource}")
    for pod in manifests.pods if kind in ("Container", "Pod") else ():
        for bound in BOUNDS if pod.owner.namespace == namespace else ():
            if kind == "Pod":
                yield pod.owner, pod.path, of_one_pod(pod, bound, resource) or None
            for container in pod.containers if kind == "Container" else ():
                path = f"{container.path}.resources.{bound}.{resource}"
                yield pod.owner, path, amounts(container, bound).get(resource)

"""What a container may use: requests, limits, scratch space, and the namespace's own bounds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from policy_tests.manifests import Container, Finding, ManifestSet, dig, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule

LEAST = {"cpu": Decimal("0.001"), "memory": Decimal(2**20)}
MOST = {"cpu": Decimal(256), "memory": Decimal(2**42)}


def amounts(container: Container, bound: str) -> dict[str, object]:
    """`requests` or `limits` as written."""
    return mapping(dig(container.body, f"resources.{bound}"))


@rule(
    "containers-requests",
    "medium",
    why="Without requests the scheduler overfills nodes and the pod is among the first to be evicted.",
    fix="set resources.requests.cpu and resources.requests.memory.",
    source="kube-linter unset-cpu-requirements; CIS 5.7; 12 of 13 checkers",
)
def requests(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "requests", "cpu", "memory")


@rule(
    "containers-limits",
    "high",
    why="Without limits one container can take the whole node from its neighbours.",
    fix="set resources.limits.cpu and resources.limits.memory.",
    source="NSA/CISA Kubernetes Hardening Guidance; 13 of 13 checkers",
)
def limits(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "limits", "cpu", "memory")


def _missing(manifests: ManifestSet, bound: str, *resources: str) -> Iterator[Finding]:
    for container in manifests.containers:
        for resource in resources:
            if amounts(container, bound).get(resource) is None:
                yield container.finding(f"resources.{bound}.{resource}", None, "is not set")


@rule(
    "containers-disk-bounded",
    "low",
    why="Logs and scratch files of a container without a limit fill the node's disk, and the node evicts others.",
    fix="set resources.requests and resources.limits for ephemeral-storage.",
    source="kube-score container-ephemeral-storage-request-and-limit",
)
def disk_bounded(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "requests", "ephemeral-storage")
    yield from _missing(manifests, "limits", "ephemeral-storage")


@rule(
    "containers-requests-within-limits",
    "medium",
    why="The API server refuses a request above its limit, and so the rollout stops.",
    fix="raise the limit or lower the request.",
    source="Kubernetes: resource management for pods and containers",
)
def requests_within_limits(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for resource, value in amounts(container, "requests").items():
            request, limit = quantity(value), quantity(amounts(container, "limits").get(resource))
            if request is not None and limit is not None and request > limit:
                yield container.finding(f"resources.requests.{resource}", value, f"is above the limit {limit:f}")


@rule(
    "containers-sane-quantities",
    "medium",
    why="`memory: 128m` is an eighth of a byte and `cpu: 500` five hundred cores; neither pod ever starts.",
    fix="write CPU in cores or m, memory in Mi or Gi.",
    source="redhat-cop container_resources_memoryunit_incorrect, container_resources_requests_cpuunit_incorrect",
)
def sane_quantities(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for bound in ("requests", "limits"):
            for resource in LEAST.keys() & amounts(container, bound).keys():
                value = amounts(container, bound)[resource]
                amount = quantity(value)
                if amount is None or not LEAST[resource] <= amount <= MOST[resource]:
                    yield container.finding(f"resources.{bound}.{resource}", value, "is not a plausible amount")


@rule(
    "containers-scratch-space-bounded",
    "low",
    why="An emptyDir without a size fills the node's disk, and the node evicts everybody.",
    fix="set emptyDir.sizeLimit.",
    source="kyverno require-emptydir-requests-and-limits",
)
def scratch_space_bounded(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for volume in pod.volumes:
            # A volume without any source is an emptyDir too.
            scratch = "emptyDir" in volume or volume.keys() == {"name"}
            if scratch and not dig(volume, "emptyDir.sizeLimit"):
                yield pod.finding(f"volumes[{volume.get('name')}].emptyDir", volume.get("emptyDir"), "has no sizeLimit")


@rule(
    "containers-namespace-bounded",
    "low",
    why="Without a quota and defaults one namespace can starve the others of the cluster.",
    fix="add a ResourceQuota and a LimitRange to the Namespace.",
    source="NSA/CISA Kubernetes Hardening Guidance; trivy KSV-0039, KSV-0040",
)
def namespace_bounded(manifests: ManifestSet) -> Iterator[Finding]:
    for namespace in manifests.of("Namespace"):
        for kind in ("ResourceQuota", "LimitRange"):
            if not any(each.namespace == namespace.name for each in manifests.of(kind)):
                yield namespace.finding("", namespace.name, f"has no {kind}")


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
        for key, hard in mapping(quota.spec.get("hard")).items():
            bound, _, resource = key.partition(".")
            if bound in ("requests", "limits") and resource in LEAST:
                needed, granted = _needed(manifests, quota.namespace, bound, resource), quantity(hard)
                if granted is not None and needed > granted:
                    yield quota.finding(f"spec.hard[{key}]", hard, f"the pods and one rollout need {needed:f}")


def _needed(manifests: ManifestSet, namespace: str, bound: str, resource: str) -> Decimal:
    """What all pods use at once, with one pod more than its replicas for each Deployment that is rolled out."""
    total = Decimal(0)
    for pod in manifests.pods:
        if pod.owner.namespace == namespace:
            each: dict[str, list[Decimal]] = {"containers": [], "initContainers": [], "ephemeralContainers": []}
            for container in pod.containers:
                each[container.role].append(quantity(amounts(container, bound).get(resource)) or Decimal(0))
            surge = pod.owner.kind == "Deployment"
            total += max([sum(each["containers"], Decimal(0)), *each["initContainers"]]) * (pod.replicas + surge)
    return total

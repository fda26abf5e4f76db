"""What a container may use: requests, limits, scratch space, and the namespace's own bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from policy_tests.manifests import Container, Finding, ManifestSet, dig, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule
from policy_tests.rules.storage import claims

LEAST = {"cpu": Decimal("0.001"), "memory": Decimal(2**20)}
# Of a volume.
LEAST_SPACE = Decimal(2**10)
MOST = {"cpu": Decimal(96), "memory": Decimal(2**42)}
# How many times its request a container may use before a full node is likely to kill it, or to starve it.
RATIO = {"cpu": 50, "memory": 16}


def amounts(container: Container, bound: str) -> dict[str, object]:
    """`requests` or `limits` as written."""
    return mapping(dig(container.body, f"resources.{bound}"))


def bounded(container: Container, bound: str, resource: str) -> bool:
    """Whether the container, or its pod as a whole, states an amount."""
    of_the_pod = mapping(dig(container.pod.spec, f"resources.{bound}"))
    return any(given.get(resource) is not None for given in (amounts(container, bound), of_the_pod))


@rule(
    "containers-requests",
    "medium",
    why="Without requests the scheduler overfills nodes and the pod is among the first to be evicted.",
    fix="set resources.requests.cpu and resources.requests.memory.",
    source="kube-linter unset-cpu-requirements; CIS 5.7; 12 of 13 checkers",
    per_object=True,
)
def requests(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "requests", "cpu", "memory")


@rule(
    "containers-limits",
    "high",
    why="Without limits one container can take the whole node from its neighbours.",
    fix="set resources.limits.cpu and resources.limits.memory.",
    source="NSA/CISA Kubernetes Hardening Guidance; 13 of 13 checkers",
    per_object=True,
)
def limits(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "limits", "memory")
    # Elsewhere a limit of memory alone is a fair custom: a container that is throttled at every burst is slow as well.
    for container in manifests.lacking(manifests.containers, lambda each: bounded(each, "limits", "cpu")):
        yield container.finding("resources.limits.cpu", None, "is not set")


def _missing(manifests: ManifestSet, bound: str, *resources: str) -> Iterator[Finding]:
    for container in manifests.containers:
        for resource in resources:
            if not bounded(container, bound, resource):
                yield container.finding(f"resources.{bound}.{resource}", None, "is not set")


@rule(
    "containers-disk-bounded",
    "low",
    why="Logs and scratch files of a container without a limit fill the node's disk, and the node evicts others.",
    fix="set resources.requests and resources.limits for ephemeral-storage.",
    source="kube-score container-ephemeral-storage-request-and-limit",
)
def disk_bounded(manifests: ManifestSet) -> Iterator[Finding]:
    for bound in ("requests", "limits"):
        for container in manifests.lacking(manifests.containers, _bounds_disk(bound)):
            yield container.finding(f"resources.{bound}.ephemeral-storage", None, "is not set")


def _bounds_disk(bound: str) -> Callable[[Container], object]:
    return lambda container: amounts(container, bound).get("ephemeral-storage")


@rule(
    "containers-requests-near-limits",
    "medium",
    why="A node full of pods that use far more than they requested kills them when they all do so at once.",
    fix="raise the request or lower the limit.",
    source="gatekeeper-library containerresourceratios; kyverno enforce-resources-as-ratio",
    per_object=True,
)
def requests_near_limits(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for resource, most in RATIO.items():
            request = quantity(amounts(container, "requests").get(resource))
            limit = quantity(amounts(container, "limits").get(resource))
            if request and limit and limit > most * request:
                path, value = f"resources.limits.{resource}", amounts(container, "limits")[resource]
                yield container.finding(path, value, f"is more than {most} times the request")


@rule(
    "containers-database-memory-guaranteed",
    "low",
    why="A database that uses more memory than it requested is among the first that a full node kills.",
    fix="set the database's memory request to its limit.",
    source="kube-score container-memory-requests-equal-limits; kyverno memory-requests-equal-limits",
    ours=True,
    per_object=True,
)
def database_memory_guaranteed(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        request, limit = (amounts(container, bound).get("memory") for bound in ("requests", "limits"))
        if container.pod.port(3306) and container.long_running and quantity(request) != quantity(limit):
            yield container.finding("resources.requests.memory", request, f"is not the limit, {limit}")


@rule(
    "containers-requests-within-limits",
    "medium",
    why="The API server refuses a request above its limit, and so the rollout stops.",
    fix="raise the limit or lower the request.",
    source="Kubernetes: resource management for pods and containers",
    per_object=True,
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
    why="`memory: 128m` is an eighth of a byte, `cpu: 500` five hundred cores and `storage: 50GB` nothing; no such pod "
    "ever starts.",
    fix="write CPU in cores or m, memory and storage in Mi or Gi.",
    source="redhat-cop container_resources_memoryunit_incorrect, container_resources_requests_cpuunit_incorrect",
    per_object=True,
)
def sane_quantities(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for bound in ("requests", "limits"):
            for resource in LEAST.keys() & amounts(container, bound).keys():
                value = amounts(container, bound)[resource]
                amount = quantity(value)
                if amount is None or not LEAST[resource] <= amount <= MOST[resource]:
                    yield container.finding(f"resources.{bound}.{resource}", value, "is not a plausible amount")
    for owner, path, spec in claims(manifests):
        value = dig(spec, "resources.requests.storage")
        if value is not None and not _plausible(value):
            yield owner.finding(f"{path}.resources.requests.storage", value, "is not a plausible amount")
    for pod in manifests.pods:
        for volume in pod.volumes:
            value = dig(volume, "emptyDir.sizeLimit")
            if value is not None and not _plausible(value):
                yield pod.finding(
                    f"volumes[{volume.get('name')}].emptyDir.sizeLimit", value, "is not a plausible amount"
                )


def _plausible(size: object) -> bool:
    amount = quantity(size)
    return amount is not None and amount >= LEAST_SPACE


@rule(
    "containers-scratch-space-bounded",
    "low",
    why="An emptyDir without a size fills the node's disk, and the node evicts everybody.",
    fix="set emptyDir.sizeLimit.",
    source="kyverno require-emptydir-requests-and-limits",
)
def scratch_space_bounded(manifests: ManifestSet) -> Iterator[Finding]:
    # A volume without any source is an emptyDir too.
    scratch = [
        (pod, volume)
        for pod in manifests.pods
        for volume in pod.volumes
        if "emptyDir" in volume or volume.keys() == {"name"}
    ]
    for pod, volume in manifests.lacking(scratch, lambda each: dig(each[1], "emptyDir.sizeLimit")):
        yield pod.finding(f"volumes[{volume.get('name')}].emptyDir", volume.get("emptyDir"), "has no sizeLimit")

"""Resources by name: devices, and what fills the memory and the disk that a container was given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from policy_tests.manifests import Body, Container, Finding, ManifestSet, Pod, dig, items, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule
from policy_tests.rules.containers import amounts
from policy_tests.rules.quotas import of_one_pod

NATIVE = re.compile(r"cpu|memory|ephemeral-storage|hugepages-\w+")
# By environment variable: what its number bounds, and the unit of a number without one.
HEAPS = {
    "GOMEMLIMIT": (re.compile(r"(?P<number>\d+)(?P<unit>[KMGT]iB|B)?"), "B"),
    "NODE_OPTIONS": (re.compile(r"--max[-_]old[-_]space[-_]size[= ](?P<number>\d+)(?P<unit>)"), "M"),
    **dict.fromkeys(
        ("JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"),
        (re.compile(r"-Xmx(?P<number>\d+)(?P<unit>[kKmMgGtT])?"), "B"),
    ),
}
POWERS = "BKMGT"


@rule(
    "containers-resources-known",
    "high",
    why="The API server refuses a resource that is neither its own nor named after the domain of a vendor.",
    fix="write cpu, memory, ephemeral-storage, hugepages-SIZE or VENDOR.EXAMPLE/NAME.",
    source="Kubernetes: resource management for pods and containers; no checker has it",
    per_object=True,
)
def resources_known(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for bound in ("requests", "limits"):
            for resource, value in amounts(container, bound).items():
                if "/" not in resource and not NATIVE.fullmatch(resource):
                    yield container.finding(f"resources.{bound}.{resource}", value, "is no resource of a container")


@rule(
    "containers-devices-whole",
    "high",
    why="The API server refuses half a device, and a request for devices or huge pages that is not also the limit.",
    fix="set a whole number under limits, and the same or nothing under requests.",
    source="Kubernetes: schedule GPUs; extended resources; no checker has it",
    per_object=True,
)
def devices_whole(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        requests, limits = amounts(container, "requests"), amounts(container, "limits")
        for resource in sorted(key for key in {*requests, *limits} if "/" in key or key.startswith("hugepages-")):
            limit, request = limits.get(resource), requests.get(resource, limits.get(resource))
            amount, path = quantity(limit), f"resources.limits[{resource}]"
            if quantity(request) != amount:
                yield container.finding(path, limit, f"is not the request, {request}")
            elif amount is not None and amount % 1:
                yield container.finding(path, limit, "is no whole number")


@rule(
    "containers-heap-within-memory",
    "medium",
    why="A heap that may grow beyond the memory limit is never collected in time, and the kernel kills the process.",
    fix="set it to some three quarters of the container's memory limit.",
    source="Go: runtime, GOMEMLIMIT; Java: -Xmx; Node.js: --max-old-space-size; no checker has it",
    per_object=True,
)
def heap_within_memory(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        limit = quantity(amounts(container, "limits").get("memory"))
        for entry in map(mapping, items(container.body.get("env"))) if limit is not None else ():
            name, value = str(entry.get("name")), entry.get("value")
            heap = _heap(name, str(value)) if name in HEAPS else None
            if heap is not None and limit is not None and heap >= limit:
                yield container.finding(f"env[{name}].value", value, f"is not below the memory limit, {limit:f}")


def _heap(name: str, value: str) -> Decimal | None:
    pattern, unit = HEAPS[name]
    found = pattern.search(value)
    return Decimal(found["number"]) * 1024 ** POWERS.index((found["unit"] or unit)[0].upper()) if found else None


@rule(
    "containers-scratch-space-within-limits",
    "medium",
    why="What is in an emptyDir counts for its pod's memory or disk, and the pod is killed before it is full.",
    fix="lower sizeLimit, or raise the limits of the containers by as much.",
    source="Kubernetes: volumes, emptyDir; local ephemeral storage; no checker has it",
    per_object=True,
)
def scratch_space_within_limits(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for volume in pod.volumes:
            value = dig(volume, "emptyDir.sizeLimit")
            size = quantity(value)
            most = _most(pod, volume) if size is not None else None
            if size is not None and most is not None and size > most:
                path = f"volumes[{volume.get('name')}].emptyDir.sizeLimit"
                yield pod.finding(path, value, f"is above what the limits leave to it, {most:f}")


def _most(pod: Pod, volume: Body) -> Decimal | None:
    """What the limits leave to an emptyDir: the memory of those that mount it, or the disk of the pod."""
    in_memory = dig(volume, "emptyDir.medium") == "Memory"
    counted = [each for each in pod.containers if not in_memory or _mounts(each, volume)]
    limits = [quantity(amounts(each, "limits").get("memory" if in_memory else "ephemeral-storage")) for each in counted]
    if not limits or None in limits:
        return None
    return sum(filter(None, limits), Decimal(0)) if in_memory else of_one_pod(pod, "limits", "ephemeral-storage")


def _mounts(container: Container, volume: Body) -> bool:
    return any(mount.get("name") == volume.get("name") for mount in container.mounts)

"""What belongs to the whole cluster, or was copied out of one."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Finding, ManifestSet
from policy_tests.rule import rule

# What the API server or kubectl writes, and nobody else.
WRITTEN_BY_THE_CLUSTER = ("uid", "resourceVersion", "selfLink", "creationTimestamp", "managedFields", "generation")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HIGHEST = 1_000_000_000


@rule(
    "cluster-priority-classes",
    "high",
    why="A PriorityClass is everybody's: one above a billion is refused, and a default one changes every other pod.",
    fix="give it a value of at most 1000000000, and no globalDefault.",
    source="Kubernetes: pod priority and preemption; no checker has it",
    per_object=True,
)
def priority_classes(manifests: ManifestSet) -> Iterator[Finding]:
    for priority in manifests.of("PriorityClass"):
        value = priority.body.get("value")
        if isinstance(value, int) and value > HIGHEST and not priority.name.startswith("system-"):
            yield priority.finding("value", value, f"is above {HIGHEST}")
        if priority.body.get("globalDefault"):
            yield priority.finding("globalDefault", True, "is for every pod that names no class")


@rule(
    "cluster-volumes-outlive-nodes",
    "high",
    why="A hostPath volume is a directory of whichever node the pod is on: the data stays behind when the pod moves.",
    fix="use a CSI driver, or local with its nodeAffinity.",
    source="Kubernetes: persistent volumes, types; no checker has it",
    per_object=True,
)
def volumes_outlive_nodes(manifests: ManifestSet) -> Iterator[Finding]:
    for volume in manifests.of("PersistentVolume"):
        if "hostPath" in volume.spec:
            yield volume.finding("spec.hostPath", volume.spec["hostPath"], "is a node's own disk")


@rule(
    "cluster-no-copies",
    "low",
    why="An object copied out of a cluster brings what belongs to that one object, and its uid makes every apply fail.",
    fix="remove status, the last-applied annotation, and in metadata what the cluster writes.",
    source="Kubernetes: objects, server-side apply; no checker has it",
    per_object=True,
)
def no_copies(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        metadata = manifest.body["metadata"]
        for field in WRITTEN_BY_THE_CLUSTER:
            if metadata.get(field):
                yield manifest.finding(f"metadata.{field}", metadata[field], "is for the cluster to write")
        if LAST_APPLIED in manifest.annotations:
            yield manifest.finding(f"metadata.annotations[{LAST_APPLIED}]", "...", "is for kubectl to write")
        # Generators leave an empty one behind; a definition's lists the versions that are stored.
        generated = manifest.custom_group or manifest.kind == "CustomResourceDefinition"
        if manifest.body.get("status") and not generated and any(_told(manifest.body["status"])):
            yield manifest.finding("status", manifest.body["status"], "is for the cluster to write")


def _told(status: object) -> Iterator[object]:
    """What stands in a status, however deep."""
    if isinstance(status, dict):
        for value in status.values():
            yield from _told(value)
    elif isinstance(status, list):
        for value in status:
            yield from _told(value)
    elif status is not None:
        yield True

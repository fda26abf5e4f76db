"""Which volumes a pod may mount, and whether its processes can read them."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Finding, ManifestSet, Pod
from policy_tests.rule import rule
from policy_tests.rules.pods import RESTRICTED, on_linux

VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
# Volumes whose files belong to root until fsGroup gives them a group.
STORAGE = {"csi", "ephemeral", "persistentVolumeClaim"}


@rule(
    "pods-volume-types",
    "high",
    why="A hostPath is the node's own disk, and other old volume types pass by the cluster's storage rules.",
    fix=f"use one of {', '.join(VOLUMES)}.",
    source=f"{RESTRICTED}; kube-linter sensitive-host-mounts",
    per_object=True,
)
def volume_types(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for volume in pod.volumes:
            for kind in volume.keys() - {"name", *VOLUMES}:
                yield pod.finding(f"volumes[{volume.get('name')}].{kind}", volume[kind], "is not a permitted volume")


@rule(
    "pods-volume-group",
    "low",
    why="Without fsGroup a volume's files belong to root, and the process cannot write or read them.",
    fix="set fsGroup in the pod's securityContext.",
    source="kubescape set-fsgroup-value; gatekeeper-library fsgroup",
)
def volume_group(manifests: ManifestSet) -> Iterator[Finding]:
    stored = [pod for pod in manifests.pods if on_linux(pod) and _has_storage(pod)]
    for pod in manifests.lacking(stored, lambda each: each.security.get("fsGroup") is not None):
        yield pod.finding("securityContext.fsGroup", None, "is not set, where volumes are mounted")


def _has_storage(pod: Pod) -> bool:
    return bool(pod.owner.spec.get("volumeClaimTemplates")) or any(STORAGE & volume.keys() for volume in pod.volumes)

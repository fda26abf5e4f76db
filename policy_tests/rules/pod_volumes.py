"""Which volumes a pod may mount, and whether its processes can read them."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Finding, ManifestSet, Pod, mapping
from policy_tests.rule import rule
from policy_tests.rules.pods import RESTRICTED, effective, on_linux

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
    pods = list(filter(on_linux, manifests.pods))
    stored = [pod for pod in pods if _has_storage(pod)]
    without = manifests.lacking(stored, lambda each: each.security.get("fsGroup") is not None)
    for pod in without:
        yield pod.finding("securityContext.fsGroup", None, "is not set, where volumes are mounted")
    for pod in pods:
        if pod not in without and pod.security.get("fsGroup") is None and (name := _closed_volume(pod)):
            yield pod.finding("securityContext.fsGroup", None, f"is not set, and nobody but root may read {name}")


def _has_storage(pod: Pod) -> bool:
    return bool(pod.owner.spec.get("volumeClaimTemplates")) or any(STORAGE & volume.keys() for volume in pod.volumes)


def _closed_volume(pod: Pod) -> str:
    """The name of a volume that a container mounts without being root, and that not everybody may read."""
    users = [each for each in pod.containers if effective(each, "runAsUser") or effective(each, "runAsNonRoot") is True]
    mounted = {mount.get("name") for container in users for mount in container.mounts}
    for volume in pod.volumes:
        mode = next(
            (mapping(volume.get(kind)).get("defaultMode") for kind in ("secret", "projected", "configMap")), None
        )
        if volume.get("name") in mounted and isinstance(mode, int) and not mode & 0o004:
            return str(volume["name"])
    return ""

"""The data outlives its pod."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.network import DATABASE_PORTS

DATA = "/var/lib/mysql"


def claims(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body]]:
    """(object, path, spec) of every claim and claim template."""
    for claim in manifests.of("PersistentVolumeClaim"):
        yield claim, "spec", claim.spec
    for stateful_set in manifests.of("StatefulSet"):
        for template in map(mapping, items(stateful_set.spec.get("volumeClaimTemplates"))):
            path = f"spec.volumeClaimTemplates[{dig(template, 'metadata.name')}].spec"
            yield stateful_set, path, mapping(template.get("spec"))


@rule(
    "storage-database-on-a-claim",
    "critical",
    why="What MySQL writes to an emptyDir, or to the container itself, is gone with the pod.",
    fix=f"mount a volumeClaimTemplate at {DATA}.",
    source="Kubernetes: run a replicated stateful application",
    per_object=True,
)
def database_on_a_claim(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        database = DATABASE_PORTS & {port.get("containerPort") for port in container.ports}
        if not container.long_running or not database:
            continue
        lasting = claimed(container.pod)
        on_claims = [mount.get("mountPath") for mount in container.mounts if mount.get("name") in lasting]
        if not on_claims or (manifests.is_environment and DATA not in on_claims):
            paths = [mount.get("mountPath") for mount in container.mounts]
            yield container.finding("volumeMounts", paths, "what the database writes is on no claim")


def claimed(pod: Pod) -> set[object]:
    """The names of the pod's volumes that outlive it."""
    templates = {dig(template, "metadata.name") for template in items(pod.owner.spec.get("volumeClaimTemplates"))}
    return templates | {volume.get("name") for volume in pod.volumes if "persistentVolumeClaim" in volume}


@rule(
    "storage-one-writer",
    "medium",
    why="Two database servers on one volume destroy it.",
    fix="set accessModes to [ReadWriteOnce] or [ReadWriteOncePod], and resources.requests.storage.",
    source="kubesec VolumeClaimAccessModeReadWriteOnce, VolumeClaimRequestsStorage",
    per_object=True,
)
def one_writer(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, spec in claims(manifests):
        modes = set(items(spec.get("accessModes")))
        # Elsewhere a claim of its own may hold files that several pods share.
        shared = manifest.kind == "PersistentVolumeClaim" and not manifests.is_environment
        if not modes or (modes - {"ReadWriteOnce", "ReadWriteOncePod"} and not shared):
            yield manifest.finding(f"{path}.accessModes", spec.get("accessModes"), "is not for one node alone")
        if not dig(spec, "resources.requests.storage"):
            yield manifest.finding(f"{path}.resources.requests.storage", None, "is not set")


@rule(
    "storage-class",
    "medium",
    why="A claim without a class gets whatever the cluster's default is on that day, or waits for ever.",
    fix="set storageClassName as the other claims do.",
    source="gatekeeper-library storageclass; kyverno require-storageclass",
)
def storage_class(manifests: ManifestSet) -> Iterator[Finding]:
    unclassed = manifests.lacking(claims(manifests), lambda each: each[2].get("storageClassName"), always=False)
    for manifest, path, _ in unclassed:
        yield manifest.finding(f"{path}.storageClassName", None, "is not set, where the other claims have one")


@rule(
    "storage-kept",
    "medium",
    why="With Delete, scaling the database to 0 for an hour deletes its data.",
    fix="set persistentVolumeClaimRetentionPolicy to Retain for both events.",
    source="Kubernetes: StatefulSets, PersistentVolumeClaim retention",
    per_object=True,
)
def kept(manifests: ManifestSet) -> Iterator[Finding]:
    for stateful_set in manifests.of("StatefulSet"):
        policy = mapping(stateful_set.spec.get("persistentVolumeClaimRetentionPolicy"))
        for event, value in policy.items():
            if value != "Retain":
                path = f"spec.persistentVolumeClaimRetentionPolicy.{event}"
                yield stateful_set.finding(path, value, "deletes the data")

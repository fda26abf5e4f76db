"""The data outlives its pod."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.rule import rule

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
)
def database_on_a_claim(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        if not container.long_running or not any(port.get("containerPort") == 3306 for port in container.ports):
            continue
        templates = items(container.pod.owner.spec.get("volumeClaimTemplates"))
        lasting = {dig(template, "metadata.name") for template in templates}
        lasting |= {volume.get("name") for volume in container.pod.volumes if "persistentVolumeClaim" in volume}
        mounts = [mapping(mount) for mount in items(container.body.get("volumeMounts"))]
        if not any(mount.get("mountPath") == DATA and mount.get("name") in lasting for mount in mounts):
            yield container.finding("volumeMounts", [mount.get("mountPath") for mount in mounts], f"no claim at {DATA}")


@rule(
    "storage-one-writer",
    "medium",
    why="Two database servers on one volume destroy it.",
    fix="set accessModes to [ReadWriteOnce] or [ReadWriteOncePod], and resources.requests.storage.",
    source="kubesec VolumeClaimAccessModeReadWriteOnce, VolumeClaimRequestsStorage",
)
def one_writer(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, spec in claims(manifests):
        modes = set(items(spec.get("accessModes")))
        if not modes or modes - {"ReadWriteOnce", "ReadWriteOncePod"}:
            yield manifest.finding(f"{path}.accessModes", spec.get("accessModes"), "is not for one node alone")
        if not dig(spec, "resources.requests.storage"):
            yield manifest.finding(f"{path}.resources.requests.storage", None, "is not set")


@rule(
    "storage-kept",
    "medium",
    why="With Delete, scaling the database to 0 for an hour deletes its data.",
    fix="set persistentVolumeClaimRetentionPolicy to Retain for both events.",
    source="Kubernetes: StatefulSets, PersistentVolumeClaim retention",
)
def kept(manifests: ManifestSet) -> Iterator[Finding]:
    for stateful_set in manifests.of("StatefulSet"):
        policy = mapping(stateful_set.spec.get("persistentVolumeClaimRetentionPolicy"))
        for event, value in policy.items():
            if value != "Retain":
                path = f"spec.persistentVolumeClaimRetentionPolicy.{event}"
                yield stateful_set.finding(path, value, "deletes the data")

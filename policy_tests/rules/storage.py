"""The data outlives its pod."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Body, Container, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.availability import least_replicas
from policy_tests.rules.images import parts
from policy_tests.rules.network import DATABASE_PORTS

DATA = "/var/lib/mysql"
# Where the official images write, unless they are told otherwise.
HOMES = {"mysql": DATA, "mariadb": DATA, "postgres": "/var/lib/postgresql/data", "mongo": "/data/db"}
CLAIM = "persistentVolumeClaim.claimName"
ONE_NODE = {"ReadWriteOnce", "ReadWriteOncePod"}
# What tells a database server of others that hold the same data, which neither MySQL's right REPLICATION CLIENT nor
# `wal_level = replica` does.
REPLICATION = re.compile(
    r"(?i)repl(icat(?!ion client)|ica[-_ ]?(of|set|host)|_|set)"
    r"|primary|standby|master|slave|galera|wsrep|patroni|cluster|peer"
)


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
    why="What a database writes to an emptyDir, or to the container itself, is gone with the pod.",
    fix=f"mount a volumeClaimTemplate where the server writes, which is {DATA} for MySQL.",
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
        elif (home := _home(container, on_claims)) and not any(_within(home, path) for path in on_claims):
            yield container.finding("volumeMounts", on_claims, f"{home}, where the database writes, is on no claim")


def _home(container: Container, on_claims: list[object]) -> str | None:
    """Where the server of an official image writes; None where that is not known."""
    image = parts(container.body.get("image"))[0].rpartition("/")[2]
    variables = [mapping(variable) for variable in items(container.body.get("env"))]
    words = map(str, (*items(container.body.get("command")), *items(container.body.get("args"))))
    if any(str(path) in word for word in words for path in on_claims):
        return None
    told = [variable.get("value") for variable in variables if variable.get("name") == "PGDATA"]
    if image == "postgres" and told:
        return str(told[0]) if told[0] else None
    return HOMES.get(image)


def _within(home: str, path: object) -> bool:
    return f"{home}/".startswith(f"{str(path).rstrip('/')}/")


@rule(
    "storage-servers-agree",
    "medium",
    why="Replicas of a database server that know nothing of each other hold different data behind one name.",
    fix="set replicas to 1, or set up replication, as an operator for the database does.",
    source="Kubernetes: run a replicated stateful application; no checker has it",
)
def servers_agree(manifests: ManifestSet) -> Iterator[Finding]:
    for stateful_set in manifests.of("StatefulSet"):
        pod = stateful_set.pod
        servers = [each for each in pod.containers if parts(each.body.get("image"))[0].rpartition("/")[2] in HOMES]
        if pod.replicas < 2 or not any(each.long_running and each.ports for each in servers):
            continue
        mounted = [dig(volume, "configMap.name") for volume in pod.volumes]
        texts = [each.text for each in manifests.of("ConfigMap") if each.name in mounted]
        texts += [str(each.body.get(field)) for each in pod.containers for field in ("command", "args", "env")]
        if not any(map(REPLICATION.search, texts)):
            yield stateful_set.finding("spec.replicas", pod.replicas, "nothing tells these servers of each other")


def claimed(pod: Pod) -> set[object]:
    """The names of the pod's volumes that outlive it."""
    templates = {dig(template, "metadata.name") for template in items(pod.owner.spec.get("volumeClaimTemplates"))}
    return templates | {volume.get("name") for volume in pod.volumes if "persistentVolumeClaim" in volume}


@rule(
    "storage-one-writer",
    "medium",
    why="Two database servers on one volume destroy it.",
    fix="set accessModes to [ReadWriteOnce] or [ReadWriteOncePod].",
    source="kubesec VolumeClaimAccessModeReadWriteOnce",
    per_object=True,
)
def one_writer(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, spec in claims(manifests):
        modes = set(items(spec.get("accessModes")))
        # Elsewhere a claim of its own may hold files that several pods share.
        shared = manifest.kind == "PersistentVolumeClaim" and not manifests.is_environment
        if not modes or (modes - ONE_NODE and not shared):
            yield manifest.finding(f"{path}.accessModes", spec.get("accessModes"), "is not for one node alone")


@rule(
    "storage-size-stated",
    "high",
    why="The API server refuses a claim that does not say how much it needs.",
    fix="set resources.requests.storage.",
    source="kubesec VolumeClaimRequestsStorage; Kubernetes: PersistentVolumeClaims, resources",
    per_object=True,
)
def size_stated(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, spec in claims(manifests):
        if not dig(spec, "resources.requests.storage"):
            yield manifest.finding(f"{path}.resources.requests.storage", None, "is not set")


@rule(
    "storage-claim-for-one-node",
    "high",
    why="A ReadWriteOnce volume is mounted on one node, so that replicas on any other node wait for ever.",
    fix="run one replica with strategy Recreate, give each its own claim in a StatefulSet, or ask for ReadWriteMany.",
    source="Kubernetes: persistent volumes, access modes; no checker has it",
)
def claim_for_one_node(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        if pod.owner.kind not in ("Deployment", "ReplicaSet", "StatefulSet"):
            continue
        for volume in pod.volumes:
            name = dig(volume, CLAIM)
            claim = name and manifests.find("PersistentVolumeClaim", name, pod.owner.namespace)
            if claim and set(items(claim.spec.get("accessModes"))) <= ONE_NODE and least_replicas(manifests, pod) > 1:
                path = f"volumes[{volume.get('name')}].{CLAIM}"
                yield pod.finding(path, name, "is for one node, and there are several replicas")


@rule(
    "storage-claim-used",
    "low",
    why="A claim that nothing mounts costs its disk, and what should be kept there is not.",
    fix="mount it, or delete it.",
    source="Kubernetes: persistent volumes, lifecycle of a volume and claim; no checker has it",
)
def claim_used(manifests: ManifestSet) -> Iterator[Finding]:
    found = manifests.of("PersistentVolumeClaim")
    sets = [
        (each.namespace, f"{dig(template, 'metadata.name')}-{each.name}-")
        for each in manifests.of("StatefulSet")
        for template in items(each.spec.get("volumeClaimTemplates"))
    ]
    mounted = {(pod.owner.namespace, dig(volume, CLAIM)) for pod in manifests.pods for volume in pod.volumes}
    for claim in found:
        here = any(pod.owner.namespace == claim.namespace for pod in manifests.pods)
        numbered = any(claim.namespace == place and claim.name.startswith(name) for place, name in sets)
        if here and (claim.namespace, claim.name) not in mounted and not numbered and not _named(manifests, claim):
            yield claim.finding("metadata.name", claim.name, "is mounted by no pod")


def _named(manifests: ManifestSet, claim: Manifest) -> bool:
    """Whether a controller's resource, or another claim that begins as a copy, names the claim."""
    others = [each for each in manifests.manifests if each.custom_group or each.kind == claim.kind]
    return any(value == claim.name for each in others if each is not claim for _, value in each.strings)


@rule(
    "storage-secret-readable",
    "high",
    why="Files of a Secret belong to root, and a process of another user cannot open those that are for root alone.",
    fix="set fsGroup in the pod's securityContext, which gives the files to that group.",
    source="Kubernetes: Secrets, file permissions; configure a security context; no checker has it",
    per_object=True,
)
def secret_readable(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        closed = {volume.get("name"): mode for volume in pod.volumes if (mode := _mode(volume)) and not mode & 0o004}
        for container in pod.containers if closed and pod.security.get("fsGroup") is None else ():
            user, group = (container.security.get(key, pod.security.get(key)) for key in ("runAsUser", "runAsGroup"))
            for mount in container.mounts:
                mode = closed.get(mount.get("name"), 0o777)
                # A user without a group of its own is in root's.
                in_group = mode & 0o040 and (not group or 0 in items(pod.security.get("supplementalGroups")))
                if user and not mode & 0o004 and not in_group:
                    message = f"is for root, and {container.name} runs as {user} without fsGroup"
                    yield pod.finding(f"volumes[{mount.get('name')}]", f"{mode:04o}", message)


def _mode(volume: Body) -> int | None:
    source = next((volume[kind] for kind in ("secret", "projected") if kind in volume), None)
    mode = mapping(source).get("defaultMode")
    return mode if isinstance(mode, int) else None


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

"""Each environment keeps to itself, and production is never the weaker one.

These rules know this project's names, so they leave manifests from elsewhere alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from policy_tests.manifests import CLUSTER_WIDE, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule
from policy_tests.rules.availability import least_replicas
from policy_tests.rules.containers import amounts
from policy_tests.rules.ingress import hosts
from policy_tests.rules.secrets import strings

NAMESPACE = "school-scheduler-{}"
LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of", "environment")
HASH = re.compile(r"-[bcdfghkmt2456789]{10}$")
SOURCE = "this project: four environments in one cluster"


def plain_name(manifest: Manifest) -> tuple[str, str]:
    """(kind, name) without what differs between environments: a generated name's hash, and the namespace's own name."""
    return manifest.kind, "" if manifest.kind == "Namespace" else HASH.sub("", manifest.name)


def pairs(manifests: ManifestSet) -> Iterator[tuple[Pod, Pod]]:
    """Each workload's pods of the environment before, and of this one."""
    if manifests.before:
        here = {plain_name(pod.owner): pod for pod in manifests.pods}
        for pod in manifests.before.pods:
            if plain_name(pod.owner) in here:
                yield pod, here[plain_name(pod.owner)]


@rule(
    "environments-own-namespace",
    "critical",
    why="An object in another namespace, or in none, changes another environment when this one is deployed.",
    fix="set namespace: school-scheduler-ENV in the overlay's kustomization.yaml.",
    source=SOURCE,
    ours=True,
)
def own_namespace(manifests: ManifestSet) -> Iterator[Finding]:
    wanted = NAMESPACE.format(manifests.name)
    for manifest in manifests.manifests:
        actual = manifest.name if manifest.kind == "Namespace" else manifest.namespace
        if actual != wanted and (manifest.kind == "Namespace" or manifest.kind not in CLUSTER_WIDE):
            yield manifest.finding("metadata.namespace", actual, f"is not {wanted}")
        for index, subject in enumerate(map(mapping, items(manifest.body.get("subjects")))):
            if subject.get("namespace", wanted) != wanted:
                yield manifest.finding(f"subjects[{index}].namespace", subject["namespace"], f"is not {wanted}")
    if not manifests.find("Namespace", wanted, ""):
        yield manifests.manifests[0].finding("metadata.namespace", wanted, "the render has no such Namespace")


@rule(
    "environments-labels",
    "medium",
    why="Dashboards, logs and people find an environment's objects by these labels.",
    fix=f"set {', '.join(LABELS)} in a labels: entry of the kustomization.yaml.",
    source="Kubernetes: recommended labels",
    ours=True,
)
def labels(manifests: ManifestSet) -> Iterator[Finding]:
    places = [(manifest, "metadata.labels", manifest.labels) for manifest in manifests.manifests]
    places += [
        (pod.owner, f"{pod.path.removesuffix('spec')}metadata.labels", pod.labels)
        for pod in manifests.pods
        if pod.path != "spec"
    ]
    for manifest, path, found in places:
        for label in LABELS:
            if not found.get(label):
                yield manifest.finding(f"{path}[{label}]", None, "is missing")
        if found.get("environment", manifests.name) != manifests.name:
            yield manifest.finding(f"{path}[environment]", found["environment"], f"is not {manifests.name}")


@rule(
    "environments-keep-apart",
    "critical",
    why="A test environment that names another's namespace or host reads or writes its data.",
    fix="name this environment's own, or use the short name of a Service.",
    source=SOURCE,
    ours=True,
)
def keep_apart(manifests: ManifestSet) -> Iterator[Finding]:
    others = [other for other in manifests.environments.values() if other.name != manifests.name]
    foreign_hosts = {host for other in others for ingress in other.of("Ingress") for host in hosts(ingress) if host}
    # In front of a namespace there may be a Service's name; with a name in front it would be another host.
    names = [rf"(?<![\w-]){re.escape(NAMESPACE.format(other.name))}" for other in others]
    names += [rf"(?<![\w.-]){re.escape(host)}" for host in sorted(foreign_hosts)]
    pattern = re.compile(rf"(?:{'|'.join(names)})(?![\w-])")
    for manifest in manifests.manifests:
        for path, text in strings(manifest):
            if found := pattern.search(text):
                yield manifest.finding(path, text, f"{found[0]} belongs to another environment")


@rule(
    "environments-lose-nothing",
    "medium",
    why="What only the earlier environment has was tested there for nothing.",
    fix="add the object to this overlay or remove it from the one before.",
    source=SOURCE,
    ours=True,
)
def lose_nothing(manifests: ManifestSet) -> Iterator[Finding]:
    if manifests.before:
        here = {plain_name(manifest) for manifest in manifests.manifests}
        for manifest in manifests.before.manifests:
            if plain_name(manifest) not in here:
                yield manifest.finding("metadata.name", manifest.name, f"is in {manifests.before.name}, not here")


@rule(
    "environments-replicas-grow",
    "low",
    why="An environment nearer to production with fewer replicas did not learn what the one before showed.",
    fix="set at least as many replicas as the environment before.",
    source=SOURCE,
    ours=True,
)
def replicas_grow(manifests: ManifestSet) -> Iterator[Finding]:
    for before, here in pairs(manifests):
        assert manifests.before
        earlier, now = least_replicas(manifests.before, before), least_replicas(manifests, here)
        if now < earlier:
            yield here.owner.finding("spec.replicas", now, f"{manifests.before.name} has {earlier}")


@rule(
    "environments-resources-grow",
    "low",
    why="What fitted in the environment before may not fit here.",
    fix="set at least the requests and limits of the environment before.",
    source=SOURCE,
    ours=True,
)
def resources_grow(manifests: ManifestSet) -> Iterator[Finding]:
    for before, here in pairs(manifests):
        earlier = {(each.role, each.name): each for each in before.containers}
        for container in here.containers:
            for bound in ("requests", "limits"):
                past = amounts(earlier.get((container.role, container.name), container), bound)
                for resource, value in amounts(container, bound).items():
                    least = quantity(past.get(resource, 0)) or Decimal(0)
                    if (quantity(value) or Decimal(0)) < least:
                        path = f"resources.{bound}.{resource}"
                        yield container.finding(path, value, f"the environment before has {past[resource]}")


@rule(
    "environments-prod-as-hard",
    "high",
    why="Production guarded less than preproduction is guarded by settings that nobody tested.",
    fix="set the field in base/, for both.",
    source=SOURCE,
    ours=True,
)
def prod_as_hard(manifests: ManifestSet) -> Iterator[Finding]:
    if not manifests.before or manifests.name != "prod":
        return
    for before, here in pairs(manifests):
        for name in ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "hostUsers"):
            if before.spec.get(name) != here.spec.get(name):
                yield here.finding(name, here.spec.get(name), f"preprod has {before.spec.get(name)}")
        earlier = {(each.role, each.name): each for each in before.containers}
        for container in here.containers:
            past = earlier.get((container.role, container.name))
            if past and past.security != container.security:
                yield container.finding("securityContext", container.security, f"preprod has {past.security}")
    past_objects = {plain_name(manifest): manifest for manifest in manifests.before.manifests}
    for manifest in manifests.manifests:
        if past_object := past_objects.get(plain_name(manifest)):
            for path, earlier_value, value in _guards(past_object, manifest):
                if earlier_value != value:
                    yield manifest.finding(path, value, f"preprod has {earlier_value}")


GUARDS = {
    "NetworkPolicy": ("spec.podSelector", "spec.policyTypes", "spec.ingress", "spec.egress"),
    "Role": ("rules",),
    "RoleBinding": ("roleRef",),
    "Service": ("spec.type", "spec.externalIPs", "spec.clusterIP"),
    "ServiceAccount": ("automountServiceAccountToken",),
    "PodDisruptionBudget": ("spec.maxUnavailable", "spec.minAvailable"),
    "StatefulSet": ("spec.persistentVolumeClaimRetentionPolicy",),
}


def _guards(before: Manifest, here: Manifest) -> Iterator[tuple[str, Any, Any]]:
    for path in GUARDS.get(here.kind, ()):
        yield path, dig(before.body, path), dig(here.body, path)
    if here.kind == "Namespace":
        prefix = "pod-security.kubernetes.io/"
        for key in {key for key in (*before.labels, *here.labels) if key.startswith(prefix)}:
            yield f"metadata.labels[{key}]", before.labels.get(key), here.labels.get(key)


@rule(
    "environments-config-reaches-pods",
    "medium",
    why="Pods keep the old settings when a ConfigMap changes under the same name, and a rollback brings nothing back.",
    fix="make the ConfigMap with configMapGenerator and leave its hash suffix on.",
    source="kustomize: configMapGenerator; argo-rollouts #2669",
    ours=True,
)
def config_reaches_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for config in manifests.of("ConfigMap"):
        if not HASH.search(config.name):
            yield config.finding("metadata.name", config.name, "has no hash suffix")


@rule(
    "environments-no-debug",
    "high",
    why="Debug output shows personal data, and a server that reloads its code is not the one that was tested.",
    fix="remove the setting from preprod and prod.",
    source="OWASP: security misconfiguration",
    ours=True,
)
def no_debug(manifests: ManifestSet) -> Iterator[Finding]:
    if manifests.name not in ("preprod", "prod"):
        return
    for container in manifests.containers:
        if "--reload" in (words := [*items(container.body.get("command")), *items(container.body.get("args"))]):
            yield container.finding("args", words, "reloads code")
    settings = [(config, "data", mapping(config.body.get("data"))) for config in manifests.of("ConfigMap")]
    for container in manifests.containers:
        entries = {str(mapping(e).get("name")): mapping(e).get("value") for e in items(container.body.get("env"))}
        settings.append((container.pod.owner, f"{container.path}.env", entries))
    for manifest, path, values in settings:
        for key in ("LOG_LEVEL", "DEBUG"):
            if str(values.get(key, "")).lower() in ("debug", "true", "1"):
                yield manifest.finding(f"{path}.{key}", values[key], "is for development")

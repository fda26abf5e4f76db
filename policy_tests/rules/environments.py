"""Each environment keeps to itself, and production is never the weaker one.

These rules know this project's names, so they leave manifests from elsewhere alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

from policy_tests.environment import Environment
from policy_tests.manifests import CLUSTER_WIDE, Finding, Manifest, ManifestSet, Pod, items, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule
from policy_tests.rules.availability import least_replicas
from policy_tests.rules.containers import amounts
from policy_tests.rules.images import parts
from policy_tests.rules.ingress import hosts

LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of", "environment")
DEBUG = re.compile(
    r"(?i)(?:\w+_)?DEBUG(?:_MODE)?=(?:true|1|yes|on)|(?:\w+_)?LOG_?LEVEL=(?:debug|trace)"
    r"|(?:FLASK|NODE|APP|RAILS|RACK|DJANGO)_ENV=dev(?:elopment)?"
)
TESTING = ("dev", "test", "staging", "sandbox", "homolog")
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
    wanted = _namespace(manifests)
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
    per_object=True,
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
    per_object=True,
)
def keep_apart(manifests: ManifestSet) -> Iterator[Finding]:
    others = [other for other in manifests.environments.values() if other.name != manifests.name]
    foreign_hosts = {host for other in others for ingress in other.of("Ingress") for host in hosts(ingress) if host}
    # In front of a namespace there may be a Service's name; with a name in front it would be another host.
    names = [rf"(?<![\w-]){re.escape(_namespace(other))}" for other in others]
    names += [rf"(?<![\w.-]){re.escape(host)}" for host in sorted(foreign_hosts)]
    pattern = re.compile(rf"(?:{'|'.join(names)})(?![\w-])")
    plain = [*map(_namespace, others), *foreign_hosts]
    for manifest in manifests.manifests:
        for path, text in manifest.strings if any(name in manifest.text for name in plain) else ():
            if found := pattern.search(text):
                yield manifest.finding(path, text, f"{found[0]} belongs to another environment")
        # Where a secret store keeps an environment's secrets: `school-scheduler/prod/database`.
        for path, text in manifest.strings if manifest.custom_group else ():
            if "/" in text and (found_names := {other.name for other in others} & set(text.split("/"))):
                yield manifest.finding(path, text, f"{found_names.pop()} is another environment")


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
    per_object=True,
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


# Fields that may differ between an environment and the one before it, as KIND PATH. Whatever guards is not among them.
MAY_DIFFER = re.compile(
    r"\w+ metadata\.annotations.*|(Deployment|StatefulSet) spec\.replicas"
    r"|\w+ .*ontainers\[[^]]+\]\.(image|resources\..*|env\[IMAGE\]\.value)"
    r"|\w+ .*resources\.requests\.storage"
    r"|Ingress spec\.(rules\[0\]\.host|tls.*|ingressClassName)"
    r"|(ConfigMap|Secret) (data|stringData).*"
    r"|ResourceQuota spec\.hard.*|LimitRange spec\.limits.*"
    r"|HorizontalPodAutoscaler spec\.(minReplicas|maxReplicas)"
    r"|CronJob spec\.(schedule|suspend)"
    r"|SealedSecret spec\.encryptedData.*|ExternalSecret spec\..*remoteRef\.key"
)


@rule(
    "environments-differ-as-allowed",
    "high",
    why="What differs between environments beyond size, names and settings was not tried by the environment before.",
    fix="make the change in base/, for all, or add the field to MAY_DIFFER with a reason.",
    source=SOURCE,
    ours=True,
    per_object=True,
)
def differ_as_allowed(manifests: ManifestSet) -> Iterator[Finding]:
    if not manifests.before:
        return
    earlier = {plain_name(manifest): manifest for manifest in manifests.before.manifests}
    for manifest in manifests.manifests:
        past = earlier.get(plain_name(manifest))
        if past is None:
            continue
        was, now = comparable(past, manifests.before.environment), comparable(manifest, manifests.environment)
        for path in was.keys() | now.keys():
            if was.get(path) != now.get(path) and not _may_differ(manifest.kind, path):
                yield manifest.finding(path, now.get(path), f"{manifests.before.name} has {json.dumps(was.get(path))}")


# An object of these kinds opens something.
OPENING = ("NetworkPolicy", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Service", "Ingress")


@rule(
    "environments-open-nothing-new",
    "high",
    why="What is opened in production alone was tried by nobody.",
    fix="add the object to base/, for all, or to the environment before.",
    source=SOURCE,
    ours=True,
    where_required=True,
)
def open_nothing_new(manifests: ManifestSet) -> Iterator[Finding]:
    if manifests.before:
        earlier = {plain_name(manifest) for manifest in manifests.before.manifests}
        for manifest in manifests.of(*OPENING):
            if plain_name(manifest) not in earlier:
                yield manifest.finding("metadata.name", manifest.name, f"is not in {manifests.before.name}")


@lru_cache(maxsize=1024)
def comparable(manifest: Manifest, environment: Environment | None) -> dict[str, object]:
    """The object's leaves without its environment's label and namespace, and without generated names' hashes."""
    name, namespace = (environment.name, environment.namespace) if environment else ("", "")
    return {
        path: _plain(value, namespace) if isinstance(value, str) else value
        for path, value in manifest.leaves
        if value != name or not path.endswith("labels.environment")
    }


def _plain(text: str, namespace: str) -> str:
    return HASH.sub("", text.replace(namespace, "NAMESPACE") if namespace else text)


def _namespace(manifests: ManifestSet) -> str:
    assert manifests.environment
    return manifests.environment.namespace


@lru_cache(maxsize=4096)
def _may_differ(kind: str, path: str) -> bool:
    return bool(MAY_DIFFER.fullmatch(f"{kind} {path}"))


@rule(
    "environments-promoted-digest",
    "critical",
    why="An image that preprod never ran passed no test that production relies on.",
    fix="copy overlays/preprod/version/ to overlays/prod/version/; in CI fetch the whole history (fetch-depth: 0).",
    source="this project: promotion copies a digest; kyverno ensure-production-matches-staging",
    ours=True,
    where_required=True,
    per_object=True,
)
def promoted_digest(manifests: ManifestSet) -> Iterator[Finding]:
    if not manifests.before:
        return
    ran = manifests.before.released | {parts(each.body.get("image"))[2] for each in manifests.before.containers}
    for container in manifests.containers:
        image = container.body.get("image")
        if parts(image)[2] not in ran:
            yield container.finding("image", image, f"{manifests.before.name} never had this digest")


@rule(
    "environments-config-reaches-pods",
    "medium",
    why="Pods keep the old settings when a ConfigMap changes under the same name, and a rollback brings nothing back.",
    fix="make the ConfigMap with configMapGenerator and leave its hash suffix on.",
    source="kustomize: configMapGenerator; argo-rollouts #2669",
    ours=True,
    per_object=True,
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
    where_required=True,
    per_object=True,
)
def no_debug(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        words = [*items(container.body.get("command")), *items(container.body.get("args"))]
        if {"--reload", "--debug", "--inspect"} & set(map(str, words)):
            yield container.finding("args", words, "is for development")
    settings = [(config, "data", mapping(config.body.get("data"))) for config in manifests.of("ConfigMap")]
    for container in manifests.containers:
        entries = {str(mapping(e).get("name")): mapping(e).get("value") for e in items(container.body.get("env"))}
        settings.append((container.pod.owner, f"{container.path}.env", entries))
    for manifest, path, values in settings:
        testing = any(word in f"{manifest.namespace} {manifest.labels}" for word in TESTING)
        for key, value in values.items():
            if DEBUG.fullmatch(f"{key}={value}") and (manifests.is_environment or not testing):
                yield manifest.finding(f"{path}.{key}", value, "is for development")

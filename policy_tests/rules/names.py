"""Names, labels and namespaces that the API server takes and that people find."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

from policy_tests.manifests import CLUSTER_WIDE, Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.rule import rule

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# RFC 1035: the name of a Service begins with a letter.
SERVICE = re.compile(r"(?=.{1,63}$)[a-z]([-a-z0-9]*[a-z0-9])?")
VALUE = re.compile(r"|(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
# The controller adds the time of the run, and a Job's name has at most 63 characters.
CRON_JOB = re.compile(rf"(?=.{{1,52}}$){SUBDOMAIN.pattern}")
JOB = re.compile(rf"(?=.{{1,63}}$){SUBDOMAIN.pattern}")
PORT = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
PATTERNS = {"CronJob": CRON_JOB, "Job": JOB, "Namespace": LABEL, "Service": SERVICE, "StatefulSet": LABEL}
PATHLIKE = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
RECOMMENDED = re.compile(
    r"app\.kubernetes\.io/(name|instance|component|part-of|managed-by|version)|app|environment|env|tier"
)
OWNER = re.compile(r"(?i).*\b(owner|team|contact|maintainer|email|cost-?cent(er|re))s?")
# Labels that have one value in a set that is deployed together.
SHARED = ("app.kubernetes.io/part-of", "app.kubernetes.io/environment", "environment", "env")


@rule(
    "names-valid",
    "medium",
    why="The API server refuses names, labels and ports beyond the characters and the length of DNS.",
    fix="use lower-case letters, digits and hyphens, at most 63 of them, 15 for the name of a port.",
    source="Kubernetes: object names, labels; RFC 1123; kube-score label-values; kube-linter invalid-target-ports",
)
def valid(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        pattern = PATTERNS.get(manifest.type, SUBDOMAIN)
        name = manifest.name if "name" in manifest.body["metadata"] else manifest.name.rstrip("-")
        if manifest.kind not in PATHLIKE and not pattern.fullmatch(name):
            length = {CRON_JOB: " of at most 52 characters", JOB: " of at most 63 characters"}.get(pattern, "")
            yield manifest.finding("metadata.name", name, f"is no DNS name{length}")
        yield from _labels(manifest, "metadata.labels", manifest.labels)
    for pod in manifests.pods:
        if pod.path != "spec":
            yield from _labels(pod.owner, f"{pod.path.removesuffix('spec')}metadata.labels", pod.labels)
    for container in manifests.containers:
        if not LABEL.fullmatch(container.name):
            yield container.finding("name", container.name, "is no DNS label")
        for port in container.ports:
            if "name" in port and not PORT.fullmatch(str(port["name"])):
                yield container.finding(f"ports[{port['name']}].name", port["name"], "is no name of a port")
            if not _number(port.get("containerPort")):
                yield container.finding("ports", port, "has no number between 1 and 65535")
    listed = [(container, port) for container in manifests.containers for port in container.ports]
    for container, port in manifests.lacking(listed, lambda each: each[1].get("name"), always=False):
        yield container.finding("ports", port, "has no name, where the other ports have one")
    for service in manifests.of("Service"):
        ports = [mapping(port) for port in items(service.spec.get("ports"))]
        for port in ports:
            if not _number(port.get("port")) or (len(ports) > 1 and not LABEL.fullmatch(str(port.get("name", "")))):
                yield service.finding("spec.ports", port, "has no name, or no number between 1 and 65535")


def _number(port: object) -> bool:
    return isinstance(port, int) and 0 < port < 65536


def _labels(manifest: Manifest, path: str, labels: dict[str, str]) -> Iterator[Finding]:
    for key, value in labels.items():
        if not KEY.fullmatch(str(key)) or not (isinstance(value, str) and VALUE.fullmatch(value)):
            yield manifest.finding(f"{path}[{key}]", value, "is no label")


@rule(
    "names-namespace",
    "medium",
    why="What has no namespace, or lands in default, lies beside everybody else's and outside every quota and policy.",
    fix="set metadata.namespace to a namespace of your own.",
    source="CIS 5.7.4; checkov CKV_K8S_21; 7 of 13 checkers",
)
def namespace(manifests: ManifestSet) -> Iterator[Finding]:
    places = [each for each in manifests.manifests if each.kind not in CLUSTER_WIDE and not each.custom_group]
    stated = [each.body["metadata"].get("namespace") for each in places]
    for manifest, name in zip(places, stated, strict=True):
        # A set without any namespace is meant for `kubectl apply --namespace`.
        if name == "default" or (name is None and any(stated)):
            yield manifest.finding("metadata.namespace", name, "is no namespace of its own")


@rule(
    "names-labels",
    "low",
    why="Dashboards, selectors and people miss the one object that lacks the label or the owner that all others have.",
    fix="set the label or annotation as on the other workloads.",
    source="Kubernetes: recommended labels; kube-linter required-label-owner; 6 of 13 checkers",
)
def labels(manifests: ManifestSet) -> Iterator[Finding]:
    owners = list(dict.fromkeys(pod.owner for pod in manifests.pods))
    for field in ("labels", "annotations"):
        found = Counter(str(key) for owner in owners for key in mapping(dig(owner.body, f"metadata.{field}")))
        for key in sorted(key for key, count in found.items() if count < len(owners)):
            if OWNER.fullmatch(key) or (field == "labels" and RECOMMENDED.fullmatch(key)):
                for owner in manifests.lacking(owners, _carries(field, key), always=False):
                    path = f"metadata.{field}[{key}]"
                    yield owner.finding(path, None, "is missing, where the other workloads have it")
    for key in SHARED:
        yield from _strays(manifests, key)


def _carries(field: str, key: str) -> Callable[[Manifest], object]:
    return lambda manifest: mapping(dig(manifest.body, f"metadata.{field}")).get(key)


def _strays(manifests: ManifestSet, key: str) -> Iterator[Finding]:
    """The one object whose label is not the one that all the others have."""
    labelled = [each for each in manifests.manifests if key in each.labels]
    counts = Counter(str(each.labels[key]) for each in labelled)
    if len(labelled) > 3 and len(counts) == 2 and 1 in counts.values():
        stray = next(each for each in labelled if counts[str(each.labels[key])] == 1)
        usual = next(value for value in counts if value != stray.labels[key])
        yield stray.finding(f"metadata.labels[{key}]", stray.labels[key], f"is {usual} everywhere else")

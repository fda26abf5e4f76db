"""Kubernetes manifests as rules see them: parsed once, indexed, with the lookups that rules share."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

Body = dict[str, Any]

LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
TEMPLATES = {
    "Pod": "",
    "CronJob": "spec.jobTemplate.spec.template",
    **dict.fromkeys((*LONG_RUNNING, "Job", "ReplicationController"), "spec.template"),
}
CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")
CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass", "PriorityClass")


class ManifestError(ValueError):
    """Input that cannot be checked; the text is `SOURCE:LINE: what is wrong; remedy`."""


def mapping(value: object) -> Body:
    """The value if it is a mapping, or else an empty one: wrong types are for the schema check to report."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value if it is a list, or else an empty one."""
    return value if isinstance(value, list) else []


def dig(body: object, path: str) -> Any:
    """What stands at a dotted path of plain keys (`spec.template`), None if nothing does."""
    for key in filter(None, path.split(".")):
        body = mapping(body).get(key)
    return body


def join(*parts: str) -> str:
    return ".".join(filter(None, parts))


def matches(selector: Body, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) selects the labels; an empty one selects everything."""
    if any(labels.get(key) != value for key, value in mapping(selector.get("matchLabels")).items()):
        return False
    for expression in items(selector.get("matchExpressions")):
        present = labels.get(expression.get("key"))
        met = {
            "In": present in items(expression.get("values")),
            "NotIn": present not in items(expression.get("values")),
            "Exists": present is not None,
            "DoesNotExist": present is None,
        }
        if not met.get(expression.get("operator"), False):
            return False
    return True


@dataclass(frozen=True, eq=False)
class Finding:
    """One place that breaks a rule: the path inside the object, the value seen there, and what is wrong with it."""

    manifest: Manifest
    path: str
    value: object
    message: str


@dataclass(frozen=True, eq=False)
class Manifest:
    """One Kubernetes object."""

    body: Body = field(repr=False)

    @cached_property
    def kind(self) -> str:
        return str(self.body["kind"])

    @cached_property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @cached_property
    def namespace(self) -> str:
        """The namespace; empty for a kind that belongs to the whole cluster."""
        return "" if self.kind in CLUSTER_WIDE else str(self.body["metadata"].get("namespace") or "default")

    @cached_property
    def labels(self) -> dict[str, str]:
        return mapping(self.body["metadata"].get("labels"))

    @cached_property
    def annotations(self) -> dict[str, str]:
        return mapping(self.body["metadata"].get("annotations"))

    @property
    def spec(self) -> Body:
        return mapping(self.body.get("spec"))

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def finding(self, path: str, value: object, message: str) -> Finding:
        return Finding(self, path, value, message)


@dataclass(frozen=True, eq=False)
class Container:
    """A container of any role inside a pod."""

    pod: Pod
    role: str
    body: Body = field(repr=False)

    @property
    def name(self) -> str:
        return str(self.body.get("name"))

    @property
    def path(self) -> str:
        return join(self.pod.path, f"{self.role}[{self.name}]")

    @property
    def long_running(self) -> bool:
        return self.pod.owner.kind in LONG_RUNNING and self.role == "containers"

    @property
    def security(self) -> Body:
        return mapping(self.body.get("securityContext"))

    @property
    def ports(self) -> list[Body]:
        return [mapping(port) for port in items(self.body.get("ports"))]

    def finding(self, path: str, value: object, message: str) -> Finding:
        return self.pod.owner.finding(join(self.path, path), value, message)


@dataclass(frozen=True, eq=False)
class Pod:
    """The pods that one object asks for, whatever kind of workload it is."""

    owner: Manifest
    path: str
    spec: Body = field(repr=False)
    labels: dict[str, str]

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        return tuple(
            Container(self, role, mapping(body)) for role in CONTAINER_FIELDS for body in items(self.spec.get(role))
        )

    @property
    def replicas(self) -> int:
        value = self.owner.spec.get("replicas", 1)
        return value if isinstance(value, int) else 1

    @property
    def security(self) -> Body:
        return mapping(self.spec.get("securityContext"))

    @property
    def volumes(self) -> list[Body]:
        return [mapping(volume) for volume in items(self.spec.get("volumes"))]

    def port(self, wanted: object, protocol: str = "TCP") -> Body | None:
        """The container port with that name or number."""
        for container in self.containers:
            for port in container.ports:
                same = wanted in (port.get("containerPort"), port.get("name")) and wanted is not None
                if same and port.get("protocol", "TCP") == protocol:
                    return port
        return None

    def finding(self, path: str, value: object, message: str) -> Finding:
        return self.owner.finding(join(self.path, path), value, message)


@dataclass(frozen=True, eq=False)
class ManifestSet:
    """Everything that is applied together.

    `environments` holds the rendered overlays in the order of promotion, this one included; it is empty for manifests
    from elsewhere. `declared` holds objects that people make by hand, such as the example of a Secret.
    """

    name: str
    manifests: tuple[Manifest, ...]
    environments: Mapping[str, ManifestSet] = field(default_factory=dict, repr=False)
    declared: tuple[Manifest, ...] = ()

    @property
    def is_environment(self) -> bool:
        return self.name in self.environments

    @property
    def before(self) -> ManifestSet | None:
        """The environment before this one on the road to production."""
        names = list(self.environments)
        position = names.index(self.name) if self.is_environment else 0
        return self.environments[names[position - 1]] if position else None

    @cached_property
    def _by_kind(self) -> dict[str, list[Manifest]]:
        kinds: dict[str, list[Manifest]] = {}
        for manifest in self.manifests:
            kinds.setdefault(manifest.kind, []).append(manifest)
        return kinds

    @cached_property
    def _by_identity(self) -> dict[tuple[str, str, str], Manifest]:
        return {(each.kind, each.namespace, each.name): each for each in (*self.declared, *self.manifests)}

    def of(self, *kinds: str) -> list[Manifest]:
        return [manifest for kind in kinds for manifest in self._by_kind.get(kind, ())]

    def find(self, kind: str, name: object, namespace: str) -> Manifest | None:
        return self._by_identity.get((kind, namespace, str(name)))

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return tuple(_pods(self.of(*TEMPLATES)))

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        return tuple(container for pod in self.pods for container in pod.containers)

    def select(self, selector: object, namespace: str) -> list[Pod]:
        """The pods of the namespace that a label selector selects."""
        chosen = mapping(selector)
        return [pod for pod in self.pods if pod.owner.namespace == namespace and matches(chosen, pod.labels)]

    def behind(self, service: Manifest) -> list[Pod]:
        """The pods that a Service sends to; none for a Service without a selector."""
        selector = mapping(service.spec.get("selector"))
        return self.select({"matchLabels": selector}, service.namespace) if selector else []


def _pods(owners: list[Manifest]) -> Iterator[Pod]:
    for owner in owners:
        template = mapping(dig(owner.body, TEMPLATES[owner.kind]))
        labels = mapping(dig(template, "metadata.labels"))
        yield Pod(owner, join(TEMPLATES[owner.kind], "spec"), mapping(template.get("spec")), labels)


class _Loader(yaml.CSafeLoader):
    """PyYAML's C loader, which refuses a key given twice and leaves dates as text, as Kubernetes does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
# A bare `=` is a type of its own in YAML 1.1, text for Kubernetes (https://github.com/yaml/pyyaml/issues/89).
_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def read_yaml(text: str, source: str) -> list[Any]:
    """The documents of a YAML text without the empty ones; raises ManifestError."""
    try:
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        template = "; render it first, as this looks like a template" if re.search(r"\{\{.*\}\}", text) else ""
        raise ManifestError(f"{source}:{line}: not valid YAML: {error.problem}{template}") from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{source}:1: not valid YAML: {error}") from None


def read_manifests(text: str, source: str) -> tuple[Manifest, ...]:
    """The Kubernetes objects of a multi-document YAML text, Lists taken apart; raises ManifestError."""
    found: list[Manifest] = []
    pending = read_yaml(text, source)
    while pending:
        body = pending.pop(0)
        if str(mapping(body).get("kind", "")).endswith("List") and "items" in body:
            pending[:0] = items(body["items"])
            continue
        position = f"{source}: object {len(found) + 1}"
        if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in ("apiVersion", "kind")):
            raise ManifestError(f"{position} is no Kubernetes object; give it apiVersion, kind and metadata.name")
        if not isinstance(dig(body, "metadata.name"), str):
            raise ManifestError(f"{position} ({body['kind']}) has no name; give it metadata.name")
        found.append(Manifest(body))
    if not found:
        raise ManifestError(f"{source}: nothing to check; give it rendered Kubernetes manifests")
    return tuple(found)

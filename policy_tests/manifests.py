"""Kubernetes manifests as rules see them: parsed once, indexed, with the lookups that rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from policy_tests.environment import Environment

Body = dict[str, Any]
Place = TypeVar("Place")

LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
TEMPLATES = {
    "Pod": "",
    "CronJob": "spec.jobTemplate.spec.template",
    **dict.fromkeys((*LONG_RUNNING, "Job", "ReplicationController"), "spec.template"),
}
CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")
# The oldest version that the project is tried on (docs/cluster.md), and the newest that kubernetes-validate knows.
KUBERNETES = ("1.34", "1.37")
BUILT_IN_GROUPS = frozenset(
    re.findall(
        r"\S+|^",
        """admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io apps authentication.k8s.io
        authorization.k8s.io autoscaling batch certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io
        extensions flowcontrol.apiserver.k8s.io networking.k8s.io node.k8s.io policy rbac.authorization.k8s.io
        resource.k8s.io scheduling.k8s.io storage.k8s.io storagemigration.k8s.io""",
    )
)
CLUSTER_WIDE = frozenset(
    re.findall(
        r"\w+",
        """APIService CSIDriver CSINode CertificateSigningRequest ClusterRole ClusterRoleBinding ClusterTrustBundle
        ComponentStatus CustomResourceDefinition DeviceClass FlowSchema IPAddress IngressClass MutatingAdmissionPolicy
        MutatingAdmissionPolicyBinding MutatingWebhookConfiguration Namespace Node PersistentVolume PodSecurityPolicy
        PriorityClass PriorityLevelConfiguration ResourceSlice RuntimeClass ServiceCIDR StorageClass
        StorageVersionMigration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
        ValidatingWebhookConfiguration VolumeAttachment VolumeAttributesClass""",
    )
)

# What a StatefulSet's controller writes on each of its pods.
POD_NAME = "statefulset.kubernetes.io/pod-name"


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
    for key in _keys(path):
        body = mapping(body).get(key)
    return body


@cache
def _keys(path: str) -> tuple[str, ...]:
    return tuple(filter(None, path.split(".")))


def join(*parts: str) -> str:
    return ".".join(filter(None, parts))


def matches(selector: Body, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) selects the labels; an empty one selects everything."""
    if any(labels.get(key) != value for key, value in mapping(selector.get("matchLabels")).items()):
        return False
    for expression in map(mapping, items(selector.get("matchExpressions"))):
        present = labels.get(str(expression.get("key")))
        met = {
            "In": present in items(expression.get("values")),
            "NotIn": present not in items(expression.get("values")),
            "Exists": present is not None,
            "DoesNotExist": present is None,
        }
        if not met.get(str(expression.get("operator")), False):
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
    """One Kubernetes object, and where it was read: a file, and the line on which the object begins."""

    body: Body = field(repr=False)
    source: str = ""
    line: int = 1

    @cached_property
    def kind(self) -> str:
        return str(self.body["kind"])

    @cached_property
    def custom_group(self) -> str:
        """The API group of a custom resource; empty for Kubernetes' own kinds, misspelt ones included."""
        group = str(self.body["apiVersion"]).rpartition("/")[0]
        return group if "." in group and group not in BUILT_IN_GROUPS else ""

    @cached_property
    def type(self) -> str:
        """The kind, with the group behind it for a custom resource: `Service`, but `Service.serving.knative.dev`."""
        return f"{self.kind}.{self.custom_group}".rstrip(".")

    @cached_property
    def name(self) -> str:
        return str(self.body["metadata"].get("name") or self.body["metadata"].get("generateName"))

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

    @cached_property
    def spec(self) -> Body:
        return mapping(self.body.get("spec"))

    @cached_property
    def leaves(self) -> tuple[tuple[str, object], ...]:
        """(path, value) of everything in the object that holds nothing more."""
        return tuple(_leaves(self.body))

    @property
    def strings(self) -> Iterator[tuple[str, str]]:
        """(path, text) of every string in the object."""
        return ((path, value) for path, value in self.leaves if isinstance(value, str))

    @cached_property
    def text(self) -> str:
        """Every string in the object, for a search that seldom finds anything."""
        return "\n".join(text for _, text in self.strings)

    @cached_property
    def pod(self) -> Pod:
        """The pods that a workload asks for."""
        template = mapping(dig(self.body, TEMPLATES[self.kind]))
        metadata = mapping(template.get("metadata"))
        labels, annotations = mapping(metadata.get("labels")), mapping(metadata.get("annotations"))
        return Pod(self, join(TEMPLATES[self.kind], "spec"), mapping(template.get("spec")), labels, annotations)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def finding(self, path: str, value: object, message: str) -> Finding:
        return Finding(self, path, value, message)


def _leaves(body: Body) -> Iterator[tuple[str, object]]:
    pending: list[tuple[str, object]] = [("", body)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict) and value:
            keys = [(key if isinstance(key, str) and "." not in key else None, key) for key in value]
            pending += [(join(path, plain) if plain else f"{path}[{key}]", value[key]) for plain, key in reversed(keys)]
        elif isinstance(value, list) and value:
            names = [mapping(child).get("name", index) for index, child in enumerate(value)]
            names = names if len(set(map(str, names))) == len(names) else list(range(len(value)))
            pending += [(f"{path}[{name}]", child) for name, child in zip(names[::-1], value[::-1], strict=True)]
        else:
            yield path, value


@dataclass(frozen=True, eq=False)
class Container:
    """A container of any role inside a pod."""

    pod: Pod
    role: str
    body: Body = field(repr=False)

    @cached_property
    def name(self) -> str:
        return str(self.body.get("name"))

    @cached_property
    def path(self) -> str:
        return join(self.pod.path, f"{self.role}[{self.name}]")

    @cached_property
    def long_running(self) -> bool:
        return self.pod.owner.kind in LONG_RUNNING and self.role == "containers"

    @property
    def sidecar(self) -> bool:
        """Whether it is an init container that goes on running beside the others."""
        return self.role == "initContainers" and self.body.get("restartPolicy") == "Always"

    @cached_property
    def security(self) -> Body:
        return mapping(self.body.get("securityContext"))

    @cached_property
    def ports(self) -> list[Body]:
        return [mapping(port) for port in items(self.body.get("ports"))]

    @cached_property
    def mounts(self) -> list[Body]:
        return [mapping(mount) for mount in items(self.body.get("volumeMounts"))]

    def finding(self, path: str, value: object, message: str) -> Finding:
        return self.pod.owner.finding(join(self.path, path), value, message)


@dataclass(frozen=True, eq=False)
class Pod:
    """The pods that one object asks for, whatever kind of workload it is."""

    owner: Manifest
    path: str
    spec: Body = field(repr=False)
    labels: dict[str, str]
    annotations: dict[str, str]

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        return tuple(
            Container(self, role, mapping(body)) for role in CONTAINER_FIELDS for body in items(self.spec.get(role))
        )

    @cached_property
    def replicas(self) -> int:
        value = self.owner.spec.get("replicas", 1)
        return value if isinstance(value, int) else 1

    @cached_property
    def security(self) -> Body:
        return mapping(self.spec.get("securityContext"))

    @cached_property
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

    `environment` is the one that the set is the render of, None for manifests from elsewhere. `environments` holds all
    rendered overlays in the order of promotion, this one included. `declared` holds objects that people make by hand,
    such as the example of a Secret. `released` holds the image digests that the environment runs or ever ran.
    `kubernetes` holds the versions that must accept the set.
    """

    name: str
    manifests: tuple[Manifest, ...]
    environment: Environment | None = field(default=None, repr=False)
    environments: Mapping[str, ManifestSet] = field(default_factory=dict, repr=False)
    declared: tuple[Manifest, ...] = ()
    released: frozenset[str] = frozenset()
    kubernetes: tuple[str, ...] = KUBERNETES

    @property
    def is_environment(self) -> bool:
        return self.environment is not None

    @property
    def before(self) -> ManifestSet | None:
        """The environment before this one on the road to production."""
        names = list(self.environments)
        position = names.index(self.name) if self.name in self.environments else 0
        return self.environments[names[position - 1]] if position else None

    @cached_property
    def _by_kind(self) -> dict[str, list[Manifest]]:
        kinds: dict[str, list[Manifest]] = {}
        for manifest in self.manifests:
            kinds.setdefault(manifest.type, []).append(manifest)
        return kinds

    @cached_property
    def _by_identity(self) -> dict[tuple[str, str, str], Manifest]:
        return {(each.type, each.namespace, each.name): each for each in (*self.declared, *self.manifests)}

    def of(self, *kinds: str) -> list[Manifest]:
        return [manifest for kind in kinds for manifest in self._by_kind.get(kind, ())]

    def find(self, kind: str, name: object, namespace: str) -> Manifest | None:
        return self._by_identity.get((kind, namespace, str(name)))

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return tuple(manifest.pod for manifest in self.of(*TEMPLATES))

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        return tuple(container for pod in self.pods for container in pod.containers)

    @cached_property
    def _selected(self) -> dict[tuple[int, str], list[Pod]]:
        return {}

    def select(self, selector: object, namespace: str) -> list[Pod]:
        """The pods of the namespace that a label selector selects; the selector is one that stands in the set."""
        # Many rules ask for the same selectors, which live, at their addresses, as long as the set does.
        key = (id(selector), namespace)
        if key not in self._selected:
            chosen = mapping(selector)
            here = [pod for pod in self.pods if pod.owner.namespace == namespace]
            self._selected[key] = [pod for pod in here if matches(chosen, pod.labels)]
        return self._selected[key]

    def behind(self, service: Manifest) -> list[Pod]:
        """The pods that a Service sends to; none for a Service without a selector."""
        return self._behind.get(service, [])

    @cached_property
    def _behind(self) -> dict[Manifest, list[Pod]]:
        return {
            service: [pod for pod in self.pods if pod.owner.namespace == service.namespace and _chosen(selector, pod)]
            for service in self.of("Service")
            if (selector := mapping(service.spec.get("selector")))
        }

    @cached_property
    def served(self) -> tuple[Pod, ...]:
        """The pods behind any Service that asks whether they are ready; one that lists them all is for no users."""
        services = [each for each in self.of("Service") if not each.spec.get("publishNotReadyAddresses")]
        chosen = {id(pod): pod for service in services for pod in self.behind(service)}
        return tuple(chosen.values())

    def lacking(
        self, places: Iterable[Place], has: Callable[[Place], object], *, always: bool | None = None
    ) -> list[Place]:
        """The places without something that is a matter of custom.

        This project's own manifests always keep the custom, unless `always` says otherwise. Manifests from elsewhere
        keep it when they themselves mostly do: at least two places have it, and at most half as many lack it.
        """
        known = list(places)
        without = [place for place in known if not has(place)]
        kept = len(known) - len(without) >= max(2, 2 * len(without))
        return without if (self.is_environment if always is None else always) or kept else []


def _chosen(selector: Body, pod: Pod) -> bool:
    """Whether a Service's selector selects the pod, or one of a StatefulSet's by name."""
    labels = {key: value for key, value in selector.items() if key != POD_NAME}
    if POD_NAME in selector:
        one = pod.owner.kind == "StatefulSet" and str(selector[POD_NAME]).rpartition("-")[0] == pod.owner.name
        return one and matches({"matchLabels": labels}, pod.labels)
    return matches({"matchLabels": labels}, pod.labels)

"""Every Service, and every host name in a setting, leads to something that answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import (
    POD_NAME,
    Body,
    Finding,
    Manifest,
    ManifestSet,
    Pod,
    dig,
    items,
    mapping,
)
from policy_tests.operators import made_elsewhere, named_elsewhere
from policy_tests.policies import permits, port_number
from policy_tests.rule import rule
from policy_tests.rules.network import backends

# Settings that hold the name of a host, or a URL.
HOST_SETTING = re.compile(r"(?P<of>.*_|PG|DB|)(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS|ENDPOINT|URL|URI|DSN)")
# Fields of a Service's spec, and the types that have them.
OUTSIDE_FIELDS = {
    "allocateLoadBalancerNodePorts": ("LoadBalancer",),
    "externalTrafficPolicy": ("LoadBalancer", "NodePort"),
    "healthCheckNodePort": ("LoadBalancer",),
    "loadBalancerClass": ("LoadBalancer",),
    "loadBalancerSourceRanges": ("LoadBalancer",),
}
# The API server's own.
BUILT_IN = ("kubernetes", "default")
LOCAL = re.compile(r"(?i)localhost|host|ip6-.*|.*[$%{<].*|[\d.:\[\]]*")
AUTHORITY = re.compile(r"(?:[\w+.-]+://)?(?:[^@/]*@)?(?P<host>[A-Za-z0-9][\w.-]*)(?::(?P<port>\d+))?(?:[/?].*)?")

# The pods that use a ConfigMap, by the key that they take.
Users = dict[str, list[Pod]]
ALL = ""


@rule(
    "references-ingress-backend",
    "high",
    why="An Ingress to a Service or a port that does not exist answers 503.",
    fix="name an existing Service and one of its ports.",
    source="kube-linter dangling-ingress; kube-score ingress-targets-service",
)
def ingress_backend(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        for index, body in enumerate(items(ingress.spec.get("rules"))):
            if not dig(body, "http.paths") and "defaultBackend" not in ingress.spec:
                yield ingress.finding(f"spec.rules[{index}]", body, "leads to no Service")
        for path, backend in backends(ingress):
            # An action of the AWS load balancer stands where a Service would.
            if dig(backend, "port.name") == "use-annotation":
                continue
            service = manifests.find("Service", backend.get("name"), ingress.namespace)
            if service is None:
                yield ingress.finding(f"{path}.name", backend.get("name"), "there is no such Service")
                continue
            ports = [mapping(port) for port in items(service.spec.get("ports"))]
            wanted = mapping(backend.get("port"))
            if not any(
                port.get(mine) == wanted[theirs]
                for port in ports
                for theirs, mine in (("name", "name"), ("number", "port"))
                if theirs in wanted
            ):
                yield ingress.finding(f"{path}.port", wanted, f"is no port of {service}")


@rule(
    "references-service-pods",
    "high",
    why="A Service that selects no pod refuses every connection.",
    fix="make spec.selector equal to labels of the pod template.",
    source="kube-linter dangling-service; kube-score service-targets-pod",
)
def service_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        selector = service.spec.get("selector")
        slices = [each.labels.get("kubernetes.io/service-name") for each in manifests.of("EndpointSlice")]
        by_hand = not selector and (
            service.name in slices or manifests.find("Endpoints", service.name, service.namespace)
        )
        by_hand = by_hand or made_elsewhere(manifests, selector, service.namespace)
        if service.spec.get("type") != "ExternalName" and not by_hand and not manifests.behind(service):
            yield service.finding("spec.selector", selector, "selects no pod")


@rule(
    "references-service-ports",
    "high",
    why="A targetPort that the pods do not have refuses every connection.",
    fix="name a container port of the selected pods.",
    source="kube-linter invalid-target-ports",
)
def service_ports(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        for pod in manifests.behind(service):
            for port in map(mapping, items(service.spec.get("ports"))):
                target = port.get("targetPort", port.get("port"))
                # Elsewhere a pod may leave the list of its ports out, which is for readers only.
                listed = any(container.ports for container in pod.containers) or manifests.is_environment
                unlisted = isinstance(target, int) and not listed
                if not unlisted and not pod.port(target, port.get("protocol", "TCP")):
                    path = f"spec.ports[{port.get('name') or port.get('port')}].targetPort"
                    yield service.finding(path, target, f"is no container port of {pod.owner}")


@rule(
    "references-headless-service",
    "high",
    why="Without its headless Service a StatefulSet's pods have no DNS names of their own.",
    fix="set serviceName to a Service with clusterIP: None that selects the pods.",
    source="kube-score statefulset-has-servicename",
)
def headless_service(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        if pod.owner.kind == "StatefulSet":
            name = pod.owner.spec.get("serviceName")
            service = manifests.find("Service", name, pod.owner.namespace)
            if service is None or service.spec.get("clusterIP") != "None" or pod not in manifests.behind(service):
                yield pod.owner.finding("spec.serviceName", name, "is no headless Service of these pods")


@rule(
    "services-outside-fields",
    "critical",
    why="The API server refuses fields of NodePort and LoadBalancer in a Service that is neither.",
    fix="remove the field, or set the type that it is for.",
    source="Kubernetes: Service, API reference; no checker has it",
    per_object=True,
)
def outside_fields(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        kind = service.spec.get("type", "ClusterIP")
        for field, kinds in OUTSIDE_FIELDS.items():
            opened = field == "externalTrafficPolicy" and service.spec.get("externalIPs")
            if service.spec.get(field) and kind not in kinds and not opened:
                yield service.finding(f"spec.{field}", service.spec[field], f"is not for a {kind}")
        for port in map(mapping, items(service.spec.get("ports"))):
            if port.get("nodePort") and kind not in ("LoadBalancer", "NodePort"):
                path = f"spec.ports[{port.get('name') or port.get('port')}].nodePort"
                yield service.finding(path, port["nodePort"], f"is not for a {kind}")


@rule(
    "services-ready-pods",
    "medium",
    why="publishNotReadyAddresses sends users to pods that are starting, broken or about to stop.",
    fix="remove it, or keep it to a headless Service by which the pods find each other.",
    source="Kubernetes: Service v1, API reference; no checker has it",
    per_object=True,
)
def ready_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        # A Service for one pod of a StatefulSet is how peers outside the cluster find it.
        peers = service.spec.get("clusterIP") == "None" or POD_NAME in mapping(service.spec.get("selector"))
        if service.spec.get("publishNotReadyAddresses") and not peers:
            yield service.finding("spec.publishNotReadyAddresses", True, "sends requests to pods that are not ready")


@rule(
    "services-local-pods",
    "medium",
    why="With internalTrafficPolicy: Local a caller on a node without such a pod gets no answer.",
    fix="remove it, or run the pods as a DaemonSet.",
    source="Kubernetes: Service internal traffic policy; no checker has it",
)
def local_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        for pod in manifests.behind(service) if service.spec.get("internalTrafficPolicy") == "Local" else ():
            if pod.owner.kind != "DaemonSet":
                yield service.finding("spec.internalTrafficPolicy", "Local", f"{pod.owner} is not on every node")


@rule(
    "references-hosts",
    "high",
    why="A program that asks for a host which is not there, or which its policies close, fails, or asks another's.",
    fix="set the host and its port to those of a Service, and let the NetworkPolicies of both sides agree.",
    source="this project; no checker has it",
)
def hosts(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, settings, users in _settings(manifests):
        for key, value in settings.items():
            pods = list(dict.fromkeys([*users.get(ALL, []), *users.get(key, [])]))
            setting = HOST_SETTING.fullmatch(str(key))
            match = AUTHORITY.fullmatch(str(value or ""))
            # A database in the pod itself, such as the restore drill's, is no Service.
            beside = pods and all(pod.port(3306) for pod in pods)
            own = key == "DB_HOST" and manifests.is_environment and not beside
            if not setting or not match or (LOCAL.fullmatch(match["host"]) and not own):
                continue
            name, _, rest = match["host"].partition(".")
            namespace = rest.partition(".")[0] or manifest.namespace
            service = manifests.find("Service", name, namespace)
            if not _in_cluster(manifests, rest, namespace) or (name, namespace) == BUILT_IN:
                # This project's database is in its environment's namespace; elsewhere it may be anywhere.
                if own:
                    yield manifest.finding(f"{path}.{key}", value, "is no Service of this namespace")
                continue
            if service is None:
                if not named_elsewhere(manifests, name, namespace):
                    yield manifest.finding(f"{path}.{key}", value, f"is no Service of {namespace}")
                continue
            port_key = f"{setting['of']}PORT"
            port = str(match["port"] or settings.get(port_key) or "")
            ports = [mapping(each) for each in items(service.spec.get("ports"))]
            if port.isdigit() and port not in [str(each.get("port")) for each in ports]:
                yield manifest.finding(f"{path}.{key if match['port'] else port_key}", port, f"is no port of {service}")
                continue
            called = [each for each in ports if port in ("", str(each.get("port")))]
            for pod in pods:
                if not _reaches(manifests, pod, service, called):
                    yield manifest.finding(f"{path}.{key}", value, f"NetworkPolicies keep {pod.owner} from it")


def _in_cluster(manifests: ManifestSet, rest: str, namespace: str) -> bool:
    """Whether what follows a host's first dot says that it is a Service of a namespace of this set."""
    local = rest in ("", namespace, f"{namespace}.svc") or rest.startswith(f"{namespace}.svc.")
    return local and any(namespace == each.namespace for each in manifests.manifests)


def _reaches(manifests: ManifestSet, pod: Pod, service: Manifest, ports: list[Body]) -> bool:
    """Whether the policies of both sides let the pod talk with the Service's pods on one of the ports."""
    called = [(other, port) for other in manifests.behind(service) for port in ports if other is not pod]
    for other, port in called:
        protocol = port.get("protocol", "TCP")
        target = {**port, "port": port_number(other, port.get("targetPort", port.get("port")), protocol)}
        if permits(manifests, pod, "Egress", other, target) and permits(manifests, other, "Ingress", pod, target):
            return True
    return not called


def _settings(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body, Users]]:
    """(object, path, settings, the pods that get them as variables) of every ConfigMap and every container."""
    users: dict[tuple[str, object], Users] = {}
    for container in manifests.containers:
        namespace = container.pod.owner.namespace
        taken = [(dig(each, "configMapRef.name"), ALL) for each in items(container.body.get("envFrom"))]
        for entry in items(container.body.get("env")):
            reference = mapping(dig(entry, "valueFrom.configMapKeyRef"))
            taken.append((reference.get("name"), str(reference.get("key"))))
        for name, key in taken:
            users.setdefault((namespace, name), {}).setdefault(key, []).append(container.pod)
    for config_map in manifests.of("ConfigMap"):
        pods = users.get((config_map.namespace, config_map.name), {})
        yield config_map, "data", mapping(config_map.body.get("data")), pods
    for container in manifests.containers:
        entries = [mapping(entry) for entry in items(container.body.get("env"))]
        settings = {str(entry.get("name")): entry.get("value") for entry in entries}
        yield container.pod.owner, f"{container.path}.env", settings, {ALL: [container.pod]}

"""Every name that an object mentions belongs to an object that exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.network import backends

# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
BUILT_IN_ROLES = ("cluster-admin", "admin", "edit", "view")


@dataclass(frozen=True)
class Mention:
    """A pod's reference to a ConfigMap or a Secret; `key` is None when it means all of it."""

    kind: str
    name: str
    key: str | None
    path: str


def mentions(pod: Pod) -> Iterator[Mention]:
    """Everything of ConfigMaps and Secrets that the pod needs in order to start."""
    for container in pod.containers:
        inside = container.path.removeprefix(f"{pod.path}.")
        for entry in map(mapping, items(container.body.get("env"))):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                reference = dig(entry, f"valueFrom.{field}")
                yield from _mention(kind, reference, [reference], f"{inside}.env[{entry.get('name')}]")
        for index, entry in enumerate(map(mapping, items(container.body.get("envFrom")))):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                yield from _mention(kind, entry.get(field), [], f"{inside}.envFrom[{index}]")
    for volume in pod.volumes:
        path = f"volumes[{volume.get('name')}]"
        for source in (volume, *map(mapping, items(dig(volume, "projected.sources")))):
            for kind, field in (("ConfigMap", "configMap"), ("Secret", "secret")):
                yield from _mention(kind, source.get(field), items(dig(source, f"{field}.items")), path)
    for index, entry in enumerate(map(mapping, items(pod.spec.get("imagePullSecrets")))):
        yield from _mention("Secret", entry, [], f"imagePullSecrets[{index}]")


def _mention(kind: str, reference: object, keys: list[Body], path: str) -> Iterator[Mention]:
    if isinstance(reference, dict) and not reference.get("optional"):
        name = reference.get("name") or reference.get("secretName") or ""
        for key in [mapping(entry).get("key") for entry in keys] or [None]:
            yield Mention(kind, str(name), key, path)


def _missing(manifests: ManifestSet, kind: str) -> Iterator[Finding]:
    for pod in manifests.pods:
        for mention in mentions(pod):
            if mention.kind != kind:
                continue
            target = manifests.find(kind, mention.name, pod.owner.namespace)
            # Secrets of manifests from elsewhere are rightly kept elsewhere.
            if target is None and (kind != "Secret" or manifests.is_environment):
                yield pod.finding(mention.path, mention.name, f"there is no such {kind}")
            elif target and mention.key is not None:
                fields = ("data", "stringData", "binaryData")
                if not any(mention.key in mapping(target.body.get(field)) for field in fields):
                    yield pod.finding(mention.path, mention.key, f"is no key of {target}")


@rule(
    "references-config",
    "high",
    why="A pod whose ConfigMap or key is missing never starts.",
    fix="correct the name or the key, or generate the ConfigMap.",
    source="kube-linter env-value-from",
)
def config(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "ConfigMap")


@rule(
    "references-secret",
    "high",
    why="A pod whose Secret or key is missing never starts.",
    fix="correct the name or the key, or declare it in base/mysql/secret-example.yaml.",
    source="kube-linter env-value-from",
)
def secret(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _missing(manifests, "Secret")


@rule(
    "references-tls-secret",
    "medium",
    why="Without its Secret the Ingress serves the controller's own certificate.",
    fix="add the cert-manager.io/cluster-issuer or /issuer annotation, or correct secretName.",
    source="Kubernetes: Ingress, TLS; cert-manager: securing Ingress resources",
)
def tls_secret(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        issued = {"cert-manager.io/issuer", "cert-manager.io/cluster-issuer"} & ingress.annotations.keys()
        for index, entry in enumerate(map(mapping, items(ingress.spec.get("tls")))):
            name = entry.get("secretName")
            if manifests.is_environment and not issued and not manifests.find("Secret", name, ingress.namespace):
                yield ingress.finding(f"spec.tls[{index}].secretName", name, "nobody makes this Secret")


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
            if not dig(body, "http.paths"):
                yield ingress.finding(f"spec.rules[{index}]", body, "leads to no Service")
        for path, backend in backends(ingress):
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
                if not pod.port(target, port.get("protocol", "TCP")):
                    path = f"spec.ports[{port.get('name') or port.get('port')}].targetPort"
                    yield service.finding(path, target, f"is no container port of {pod.owner}")


@rule(
    "references-service-account",
    "high",
    why="Pods of a ServiceAccount that does not exist are not created.",
    fix="add the ServiceAccount or correct serviceAccountName.",
    source="kube-linter non-existent-service-account",
)
def service_account(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        name = pod.spec.get("serviceAccountName", "default")
        if name != "default" and not manifests.find("ServiceAccount", name, pod.owner.namespace):
            yield pod.finding("serviceAccountName", name, "there is no such ServiceAccount")


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
    "references-volumes",
    "high",
    why="The API server refuses a mount without a volume; a volume without a mount is a mistake in one of the names.",
    fix="give the volumeMount and the volume the same name.",
    source="redhat-cop container_volumemount_missing",
)
def volumes(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        declared = {volume.get("name") for volume in pod.volumes}
        claimed = {dig(claim, "metadata.name") for claim in items(pod.owner.spec.get("volumeClaimTemplates"))}
        mounted = set()
        for container in pod.containers:
            mounts = [mapping(mount) for mount in items(container.body.get("volumeMounts"))]
            mounted |= {mount.get("name") for mount in mounts}
            for path, count in Counter(mount.get("mountPath") for mount in mounts).items():
                if count > 1:
                    yield container.finding("volumeMounts", path, "is mounted twice")
            for name in {mount.get("name") for mount in mounts} - declared - claimed:
                yield container.finding(f"volumeMounts[{name}]", name, "there is no such volume")
        for name in (declared | claimed) - mounted:
            yield pod.finding(f"volumes[{name}]", name, "no container mounts it")


@rule(
    "references-claims",
    "medium",
    why="A pod waits for ever for a claim that nobody makes.",
    fix="add the PersistentVolumeClaim or correct claimName.",
    source="Kubernetes: persistent volumes",
)
def claims(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for volume in pod.volumes:
            name = dig(volume, "persistentVolumeClaim.claimName")
            if name and not manifests.find("PersistentVolumeClaim", name, pod.owner.namespace):
                yield pod.finding(f"volumes[{volume.get('name')}]", name, "there is no such claim")


@rule(
    "references-autoscaler-target",
    "high",
    why="An autoscaler without its target scales nothing.",
    fix="correct scaleTargetRef.",
    source="kube-linter dangling-horizontalpodautoscaler; kubescape hpa-has-target",
)
def autoscaler_target(manifests: ManifestSet) -> Iterator[Finding]:
    for autoscaler in manifests.of("HorizontalPodAutoscaler"):
        target = mapping(autoscaler.spec.get("scaleTargetRef"))
        if not manifests.find(str(target.get("kind")), target.get("name"), autoscaler.namespace):
            yield autoscaler.finding("spec.scaleTargetRef", target, "there is no such workload")


@rule(
    "references-role-binding",
    "high",
    why="A binding to a role or an account that does not exist grants nothing, until somebody creates that name.",
    fix="correct roleRef or subjects.",
    source="Kubernetes: RBAC good practices; no checker has it",
)
def role_binding(manifests: ManifestSet) -> Iterator[Finding]:
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        reference = mapping(binding.body.get("roleRef"))
        namespace = binding.namespace if reference.get("kind") == "Role" else ""
        built_in = reference.get("kind") == "ClusterRole" and reference.get("name") in BUILT_IN_ROLES
        if not built_in and not manifests.find(str(reference.get("kind")), reference.get("name"), namespace):
            yield binding.finding("roleRef", reference, "there is no such role")
        for index, subject in enumerate(map(mapping, items(binding.body.get("subjects")))):
            where = str(subject.get("namespace") or binding.namespace)
            if subject.get("kind") == "ServiceAccount" and not manifests.find(
                "ServiceAccount", subject.get("name"), where
            ):
                yield binding.finding(f"subjects[{index}]", subject, "there is no such ServiceAccount")


@rule(
    "references-database-host",
    "high",
    why="An application that asks for a database which is not in its namespace fails, or writes into another's.",
    fix="set DB_HOST and DB_PORT to a Service of this namespace and its port.",
    source="this project",
)
def database_host(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, settings in _settings(manifests):
        host = str(settings.get("DB_HOST") or "")
        if not host:
            continue
        name, _, rest = host.partition(".")
        service = manifests.find("Service", name, manifest.namespace)
        local = rest in ("", manifest.namespace) or rest.startswith(f"{manifest.namespace}.svc")
        port = str(settings.get("DB_PORT", 3306))
        if service is None or not local:
            yield manifest.finding(f"{path}.DB_HOST", host, "is no Service of this namespace")
        elif port not in [str(mapping(each).get("port")) for each in items(service.spec.get("ports"))]:
            yield manifest.finding(f"{path}.DB_PORT", port, f"is no port of {service}")


def _settings(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body]]:
    for config_map in manifests.of("ConfigMap"):
        yield config_map, "data", mapping(config_map.body.get("data"))
    for container in manifests.containers:
        entries = [mapping(entry) for entry in items(container.body.get("env"))]
        yield container.pod.owner, f"{container.path}.env", {str(e.get("name")): e.get("value") for e in entries}


@rule(
    "references-unique",
    "high",
    why="Of two objects or variables with one name only the last one counts.",
    fix="remove one of the two.",
    source="kube-linter duplicate-env-var; kube-score environment-variable-key-duplication",
)
def unique(manifests: ManifestSet) -> Iterator[Finding]:
    seen = Counter((each.body["apiVersion"], each.kind, each.namespace, each.name) for each in manifests.manifests)
    for identity, count in seen.items():
        if count > 1:
            _, kind, namespace, name = identity
            if duplicate := manifests.find(kind, name, namespace):
                yield duplicate.finding("metadata.name", name, "is given twice")
    for container in manifests.containers:
        for field, key in (("env", "name"), ("ports", "name"), ("ports", "containerPort")):
            entries = [mapping(entry) for entry in items(container.body.get(field))]
            values = Counter((entry.get(key), entry.get("protocol", "TCP")) for entry in entries if key in entry)
            for (value, _), count in values.items():
                if count > 1:
                    yield container.finding(f"{field}[{value}]", value, "is given twice")

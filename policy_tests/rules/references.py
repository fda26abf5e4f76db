"""Every name that an object mentions belongs to an object that exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from policy_tests.manifests import (
    BUILT_IN_GROUPS,
    Body,
    Finding,
    ManifestSet,
    Pod,
    dig,
    items,
    mapping,
    matches,
)
from policy_tests.rule import rule

# Put into every namespace by the cluster itself.
BUILT_IN_CONFIG = ("kube-root-ca.crt", "openshift-service-ca.crt")
# Where a custom resource names the Secret that its controller makes, the object's own name when it does not.
SECRET_MAKERS = {
    "SealedSecret.bitnami.com": "spec.template.metadata.name",
    "ExternalSecret.external-secrets.io": "spec.target.name",
    "VaultStaticSecret.secrets.hashicorp.com": "spec.destination.name",
    "Certificate.cert-manager.io": "spec.secretName",
}


@dataclass(frozen=True)
class Mention:
    """A pod's reference to a ConfigMap or a Secret; `key` is None when it means all of it."""

    kind: str
    name: str
    key: str | None
    path: str


@lru_cache(maxsize=1024)
def mentions(pod: Pod) -> tuple[Mention, ...]:
    """Everything of ConfigMaps and Secrets that the pod needs in order to start."""
    return tuple(_mentions(pod))


def _mentions(pod: Pod) -> Iterator[Mention]:
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


def _missing(manifests: ManifestSet, kind: str, expected: Collection[str]) -> Iterator[Finding]:
    """Mentions of what is neither in the set nor expected from elsewhere, and of keys that are not there."""
    for pod in manifests.pods:
        for mention in mentions(pod):
            if mention.kind != kind:
                continue
            target = manifests.find(kind, mention.name, pod.owner.namespace)
            elsewhere = kind == "Secret" and manifests.named_elsewhere(mention.name, pod.owner.namespace)
            if target is None and mention.name not in expected and not elsewhere:
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
    yield from _missing(manifests, "ConfigMap", BUILT_IN_CONFIG)


@rule(
    "references-secret",
    "high",
    why="A pod whose Secret or key is missing never starts.",
    fix="correct the name or the key, or declare it in a secret-example.yaml.",
    source="kube-linter env-value-from",
)
def secret(manifests: ManifestSet) -> Iterator[Finding]:
    made = set(secrets_made(manifests))
    mentioned = {(pod.owner.namespace, each.name) for pod in manifests.pods for each in mentions(pod)}
    # Secrets of manifests from elsewhere are rightly kept elsewhere, unless the set brings others; a registry's always.
    pulled = {each.name for pod in manifests.pods for each in mentions(pod) if each.path.startswith("imagePull")}
    kept_elsewhere = pulled if made & mentioned else {name for _, name in mentioned}
    expected = set() if manifests.is_environment else kept_elsewhere
    yield from _missing(manifests, "Secret", expected | {name for _, name in made})


def secrets_made(manifests: ManifestSet) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the Secrets that are in the set, or that a controller makes from what is in it."""
    for secret in (*manifests.of("Secret"), *manifests.declared):
        yield secret.namespace, secret.name
    for kind, path in SECRET_MAKERS.items():
        for maker in manifests.of(kind):
            yield maker.namespace, str(dig(maker.body, path) or maker.name)


@rule(
    "references-tls-secret",
    "medium",
    why="Without its Secret the Ingress serves the controller's own certificate.",
    fix="add the cert-manager.io/cluster-issuer or /issuer annotation, or correct secretName.",
    source="Kubernetes: Ingress, TLS; cert-manager: securing Ingress resources",
)
def tls_secret(manifests: ManifestSet) -> Iterator[Finding]:
    made = set(secrets_made(manifests))
    issuers = {"cert-manager.io/issuer", "cert-manager.io/cluster-issuer"}
    ingresses = manifests.of("Ingress")
    # Elsewhere whoever made the set may have made the Secret, unless the set shows how it is made.
    shown = manifests.is_environment or bool(manifests.of("Certificate.cert-manager.io"))
    shown = shown or any(issuers & each.annotations.keys() for each in ingresses)
    for ingress in ingresses:
        for index, entry in enumerate(map(mapping, items(ingress.spec.get("tls")))):
            name = entry.get("secretName")
            missing = not issuers & ingress.annotations.keys() and (ingress.namespace, name) not in made
            if missing and shown:
                yield ingress.finding(f"spec.tls[{index}].secretName", name, "nobody makes this Secret")


@rule(
    "references-service-account",
    "high",
    why="Pods of a ServiceAccount that does not exist are not created.",
    fix="add the ServiceAccount or correct serviceAccountName.",
    source="kube-linter non-existent-service-account",
)
def service_account(manifests: ManifestSet) -> Iterator[Finding]:
    # Elsewhere the accounts may come from where the namespace comes from, all or none.
    known = manifests.is_environment or manifests.of("ServiceAccount")
    for pod in manifests.pods if known else ():
        name = pod.spec.get("serviceAccountName", "default")
        if name != "default" and not manifests.find("ServiceAccount", name, pod.owner.namespace):
            yield pod.finding("serviceAccountName", name, "there is no such ServiceAccount")


@rule(
    "references-volumes",
    "high",
    why="The API server refuses a mount without a volume; a volume without a mount is a mistake in one of the names.",
    fix="give the volumeMount and the volume the same name.",
    source="redhat-cop container_volumemount_missing",
    per_object=True,
)
def volumes(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        declared = {volume.get("name") for volume in pod.volumes}
        claimed = {dig(claim, "metadata.name") for claim in items(pod.owner.spec.get("volumeClaimTemplates"))}
        mounted = set()
        for container in pod.containers:
            mounts = container.mounts
            mounted |= {mount.get("name") for mount in mounts}
            mounted |= {mapping(device).get("name") for device in items(container.body.get("volumeDevices"))}
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
    generated = [
        (owner.namespace, f"{dig(template, 'metadata.name')}-{owner.name}-")
        for owner in manifests.of("StatefulSet")
        for template in items(owner.spec.get("volumeClaimTemplates"))
    ]
    # Elsewhere the claims may be kept apart from what uses them, all or none.
    known = manifests.is_environment or generated or manifests.of("PersistentVolumeClaim")
    for pod in manifests.pods if known else ():
        for volume in pod.volumes:
            name = str(dig(volume, "persistentVolumeClaim.claimName") or "")
            made = any(space == pod.owner.namespace and name.startswith(start) for space, start in generated)
            if name and not made and not manifests.find("PersistentVolumeClaim", name, pod.owner.namespace):
                yield pod.finding(f"volumes[{volume.get('name')}]", name, "there is no such claim")


@rule(
    "references-autoscaler-target",
    "high",
    why="An autoscaler without its target scales nothing.",
    fix="correct scaleTargetRef.",
    source="kube-linter dangling-horizontalpodautoscaler; kubescape hpa-has-target",
)
def autoscaler_target(manifests: ManifestSet) -> Iterator[Finding]:
    scalers = {
        "HorizontalPodAutoscaler": "spec.scaleTargetRef",
        "ScaledObject.keda.sh": "spec.scaleTargetRef",
        "VerticalPodAutoscaler.autoscaling.k8s.io": "spec.targetRef",
    }
    for kind, path in scalers.items():
        for autoscaler in manifests.of(kind):
            target = mapping(dig(autoscaler.body, path))
            group = str(target.get("apiVersion") or "apps/v1").rpartition("/")[0]
            # What scales a custom resource is for its controller to know.
            ours = group in BUILT_IN_GROUPS or "." not in group
            found = manifests.find(str(target.get("kind", "Deployment")), target.get("name"), autoscaler.namespace)
            if ours and not (found and found.body["apiVersion"] == target.get("apiVersion", found.body["apiVersion"])):
                yield autoscaler.finding(path, target, "there is no such workload")


@rule(
    "references-custom-resources",
    "low",
    why="A monitor or a route of a Service or a port that does not exist sees or serves nothing, without an error.",
    fix="make the selector equal to the Service's labels, and name one of its ports.",
    source="kube-linter dangling-servicemonitor; kubescape dangling-gateway-backend",
)
def custom_resources(manifests: ManifestSet) -> Iterator[Finding]:
    for monitor in manifests.of("ServiceMonitor.monitoring.coreos.com"):
        selector = mapping(monitor.spec.get("selector"))
        named = mapping(monitor.spec.get("namespaceSelector"))
        spaces = set(items(named.get("matchNames")) or [monitor.namespace])
        everything = [each for each in manifests.of("Service") if named.get("any") or each.namespace in spaces]
        services = [each for each in everything if matches(selector, each.labels)]
        names = {mapping(port).get("name") for service in services for port in items(service.spec.get("ports"))}
        # A namespace without any Service here may have its own elsewhere.
        known = not named.get("any") and spaces <= {each.namespace for each in everything}
        if not services and (known or not named):
            yield monitor.finding("spec.selector", selector, "selects no Service")
        for index, endpoint in enumerate(map(mapping, items(monitor.spec.get("endpoints")))):
            if services and endpoint.get("port", None) not in (None, *names):
                yield monitor.finding(f"spec.endpoints[{index}].port", endpoint["port"], "is no port of the Service")
    for route in manifests.of("HTTPRoute.gateway.networking.k8s.io", "GRPCRoute.gateway.networking.k8s.io"):
        for index, body in enumerate(items(route.spec.get("rules"))):
            for backend in map(mapping, items(dig(body, "backendRefs"))):
                namespace = str(backend.get("namespace") or route.namespace)
                target = manifests.find("Service", backend.get("name"), namespace)
                known = any(namespace == each.namespace for each in manifests.of("Service"))
                ports = [mapping(port).get("port") for port in items(target.spec.get("ports"))] if target else []
                if backend.get("kind", "Service") == "Service" and known and backend.get("port") not in ports:
                    yield route.finding(f"spec.rules[{index}].backendRefs", backend, "is no port of a Service")


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

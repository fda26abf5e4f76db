"""Every name that an object mentions belongs to an object that exists."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from policy_tests.manifests import (
    BUILT_IN_GROUPS,
    TEMPLATES,
    Body,
    Finding,
    Manifest,
    ManifestSet,
    Pod,
    dig,
    items,
    mapping,
    matches,
)
from policy_tests.operators import named_elsewhere
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
# Where they say of which type that Secret is.
TYPES_MADE = {
    "SealedSecret": "spec.template.type",
    "ExternalSecret": "spec.target.template.type",
    "VaultStaticSecret": "spec.destination.type",
}
# Those of keystores and of additionalOutputFormats included.
CERTIFICATE_KEYS = {"tls.crt", "tls.key", "ca.crt", "tls-combined.pem", "key.der"}
CERTIFICATE_KEYS |= {f"{store}.{form}" for store in ("keystore", "truststore") for form in ("jks", "p12")}


@dataclass(frozen=True)
class Mention:
    """A pod's reference to a ConfigMap or a Secret; `key` is None when it means all of it."""

    kind: str
    name: str
    key: str | None
    path: str
    optional: bool = False


@lru_cache(maxsize=1024)
def mentions(pod: Pod) -> tuple[Mention, ...]:
    """Everything of ConfigMaps and Secrets that the pod needs in order to start."""
    return tuple(mention for mention in _mentions(pod) if not mention.optional)


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
    if isinstance(reference, dict):
        name = reference.get("name") or reference.get("secretName") or ""
        for key in [mapping(entry).get("key") for entry in keys] or [None]:
            yield Mention(kind, str(name), key, path, bool(reference.get("optional")))


def keys_of(manifests: ManifestSet, kind: str, name: object, namespace: str) -> set[str] | None:
    """The keys of a ConfigMap or Secret of the set, or of a Secret that a controller makes; None if nobody can tell."""
    if target := manifests.find(kind, name, namespace):
        return {key for field in ("data", "stringData", "binaryData") for key in mapping(target.body.get(field))}
    maker = _makers(manifests).get((namespace, str(name))) if kind == "Secret" else None
    return keys_made(maker) if maker else None


def keys_made(maker: Manifest) -> set[str] | None:
    """The keys of the Secret that a controller makes of a custom resource; None when only the controller knows."""
    if maker.kind == "SealedSecret":
        return {*mapping(maker.spec.get("encryptedData")), *mapping(dig(maker.spec, "template.data"))}
    if maker.kind == "Certificate":
        return CERTIFICATE_KEYS
    target = mapping(maker.spec.get("target"))
    template = mapping(target.get("template"))
    added = maker.spec.get("dataFrom") or template.get("templateFrom") or template.get("mergePolicy") == "Merge"
    if maker.kind != "ExternalSecret" or added or target.get("creationPolicy") == "Merge":
        return None
    fetched = {str(mapping(each).get("secretKey")) for each in items(maker.spec.get("data"))}
    return set(mapping(template.get("data"))) or fetched


def type_of(manifests: ManifestSet, name: object, namespace: str) -> str | None:
    """The type of a Secret of the set, or that a controller makes; None if nobody can tell."""
    if target := manifests.find("Secret", name, namespace):
        return str(target.body.get("type") or "Opaque")
    maker = _makers(manifests).get((namespace, str(name)))
    path = TYPES_MADE.get(maker.kind) if maker else None
    return str(dig(maker.body, path) or "Opaque") if maker and path else None


@lru_cache(maxsize=4)
def _makers(manifests: ManifestSet) -> dict[tuple[str, str], Manifest]:
    """The custom resources by (namespace, name) of the Secrets that their controllers make."""
    return {
        (maker.namespace, str(dig(maker.body, path) or maker.name)): maker
        for kind, path in SECRET_MAKERS.items()
        for maker in manifests.of(kind)
    }


def _missing(manifests: ManifestSet, kind: str, expected: Collection[str]) -> Iterator[Finding]:
    """Mentions of what is neither in the set nor expected from elsewhere, and of keys that are not there."""
    for pod in manifests.pods:
        namespace = pod.owner.namespace
        for mention in _mentions(pod):
            # Whose pods say themselves what is missing mounts it as optional, and means a Secret that there can be.
            own = manifests.is_environment and kind == "Secret" and mention.path.startswith("volumes[")
            if mention.kind != kind or (mention.optional and not own):
                continue
            keys = keys_of(manifests, kind, mention.name, namespace)
            elsewhere = kind == "Secret" and named_elsewhere(manifests, mention.name, namespace)
            elsewhere = elsewhere or (mention.optional and mention.name in _brought(manifests))
            if keys is None and mention.name not in expected and not elsewhere:
                yield pod.finding(mention.path, mention.name, f"there is no such {kind}")
            elif keys is not None and mention.key is not None and mention.key not in keys:
                yield pod.finding(mention.path, mention.key, f"is no key of {kind}/{mention.name}")


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


def _brought(manifests: ManifestSet) -> set[str]:
    """The Secrets that come later: those that a Role lets somebody make by name, and those of Ingresses."""
    rules = [mapping(rule) for role in manifests.of("Role") for rule in items(role.body.get("rules"))]
    made = [
        rule for rule in rules if "secrets" in items(rule.get("resources")) and "create" in items(rule.get("verbs"))
    ]
    served = [mapping(entry) for ingress in manifests.of("Ingress") for entry in items(ingress.spec.get("tls"))]
    named = {str(name) for rule in made for name in items(rule.get("resourceNames"))}
    return named | {str(entry.get("secretName")) for entry in served}


def secrets_made(manifests: ManifestSet) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the Secrets that are in the set, or that a controller makes from what is in it."""
    for secret in (*manifests.of("Secret"), *manifests.declared):
        yield secret.namespace, secret.name
    yield from _makers(manifests)


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
            names = {each.name for each in found.pod.containers} if found and found.kind in TEMPLATES else None
            for index, metric in enumerate(items(autoscaler.spec.get("metrics"))):
                name = dig(metric, "containerResource.container")
                if names is not None and name is not None and name not in names:
                    place = f"spec.metrics[{index}].containerResource.container"
                    yield autoscaler.finding(place, name, f"is no container of {found}")


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

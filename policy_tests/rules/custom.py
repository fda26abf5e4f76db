"""What the schemas of well-known custom resources say, which the API server's own do not hold."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Body, Finding, ManifestSet, dig, items, mapping
from policy_tests.rule import rule

# Versions that the projects no longer serve, and what they serve instead.
REMOVED = {
    "cert-manager.io": ({"v1alpha2", "v1alpha3", "v1beta1"}, "v1"),
    "external-secrets.io": ({"v1alpha1"}, "v1"),
    "keda.k8s.io": ({"v1alpha1"}, "keda.sh/v1alpha1"),
}
# Kinds that are served in another version than the rest of their group.
REMOVED_KINDS = {
    f"{kind}.gateway.networking.k8s.io": ({"v1alpha1", "v1alpha2"}, "v1")
    for kind in ("Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute")
}
REQUIRED = {
    "Certificate.cert-manager.io": ("issuerRef.name", "secretName"),
    "Gateway.gateway.networking.k8s.io": ("gatewayClassName", "listeners"),
    "ServiceMonitor.monitoring.coreos.com": ("endpoints", "selector"),
    "SealedSecret.bitnami.com": ("encryptedData",),
}
PATH_TYPES = ("Exact", "PathPrefix", "RegularExpression")


@rule(
    "schema-custom-versions",
    "critical",
    why="A version that its project no longer serves is refused, and the rest of the deployment with it.",
    fix="move to the version that is served; the project's release notes say what changed.",
    source="pluto; Gateway API, cert-manager and External Secrets: release notes",
    per_object=True,
)
def custom_versions(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        if not manifest.custom_group:
            continue
        version = str(manifest.body["apiVersion"])
        removed, served = REMOVED_KINDS.get(manifest.type) or REMOVED.get(manifest.custom_group) or (set(), "")
        if version.rpartition("/")[2] in removed:
            yield manifest.finding("apiVersion", version, f"is no longer served; use {served}")


@rule(
    "schema-custom-fields",
    "critical",
    why="The API server or its controller refuses a custom resource without what its own schema asks for.",
    fix="set the field; the manual of the kind has its name and values.",
    source="cert-manager, External Secrets, Gateway API, prometheus-operator: API references; kubeconform -strict",
    per_object=True,
)
def custom_fields(manifests: ManifestSet) -> Iterator[Finding]:
    for kind, fields in REQUIRED.items():
        for manifest in manifests.of(kind):
            for field in fields:
                if dig(manifest.spec, field) in (None, "", []):
                    yield manifest.finding(f"spec.{field}", None, "is required")
    for external in manifests.of("ExternalSecret.external-secrets.io"):
        sources = [*items(external.spec.get("data")), *items(external.spec.get("dataFrom"))]
        if not external.spec.get("secretStoreRef") and not all(map(_has_a_store, sources)):
            yield external.finding("spec.secretStoreRef", None, "is required")
    for route in manifests.of("HTTPRoute.gateway.networking.k8s.io"):
        for index, body in enumerate(items(route.spec.get("rules"))):
            for number, match in enumerate(map(mapping, items(dig(body, "matches")))):
                kind = dig(match, "path.type")
                if kind is not None and kind not in PATH_TYPES:
                    path = f"spec.rules[{index}].matches[{number}].path.type"
                    yield route.finding(path, kind, f"is none of {', '.join(PATH_TYPES)}")


def _has_a_store(source: Body) -> bool:
    reference = mapping(mapping(source).get("sourceRef"))
    return bool(reference.get("storeRef") or reference.get("generatorRef"))

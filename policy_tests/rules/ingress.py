"""The way in from outside."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.rule import rule

# Development may be reached over plain HTTP.
PLAIN_HTTP_ALLOWED = ("dev", "homolog")


def hosts(ingress: Manifest) -> list[str]:
    return [str(mapping(rule_body).get("host") or "") for rule_body in items(ingress.spec.get("rules"))]


@rule(
    "ingress-tls",
    "high",
    why="Over plain HTTP everybody on the way reads the passwords and the timetable.",
    fix="add spec.tls with the hosts and a secretName.",
    source="NSA/CISA Kubernetes Hardening Guidance; 7 of 13 checkers",
    per_object=True,
)
def tls(manifests: ManifestSet) -> Iterator[Finding]:
    if manifests.is_environment and manifests.name in PLAIN_HTTP_ALLOWED:
        return
    for ingress in manifests.of("Ingress"):
        if not items(ingress.spec.get("tls")):
            yield ingress.finding("spec.tls", ingress.spec.get("tls"), "is missing")
        for key in ("nginx.ingress.kubernetes.io/ssl-redirect", "nginx.ingress.kubernetes.io/force-ssl-redirect"):
            if ingress.annotations.get(key) == "false":
                yield ingress.finding(f"metadata.annotations[{key}]", "false", "serves HTTP")


@rule(
    "ingress-tls-covers-hosts",
    "high",
    why="A host that no tls entry names is served with the controller's own certificate, which browsers refuse.",
    fix="add the host to spec.tls[].hosts.",
    source="kyverno ingress-host-match-tls",
    per_object=True,
)
def tls_covers_hosts(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        entries = [mapping(entry) for entry in items(ingress.spec.get("tls"))]
        covered = {host for entry in entries if entry.get("secretName") for host in items(entry.get("hosts"))}
        for index, host in enumerate(hosts(ingress)):
            wildcard = "*." + host.partition(".")[2]
            if entries and not covered & {host, wildcard}:
                yield ingress.finding(f"spec.rules[{index}].host", host, "is in no tls entry with a secretName")


@rule(
    "ingress-hosts-explicit",
    "medium",
    why="Without a host, or with a wildcard, the Ingress answers for names that belong to others.",
    fix="name each host, and use no defaultBackend.",
    source="kyverno disallow-empty-ingress-host, restrict-ingress-wildcard, restrict-ingress-defaultbackend",
    per_object=True,
)
def hosts_explicit(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        for index, host in enumerate(hosts(ingress)):
            if not host or "*" in host:
                yield ingress.finding(f"spec.rules[{index}].host", host, "is not one host")
        if "defaultBackend" in ingress.spec:
            yield ingress.finding("spec.defaultBackend", ingress.spec["defaultBackend"], "answers for every host")


@rule(
    "ingress-class",
    "low",
    why="Without a class it depends on the cluster which controller answers, or whether one does.",
    fix="set spec.ingressClassName, as the other Ingresses do, instead of the annotation.",
    source="Kubernetes: Ingress, deprecated annotation; kyverno restrict-ingress-classes",
)
def ingress_class(manifests: ManifestSet) -> Iterator[Finding]:
    ingresses = manifests.of("Ingress")
    for ingress in manifests.lacking(ingresses, lambda each: each.spec.get("ingressClassName"), always=False):
        yield ingress.finding("spec.ingressClassName", None, "is not set, where the other Ingresses have one")
    for ingress in ingresses:
        if value := ingress.annotations.get("kubernetes.io/ingress.class"):
            path = "metadata.annotations[kubernetes.io/ingress.class]"
            yield ingress.finding(path, value, "is the deprecated way to name the class")


@rule(
    "ingress-no-snippets",
    "high",
    why="Snippets put text into the controller's configuration and can read every Secret it knows (CVE-2021-25742).",
    fix="remove the annotation.",
    source="CVE-2021-25742; checkov CKV_K8S_152-154; 7 of 13 checkers",
    per_object=True,
)
def no_snippets(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        for key, value in ingress.annotations.items():
            if key.endswith("-snippet"):
                yield ingress.finding(f"metadata.annotations[{key}]", value, "is a snippet")
    for config in manifests.of("ConfigMap"):
        if dig(config.body, "data.allow-snippet-annotations") == "true":
            yield config.finding("data.allow-snippet-annotations", "true", "allows snippets")


@rule(
    "ingress-paths-unique",
    "medium",
    why="Which of two equal paths wins depends on which was created first.",
    fix="remove one of them.",
    source="kyverno unique-ingress-host-and-path; gatekeeper-library uniqueingresshost",
)
def paths_unique(manifests: ManifestSet) -> Iterator[Finding]:
    seen: dict[tuple[str, object, object], Manifest] = {}
    for ingress in manifests.of("Ingress"):
        for index, body in enumerate(items(ingress.spec.get("rules"))):
            for path in map(mapping, items(dig(body, "http.paths"))):
                key = (hosts(ingress)[index], path.get("path"), path.get("pathType"))
                if key in seen:
                    yield ingress.finding(f"spec.rules[{index}]", key, f"is served by {seen[key]} already")
                seen.setdefault(key, ingress)

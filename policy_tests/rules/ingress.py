"""The way in from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.names import SUBDOMAIN
from policy_tests.rules.network import backends

NGINX = "nginx.ingress.kubernetes.io"
# Where the certificate lies outside the cluster, with the load balancer.
CLOUD_CERTIFICATES = {
    "alb.ingress.kubernetes.io/certificate-arn",
    "appgw.ingress.kubernetes.io/appgw-ssl-certificate",
    "ingress.gcp.kubernetes.io/pre-shared-cert",
    "networking.gke.io/managed-certificates",
}
PATTERN = re.compile(r"[][()*^$|\\]")
# What a path must not hold or end with, lest two spellings mean one place.
UNCLEAN = re.compile(r"//|/\.\.?(/|$)|(?i:%2f)")
INNER_PORT = re.compile(r"(.*-)?(admin|debug|health|healthz|metrics|pprof)(-.*)?")


def hosts(ingress: Manifest) -> list[str]:
    return [str(mapping(rule_body).get("host") or "") for rule_body in items(ingress.spec.get("rules"))]


@rule(
    "ingress-tls",
    "high",
    why="Over plain HTTP everybody on the way reads the passwords and the timetable.",
    fix="add spec.tls with the hosts and a secretName.",
    source="NSA/CISA Kubernetes Hardening Guidance; 7 of 13 checkers",
    where_required=True,
    per_object=True,
)
def tls(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        if not items(ingress.spec.get("tls")) and not CLOUD_CERTIFICATES & ingress.annotations.keys():
            yield ingress.finding("spec.tls", ingress.spec.get("tls"), "is missing")
        for key in (f"{NGINX}/ssl-redirect", f"{NGINX}/force-ssl-redirect"):
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
        # The program behind it, or the load balancer before it, has the certificate.
        kept_elsewhere = ingress.annotations.get(f"{NGINX}/ssl-passthrough") == "true"
        kept_elsewhere = kept_elsewhere or bool(CLOUD_CERTIFICATES & ingress.annotations.keys())
        for index, host in enumerate(hosts(ingress)):
            wildcard = "*." + host.partition(".")[2]
            if entries and not kept_elsewhere and not covered & {host, wildcard}:
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


@rule(
    "ingress-accepted",
    "critical",
    why="The API server refuses an Ingress with a host that is no name, an unclean path or an unclear port.",
    fix="write hosts in lower case and without a port, paths from /, and either the port's name or its number.",
    source="Kubernetes: Ingress, API reference; no checker has it",
    per_object=True,
)
def accepted(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        for index, host in enumerate(hosts(ingress)):
            if host and not SUBDOMAIN.fullmatch(host.removeprefix("*.")):
                yield ingress.finding(f"spec.rules[{index}].host", host, "is no host name")
        for place, path, kind in _paths(ingress):
            if kind in ("Exact", "Prefix") and not path.startswith("/"):
                yield ingress.finding(place, path, "does not begin with /")
            elif kind in ("Exact", "Prefix") and (unclean := UNCLEAN.search(path)):
                yield ingress.finding(place, path, f"has {unclean[0]} in it")
        for place, backend in backends(ingress):
            port = mapping(backend.get("port"))
            if len(port.keys() & {"name", "number"}) == 2:
                yield ingress.finding(f"{place}.port", port, "has a name and a number")


def _paths(ingress: Manifest) -> Iterator[tuple[str, str, object]]:
    """(path in the object, path of the URL, pathType) of each path of an Ingress."""
    for index, body in enumerate(items(ingress.spec.get("rules"))):
        for number, entry in enumerate(map(mapping, items(dig(body, "http.paths")))):
            place = f"spec.rules[{index}].http.paths[{number}].path"
            yield place, str(entry.get("path") or "/"), entry.get("pathType")


@rule(
    "ingress-paths-literal",
    "medium",
    why="Prefix and Exact compare letter by letter, so that no request ever has a path with a pattern in it.",
    fix="write the plain path, or set pathType: ImplementationSpecific and use-regex.",
    source="Kubernetes: Ingress, path types; no checker has it",
    per_object=True,
)
def paths_literal(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        # With this ingress-nginx takes every path of the host for a pattern.
        if ingress.annotations.get(f"{NGINX}/use-regex") == "true":
            continue
        for place, path, kind in _paths(ingress):
            if kind in ("Exact", "Prefix") and PATTERN.search(path):
                yield ingress.finding(place, path, f"is a pattern, which {kind} is not for")


@rule(
    "ingress-no-inner-ports",
    "medium",
    why="Metrics, profiles and health pages tell strangers what runs here, and some of them stop it.",
    fix="lead to the port that is for users, and leave the other to the cluster.",
    source="OWASP: security misconfiguration; kube-linter: exposed services",
    per_object=True,
)
def no_inner_ports(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        for place, backend in backends(ingress):
            name = dig(backend, "port.name")
            if INNER_PORT.fullmatch(str(name or "")):
                yield ingress.finding(f"{place}.port.name", name, "is for the cluster's own use")


@rule(
    "ingress-tls-secret-type",
    "high",
    why="A Secret without tls.crt and tls.key gives no certificate, and the controller serves its own.",
    fix="name the Secret of type kubernetes.io/tls in secretName.",
    source="Kubernetes: Ingress, TLS; no checker has it",
)
def tls_secret_type(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        for index, entry in enumerate(map(mapping, items(ingress.spec.get("tls")))):
            name = entry.get("secretName")
            keys = _keys(manifests, name, ingress.namespace) if name else None
            if keys is not None and not {"tls.crt", "tls.key"} <= keys:
                yield ingress.finding(f"spec.tls[{index}].secretName", name, "is no Secret of a certificate")


def _keys(manifests: ManifestSet, name: object, namespace: str) -> set[object] | None:
    """The keys of a Secret, as far as the set shows them: its own, or those that an ExternalSecret lists."""
    secret = manifests.find("Secret", name, namespace)
    # What it must hold is no question of the Ingress then.
    if secret and secret.body.get("type") == "kubernetes.io/tls":
        return None
    if secret:
        return {*mapping(secret.body.get("data")), *mapping(secret.body.get("stringData"))}
    for maker in manifests.of("ExternalSecret.external-secrets.io"):
        made = (maker.namespace, dig(maker.body, "spec.target.name") or maker.name) == (namespace, name)
        if made and not maker.spec.get("dataFrom") and not dig(maker.body, "spec.target.template"):
            return {mapping(entry).get("secretKey") for entry in items(maker.spec.get("data"))}
    return None


@rule(
    "ingress-backend-protocol",
    "medium",
    why="A controller that speaks TLS to a plain port, or the reverse, answers every request with 502.",
    fix="make the annotation backend-protocol and the Service's port agree.",
    source="ingress-nginx: annotations, backend protocol; no checker has it",
)
def backend_protocol(manifests: ManifestSet) -> Iterator[Finding]:
    key = f"{NGINX}/backend-protocol"
    for ingress in manifests.of("Ingress"):
        wanted = str(ingress.annotations.get(key, "")).upper()
        clash = {"HTTPS": "http", "GRPCS": "http", "HTTP": "https"}.get(wanted)
        for _, backend in backends(ingress) if clash else ():
            service = manifests.find("Service", backend.get("name"), ingress.namespace)
            for port in map(mapping, items(service.spec.get("ports")) if service else []):
                called = {dig(backend, "port.name"), dig(backend, "port.number")} & {port.get("name"), port.get("port")}
                says = {str(port.get(field, "")).lower() for field in ("name", "appProtocol", "targetPort")}
                if called - {None} and clash in says:
                    path = f"metadata.annotations[{key}]"
                    yield ingress.finding(path, wanted, f"does not fit the {clash} port of {service}")


@rule(
    "ingress-cors",
    "high",
    why="With any origin and credentials every web page reads a signed-in user's data with that user's cookies.",
    fix="list the origins in cors-allow-origin, or set cors-allow-credentials to false.",
    source="OWASP: testing cross origin resource sharing; ingress-nginx: annotations, enable CORS",
    per_object=True,
)
def cors(manifests: ManifestSet) -> Iterator[Finding]:
    for ingress in manifests.of("Ingress"):
        # ingress-nginx takes any origin, and credentials, when nothing else is said.
        origins = str(ingress.annotations.get(f"{NGINX}/cors-allow-origin", "*")).replace(" ", "").split(",")
        credentials = ingress.annotations.get(f"{NGINX}/cors-allow-credentials", "true") == "true"
        if ingress.annotations.get(f"{NGINX}/enable-cors") == "true" and "*" in origins and credentials:
            yield ingress.finding(f"metadata.annotations[{NGINX}/enable-cors]", "true", "lets every origin in")

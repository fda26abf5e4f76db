"""The Gateway API: routes attach to a listener that takes them, and listeners serve TLS.

https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.references import secrets_made

GROUP = "gateway.networking.k8s.io"
ROUTES = tuple(f"{kind}.{GROUP}" for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute"))
ISSUERS = ("cert-manager.io/issuer", "cert-manager.io/cluster-issuer")


def listeners(gateway: Manifest) -> Iterator[tuple[str, Body]]:
    """(path, listener) of each of a Gateway."""
    for listener in map(mapping, items(gateway.spec.get("listeners"))):
        yield f"spec.listeners[{listener.get('name')}]", listener


def _parents(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body, Manifest | None]]:
    """(route, path, parentRef, Gateway) of each Gateway that a route names; None for one that the set has not."""
    for route in manifests.of(*ROUTES):
        for index, parent in enumerate(map(mapping, items(route.spec.get("parentRefs")))):
            if parent.get("kind", "Gateway") == "Gateway" and parent.get("group", GROUP) == GROUP:
                namespace = str(parent.get("namespace") or route.namespace)
                gateway = manifests.find(f"Gateway.{GROUP}", parent.get("name"), namespace)
                yield route, f"spec.parentRefs[{index}]", parent, gateway


def _named(parent: Body, listener: Body) -> bool:
    return parent.get("sectionName") in (None, listener.get("name"))


def _fits(host: str, listened: str) -> bool:
    """Whether a route's host is one of a listener's, each of which may be a wildcard; an empty one takes all."""
    pairs = ((host, listened), (listened, host))
    wild = any(pattern.startswith("*.") and name.endswith(pattern[1:]) for name, pattern in pairs)
    return not listened or host == listened or wild


@rule(
    "gateway-routes-attach",
    "high",
    why="A route whose Gateway, listener or host does not exist serves nothing, and only its status says so.",
    fix="correct parentRefs, sectionName or hostnames to what the Gateway's listeners have.",
    source="Gateway API: attaching to Gateways; no checker has it",
)
def routes_attach(manifests: ManifestSet) -> Iterator[Finding]:
    spaces = {each.namespace for each in manifests.of(f"Gateway.{GROUP}")}
    for route, path, parent, gateway in _parents(manifests):
        if gateway is None:
            # Elsewhere the Gateway may be the cluster's own.
            if manifests.is_environment or str(parent.get("namespace") or route.namespace) in spaces:
                yield route.finding(path, parent, "there is no such Gateway")
            continue
        known = [listener for _, listener in listeners(gateway) if _named(parent, listener)]
        if not known:
            yield route.finding(f"{path}.sectionName", parent.get("sectionName"), f"is no listener of {gateway}")
        for index, host in enumerate(map(str, items(route.spec.get("hostnames")))):
            if known and not any(_fits(host, str(each.get("hostname") or "")) for each in known):
                yield route.finding(f"spec.hostnames[{index}]", host, f"is no host that {gateway} listens for")


@rule(
    "gateway-tls",
    "high",
    why="Over plain HTTP everybody on the way reads the passwords and the timetable.",
    fix="use protocol HTTPS with tls.certificateRefs, or let the listener's routes do nothing but redirect to it.",
    source="NSA/CISA Kubernetes Hardening Guidance; Gateway API: HTTP redirects",
    where_required=True,
)
def tls(manifests: ManifestSet) -> Iterator[Finding]:
    for gateway in manifests.of(f"Gateway.{GROUP}"):
        for path, listener in listeners(gateway):
            attached = [
                route
                for route, _, parent, parent_gateway in _parents(manifests)
                if parent_gateway is gateway and _named(parent, listener)
            ]
            # Without any route here nobody can tell what the listener serves.
            if listener.get("protocol") == "HTTP" and not all(map(_redirects, attached)):
                yield gateway.finding(f"{path}.protocol", "HTTP", "serves plain HTTP")


def _redirects(route: Manifest) -> bool:
    """Whether each rule of a route answers by a redirect."""
    return all(
        "RequestRedirect" in [mapping(each).get("type") for each in items(dig(body, "filters"))]
        for body in items(route.spec.get("rules"))
    )


@rule(
    "gateway-certificate",
    "high",
    why="A listener without its Secret is not programmed, and nothing answers on its port.",
    fix="name in certificateRefs the Secret that a Certificate makes, or annotate the Gateway with its issuer.",
    source="Gateway API: TLS configuration; cert-manager: securing Gateway resources",
)
def certificate(manifests: ManifestSet) -> Iterator[Finding]:
    made = set(secrets_made(manifests))
    # Elsewhere whoever made the set may have made the Secret, unless the set shows how it is made.
    shown = manifests.is_environment or manifests.of("Certificate.cert-manager.io")
    for gateway in manifests.of(f"Gateway.{GROUP}"):
        for path, listener in listeners(gateway):
            # Options are for a controller that keeps its certificates elsewhere.
            secured = dig(listener, "tls.certificateRefs") or dig(listener, "tls.options")
            if listener.get("protocol") == "HTTPS" and not secured:
                yield gateway.finding(f"{path}.tls", listener.get("tls"), "names no certificate")
            for index, wanted in enumerate(map(mapping, items(dig(listener, "tls.certificateRefs")))):
                ours = wanted.get("kind", "Secret") == "Secret" and not wanted.get("namespace")
                issued = any(key in gateway.annotations for key in ISSUERS)
                if shown and ours and not issued and (gateway.namespace, wanted.get("name")) not in made:
                    place = f"{path}.tls.certificateRefs[{index}]"
                    yield gateway.finding(place, wanted, "nobody makes this Secret")


@rule(
    "gateway-own-routes",
    "medium",
    why="A listener that takes routes from all namespaces lets any of them take over a path of its host.",
    fix="set allowedRoutes.namespaces.from to Same, or to Selector with the namespaces that are meant.",
    source="Gateway API: security model, cross-namespace route attachment",
)
def own_routes(manifests: ManifestSet) -> Iterator[Finding]:
    for gateway in manifests.of(f"Gateway.{GROUP}"):
        routes = [route for route, _, _, named in _parents(manifests) if named is gateway]
        # Elsewhere a Gateway may be for the whole cluster; one with its routes beside it is not.
        private = bool(routes) and all(route.namespace == gateway.namespace for route in routes)
        for path, listener in listeners(gateway):
            if dig(listener, "allowedRoutes.namespaces.from") == "All" and (manifests.is_environment or private):
                yield gateway.finding(f"{path}.allowedRoutes.namespaces.from", "All", "takes routes from everybody")


@rule(
    "gateway-grants",
    "high",
    why="A route to a Service of another namespace answers 500 until a ReferenceGrant there allows it.",
    fix="add a ReferenceGrant from the route's namespace to the Service's, or keep both in one namespace.",
    source="Gateway API: ReferenceGrant; no checker has it",
)
def grants(manifests: ManifestSet) -> Iterator[Finding]:
    granted = {
        (grant.namespace, mapping(source).get("namespace"))
        for grant in manifests.of(f"ReferenceGrant.{GROUP}")
        for source in items(grant.spec.get("from"))
    }
    held = {each.namespace for each in manifests.manifests}
    for route in manifests.of(*ROUTES):
        for index, body in enumerate(items(route.spec.get("rules"))):
            for backend in map(mapping, items(dig(body, "backendRefs"))):
                namespace = str(backend.get("namespace") or route.namespace)
                # Elsewhere the grant may lie with the rest of that namespace.
                known = manifests.is_environment or namespace in held
                if known and namespace != route.namespace and (namespace, route.namespace) not in granted:
                    yield route.finding(f"spec.rules[{index}].backendRefs", backend, "no ReferenceGrant allows it")

"""Who can reach whom: Services, host ports and NetworkPolicies."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import partial
from itertools import product

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.policies import PEERS, inside, peer_pods, permits, policies_on, policy_rules, port_number
from policy_tests.rule import rule

# What a cluster's nodes and its cloud call themselves.
NODE_NAMES = re.compile(r"localhost|127\.|0\.0\.0\.0|169\.254\.|metadata\.|.*\.svc(\.cluster\.local)?\.?$")
# SQL Server, Oracle, MySQL, PostgreSQL, Cassandra, MongoDB.
DATABASE_PORTS: set[object] = {1433, 1521, 3306, 5432, 9042, 27017}
DNS_PORTS: set[object] = {53, 5353, "dns", "dns-udp", "dns-tcp"}


def database_ports(pod: Pod) -> set[object]:
    return DATABASE_PORTS & {port.get("containerPort") for container in pod.containers for port in container.ports}


def serves_database(manifests: ManifestSet, service: Manifest) -> bool:
    """Whether a Service leads to a database's port, by number, by name or by the pods behind it."""
    ports = [mapping(port) for port in items(service.spec.get("ports"))]
    if any(DATABASE_PORTS & {port.get("port"), port.get("targetPort")} for port in ports):
        return True
    return any(
        port_number(pod, port.get("targetPort")) in database_ports(pod)
        for pod in manifests.behind(service)
        for port in ports
    )


@rule(
    "network-database-stays-inside",
    "critical",
    why="Whoever reaches the database's port from outside its namespace needs only a password for every pupil's data.",
    fix="leave the port to a ClusterIP Service and a NetworkPolicy whose peers are podSelectors of this namespace.",
    source="this project: MySQL is not reachable from outside its namespace",
)
def database_stays_inside(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _database_services(manifests)
    for pod in manifests.pods:
        for container in pod.containers:
            for port in container.ports:
                if DATABASE_PORTS & {port.get("containerPort"), port.get("hostPort")}:
                    for field in {"hostPort"} & port.keys():
                        yield container.finding(f"ports[{port.get('name')}].{field}", port[field], "opens the node")
                    if pod.spec.get("hostNetwork"):
                        yield pod.finding("hostNetwork", True, "puts the database on the node's address")
    for pod in filter(database_ports, manifests.pods):
        if not policies_on(manifests, "Ingress", pod):
            yield pod.finding("", pod.labels, "no NetworkPolicy for ingress selects these pods")
    for policy in manifests.of("NetworkPolicy"):
        yield from _database_peers(manifests, policy)


def _database_services(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        if serves_database(manifests, service):
            if service.spec.get("type", "ClusterIP") != "ClusterIP":
                yield service.finding("spec.type", service.spec["type"], "takes the database out of the namespace")
            if service.spec.get("externalIPs"):
                yield service.finding(
                    "spec.externalIPs", service.spec["externalIPs"], "opens the database on these addresses"
                )
    for ingress in manifests.of("Ingress"):
        for path, backend in backends(ingress):
            target = manifests.find("Service", backend.get("name"), ingress.namespace)
            if dig(backend, "port.number") in DATABASE_PORTS or (target and serves_database(manifests, target)):
                yield ingress.finding(path, backend.get("name"), "leads to the database")


def _database_peers(manifests: ManifestSet, policy: Manifest) -> Iterator[Finding]:
    guarded = [pod for pod in manifests.select(policy.spec.get("podSelector"), policy.namespace) if database_ports(pod)]
    names = {
        number for pod in guarded for port in DATABASE_PORTS for number in (port, (pod.port(port) or {}).get("name"))
    }
    for direction, path, rule_body in policy_rules(policy):
        numbers = {mapping(port).get("port") for port in items(rule_body.get("ports"))}
        peers = items(rule_body.get(PEERS[direction]))
        entered = direction == "Ingress" and guarded and (not numbers or numbers & names)
        # Elsewhere the database may be a managed one, outside the cluster.
        left = direction == "Egress" and numbers & (DATABASE_PORTS | {"mysql"}) and manifests.is_environment
        if entered or left:
            if not peers:
                yield policy.finding(path, rule_body, "lets everybody through to the database")
            for index, peer in enumerate(map(mapping, peers)):
                if not (peer.keys() <= {"podSelector"} if manifests.is_environment else _chosen(peer)):
                    yield policy.finding(f"{path}.{PEERS[direction]}[{index}]", peer, "lets the database be reached")


def _chosen(peer: Body) -> bool:
    """Whether a peer means certain pods or a certain namespace, not everything somewhere."""
    return bool(peer.get("namespaceSelector") or (peer.get("podSelector") and "namespaceSelector" not in peer))


def backends(ingress: Manifest) -> Iterator[tuple[str, Body]]:
    """(path, service) of every backend of an Ingress."""
    if isinstance(default := dig(ingress.body, "spec.defaultBackend.service"), dict):
        yield "spec.defaultBackend.service", default
    for rule_index, rule_body in enumerate(items(ingress.spec.get("rules"))):
        for index, path in enumerate(items(dig(rule_body, "http.paths"))):
            service = mapping(dig(path, "backend.service"))
            if not dig(path, "backend.resource"):
                yield f"spec.rules[{rule_index}].http.paths[{index}].backend.service", service


@rule(
    "network-no-outside-services",
    "high",
    why="NodePort, LoadBalancer and externalIPs open a way in that passes by the Ingress and its TLS.",
    fix="use a ClusterIP Service behind the Ingress.",
    source="CVE-2020-8554 (externalIPs); kube-linter exposed-services; 7 of 13 checkers",
    per_object=True,
)
def no_outside_services(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        if service.spec.get("type") in ("NodePort", "LoadBalancer"):
            yield service.finding("spec.type", service.spec["type"], "opens the Service to the outside")
        if service.spec.get("externalIPs"):
            yield service.finding("spec.externalIPs", service.spec["externalIPs"], "takes over these addresses")


@rule(
    "network-no-external-names",
    "medium",
    why="An ExternalName sends the application to whatever DNS answers, beyond every NetworkPolicy selector.",
    fix="remove it, or select pods.",
    source="CVE-2021-25740; kyverno disallow-localhost-services, unique-external-dns",
)
def no_external_names(manifests: ManifestSet) -> Iterator[Finding]:
    exposed = {
        (ingress.namespace, backend.get("name"))
        for ingress in manifests.of("Ingress")
        for _, backend in backends(ingress)
    }
    names: dict[str, Manifest] = {}
    for service in manifests.of("Service"):
        if service.spec.get("type") != "ExternalName":
            continue
        name = str(service.spec.get("externalName") or "")
        # Elsewhere the name of a service outside the cluster is a fair use.
        inward = NODE_NAMES.match(name) or service.spec.get("selector") or (service.namespace, service.name) in exposed
        if manifests.is_environment or inward or name in names or "." not in name:
            yield service.finding("spec.externalName", name, "is an ExternalName")
        names[name] = service


@rule(
    "network-no-host-ports",
    "high",
    why="A hostPort opens the port on the node itself, past Services and most NetworkPolicies.",
    fix="remove hostPort and use a Service.",
    source="Pod Security Standards: baseline; CIS 5.2.13",
    per_object=True,
)
def no_host_ports(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for port in container.ports:
            if port.get("hostPort"):
                yield container.finding(f"ports[{port.get('name')}].hostPort", port["hostPort"], "opens the node")


@rule(
    "network-unprivileged-ports",
    "medium",
    why="A shell server in a container is a way in for people; a port below 1024 may need root.",
    fix="listen on a port above 1023 and leave the well-known number to the Service.",
    source="kube-linter ssh-port, privileged-ports; trivy KSV-0117",
    per_object=True,
)
def unprivileged_ports(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        sysctls = [mapping(sysctl).get("name") for sysctl in items(container.pod.security.get("sysctls"))]
        added = items(dig(container.security, "capabilities.add"))
        able = "NET_BIND_SERVICE" in added or "net.ipv4.ip_unprivileged_port_start" in sysctls
        for port in container.ports:
            number = port.get("containerPort")
            if isinstance(number, int) and number < 1024 and (number == 22 or not able):
                yield container.finding(f"ports[{port.get('name')}].containerPort", number, "is below 1024")
    for service in manifests.of("Service"):
        for port in map(mapping, items(service.spec.get("ports"))):
            if 22 in (port.get("port"), port.get("targetPort")):
                yield service.finding(f"spec.ports[{port.get('name') or 22}]", port, "leads to a shell")


@rule(
    "network-pods-isolated",
    "high",
    why="A pod that no NetworkPolicy selects takes connections from everybody, and calls everybody.",
    fix="add a NetworkPolicy that selects it, with both policyTypes.",
    source="CIS 5.3.2; kube-linter non-isolated-pod; 8 of 13 checkers",
)
def pods_isolated(manifests: ManifestSet) -> Iterator[Finding]:
    listening = [pod for pod in manifests.pods if any(container.ports for container in pod.containers)]
    # Elsewhere whatever does not listen needs no guard, and calls are guarded where that is the custom.
    guarded = manifests.pods if manifests.is_environment else listening
    for direction, pods, always in (("Ingress", guarded, True), ("Egress", manifests.pods, None)):
        for pod in manifests.lacking(pods, partial(policies_on, manifests, direction), always=always):
            yield pod.finding("", pod.labels, f"no NetworkPolicy for {direction.lower()} selects it")


@rule(
    "network-default-deny",
    "high",
    why="Without a policy for all pods of a namespace each new workload begins with no policy at all.",
    fix="add a NetworkPolicy with podSelector: {}, both policyTypes and no rules to the namespace.",
    source="CIS 5.3.2; NSA/CISA Kubernetes Hardening Guidance; kubescape internal-networking",
)
def default_deny(manifests: ManifestSet) -> Iterator[Finding]:
    denied = {
        (policy.namespace, direction)
        for policy in manifests.of("NetworkPolicy")
        if policy.spec.get("podSelector") == {} and not policy.spec.get("ingress") and not policy.spec.get("egress")
        for direction in items(policy.spec.get("policyTypes"))
    }
    # Elsewhere, where the set makes the namespace and has policies for all its pods, denying is what they begin with.
    general = {each.namespace for each in manifests.of("NetworkPolicy") if each.spec.get("podSelector") == {}}
    general &= {namespace.name for namespace in manifests.of("Namespace")}
    first = {pod.owner.namespace: pod for pod in reversed(manifests.pods)}
    for namespace, pod in first.items():
        for direction in ("Ingress", "Egress") if manifests.is_environment or namespace in general else ():
            if (namespace, direction) not in denied:
                yield pod.owner.finding("metadata.namespace", namespace, f"denies no {direction.lower()} by default")


@rule(
    "network-dns-allowed",
    "medium",
    why="A pod that may call a Service but may not ask DNS never finds it.",
    fix="add an egress rule for port 53, UDP and TCP, to kube-dns.",
    source="Kubernetes: network policies, default deny all egress",
)
def dns_allowed(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        rules = [
            body
            for policy in policies_on(manifests, "Egress", pod)
            for direction, _, body in policy_rules(policy)
            if direction == "Egress"
        ]
        for protocol in ("UDP", "TCP") if manifests.is_environment else ("UDP",):
            if rules and not any(_opens(body, _dns_ports(manifests, body), protocol) for body in rules):
                yield pod.finding("", pod.labels, f"its egress policies allow calls, but not DNS over {protocol}")


def _dns_ports(manifests: ManifestSet, rule_body: Body) -> set[object]:
    """The ports on which the name servers that a rule means may listen: 5353 is where OpenShift's do."""
    peers = items(rule_body.get("to"))
    kube_dns = peers and all(dig(peer, "podSelector.matchLabels.k8s-app") == "kube-dns" for peer in peers)
    return {53} if manifests.is_environment else DNS_PORTS - {5353} if kube_dns else DNS_PORTS


def _opens(rule_body: Body, numbers: Collection[object], protocol: str) -> bool:
    ports = [mapping(port) for port in items(rule_body.get("ports"))]
    return not ports or any(
        port.get("protocol", "TCP") == protocol and port.get("port", 53) in numbers for port in ports
    )


@rule(
    "network-both-ends-agree",
    "high",
    why="A connection needs the caller's egress and the other end's ingress; with one of them it times out.",
    fix="allow the same port in the other end's NetworkPolicy too.",
    source="Kubernetes: network policies, the two sorts of pod isolation",
)
def both_ends_agree(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        selected = manifests.select(policy.spec.get("podSelector"), policy.namespace)
        for direction, path, rule_body in policy_rules(policy):
            opposite = "Ingress" if direction == "Egress" else "Egress"
            ports = [port for port in map(mapping, items(rule_body.get("ports")) or [{}]) if "endPort" not in port]
            for peer in map(mapping, items(rule_body.get(PEERS[direction]))):
                others = peer_pods(manifests, policy, peer) if inside(manifests, policy, peer) else []
                pairs = [each for each in product(selected, others, ports) if each[0] is not each[1]]
                shut = [each for each in pairs if not permits(manifests, each[1], opposite, each[0], each[2])]
                # Elsewhere a peer that means many pods does not mean that all of them call.
                if manifests.is_environment or len(shut) == len(pairs):
                    for _, other, port in shut:
                        yield policy.finding(path, port.get("port"), f"{other.owner} has no {opposite.lower()} for it")


@rule(
    "network-policy-ports-exist",
    "high",
    why="A policy for a port on which nothing listens allows nothing, and the connection meant by it is blocked.",
    fix="name a container port of the pods that are called.",
    source="this project; kube-linter has it for Services only",
)
def policy_ports_exist(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        selected = manifests.select(policy.spec.get("podSelector"), policy.namespace)
        for direction, path, rule_body in policy_rules(policy):
            peers = items(rule_body.get(PEERS[direction]))
            called = [pod for peer in peers for pod in peer_pods(manifests, policy, peer)]
            if direction == "Ingress":
                called = selected
            elif not all(inside(manifests, policy, peer) for peer in peers):
                called = []
            for index, port in enumerate(map(mapping, items(rule_body.get("ports")))):
                wanted, protocol = port.get("port"), port.get("protocol", "TCP")
                listed = [pod for pod in called if any(container.ports for container in pod.containers)]
                decided = listed and wanted is not None and "endPort" not in port
                if decided and not any(pod.port(wanted, protocol) for pod in called):
                    yield policy.finding(f"{path}.ports[{index}].port", wanted, "no container listens there")

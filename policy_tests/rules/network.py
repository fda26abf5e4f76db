"""Who can reach whom: Services, host ports and NetworkPolicies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.policies import PEERS, local_pods, permits, policies_on, policy_rules, port_number
from policy_tests.rule import rule

DATABASE_PORT = 3306


def database_pods(manifests: ManifestSet) -> list[Pod]:
    return [pod for pod in manifests.pods if pod.port(DATABASE_PORT)]


def serves_database(manifests: ManifestSet, service: Manifest) -> bool:
    """Whether a Service leads to the database's port, by number, by name or by the pods behind it."""
    ports = [mapping(port) for port in items(service.spec.get("ports"))]
    if any(DATABASE_PORT in (port.get("port"), port.get("targetPort")) for port in ports):
        return True
    behind = [pod for pod in manifests.behind(service) if pod.port(DATABASE_PORT)]
    return any(port_number(pod, port.get("targetPort")) == DATABASE_PORT for pod in behind for port in ports)


@rule(
    "network-3306-stays-inside",
    "critical",
    why="Whoever reaches the database's port from outside its namespace needs only a password for every pupil's data.",
    fix="leave 3306 to a ClusterIP Service and a NetworkPolicy whose peers are podSelectors of this namespace.",
    source="this project: MySQL is not reachable from outside its namespace",
)
def port_3306_stays_inside(manifests: ManifestSet) -> Iterator[Finding]:
    yield from _database_services(manifests)
    for pod in manifests.pods:
        for container in pod.containers:
            for port in container.ports:
                if DATABASE_PORT in (port.get("containerPort"), port.get("hostPort")):
                    for field in {"hostPort"} & port.keys():
                        yield container.finding(f"ports[{port.get('name')}].{field}", port[field], "opens the node")
                    if pod.spec.get("hostNetwork"):
                        yield pod.finding("hostNetwork", True, "puts 3306 on the node's address")
    for pod in database_pods(manifests):
        if not policies_on(manifests, pod, "Ingress"):
            yield pod.finding("", pod.labels, "no NetworkPolicy for ingress selects these pods")
    for policy in manifests.of("NetworkPolicy"):
        yield from _database_peers(manifests, policy)


def _database_services(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        if serves_database(manifests, service):
            if service.spec.get("type", "ClusterIP") != "ClusterIP":
                yield service.finding("spec.type", service.spec["type"], "takes 3306 out of the namespace")
            if service.spec.get("externalIPs"):
                yield service.finding("spec.externalIPs", service.spec["externalIPs"], "opens 3306 on these addresses")
    for ingress in manifests.of("Ingress"):
        for path, backend in backends(ingress):
            target = manifests.find("Service", backend.get("name"), ingress.namespace)
            if dig(backend, "port.number") == DATABASE_PORT or (target and serves_database(manifests, target)):
                yield ingress.finding(path, backend.get("name"), "leads to the database")


def _database_peers(manifests: ManifestSet, policy: Manifest) -> Iterator[Finding]:
    guards = any(pod.port(DATABASE_PORT) for pod in manifests.select(policy.spec.get("podSelector"), policy.namespace))
    for direction, path, rule_body in policy_rules(policy):
        numbers = [mapping(port).get("port") for port in items(rule_body.get("ports"))]
        peers = items(rule_body.get(PEERS[direction]))
        named = any(number in (DATABASE_PORT, "mysql") for number in numbers)
        if (direction == "Ingress" and guards and (named or not numbers)) or (direction == "Egress" and named):
            if not peers:
                yield policy.finding(path, rule_body, "lets 3306 through to everybody")
            for index, peer in enumerate(peers):
                if not mapping(peer).keys() <= {"podSelector"}:
                    yield policy.finding(f"{path}.{PEERS[direction]}[{index}]", peer, "lets 3306 leave the namespace")


def backends(ingress: Manifest) -> Iterator[tuple[str, Body]]:
    """(path, service) of every backend of an Ingress."""
    if isinstance(default := dig(ingress.body, "spec.defaultBackend.service"), dict):
        yield "spec.defaultBackend.service", default
    for rule_index, rule_body in enumerate(items(ingress.spec.get("rules"))):
        for index, path in enumerate(items(dig(rule_body, "http.paths"))):
            service = mapping(dig(path, "backend.service"))
            yield f"spec.rules[{rule_index}].http.paths[{index}].backend.service", service


@rule(
    "network-no-outside-services",
    "high",
    why="NodePort, LoadBalancer and externalIPs open a way in that passes by the Ingress and its TLS.",
    fix="use a ClusterIP Service behind the Ingress.",
    source="CVE-2020-8554 (externalIPs); kube-linter exposed-services; 7 of 13 checkers",
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
    source="kyverno disallow-localhost-services, unique-external-dns",
)
def no_external_names(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        if service.spec.get("type") == "ExternalName":
            yield service.finding("spec.externalName", service.spec.get("externalName"), "is an ExternalName")


@rule(
    "network-no-host-ports",
    "high",
    why="A hostPort opens the port on the node itself, past Services and most NetworkPolicies.",
    fix="remove hostPort and use a Service.",
    source="Pod Security Standards: baseline; CIS 5.2.13",
)
def no_host_ports(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for port in container.ports:
            if port.get("hostPort"):
                yield container.finding(f"ports[{port.get('name')}].hostPort", port["hostPort"], "opens the node")


@rule(
    "network-default-deny",
    "high",
    why="A pod that no NetworkPolicy selects talks with everybody, and each new workload begins like that.",
    fix="add a NetworkPolicy with podSelector: {}, both policyTypes and no rules to the namespace.",
    source="CIS 5.3.2; NSA/CISA Kubernetes Hardening Guidance",
)
def default_deny(manifests: ManifestSet) -> Iterator[Finding]:
    denied = {
        (policy.namespace, direction)
        for policy in manifests.of("NetworkPolicy")
        if policy.spec.get("podSelector") == {} and not policy.spec.get("ingress") and not policy.spec.get("egress")
        for direction in items(policy.spec.get("policyTypes"))
    }
    first = {pod.owner.namespace: pod for pod in reversed(manifests.pods)}
    for namespace, pod in first.items():
        for direction in ("Ingress", "Egress"):
            if (namespace, direction) not in denied:
                yield pod.owner.finding("metadata.namespace", namespace, f"denies no {direction.lower()} by default")


@rule(
    "network-policies-not-open",
    "medium",
    why="A policy that lets everybody in, or everything out, is no policy.",
    fix="name the peers: podSelector, namespaceSelector, or an ipBlock smaller than the internet.",
    source="trivy KSV-0038; CIS 5.3.2",
)
def policies_not_open(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for direction, path, rule_body in policy_rules(policy):
            peers = items(rule_body.get(PEERS[direction]))
            if not peers:
                yield policy.finding(path, rule_body, "names no peer, which means everybody")
            for index, peer in enumerate(peers):
                everywhere = dig(peer, "ipBlock.cidr") in ("0.0.0.0/0", "::/0") and not dig(peer, "ipBlock.except")
                if not peer or everywhere or mapping(peer).get("namespaceSelector") == {}:
                    yield policy.finding(f"{path}.{PEERS[direction]}[{index}]", peer, "is everybody")


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
            for policy in policies_on(manifests, pod, "Egress")
            for direction, _, body in policy_rules(policy)
            if direction == "Egress"
        ]
        for protocol in ("UDP", "TCP"):
            if rules and not any(_opens(body, 53, protocol) for body in rules):
                yield pod.finding("", pod.labels, f"its egress policies allow calls, but not DNS over {protocol}")


def _opens(rule_body: Body, number: int, protocol: str) -> bool:
    ports = [mapping(port) for port in items(rule_body.get("ports"))]
    return not ports or any(
        port.get("protocol", "TCP") == protocol and port.get("port", number) == number for port in ports
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
            peers = [peer for peer in map(mapping, items(rule_body.get(PEERS[direction]))) if "podSelector" in peer]
            inside = [peer for peer in peers if "namespaceSelector" not in peer]
            others = [pod for peer in inside for pod in local_pods(manifests, policy, peer)]
            ports = [port for port in map(mapping, items(rule_body.get("ports")) or [{}]) if "endPort" not in port]
            for pod, other, port in product(selected, others, ports):
                if pod is not other and not permits(manifests, other, opposite, pod, port):
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
            called = [pod for peer in peers for pod in local_pods(manifests, policy, peer)]
            called = selected if direction == "Ingress" else called
            for index, port in enumerate(map(mapping, items(rule_body.get("ports")))):
                wanted, protocol = port.get("port"), port.get("protocol", "TCP")
                decided = called and wanted is not None and "endPort" not in port
                if decided and not any(pod.port(wanted, protocol) for pod in called):
                    yield policy.finding(f"{path}.ports[{index}].port", wanted, "no container listens there")

"""What one NetworkPolicy says by itself: values that are accepted, in force, and mean what they look like."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise

from policy_tests.manifests import Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.policies import PEERS, directions, lets_in, network, policy_rules, written_peers
from policy_tests.rule import rule
from policy_tests.rules.network import DNS_PORTS, backends

# What a pod may well ask of the whole internet.
WEB_PORTS: set[object] = {443, "https", *DNS_PORTS}
# Where the clouds hand out the credentials of a node to whoever asks from it.
METADATA_SERVER = ip_address("169.254.169.254")
# Made by the cluster, which labels a namespace with kubernetes.io/metadata.name alone.
BUILT_IN_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


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
            peers = [mapping(peer) for peer in items(rule_body.get(PEERS[direction]))]
            numbers = [mapping(port).get("port") for port in items(rule_body.get("ports"))]
            fair = bool(numbers) and _fair(manifests, policy, direction, set(numbers))
            if not peers and not fair:
                yield policy.finding(path, rule_body, "names no peer, which means everybody")
            for index, peer in enumerate(peers):
                block = network(dig(peer, "ipBlock.cidr"))
                wide = block and block.prefixlen < 4 and not dig(peer, "ipBlock.except")
                # Nobody who means the internet writes its halves, but two of them look like no internet to a checker.
                half = wide and block and block.version == 4 and block.prefixlen > 0
                everybody = not peer or wide or (peer.get("namespaceSelector") == {} and not peer.get("podSelector"))
                if half or (everybody and not fair):
                    yield policy.finding(f"{path}.{PEERS[direction]}[{index}]", peer, "is everybody")


def _fair(manifests: ManifestSet, policy: Manifest, direction: str, numbers: set[object]) -> bool:
    """Whether everybody may well be meant: name servers and, elsewhere, the internet and what is behind an Ingress."""
    if direction == "Egress":
        return numbers <= (DNS_PORTS if manifests.is_environment else WEB_PORTS)
    exposed = [
        pod
        for ingress in manifests.of("Ingress")
        for _, backend in backends(ingress)
        if (service := manifests.find("Service", backend.get("name"), ingress.namespace))
        for pod in manifests.behind(service)
    ]
    selected = manifests.select(policy.spec.get("podSelector"), policy.namespace)
    return not manifests.is_environment and bool(selected) and all(pod in exposed for pod in selected)


@rule(
    "network-policy-in-force",
    "critical",
    why="Rules for a direction that policyTypes leaves out say nothing, so that direction stays open or shut.",
    fix="add the direction to policyTypes, or remove its rules.",
    source="Kubernetes: network policies, the two sorts of pod isolation; no checker has it",
    per_object=True,
)
def policy_in_force(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for direction in PEERS:
            rules = items(policy.spec.get(direction.lower()))
            if rules and direction not in directions(policy):
                yield policy.finding(f"spec.{direction.lower()}", rules, f"is not in force without {direction}")


@rule(
    "network-policy-accepted",
    "critical",
    why="The API server refuses a policy whose blocks, ranges or peers make no sense, and its pods stay as they were.",
    fix="correct the CIDR, keep except inside it and endPort above port, and give a selector a peer of its own.",
    source="Kubernetes: NetworkPolicy v1, API reference; no checker has it",
    per_object=True,
)
def policy_accepted(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for _, path, peer, _ in written_peers(policy):
            block = mapping(peer.get("ipBlock"))
            if not block:
                continue
            if len(peer) > 1:
                yield policy.finding(path, peer, "has an ipBlock beside a selector")
            cidr = network(block.get("cidr"))
            if cidr is None:
                yield policy.finding(f"{path}.ipBlock.cidr", block.get("cidr"), "is no block of addresses")
            for text in items(block.get("except")) if cidr else ():
                taken = network(text)
                # subnet_of() is for networks of one version, which mypy cannot see.
                inside = taken and cidr and taken.version == cidr.version and taken.subnet_of(cidr)  # type: ignore[arg-type]
                if not inside or taken == cidr:
                    yield policy.finding(f"{path}.ipBlock.except", text, f"is no smaller block inside {cidr}")
        for direction in PEERS:
            for index, body in enumerate(items(policy.spec.get(direction.lower()))):
                for number, port in enumerate(map(mapping, items(dig(body, "ports")))):
                    first, last = port.get("port"), port.get("endPort")
                    place = f"spec.{direction.lower()}[{index}].ports[{number}]"
                    for field, value in (("port", first), ("endPort", last)):
                        if isinstance(value, int) and not 0 < value < 65536:
                            yield policy.finding(f"{place}.{field}", value, "is no port")
                    if last is not None and not (isinstance(first, int) and isinstance(last, int) and first <= last):
                        yield policy.finding(f"{place}.endPort", last, f"does not end a range that begins with {first}")


@rule(
    "network-blocks-exact",
    "low",
    why="Of a block with bits beyond its mask nobody can tell whether one address was meant or all that it holds.",
    fix="write the block's first address, or /32 for a single one.",
    source="Kubernetes: warnings of the API server about CIDRs; no checker has it",
    per_object=True,
)
def blocks_exact(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for _, path, peer, _ in written_peers(policy):
            block = mapping(peer.get("ipBlock"))
            for field, texts in (("cidr", [block.get("cidr")]), ("except", items(block.get("except")))):
                for text in texts:
                    meant = network(text)
                    if meant and ip_address(str(text).partition("/")[0]) != meant.network_address:
                        yield policy.finding(f"{path}.ipBlock.{field}", text, f"means {meant}")


@rule(
    "network-no-metadata-server",
    "high",
    why="The cloud's metadata server gives the node's own credentials to every pod that may call it.",
    fix="remove the block, or give the pod an identity of its own.",
    source="NSA/CISA Kubernetes Hardening Guidance; kubescape: access to the cloud's metadata; CIS EKS 5.4",
    per_object=True,
)
def no_metadata_server(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for direction, path, peer, body in written_peers(policy):
            ports = {mapping(port).get("port") for port in items(body.get("ports"))}
            cidr = network(dig(peer, "ipBlock.cidr"))
            # Google's is its name server too; what is wide enough to hold half of the internet was not meant for it.
            if direction != "Egress" or not cidr or cidr.prefixlen < 16 or (ports and ports <= DNS_PORTS):
                continue
            blocks = map(network, items(dig(peer, "ipBlock.except")))
            spared = any(block and METADATA_SERVER in block for block in blocks)
            if METADATA_SERVER in cidr and not spared:
                yield policy.finding(f"{path}.ipBlock.cidr", str(cidr), "holds the metadata server")


@rule(
    "network-peers-not-split",
    "high",
    why="Two list items are two peers: the first lets a whole namespace through, the second nobody.",
    fix="put podSelector into the item of namespaceSelector, without a dash of its own.",
    source="Kubernetes: network policies, behavior of to and from selectors; no checker has it",
)
def peers_not_split(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for direction, path, body in policy_rules(policy):
            peers = [mapping(peer) for peer in items(body.get(PEERS[direction]))]
            for index, (whole, part) in enumerate(pairwise(peers)):
                split = whole.keys() == {"namespaceSelector"} and part.keys() == {"podSelector"} and part["podSelector"]
                if split and not manifests.select(part["podSelector"], policy.namespace):
                    place = f"{path}.{PEERS[direction]}[{index}]"
                    yield policy.finding(place, whole, "means all pods there, as the podSelector below is another peer")


@rule(
    "network-namespaces-by-their-label",
    "medium",
    why="The cluster gives its own namespaces the label kubernetes.io/metadata.name and no other.",
    fix="select them by kubernetes.io/metadata.name.",
    source="Kubernetes: network policies, targeting a namespace by its name",
)
def namespaces_by_their_label(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for _, path, peer, _ in written_peers(policy):
            for key, value in mapping(dig(peer, "namespaceSelector.matchLabels")).items():
                namespace = manifests.find("Namespace", value, "")
                named = key in ("name", "namespace") and value in BUILT_IN_NAMESPACES
                if named and not (namespace and namespace.labels.get(key) == value):
                    yield policy.finding(f"{path}.namespaceSelector.matchLabels.{key}", value, "is no label of it")


@rule(
    "network-services-let-in",
    "high",
    why="Controllers, webhooks, monitors and peers that call a port which no policy opens wait for a timeout.",
    fix="add an ingress rule for the port to a policy of the pods, or remove the port from the Service.",
    source="Kubernetes: network policies, the two sorts of pod isolation; no checker has it",
)
def services_let_in(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        for pod in manifests.behind(service):
            for port in map(mapping, items(service.spec.get("ports"))):
                target, protocol = port.get("targetPort", port.get("port")), port.get("protocol", "TCP")
                # A port that the pods do not have is for references-service-ports to report.
                if pod.port(target, protocol) and not lets_in(manifests, pod, target, protocol):
                    path = f"spec.ports[{port.get('name') or port.get('port')}]"
                    yield service.finding(path, target, f"no NetworkPolicy of {pod.owner} lets anybody in to it")

"""What NetworkPolicies select and permit.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from policy_tests.manifests import Body, Manifest, ManifestSet, Pod, items, mapping, matches

PEERS = {"Ingress": "from", "Egress": "to"}
Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1024)
def directions(policy: Manifest) -> list[str]:
    """policyTypes, or what Kubernetes takes when they are left out."""
    stated = policy.spec.get("policyTypes")
    implied = ["Ingress", "Egress"] if policy.spec.get("egress") else ["Ingress"]
    return [each for each in items(stated) if each in PEERS] or implied


@lru_cache(maxsize=1024)
def policy_rules(policy: Manifest) -> tuple[tuple[str, str, Body], ...]:
    """(direction, path, rule) of every rule that is in force."""
    return tuple(
        (direction, f"spec.{direction.lower()}[{index}]", mapping(body))
        for direction in directions(policy)
        for index, body in enumerate(items(policy.spec.get(direction.lower())))
    )


def written_peers(policy: Manifest) -> Iterator[tuple[str, str, Body, Body]]:
    """(direction, path, peer, rule) of every peer that a policy writes down, in force or not."""
    for direction, field in PEERS.items():
        for index, body in enumerate(map(mapping, items(policy.spec.get(direction.lower())))):
            for number, peer in enumerate(map(mapping, items(body.get(field)))):
                yield direction, f"spec.{direction.lower()}[{index}].{field}[{number}]", peer, body


@cache
def network(text: object) -> Network | None:
    """The block of addresses that a CIDR means, whatever bits it has beyond its mask; None if it is none."""
    try:
        return ip_network(text, strict=False) if isinstance(text, str) and "/" in text else None
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def policies_on(manifests: ManifestSet, direction: str, pod: Pod) -> list[Manifest]:
    """The policies that isolate the pod in that direction."""
    return [
        policy
        for policy in manifests.of("NetworkPolicy")
        if direction in directions(policy) and pod in manifests.select(policy.spec.get("podSelector"), policy.namespace)
    ]


def peer_namespaces(manifests: ManifestSet, policy: Manifest, peer: Body) -> set[str]:
    """The namespaces of the set that a peer means."""
    if "namespaceSelector" not in peer:
        return {policy.namespace}
    labels = {pod.owner.namespace: {"kubernetes.io/metadata.name": pod.owner.namespace} for pod in manifests.pods}
    for namespace in manifests.of("Namespace"):
        labels[namespace.name] = {**namespace.labels, "kubernetes.io/metadata.name": namespace.name}
    return {name for name, own in labels.items() if matches(mapping(peer["namespaceSelector"]), own)}


def inside(manifests: ManifestSet, policy: Manifest, peer: object) -> bool:
    """Whether a peer means pods of this set alone, as far as the set tells; an empty namespaceSelector means more."""
    chosen = mapping(peer)
    if "ipBlock" in chosen or not chosen or chosen.get("namespaceSelector") == {}:
        return False
    known = {pod.owner.namespace for pod in manifests.pods}
    meant = peer_namespaces(manifests, policy, chosen)
    # The cluster's own pods, its name servers above all, are in no set.
    return bool(meant & known) and "kube-system" not in meant


def peer_pods(manifests: ManifestSet, policy: Manifest, peer: object) -> list[Pod]:
    """The pods of the set that a peer means."""
    chosen = mapping(peer)
    if "ipBlock" in chosen or not chosen:
        return []
    namespaces = peer_namespaces(manifests, policy, chosen)
    return [pod for name in sorted(namespaces) for pod in manifests.select(chosen.get("podSelector"), name)]


def port_number(pod: Pod, wanted: object, protocol: str = "TCP") -> object:
    """The number behind a port's name in that pod; a number as it is; None for an unknown name."""
    if isinstance(wanted, int):
        return wanted
    return (pod.port(wanted, protocol) or {}).get("containerPort")


def permits(manifests: ManifestSet, pod: Pod, direction: str, other: Pod, port: Body) -> bool:
    """Whether the pod's own policies let it talk with the other pod; the port is the called one's.

    `direction` is the pod's: Ingress means that the other calls it. An empty port stands for any.
    """
    called = pod if direction == "Ingress" else other
    protocol = port.get("protocol", "TCP")
    number = port_number(called, port.get("port"), protocol)
    policies = policies_on(manifests, direction, pod)
    for policy in policies:
        for rule_direction, _, body in policy_rules(policy):
            if rule_direction != direction:
                continue
            peers = items(body.get(PEERS[direction]))
            known = not peers or any(other in peer_pods(manifests, policy, peer) for peer in peers)
            if known and (not port or _opens(body, number, protocol, called)):
                return True
    return not policies


def lets_in(manifests: ManifestSet, pod: Pod, port: object, protocol: str) -> bool:
    """Whether the pod's policies let anybody in to the port, whoever it may be."""
    number = port_number(pod, port, protocol)
    policies = policies_on(manifests, "Ingress", pod)
    return not policies or any(
        direction == "Ingress" and _opens(body, number, protocol, pod)
        for policy in policies
        for direction, _, body in policy_rules(policy)
    )


def _opens(rule_body: Body, number: object, protocol: str, called: Pod) -> bool:
    ports = [mapping(port) for port in items(rule_body.get("ports"))]
    return not ports or any(
        port.get("protocol", "TCP") == protocol and _includes(port, number, called) for port in ports
    )


def _includes(port: Body, number: object, called: Pod) -> bool:
    first, last = port.get("port", number), port.get("endPort")
    if isinstance(last, int) and isinstance(first, int) and isinstance(number, int):
        return first <= number <= last
    return number == port_number(called, first, port.get("protocol", "TCP"))

"""What NetworkPolicies select and permit.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from functools import lru_cache

from policy_tests.manifests import Body, Manifest, ManifestSet, Pod, items, mapping, matches

PEERS = {"Ingress": "from", "Egress": "to"}


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
    return bool(peer_namespaces(manifests, policy, chosen) & known)


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
            peers, ports = items(body.get(PEERS[direction])), [mapping(each) for each in items(body.get("ports"))]
            known = not peers or any(other in peer_pods(manifests, policy, peer) for peer in peers)
            opened = any(each.get("protocol", "TCP") == protocol and _includes(each, number, called) for each in ports)
            if known and (opened or not ports or not port):
                return True
    return not policies


def _includes(port: Body, number: object, called: Pod) -> bool:
    first, last = port.get("port", number), port.get("endPort")
    if isinstance(last, int) and isinstance(first, int) and isinstance(number, int):
        return first <= number <= last
    return number == port_number(called, first, port.get("protocol", "TCP"))

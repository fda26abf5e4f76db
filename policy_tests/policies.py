"""What NetworkPolicies select and permit.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests.manifests import Body, Manifest, ManifestSet, Pod, items, mapping, matches

PEERS = {"Ingress": "from", "Egress": "to"}


def directions(policy: Manifest) -> list[str]:
    """policyTypes, or what Kubernetes takes when they are left out."""
    stated = policy.spec.get("policyTypes")
    return items(stated) or ["Ingress", *(["Egress"] if policy.spec.get("egress") else [])]


def policy_rules(policy: Manifest) -> Iterator[tuple[str, str, Body]]:
    """(direction, path, rule) of every rule that is in force."""
    for direction in directions(policy):
        key = str(direction).lower()
        for index, body in enumerate(items(policy.spec.get(key))):
            yield direction, f"spec.{key}[{index}]", mapping(body)


def policies_on(manifests: ManifestSet, pod: Pod, direction: str) -> list[Manifest]:
    """The policies that isolate the pod in that direction."""
    return [
        policy
        for policy in manifests.of("NetworkPolicy")
        if policy.namespace == pod.owner.namespace
        and direction in directions(policy)
        and matches(mapping(policy.spec.get("podSelector")), pod.labels)
    ]


def local_pods(manifests: ManifestSet, policy: Manifest, peer: object) -> list[Pod]:
    """The pods of the policy's own namespace that a peer means."""
    chosen = mapping(peer)
    if "ipBlock" in chosen or not chosen:
        return []
    if "namespaceSelector" in chosen:
        namespace = manifests.find("Namespace", policy.namespace, "")
        labels = {**(namespace.labels if namespace else {}), "kubernetes.io/metadata.name": policy.namespace}
        if not matches(mapping(chosen["namespaceSelector"]), labels):
            return []
    return manifests.select(chosen.get("podSelector"), policy.namespace)


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
    policies = policies_on(manifests, pod, direction)
    for policy in policies:
        for rule_direction, _, body in policy_rules(policy):
            if rule_direction != direction:
                continue
            peers, ports = items(body.get(PEERS[direction])), [mapping(each) for each in items(body.get("ports"))]
            known = not peers or any(other in local_pods(manifests, policy, peer) for peer in peers)
            opened = any(each.get("protocol", "TCP") == protocol and _includes(each, number, called) for each in ports)
            if known and (opened or not ports or not port):
                return True
    return not policies


def _includes(port: Body, number: object, called: Pod) -> bool:
    first, last = port.get("port", number), port.get("endPort")
    if isinstance(last, int) and isinstance(first, int) and isinstance(number, int):
        return first <= number <= last
    return number == port_number(called, first, port.get("protocol", "TCP"))

"""Every label selector selects something, and only what it should."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import LONG_RUNNING, Body, Finding, Manifest, ManifestSet, dig, items, mapping, matches
from policy_tests.operators import made_elsewhere
from policy_tests.policies import PEERS, inside, peer_namespaces, peer_pods, policy_rules
from policy_tests.rule import rule
from policy_tests.rules.scheduling import affinity_terms, at_home

RELEASE = re.compile(r"\d+\.\d+")


@rule(
    "selectors-match-template",
    "critical",
    why="The API server refuses a workload whose selector does not select its own pods.",
    fix="make spec.selector.matchLabels a part of spec.template.metadata.labels.",
    source="kube-linter mismatching-selector",
    per_object=True,
)
def match_template(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        selector = pod.owner.spec.get("selector")
        if pod.owner.kind in LONG_RUNNING and not (selector and matches(mapping(selector), pod.labels)):
            yield pod.owner.finding("spec.selector", selector, "does not select the pods of its template")


@rule(
    "selectors-of-workloads-disjoint",
    "high",
    why="Two workloads that select the same pods fight over them.",
    fix="add a label to one selector and its template that the other does not have.",
    source="kyverno require-unique-service-selector; Kubernetes: Deployments, selector",
)
def workloads_disjoint(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        selector = mapping(pod.owner.spec.get("selector"))
        if pod.owner.kind in LONG_RUNNING and selector:
            for other in manifests.select(selector, pod.owner.namespace):
                if other is not pod and other.owner.kind in LONG_RUNNING:
                    yield pod.owner.finding("spec.selector", selector, f"selects the pods of {other.owner} too")


@rule(
    "selectors-of-services-one-workload",
    "high",
    why="A Service over two workloads sends part of its requests to the wrong one.",
    fix="name the component in the selector.",
    source="gatekeeper-library uniqueserviceselector",
)
def services_one_workload(manifests: ManifestSet) -> Iterator[Finding]:
    for service in manifests.of("Service"):
        behind = [pod.owner for pod in manifests.behind(service)]
        if len(behind) > 1:
            names = ", ".join(map(str, behind))
            yield service.finding("spec.selector", service.spec["selector"], f"selects the pods of {names}")


@rule(
    "selectors-of-disruption-budgets",
    "high",
    why="A budget that selects nothing protects nothing; two for one pod block every drain.",
    fix="make spec.selector select the pods of exactly one workload.",
    source="Kubernetes: specifying a disruption budget",
)
def disruption_budgets(manifests: ManifestSet) -> Iterator[Finding]:
    seen: dict[int, str] = {}
    for budget in manifests.of("PodDisruptionBudget"):
        selector = budget.spec.get("selector")
        if selector == {}:
            yield budget.finding("spec.selector", selector, "selects every pod of the namespace")
            continue
        pods = manifests.select(selector, budget.namespace) if selector else []
        if not pods and not made_elsewhere(manifests, selector, budget.namespace):
            yield budget.finding("spec.selector", selector, "selects no pod")
        for pod in pods:
            if id(pod) in seen:
                yield budget.finding("spec.selector", selector, f"selects {pod.owner}, as {seen[id(pod)]} does")
            seen[id(pod)] = str(budget)


@rule(
    "selectors-of-network-policies",
    "high",
    why="A policy that selects no pod protects nothing, and the pod that was meant is open or cut off.",
    fix="make podSelector equal to labels of the pod template.",
    source="no checker has it for podSelector",
)
def network_policies(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        selector = policy.spec.get("podSelector")
        # Elsewhere an empty selector may be for pods of another set.
        meant = selector or manifests.is_environment
        meant = meant and not made_elsewhere(manifests, selector, policy.namespace)
        if meant and not manifests.select(selector, policy.namespace):
            yield policy.finding("spec.podSelector", selector, "selects no pod")


@rule(
    "selectors-of-network-peers",
    "high",
    why="A peer that selects no pod of the namespace allows nobody, and the connection meant by it is blocked.",
    fix="make the peer's podSelector equal to labels of the pods that call or are called.",
    source="kube-linter dangling-networkpolicypeer-podselector",
)
def network_peers(manifests: ManifestSet) -> Iterator[Finding]:
    for policy in manifests.of("NetworkPolicy"):
        for direction, path, body in policy_rules(policy):
            for index, peer in enumerate(map(mapping, items(body.get(PEERS[direction])))):
                known = peer.get("podSelector") and inside(manifests, policy, peer)
                if known and not peer_pods(manifests, policy, peer) and not _elsewhere(manifests, policy, peer):
                    place = f"{path}.{PEERS[direction]}[{index}].podSelector"
                    yield policy.finding(place, peer["podSelector"], "selects no pod")


def _elsewhere(manifests: ManifestSet, policy: Manifest, peer: Body) -> bool:
    """Whether a peer may mean pods that the set does not show: the cluster's own, or those that a controller makes."""
    spaces = peer_namespaces(manifests, policy, peer)
    selector = peer.get("podSelector")
    return "kube-system" in spaces or any(made_elsewhere(manifests, selector, namespace) for namespace in spaces)


@rule(
    "selectors-of-spreading",
    "medium",
    why="A spread constraint or anti-affinity that does not select its own pods spreads nothing.",
    fix="repeat the workload's own selector in labelSelector.",
    source="kyverno topologyspreadconstraints-policy",
)
def spreading(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for index, constraint in enumerate(map(mapping, items(pod.spec.get("topologySpreadConstraints")))):
            selector = constraint.get("labelSelector")
            if not selector or not matches(mapping(selector), pod.labels):
                place = f"topologySpreadConstraints[{index}].labelSelector"
                yield pod.finding(place, selector, "does not select the pods that it stands in")
        for path, term in affinity_terms(pod, "podAntiAffinity"):
            if at_home(term) and not manifests.select(term.get("labelSelector"), pod.owner.namespace):
                yield pod.finding(path, term.get("labelSelector"), "selects no pod")


@rule(
    "selectors-without-versions",
    "high",
    why="A workload's selector can never change, and so the API server refuses the next release.",
    fix="keep the version and the chart among the template's labels, out of spec.selector.",
    source="Kubernetes: Deployments, label selector updates; Helm: labels and annotations; no checker has it",
    per_object=True,
)
def without_versions(manifests: ManifestSet) -> Iterator[Finding]:
    for workload in manifests.of(*LONG_RUNNING):
        for key, value in mapping(dig(workload.spec, "selector.matchLabels")).items():
            # `version: v2` may be the name of a variant that runs beside v1; 2.4.1 is a release.
            released = key in ("version", "chart") and RELEASE.search(str(value))
            if released or key in ("app.kubernetes.io/version", "helm.sh/chart"):
                yield workload.finding(f"spec.selector.matchLabels[{key}]", value, "changes with the next release")

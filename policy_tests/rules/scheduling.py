"""Pods find a node, and not one that is for others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from policy_tests.manifests import Body, Finding, ManifestSet, Pod, dig, items, mapping, matches
from policy_tests.rule import rule
from policy_tests.rules.availability import least_replicas

HOSTNAME = "kubernetes.io/hostname"
# https://kubernetes.io/docs/reference/labels-annotations-taints/
NODE_LABELS = (
    HOSTNAME,
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
)
KUBERNETES_OWN = re.compile(r"([\w.-]+\.)?kubernetes\.io/.*|[^/]*")
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
DEFAULT_SCHEDULER = "default-scheduler"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity_terms(pod: Pod, side: str) -> Iterator[tuple[str, Body]]:
    """(path, term) of each term of podAffinity or podAntiAffinity, required ones first."""
    for index, term in enumerate(items(dig(pod.spec, f"affinity.{side}.{REQUIRED}"))):
        yield f"affinity.{side}.{REQUIRED}[{index}]", mapping(term)
    for index, entry in enumerate(items(dig(pod.spec, f"affinity.{side}.{PREFERRED}"))):
        yield f"affinity.{side}.{PREFERRED}[{index}].podAffinityTerm", mapping(dig(entry, "podAffinityTerm"))


def at_home(term: Body) -> bool:
    """Whether a term of affinity is about the pod's own namespace."""
    return not term.get("namespaces") and term.get("namespaceSelector") is None


def _for_the_cluster(pod: Pod) -> bool:
    """Whether a pod may be a part of the cluster itself: one on every node, or one in a namespace of the system's."""
    return pod.owner.kind == "DaemonSet" or pod.owner.namespace.endswith("-system")


def _wanted_labels(pod: Pod) -> Iterator[tuple[str, str]]:
    """(path, key) of each label that the pod's node must have."""
    for key in mapping(pod.spec.get("nodeSelector")):
        yield "nodeSelector", str(key)
    base = f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    for index, term in enumerate(items(dig(pod.spec, base))):
        for expression in map(mapping, items(mapping(term).get("matchExpressions"))):
            if expression.get("operator") in ("In", "Exists"):
                yield f"{base}[{index}]", str(expression.get("key"))


@rule(
    "scheduling-topology-keys",
    "high",
    why="By a label that no node has nothing is spread, and a pod that requires it waits for ever.",
    fix=f"write {HOSTNAME} or topology.kubernetes.io/zone.",
    source="Kubernetes: well-known labels, annotations and taints; no checker has it",
    per_object=True,
)
def topology_keys(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        spread = enumerate(items(pod.spec.get("topologySpreadConstraints")))
        terms = [(f"topologySpreadConstraints[{index}]", mapping(constraint)) for index, constraint in spread]
        terms += [each for side in ("podAffinity", "podAntiAffinity") for each in affinity_terms(pod, side)]
        for path, term in terms:
            key = str(term.get("topologyKey") or "")
            if key and key not in NODE_LABELS and KUBERNETES_OWN.fullmatch(key) and not _custom(manifests, key):
                yield pod.finding(f"{path}.topologyKey", key, "is no label that nodes have")


def _custom(manifests: ManifestSet, key: str) -> bool:
    """Elsewhere people may label their nodes with a plain word."""
    return "/" not in key and not manifests.is_environment and not get_close_matches(key, ("hostname", "zone"))


@rule(
    "scheduling-affinity-possible",
    "high",
    why="A pod that must be beside another waits for ever when there is none, and all replicas beside each other share "
    "a node's fate.",
    fix="make labelSelector select pods of this set; to keep replicas apart use podAntiAffinity.",
    source="Kubernetes: inter-pod affinity and anti-affinity; no checker has it",
)
def affinity_possible(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for path, term in affinity_terms(pod, "podAffinity"):
            selector = term.get("labelSelector")
            if REQUIRED not in path or not at_home(term):
                continue
            if not manifests.select(selector, pod.owner.namespace):
                yield pod.finding(path, selector, "selects no pod, so that this one waits for ever")
            together = term.get("topologyKey") == HOSTNAME and matches(mapping(selector), pod.labels)
            if together and least_replicas(manifests, pod) > 1:
                yield pod.finding(path, selector, "puts all replicas on one node")


@rule(
    "scheduling-not-on-the-control-plane",
    "medium",
    why="A workload beside the API server takes its memory, and out of its container reaches the cluster's own keys.",
    fix="tolerate a taint by its key, and select nodes that are for workloads.",
    source="NSA/CISA Kubernetes Hardening Guidance; kyverno restrict-controlplane-scheduling",
    per_object=True,
)
def not_on_the_control_plane(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        if _for_the_cluster(pod):
            continue
        for index, toleration in enumerate(map(mapping, items(pod.spec.get("tolerations")))):
            everything = not toleration.get("key") and toleration.get("operator") == "Exists"
            schedules = toleration.get("effect") in (None, "", "NoSchedule")
            if (everything or toleration.get("key") in CONTROL_PLANE) and schedules:
                yield pod.finding(f"tolerations[{index}]", toleration, "tolerates the control plane")
        for path, key in _wanted_labels(pod):
            if key in CONTROL_PLANE:
                yield pod.finding(path, key, "asks for the control plane")


@rule(
    "scheduling-any-node",
    "medium",
    why="Pods that are tied to one node by its name go down with it, and have nowhere to go when it is drained.",
    fix="select nodes by what they have, such as a zone or a kind of disk.",
    source="Kubernetes: assigning pods to nodes; no checker has it for nodeSelector",
    per_object=True,
)
def any_node(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for path, key in _wanted_labels(pod):
            if key == HOSTNAME and pod.owner.kind != "DaemonSet":
                yield pod.finding(path, key, "ties the pods to a node")


@rule(
    "scheduling-priority-known",
    "high",
    why="The API server refuses a pod whose PriorityClass does not exist, so that the rollout never begins.",
    fix="write the name of a PriorityClass of this set.",
    source="Kubernetes: pod priority and preemption; no checker has it",
)
def priority_known(manifests: ManifestSet) -> Iterator[Finding]:
    known = [each.name for each in manifests.of("PriorityClass")]
    for pod in manifests.pods if known else ():
        name = pod.spec.get("priorityClassName")
        # A quite different name may be one of a class that the cluster has already.
        if name and name not in known and get_close_matches(str(name), known, cutoff=0.8):
            yield pod.finding("priorityClassName", name, f"is not among {', '.join(known)}")


@rule(
    "scheduling-priority-own",
    "low",
    why="A workload with a priority of the system evicts others, and may take the memory that the node's agents need.",
    fix="use a PriorityClass below a billion, made for workloads.",
    source="Kubernetes: guaranteed scheduling for critical add-on pods; no checker has it",
    per_object=True,
)
def priority_own(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        name = str(pod.spec.get("priorityClassName") or "")
        if name.startswith("system-") and not _for_the_cluster(pod):
            yield pod.finding("priorityClassName", name, "is the cluster's own")


@rule(
    "scheduling-scheduler",
    "high",
    why="A pod whose scheduler does not run waits for ever.",
    fix="leave schedulerName out.",
    source="Kubernetes: configure multiple schedulers; no checker has it",
    per_object=True,
)
def scheduler(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        name = pod.spec.get("schedulerName") or DEFAULT_SCHEDULER
        # Elsewhere there may be a second scheduler, whose name is another word.
        meant = manifests.is_environment or get_close_matches(str(name), (DEFAULT_SCHEDULER,), cutoff=0.85)
        if name != DEFAULT_SCHEDULER and meant:
            yield pod.finding("schedulerName", name, f"is not {DEFAULT_SCHEDULER}")

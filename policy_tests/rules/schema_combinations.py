"""Fields that the API server refuses for what stands, or does not stand, beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, join, mapping
from policy_tests.rule import rule

Clash = tuple[str, object, str]
NONE = (0, "0", "0%")


def _dns(pod: Pod) -> Iterator[Clash]:
    if pod.spec.get("dnsPolicy") == "None" and not dig(pod.spec, "dnsConfig.nameservers"):
        yield "dnsPolicy", "None", "needs dnsConfig.nameservers"


def _profiles(pod: Pod) -> Iterator[Clash]:
    places: list[tuple[str, Body]] = [("", pod.security)]
    places += [(each.path.removeprefix(f"{pod.path}."), each.security) for each in pod.containers]
    for place, security in places:
        for kind in ("seccompProfile", "appArmorProfile"):
            profile = mapping(security.get(kind))
            if (profile.get("type") == "Localhost") != bool(profile.get("localhostProfile")):
                yield join(place, "securityContext", kind), profile, "needs both or neither of Localhost and a profile"


def _tolerations(pod: Pod) -> Iterator[Clash]:
    for index, each in enumerate(map(mapping, items(pod.spec.get("tolerations")))):
        operator, place = each.get("operator") or "Equal", f"tolerations[{index}]"
        if operator == "Exists" and each.get("value"):
            yield f"{place}.value", each["value"], "stands beside Exists, which takes any value"
        if operator != "Exists" and not each.get("key"):
            yield f"{place}.operator", each.get("operator"), "needs a key; only Exists does without"
        if each.get("tolerationSeconds") is not None and each.get("effect") != "NoExecute":
            yield f"{place}.tolerationSeconds", each["tolerationSeconds"], "is for the effect NoExecute"


PODS: tuple[Callable[[Pod], Iterator[Clash]], ...] = (_dns, _profiles, _tolerations)


@rule(
    "schema-pods-agree",
    "critical",
    why="The API server refuses a pod in which one field rules another out, or lacks the one that it needs.",
    fix="add the field that is needed, or remove the one that is refused.",
    source="Kubernetes: API reference, pod; no checker has it",
    per_object=True,
)
def pods_agree(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for clashes in PODS:
            for path, value, message in clashes(pod):
                yield pod.finding(path, value, message)


def _strategy(workload: Manifest) -> Iterator[Clash]:
    for field, other in (("strategy", "Recreate"), ("updateStrategy", "OnDelete")):
        strategy = mapping(workload.spec.get(field))
        # A DaemonSet's rollingUpdate beside OnDelete is taken, and means nothing.
        if strategy.get("type") == other and strategy.get("rollingUpdate") and workload.kind != "DaemonSet":
            yield f"spec.{field}.rollingUpdate", strategy["rollingUpdate"], f"stands beside {other}, which has none"
    rolling = mapping(dig(workload.spec, "strategy.rollingUpdate"))
    if rolling.get("maxSurge") in NONE and rolling.get("maxUnavailable") in NONE:
        yield "spec.strategy.rollingUpdate", rolling, "lets no pod be replaced"


def _job(workload: Manifest) -> Iterator[Clash]:
    place = {"Job": "spec", "CronJob": "spec.jobTemplate.spec"}.get(workload.kind, "")
    job = mapping(dig(workload.body, place)) if place else {}
    if job.get("selector") and not job.get("manualSelector"):
        yield f"{place}.selector", job["selector"], "is the Job controller's to choose"
    if job.get("podFailurePolicy") and workload.pod.spec.get("restartPolicy") != "Never":
        yield f"{place}.podFailurePolicy", job["podFailurePolicy"], "needs restartPolicy Never"
    if job.get("completionMode") == "Indexed" and job.get("completions") is None:
        yield f"{place}.completionMode", "Indexed", "needs completions"
    if job.get("backoffLimitPerIndex") is not None and job.get("completionMode") != "Indexed":
        yield f"{place}.backoffLimitPerIndex", job["backoffLimitPerIndex"], "needs completionMode Indexed"


WORKLOADS: tuple[Callable[[Manifest], Iterator[Clash]], ...] = (_strategy, _job)


@rule(
    "schema-workloads-agree",
    "critical",
    why="The API server refuses a workload in which one field rules another out, or lacks the one that it needs.",
    fix="add the field that is needed, or remove the one that is refused.",
    source="Kubernetes: API reference, workload resources; no checker has it",
    per_object=True,
)
def workloads_agree(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for clashes in WORKLOADS:
            for path, value, message in clashes(pod.owner):
                yield pod.owner.finding(path, value, message)

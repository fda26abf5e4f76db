"""What the API server of each supported Kubernetes accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests import schemas
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.rule import rule

# The API server knows more values than its published schemas do; by the end of the path.
VALUES = {
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "dnsPolicy": {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
    "externalTrafficPolicy": {"Cluster", "Local"},
    "fsGroupChangePolicy": {"Always", "OnRootMismatch"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "pathType": {"Exact", "ImplementationSpecific", "Prefix"},
    "podManagementPolicy": {"OrderedReady", "Parallel"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "scheme": {"HTTP", "HTTPS"},
    "seccompProfile.type": {"Localhost", "RuntimeDefault", "Unconfined"},
    "sessionAffinity": {"ClientIP", "None"},
    "spec.strategy.type": {"Recreate", "RollingUpdate"},
    "spec.updateStrategy.type": {"OnDelete", "RollingUpdate"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
LAST = {end.rpartition(".")[2] for end in VALUES}


@rule(
    "schema-values",
    "critical",
    why="The API server refuses a word that is none of the few which the field takes.",
    fix="write one of the words, with its capitals.",
    source="Kubernetes: API reference; no checker has it",
    per_object=True,
)
def values(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        # A CustomResourceDefinition describes fields of the same names, whose values are anything.
        described = manifest.custom_group or manifest.kind == "CustomResourceDefinition"
        for path, value in () if described else manifest.leaves:
            last = path.rpartition(".")[2].partition("[")[0]
            if last not in LAST or not isinstance(value, str) or path.startswith(("data", "metadata")):
                continue
            field = re.sub(r"\[[^]]*\]$", "", path)
            for end, words in VALUES.items():
                if f".{field}".endswith(f".{end}") and value not in words:
                    yield manifest.finding(path, value, f"is none of {', '.join(sorted(words))}")


@rule(
    "schema-valid",
    "critical",
    why="The API server refuses a wrong type, and drops or refuses a field that it does not know.",
    fix="correct the field; the manual of the kind has its name and type.",
    source="Kubernetes: API reference; kube-linter schema-validation; kubeconform -strict",
    per_object=True,
)
def valid(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        for version in manifests.kubernetes:
            if errors := schemas.errors(manifest, version):
                for path, value, message in errors:
                    yield manifest.finding(path, value, f"{message} (Kubernetes {version})")
                break


@rule(
    "schema-served",
    "critical",
    why="A kind that the API server does not serve is refused, and the rest of the deployment with it.",
    fix="correct apiVersion and kind, or move to the version that is served.",
    source="Kubernetes: deprecated API migration guide; pluto; kubent; 6 of 13 checkers",
    per_object=True,
)
def served(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        for version in manifests.kubernetes:
            if problem := schemas.unserved(manifest, version):
                yield manifest.finding("apiVersion", manifest.body["apiVersion"], problem)
                break

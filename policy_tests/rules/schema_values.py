"""Words and numbers that the API server refuses, though its published schemas take them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from policy_tests.manifests import Finding, Manifest, ManifestSet
from policy_tests.rule import rule

Bound = TypeVar("Bound")

BRACKET = re.compile(r"\[[^]]*\]")
EXPRESSION = {"In", "NotIn", "Exists", "DoesNotExist"}
NODE_EXPRESSION = {*EXPRESSION, "Gt", "Lt"}
HOST_PATH = {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"}
OPERATIONS = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"}
# By the end of the path, with the kind before it; the longest end counts.
WORDS = {
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
    "appArmorProfile.type": {"Localhost", "RuntimeDefault", "Unconfined"},
    "completionMode": {"Indexed", "NonIndexed"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "dnsPolicy": {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
    "emptyDir.medium": {"", "Memory", "HugePages", *(f"HugePages-{size}" for size in ("64Ki", "2Mi", "32Mi", "1Gi"))},
    "externalTrafficPolicy": {"Cluster", "Local"},
    "failurePolicy": {"Fail", "Ignore"},
    "fsGroupChangePolicy": {"Always", "OnRootMismatch"},
    "hostPath.type": HOST_PATH,
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "initContainers.restartPolicy": {"Always", "Never", "OnFailure"},
    "internalTrafficPolicy": {"Cluster", "Local"},
    "ipFamilies": {"IPv4", "IPv6"},
    "ipFamilyPolicy": {"PreferDualStack", "RequireDualStack", "SingleStack"},
    "LimitRange.spec.limits.type": {"Container", "PersistentVolumeClaim", "Pod"},
    "matchExpressions.operator": EXPRESSION,
    "matchFields.operator": {"In", "NotIn"},
    "matchPolicy": {"Equivalent", "Exact"},
    "metrics.type": {"ContainerResource", "External", "Object", "Pods", "Resource"},
    "mountPropagation": {"Bidirectional", "HostToContainer", "None"},
    "nodeAffinityPolicy": {"Honor", "Ignore"},
    "nodeSelectorTerms.matchExpressions.operator": NODE_EXPRESSION,
    "nodeTaintsPolicy": {"Honor", "Ignore"},
    "onExitCodes.operator": {"In", "NotIn"},
    "pathType": {"Exact", "ImplementationSpecific", "Prefix"},
    "persistentVolumeClaimRetentionPolicy.whenDeleted": {"Delete", "Retain"},
    "persistentVolumeClaimRetentionPolicy.whenScaled": {"Delete", "Retain"},
    "persistentVolumeReclaimPolicy": {"Delete", "Recycle", "Retain"},
    "podFailurePolicy.rules.action": {"Count", "FailIndex", "FailJob", "Ignore"},
    "podManagementPolicy": {"OrderedReady", "Parallel"},
    "podReplacementPolicy": {"Failed", "TerminatingOrFailed"},
    "policies.type": {"Percent", "Pods"},
    "policyTypes": {"Egress", "Ingress"},
    "preemptionPolicy": {"Never", "PreemptLowerPriority"},
    "preference.matchExpressions.operator": NODE_EXPRESSION,
    "procMount": {"Default", "Unmasked"},
    "protocol": {"SCTP", "TCP", "UDP"},
    "reclaimPolicy": {"Delete", "Retain"},
    "reinvocationPolicy": {"IfNeeded", "Never"},
    "resizePolicy.restartPolicy": {"NotRequired", "RestartContainer"},
    "resourceRules.operations": OPERATIONS,
    "resourceRules.scope": {"*", "Cluster", "Namespaced"},
    "roleRef.kind": {"ClusterRole", "Role"},
    "scheme": {"HTTP", "HTTPS"},
    "seccompProfile.type": {"Localhost", "RuntimeDefault", "Unconfined"},
    "selectPolicy": {"Disabled", "Max", "Min"},
    "Service.spec.type": {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"},
    "sessionAffinity": {"ClientIP", "None"},
    "spec.strategy.type": {"Recreate", "RollingUpdate"},
    "spec.updateStrategy.type": {"OnDelete", "RollingUpdate"},
    "subjects.kind": {"Group", "ServiceAccount", "User"},
    "target.type": {"AverageValue", "Utilization", "Value"},
    "terminationMessagePolicy": {"FallbackToLogsOnError", "File"},
    "tolerations.effect": {"", "NoExecute", "NoSchedule", "PreferNoSchedule"},
    "tolerations.operator": {"", "Equal", "Exists", "Gt", "Lt"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "validationActions": {"Audit", "Deny", "Warn"},
    "volumeBindingMode": {"Immediate", "WaitForFirstConsumer"},
    "volumeMode": {"Block", "Filesystem"},
    "webhooks.rules.operations": OPERATIONS,
    "webhooks.rules.scope": {"*", "Cluster", "Namespaced"},
    "webhooks.sideEffects": {"None", "NoneOnDryRun"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
ANY = 2**31 - 1
# (least, most), by the same ends of paths.
NUMBERS = {
    "activeDeadlineSeconds": (1, ANY),
    "averageUtilization": (1, ANY),
    "backoffLimit": (0, ANY),
    "backoffLimitPerIndex": (0, ANY),
    "clientIP.timeoutSeconds": (1, 86400),
    "completions": (0, ANY),
    "expirationSeconds": (600, 2**32),
    "failedJobsHistoryLimit": (0, ANY),
    "failureThreshold": (0, ANY),
    "fsGroup": (0, ANY),
    "hostPort": (0, 65535),
    "initialDelaySeconds": (0, ANY),
    "maxReplicas": (1, ANY),
    "maxSkew": (1, ANY),
    "minDomains": (1, ANY),
    "minReadySeconds": (0, ANY),
    "minReplicas": (0, ANY),
    "parallelism": (0, ANY),
    "periodSeconds": (0, ANY),
    "policies.periodSeconds": (1, 1800),
    "policies.value": (1, ANY),
    "preferredDuringSchedulingIgnoredDuringExecution.weight": (1, 100),
    "progressDeadlineSeconds": (0, ANY),
    "replicas": (0, ANY),
    "revisionHistoryLimit": (0, ANY),
    "rollingUpdate.partition": (0, ANY),
    "runAsGroup": (0, ANY),
    "runAsUser": (0, ANY),
    "stabilizationWindowSeconds": (0, 3600),
    "startingDeadlineSeconds": (0, ANY),
    "successThreshold": (0, ANY),
    "successfulJobsHistoryLimit": (0, ANY),
    "terminationGracePeriodSeconds": (0, ANY),
    "timeoutSeconds": (0, ANY),
    "ttlSecondsAfterFinished": (0, ANY),
}
LAST = {end.rpartition(".")[2] for end in (*WORDS, *NUMBERS)}
# Below these, people choose the keys; the one of a Service is `selector`.
FREE = {
    *("annotations", "binaryData", "data", "labels", "matchLabels", "nodeSelector", "options", "parameters"),
    *("selector", "stringData", "volumeAttributes"),
}


def bounded_leaves(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, object]]:
    """(object, path, value) of the fields that may have a word or a number of a table."""
    for manifest in manifests.manifests:
        # A CustomResourceDefinition describes fields of the same names, whose values are anything.
        if not manifest.custom_group and manifest.kind != "CustomResourceDefinition":
            for path, value in manifest.leaves:
                if path.rpartition(".")[2].partition("[")[0] in LAST:
                    yield manifest, path, value


@lru_cache(maxsize=8192)
def words(kind: str, path: str) -> frozenset[str]:
    """What a field may be; nothing when that is not known."""
    return frozenset(_longest(WORDS, kind, path) or ())


@lru_cache(maxsize=8192)
def bounds(kind: str, path: str) -> tuple[int, int] | None:
    """The least and the most that a field may be, if that is known."""
    return _longest(NUMBERS, kind, path)


def _longest(table: Mapping[str, Bound], kind: str, path: str) -> Bound | None:
    field = f".{kind}." + BRACKET.sub("", path)
    if field.split(".")[-2] in FREE:
        return None
    return table.get(max((end for end in table if field.endswith(f".{end}")), key=len, default=""))


@rule(
    "schema-values",
    "critical",
    why="The API server refuses a word that is none of the few which the field takes.",
    fix="write one of the words, with its capitals.",
    source="Kubernetes: API reference; no checker has it",
    per_object=True,
)
def values(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, value in bounded_leaves(manifests):
        if isinstance(value, str) and (allowed := words(manifest.kind, path)) and value not in allowed:
            yield manifest.finding(path, value, f"is none of {', '.join(sorted(allowed - {''}))}")


@rule(
    "schema-numbers",
    "critical",
    why="The API server refuses a number outside the bounds of its field, and with it the whole object.",
    fix="write a number within the bounds, or leave the field out.",
    source="Kubernetes: API reference; no checker has it",
    per_object=True,
)
def numbers(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest, path, value in bounded_leaves(manifests):
        if type(value) is int and (given := bounds(manifest.kind, path)) and not given[0] <= value <= given[1]:
            least, most = given
            yield manifest.finding(path, value, f"is below {least}" if value < least else f"is above {most}")

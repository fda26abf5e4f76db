"""Faults that anybody may make in any manifest: each is made wherever it fits, and a named rule must report it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policy_tests.manifests import TEMPLATES, Body, Manifest, ManifestSet, join
from policy_tests.paths import at, copied, put

Change = Callable[[Body], object]


@dataclass(frozen=True)
class Mutant:
    """A set with one fault; `rules` are those that may report it, any of which will do."""

    name: str
    rules: tuple[str, ...]
    manifests: ManifestSet


def _set(path: str, value: object) -> Change:
    return lambda body: put(body, path, copied(value))


# What to do to a container; (rule, change).
CONTAINERS: tuple[tuple[str, Change], ...] = (
    ("containers-limits", _set("resources.limits", None)),
    ("containers-limits", _set("resources.limits.memory", None)),
    ("containers-requests", _set("resources.requests", None)),
    ("containers-requests", _set("resources.requests.cpu", None)),
    ("containers-disk-bounded", _set("resources.limits.ephemeral-storage", None)),
    ("containers-requests-within-limits", _set("resources.requests.memory", "64Gi")),
    ("containers-sane-quantities", _set("resources.requests.memory", "128m")),
    ("images-by-digest", lambda body: body.update(image=body["image"].partition("@")[0])),
    ("images-with-a-version", lambda body: body.update(image=re.sub(":[^@:]*@", ":latest@", body["image"]))),
    ("images-pull-policy", _set("imagePullPolicy", "Always")),
    ("images-known-registry", lambda body: body.update(image=f"mirror.example.net/{body['image']}")),
    ("pods-not-privileged", _set("securityContext.privileged", True)),
    ("pods-no-escalation", _set("securityContext.allowPrivilegeEscalation", True)),
    ("pods-no-escalation", _set("securityContext", None)),
    ("pods-read-only-root", _set("securityContext.readOnlyRootFilesystem", None)),
    ("pods-run-as-non-root", _set("securityContext.runAsUser", 0)),
    ("pods-run-as-non-root", _set("securityContext.runAsNonRoot", False)),
    ("pods-drop-capabilities", _set("securityContext.capabilities.drop", [])),
    ("pods-no-added-capabilities", _set("securityContext.capabilities.add", ["NET_ADMIN"])),
    ("pods-seccomp", _set("securityContext.seccompProfile", {"type": "Unconfined"})),
    ("pods-kernel-defaults", _set("securityContext.procMount", "Unmasked")),
    ("pods-no-debugging-left-in", _set("tty", True)),
    ("pods-no-shell-tricks", _set("command", ["sudo", "sh"])),
    ("secrets-not-in-arguments", _set("args", ["--password=swordfish"])),
    ("secrets-not-in-env", lambda body: _append(body, "env", {"name": "DB_PASSWORD", "value": "swordfish"})),
    ("secrets-as-files", lambda body: _append(body, "envFrom", {"secretRef": {"name": "db-credentials"}})),
    ("references-volumes", lambda body: _append(body, "volumeMounts", {"name": "nowhere", "mountPath": "/nowhere"})),
    ("schema-valid", _set("imagePullPolice", "Always")),
)
# What to do to a container that serves.
SERVING: tuple[tuple[str, Change], ...] = (
    ("probes-liveness", lambda body: body.pop("livenessProbe")),
    ("probes-readiness", lambda body: body.pop("readinessProbe")),
    ("network-no-host-ports", lambda body: [port.update(hostPort=8443) for port in body["ports"]]),
    ("references-unique", lambda body: body["ports"].append(body["ports"][0])),
    ("probes-ask-something", lambda body: body.update(livenessProbe={"periodSeconds": 9})),
    ("probes-sane-times", lambda body: body["livenessProbe"].update(timeoutSeconds=600)),
)
PODS: tuple[tuple[str, Change], ...] = (
    ("pods-no-host-namespaces", _set("hostNetwork", True)),
    ("pods-no-host-namespaces", _set("hostPID", True)),
    ("pods-no-host-namespaces", _set("hostIPC", True)),
    ("pods-run-as-non-root", _set("securityContext", None)),
    ("pods-seccomp", _set("securityContext.seccompProfile", None)),
    ("pods-no-root-group", _set("securityContext.runAsGroup", 0)),
    ("storage-secret-readable", _set("securityContext.fsGroup", None)),
    ("pods-volume-types", lambda body: body["volumes"][0].update(hostPath={"path": "/"})),
    ("containers-scratch-space-bounded", lambda body: _scratch(body)[0].update(emptyDir={})),
    ("access-own-account", _set("serviceAccountName", "default")),
    ("access-no-idle-token", _set("automountServiceAccountToken", True)),
    ("references-service-account", _set("serviceAccountName", "nowhere")),
    ("availability-restart-policy", lambda body: body.update(restartPolicy="OnFailure" if _stays(body) else "Always")),
    ("schema-valid", _set("volume", [])),
)
# What to do to an object, by kind.
OBJECTS: dict[str, tuple[tuple[str, Change], ...]] = {
    "Service": (
        ("network-no-outside-services", _set("spec.type", "NodePort")),
        ("network-no-outside-services", _set("spec.type", "LoadBalancer")),
        ("network-no-outside-services", _set("spec.externalIPs", ["203.0.113.7"])),
        ("network-no-external-names", _set("spec.type", "ExternalName")),
    ),
    "Role": (
        ("access-no-wildcards", _set("rules[0].verbs[0]", "*")),
        ("access-no-wildcards", _set("rules[0].resources[0]", "*")),
        ("access-no-secret-reading", _set("rules[+]", {"resources": ["secrets"], "verbs": ["list"]})),
        ("access-not-into-pods", _set("rules[0].resources[0]", "pods/exec")),
        ("access-no-escalation", _set("rules[0].verbs[0]", "escalate")),
        ("access-no-deletion", _set("rules[+]", {"resources": ["pods"], "verbs": ["delete"]})),
    ),
    "RoleBinding": (("access-no-broad-bindings", _set("roleRef", {"kind": "ClusterRole", "name": "cluster-admin"})),),
    "CronJob": (
        ("jobs-end", _set("spec.jobTemplate.spec.activeDeadlineSeconds", None)),
        ("jobs-end", _set("spec.concurrencyPolicy", "Allow")),
        ("jobs-schedule", _set("spec.schedule", "0 25 * * *")),
    ),
    "Deployment": (
        ("availability-two-replicas", _set("spec.replicas", 1)),
        ("availability-spread", _set("spec.template.spec.topologySpreadConstraints", None)),
    ),
    "StatefulSet": (
        ("storage-one-writer", _set("spec.volumeClaimTemplates[0].spec.accessModes", ["ReadWriteMany"])),
        ("storage-kept", _set("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Delete")),
        ("storage-database-on-a-claim", _set("spec.volumeClaimTemplates", [])),
        (
            "containers-database-pool-within-memory",
            _set("spec.template.spec.containers[0].args", ["--innodb-buffer-pool-size=512M"]),
        ),
    ),
    "PodDisruptionBudget": (("availability-budget-allows-drains", _set("spec.maxUnavailable", 0)),),
    "Ingress": (
        ("ingress-tls", _set("spec.tls", None)),
        ("ingress-hosts-explicit", _set("spec.rules[0].host", None)),
    ),
    "NetworkPolicy": (
        ("network-policies-not-open", lambda body: body["spec"]["ingress"][0].pop("from")),
        ("network-policies-not-open", lambda body: body["spec"]["egress"].append({})),
        ("network-policies-not-open", lambda body: body["spec"]["ingress"].append({})),
    ),
    "Namespace": (
        ("pods-namespace-enforces-restricted", _set("metadata.labels[pod-security.kubernetes.io/enforce]", "baseline")),
    ),
    "ConfigMap": (("secrets-not-in-config-maps", _set("data.DB_PASSWORD", "swordfish")),),
}
# Every name that means another object, by the end of its path; a name that means nothing takes its place.
REFERENCES: dict[str, tuple[str, ...]] = {
    r"configMapRef\.name|configMap\.name": ("references-config",),
    r"secret\.secretName": ("references-secret",),
    r"secret\.items\[\d+\]\.key": ("references-secret",),
    r"volumeMounts\[.*\]\.name": ("references-volumes",),
    r"spec\.serviceName": ("references-headless-service",),
    r"roleRef\.name|subjects\[.*\]\.name": ("references-role-binding",),
    r"service\.name|service\.port\.(name|number)": ("references-ingress-backend",),
    r"targetPort": ("references-service-ports",),
    r"(httpGet|tcpSocket|grpc)\.port": ("probes-port-exists",),
    r"data\.DB_HOST": ("references-hosts",),
    r"Service/.*spec\.selector\[.*\]": ("references-service-pods",),
    r"spec\.selector\.matchLabels\[.*\]": ("selectors-match-template", "selectors-of-disruption-budgets"),
    r"template\.metadata\.labels\[app\.kubernetes\.io/(name|component)\]": (
        "selectors-match-template",
        "network-pods-isolated",
        "selectors-of-network-policies",
    ),
    r"topologySpreadConstraints.*matchLabels\[.*\]": ("selectors-of-spreading",),
    r"spec\.podSelector\.match.*": ("selectors-of-network-policies", "network-both-ends-agree", "network-dns-allowed"),
    r"(from|to)\[\d+\]\.podSelector\.match.*": ("selectors-of-network-peers", "network-both-ends-agree"),
    r"tls\[\d+\]\.hosts\[\d+\]|rules\[\d+\]\.host": ("ingress-tls-covers-hosts",),
    r"\.secretName": ("references-tls-secret",),
    r"NetworkPolicy/.*ports\[\d+\]\.port": (
        "network-policy-ports-exist",
        "network-dns-allowed",
        "network-policies-not-open",
    ),
}
NOWHERE = "nowhere"


def _append(body: Body, field: str, item: object) -> None:
    body.setdefault(field, []).append(item)


def _scratch(body: Body) -> list[Body]:
    return [volume for volume in body["volumes"] if "emptyDir" in volume]


def _stays(body: Body) -> bool:
    return bool(body.get("restartPolicy", "Always") == "Always")


def mutants(manifests: ManifestSet) -> Iterator[Mutant]:
    """The set with each fault in each object that it fits."""
    for manifest in manifests.manifests:
        for name, rules, path, change in _changes(manifest):
            body = copied(manifest.body)
            try:
                change(at(body, path))
            except LookupError:
                continue
            if body != manifest.body:
                yield Mutant(f"{manifest} {name}", rules, _with(manifests, manifest, Manifest(body)))
    for manifest in manifests.manifests:
        yield Mutant(f"{manifest} deleted", (), _with(manifests, manifest))


def _changes(manifest: Manifest) -> Iterator[tuple[str, tuple[str, ...], str, Change]]:
    """(name, rules, path of the part, change of that part) of all that may be done to an object."""
    for number, (rule, change) in enumerate(OBJECTS.get(manifest.type, ())):
        yield f"{rule} {number}", (rule,), "", change
    if manifest.type in TEMPLATES:
        spec = join(TEMPLATES[manifest.type], "spec")
        for number, (rule, change) in enumerate(PODS):
            yield f"{spec} {rule} {number}", (rule,), spec, change
        for container in manifest.pod.containers:
            chosen = (*CONTAINERS, *(SERVING if container.long_running and container.ports else ()))
            for number, (rule, change) in enumerate(chosen):
                yield f"{container.path} {rule} {number}", (rule,), container.path, change
    for path, value in manifest.leaves:
        for pattern, rules in REFERENCES.items():
            if isinstance(value, str | int) and re.search(f"(?:{pattern})$", f"{manifest} {path}"):
                yield f"{path} {NOWHERE}", rules, "", _set(path, NOWHERE if isinstance(value, str) else 4242)
                break


def _with(manifests: ManifestSet, old: Manifest, *new: Manifest) -> ManifestSet:
    changed: dict[str, ManifestSet] = dict(manifests.environments)
    objects = tuple(each for manifest in manifests.manifests for each in (new if manifest is old else (manifest,)))
    changed[manifests.name] = replace(manifests, manifests=objects, environments=changed)
    return changed[manifests.name]

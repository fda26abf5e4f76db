"""Every binding gives an existing role to existing accounts, and only to whom it should."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Body, Finding, Manifest, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule

RBAC = "rbac.authorization.k8s.io"
# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
BUILT_IN_ROLES = re.compile(r"cluster-admin|admin|edit|view|system:.*")
# https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
BUILT_IN_LOCAL_ROLES = {("kube-system", "extension-apiserver-authentication-reader")}


def subjects(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body]]:
    """(binding, path, subject) of every subject of every binding."""
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        for index, subject in enumerate(map(mapping, items(binding.body.get("subjects")))):
            yield binding, f"subjects[{index}]", subject


def bound_accounts(manifests: ManifestSet) -> set[tuple[str, str]]:
    """(namespace, name) of the accounts that have rights."""
    return {
        (str(subject.get("namespace") or binding.namespace), str(subject.get("name")))
        for binding, _, subject in subjects(manifests)
        if subject.get("kind") == "ServiceAccount"
    }


def automounts(manifests: ManifestSet, pod: Pod) -> object:
    """Whether the pod gets its account's token without asking, as far as the pod or the account says."""
    mounted = pod.spec.get("automountServiceAccountToken")
    account = manifests.find("ServiceAccount", pod.spec.get("serviceAccountName", "default"), pod.owner.namespace)
    return account.body.get("automountServiceAccountToken") if mounted is None and account else mounted


@rule(
    "references-role-binding",
    "high",
    why="A binding to a role or an account that does not exist grants nothing, until somebody creates that name.",
    fix="correct roleRef or subjects.",
    source="Kubernetes: RBAC good practices; no checker has it",
)
def role_binding(manifests: ManifestSet) -> Iterator[Finding]:
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        reference = mapping(binding.body.get("roleRef"))
        namespace = binding.namespace if reference.get("kind") == "Role" else ""
        built_in = reference.get("kind") == "ClusterRole" and BUILT_IN_ROLES.fullmatch(str(reference.get("name")))
        built_in = built_in or (namespace, reference.get("name")) in BUILT_IN_LOCAL_ROLES
        if not built_in and not manifests.find(str(reference.get("kind")), reference.get("name"), namespace):
            yield binding.finding("roleRef", reference, "there is no such role")
        if not items(binding.body.get("subjects")):
            yield binding.finding("subjects", binding.body.get("subjects"), "binds nobody")
    accounts = manifests.of("ServiceAccount")
    known = {each.namespace for each in accounts}
    stated = {each.name: each.namespace for each in accounts if each.body["metadata"].get("namespace")}
    for binding, path, subject in subjects(manifests):
        name, where = str(subject.get("name")), str(subject.get("namespace") or binding.namespace)
        if subject.get("kind") != "ServiceAccount" or name == "default":
            continue
        if manifests.is_environment or where in known:
            if not manifests.find("ServiceAccount", name, where):
                yield binding.finding(path, subject, "there is no such ServiceAccount")
        # Elsewhere a namespace of which the set has no account may have its own, but hardly one of the same name.
        elif name in stated and "namespace" in subject:
            yield binding.finding(f"{path}.namespace", where, f"the account of that name is in {stated[name]}")
    bound = {dig(binding.body, "roleRef.name") for binding in manifests.of("RoleBinding")}
    used = {pod.owner.namespace for pod in manifests.pods}
    for role in manifests.of("Role"):
        # Elsewhere a set without the pods of the namespace may leave the binding to whoever adds them.
        if role.name not in bound and (manifests.is_environment or role.namespace in used):
            yield role.finding("metadata.name", role.name, "no RoleBinding names it")


@rule(
    "access-binding-complete",
    "critical",
    why="The API server refuses a binding that does not name its role and its accounts as RBAC does.",
    fix="set roleRef.apiGroup: rbac.authorization.k8s.io; give an account its namespace, and no apiGroup.",
    source="Kubernetes: RBAC, referring to subjects; no checker has it",
    per_object=True,
)
def binding_complete(manifests: ManifestSet) -> Iterator[Finding]:
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        group = dig(binding.body, "roleRef.apiGroup")
        if group not in (None, "", RBAC):
            yield binding.finding("roleRef.apiGroup", group, f"is not {RBAC}")
    for binding, path, subject in subjects(manifests):
        account = subject.get("kind") == "ServiceAccount"
        if subject.get("apiGroup") not in (None, "", None if account else RBAC):
            yield binding.finding(f"{path}.apiGroup", subject["apiGroup"], "is not the group of such a subject")
        if account and not subject.get("namespace") and binding.kind == "ClusterRoleBinding":
            yield binding.finding(f"{path}.namespace", None, "is missing, and a ClusterRoleBinding has none itself")


@rule(
    "access-not-to-default-account",
    "high",
    why="Every pod that names no account of its own has the rights of the account `default`.",
    fix="bind the role to an account of the one workload that needs it.",
    source="CIS 5.1.5; checkov CKV_K8S_42",
    per_object=True,
)
def not_to_default_account(manifests: ManifestSet) -> Iterator[Finding]:
    for binding, path, subject in subjects(manifests):
        if subject.get("kind") == "ServiceAccount" and subject.get("name") == "default":
            yield binding.finding(path, subject, "is the account of every pod without its own")


@rule(
    "access-token-where-needed",
    "medium",
    why="A program that gets no token of the account that has the rights is refused whatever it asks of the API.",
    fix="set automountServiceAccountToken: true in the pod, or remove the binding.",
    source="Kubernetes: configure service accounts for pods; no checker has it",
)
def token_where_needed(manifests: ManifestSet) -> Iterator[Finding]:
    bound = bound_accounts(manifests)
    users: dict[tuple[str, str], list[Pod]] = {}
    for pod in manifests.pods:
        account = (pod.owner.namespace, str(pod.spec.get("serviceAccountName", "default")))
        if account in bound:
            users.setdefault(account, []).append(pod)
    for (_, name), pods in users.items():
        # One of the programs that share an account may be the one that asks.
        if all(automounts(manifests, pod) is False and not _projects_token(pod) for pod in pods):
            yield pods[0].finding("automountServiceAccountToken", False, f"keeps its users from the token of {name}")


def _projects_token(pod: Pod) -> bool:
    sources = [source for volume in pod.volumes for source in items(dig(volume, "projected.sources"))]
    return any("serviceAccountToken" in mapping(source) for source in sources)

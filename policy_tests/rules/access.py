"""Who may do what in the cluster's API."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from policy_tests.manifests import BUILT_IN_GROUPS, TEMPLATES, Body, Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.bindings import automounts, bound_accounts
from policy_tests.schemas import resources_served

READ = {"get", "list", "watch", "*"}
WRITE = {"create", "update", "patch", "*"}
# https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
VERBS = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"}
VERBS |= {"use", "bind", "escalate", "impersonate", "approve", "sign", "attest"}
VERBS |= {"request-serviceaccounts-token-audience"}
# Resources of which there are no objects.
VIRTUAL = {"", "*", "signers", "users", "groups", "uids", "userextras"}
EVERYBODY = (
    "system:masters",
    "system:authenticated",
    "system:unauthenticated",
    "system:anonymous",
    "system:serviceaccounts",
)
# (resources, verbs) that let their holder become somebody else; https://kubernetes.io/docs/concepts/security/rbac-good-practices/
ESCALATION = (
    ({"roles", "clusterroles", "rolebindings", "clusterrolebindings"}, {"create", "update", "patch", "*"}),
    ({"serviceaccounts/token"}, {"create", "*"}),
    ({"nodes/proxy"}, {"get", "create", "update", "patch", "*"}),
    ({"certificatesigningrequests/approval"}, {"update", "patch", "*"}),
    ({"signers"}, {"approve", "sign", "*"}),
    ({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}, WRITE),
    ({"persistentvolumes", "endpoints", "endpointslices"}, WRITE),
    # Labels of a namespace say which pods its admission lets in.
    ({"namespaces"}, {"update", "patch", "*"}),
)
WORKLOADS = {f"{kind.lower()}s" for kind in TEMPLATES}
INTO_PODS = {"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "pods/proxy", "services/proxy"}


def grants(manifests: ManifestSet) -> Iterator[tuple[Manifest, str, Body, set[str], set[str]]]:
    """(role, path, rule, resources, verbs) of every rule of every role."""
    for role in manifests.of("Role", "ClusterRole"):
        for index, body in enumerate(map(mapping, items(role.body.get("rules")))):
            resources, verbs = set(items(body.get("resources"))), set(items(body.get("verbs")))
            yield role, f"rules[{index}]", body, resources, verbs


@rule(
    "access-own-account",
    "medium",
    why="Whoever shares the account `default` shares every right that anybody ever gives it.",
    fix="set serviceAccountName, and not serviceAccount, to an account of this workload alone.",
    source="CIS 5.1.5; checkov CKV_K8S_41; kube-linter deprecated-service-account-field",
    per_object=True,
)
def own_account(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        name = pod.spec.get("serviceAccountName")
        if name in (None, "default"):
            yield pod.finding("serviceAccountName", name, "is the namespace's default account")
        if "serviceAccount" in pod.spec:
            yield pod.finding("serviceAccount", pod.spec["serviceAccount"], "is the deprecated name of the field")


@rule(
    "access-no-idle-token",
    "medium",
    why="A token that the program does not use serves only an intruder.",
    fix="set automountServiceAccountToken: false.",
    source="CIS 5.1.6; 10 of 13 checkers",
)
def no_idle_token(manifests: ManifestSet) -> Iterator[Finding]:
    bound = bound_accounts(manifests)
    for pod in manifests.pods:
        name, mounted = pod.spec.get("serviceAccountName", "default"), automounts(manifests, pod)
        if mounted is not False and (pod.owner.namespace, name) not in bound:
            yield pod.finding("automountServiceAccountToken", mounted, "mounts a token that has no rights")
    accounts = [each for each in manifests.of("ServiceAccount") if (each.namespace, each.name) not in bound]
    for account in manifests.lacking(accounts, _mounts_nothing, always=False):
        value = account.body.get("automountServiceAccountToken")
        yield account.finding("automountServiceAccountToken", value, "is not false, as in the other accounts")


def _mounts_nothing(account: Manifest) -> bool:
    return account.body.get("automountServiceAccountToken") is False


@rule(
    "access-no-wildcards",
    "critical",
    why="A wildcard grants also what the next version of Kubernetes invents, Secrets and exec included.",
    fix="name the apiGroups, the resources and the verbs.",
    source="CIS 5.1.3; 7 of 13 checkers",
    per_object=True,
)
def no_wildcards(manifests: ManifestSet) -> Iterator[Finding]:
    for role, path, body, _, _ in grants(manifests):
        for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
            if any("*" in str(value) for value in items(body.get(field))):
                yield role.finding(f"{path}.{field}", body[field], "holds a wildcard")


@rule(
    "access-no-secret-reading",
    "high",
    why="Whoever reads every Secret of a namespace is everybody in it.",
    fix="remove secrets, or name them in resourceNames with get alone.",
    source="CIS 5.1.2; 7 of 13 checkers",
    per_object=True,
)
def no_secret_reading(manifests: ManifestSet) -> Iterator[Finding]:
    for role, path, body, resources, verbs in grants(manifests):
        named = body.get("resourceNames") and not verbs & {"list", "watch", "*"}
        if resources & {"secrets", "*"} and verbs & READ and not named:
            yield role.finding(path, body, "reads Secrets that it does not name")


@rule(
    "access-no-escalation",
    "critical",
    why="With these rights their holder gives itself all others.",
    fix="remove the rule; an administrator applies roles, bindings and webhooks.",
    source="Kubernetes: RBAC good practices; CIS 5.1.8-5.1.13",
    per_object=True,
)
def no_escalation(manifests: ManifestSet) -> Iterator[Finding]:
    for role, path, body, resources, verbs in grants(manifests):
        if verbs & {"bind", "escalate", "impersonate"}:
            yield role.finding(f"{path}.verbs", sorted(verbs), "escalates")
        elif any(resources & risky and verbs & ways for risky, ways in ESCALATION):
            yield role.finding(path, body, "escalates")
    for role in manifests.of("ClusterRole"):
        if role.body.get("aggregationRule"):
            yield role.finding("aggregationRule", role.body["aggregationRule"], "collects rights from other roles")


@rule(
    "access-no-config-writing",
    "high",
    why="Whoever changes the ConfigMaps of every namespace changes the cluster's own DNS and every program's settings.",
    fix="use a Role in the namespace of the ConfigMaps, or name them in resourceNames.",
    source="trivy KSV-0049; kubescape rule-can-update-configmap-v1",
)
def no_config_writing(manifests: ManifestSet) -> Iterator[Finding]:
    bindings = manifests.of("RoleBinding", "ClusterRoleBinding")
    # A ClusterRole that RoleBindings alone name is a role of their namespaces.
    local = {dig(each.body, "roleRef.name") for each in bindings if each.kind == "RoleBinding"}
    local -= {dig(each.body, "roleRef.name") for each in bindings if each.kind == "ClusterRoleBinding"}
    for role, path, body, resources, verbs in grants(manifests):
        wide = role.kind == "ClusterRole" and role.name not in local and not body.get("resourceNames")
        if wide and "configmaps" in resources and verbs & {"update", "patch"}:
            yield role.finding(path, body, "changes every ConfigMap of the cluster")


@rule(
    "access-rights-exist",
    "high",
    why="RBAC takes any word, and a right to a resource or a verb that the API does not have is no right.",
    fix="write the resource in the plural and in its own API group, and a verb that the API has.",
    source="Kubernetes: RBAC, referring to resources; no checker has it",
    per_object=True,
)
def rights_exist(manifests: ManifestSet) -> Iterator[Finding]:
    served = resources_served(manifests.kubernetes[-1])
    for role, path, body, resources, verbs in grants(manifests):
        groups = set(items(body.get("apiGroups")))
        # What other groups have is for their own servers to know.
        if not groups or not groups - {""} <= BUILT_IN_GROUPS:
            continue
        for verb in sorted(verbs - VERBS):
            yield role.finding(f"{path}.verbs", verb, "is no verb")
        for resource in sorted(resources):
            name = str(resource).partition("/")[0]
            homes = served.get(name)
            if homes and not homes & groups and not _granted(role, resource, homes):
                yield role.finding(f"{path}.resources", resource, f"is in {' and '.join(map(repr, sorted(homes)))}")
            like = [] if homes or name in VIRTUAL else get_close_matches(name, served, n=1, cutoff=0.8)
            if like:
                yield role.finding(f"{path}.resources", resource, f"is no resource; is {like[0]} meant?")


def _granted(role: Manifest, resource: object, homes: set[str]) -> bool:
    """Whether another rule of the role names the resource in one of its groups: one list for old and new versions."""
    rules = [mapping(each) for each in items(role.body.get("rules"))]
    return any(homes & set(items(each.get("apiGroups"))) and resource in items(each.get("resources")) for each in rules)


@rule(
    "access-create-any-name",
    "medium",
    why="A request to create an object does not name it yet, so that a rule with resourceNames never allows it.",
    fix="allow create in a rule of its own, without resourceNames.",
    source="Kubernetes: RBAC, referring to resources; no checker has it",
    per_object=True,
)
def create_any_name(manifests: ManifestSet) -> Iterator[Finding]:
    free = {
        (role, resource)
        for role, _, body, resources, verbs in grants(manifests)
        if verbs & {"create", "*"} and not body.get("resourceNames")
        for resource in resources
    }
    for role, path, body, resources, verbs in grants(manifests):
        # A server-side apply creates by patch, under a name; so do subresources, which belong to an object.
        named = body.get("resourceNames") and "create" in verbs and "patch" not in verbs
        refused = {each for each in resources if "/" not in str(each) and (role, each) not in free}
        if named and refused:
            message = f"keeps {' and '.join(sorted(refused))} from being created"
            yield role.finding(f"{path}.resourceNames", body["resourceNames"], message)


@rule(
    "access-not-into-pods",
    "high",
    why="Whoever runs a command in a pod has that pod's Secrets, and leaves no trace in Git.",
    fix="remove the resource; people get such rights for a time, from an administrator.",
    source="CIS 5.1.4; kubescape exec-into-container",
    per_object=True,
)
def not_into_pods(manifests: ManifestSet) -> Iterator[Finding]:
    for role, path, _, resources, _ in grants(manifests):
        if resources & INTO_PODS:
            yield role.finding(f"{path}.resources", sorted(resources & INTO_PODS), "reaches into pods")


@rule(
    "access-no-workload-creation",
    "high",
    why="Whoever creates a pod may mount every Secret of the namespace and use every ServiceAccount in it.",
    fix="leave workloads to the pipeline's account, or remove create.",
    source="Kubernetes: RBAC good practices; kube-linter access-to-create-pods; trivy KSV-0048",
    per_object=True,
)
def no_workload_creation(manifests: ManifestSet) -> Iterator[Finding]:
    for role, path, _, resources, verbs in grants(manifests):
        if resources & WORKLOADS and verbs & {"create", "*"}:
            yield role.finding(f"{path}.resources", sorted(resources & WORKLOADS), "creates workloads")


@rule(
    "access-no-deletion",
    "medium",
    why="Whoever deletes objects stops the service, and whoever deletes events removes the traces of it.",
    fix="remove delete and deletecollection, or name what may be deleted in resourceNames.",
    source="CIS 5.1; kubescape rule-excessive-delete-rights, rule-can-delete-k8s-events; trivy KSV-0042",
    per_object=True,
)
def no_deletion(manifests: ManifestSet) -> Iterator[Finding]:
    for role, path, body, resources, verbs in grants(manifests):
        deletes = verbs & {"delete", "deletecollection", "*"}
        # A lease is deleted by the leader that gives it up.
        if deletes and resources - {"leases"} and (not body.get("resourceNames") or "deletecollection" in deletes):
            yield role.finding(f"{path}.verbs", sorted(verbs), "deletes")


@rule(
    "access-stays-in-the-namespace",
    "high",
    why="A right over the whole cluster reaches the other environments.",
    fix="use a Role and a RoleBinding.",
    source="this project: environments share a cluster; kubescape rule-list-all-cluster-admins",
    ours=True,
    per_object=True,
)
def stays_in_the_namespace(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.of("ClusterRole", "ClusterRoleBinding"):
        yield manifest.finding("kind", manifest.kind, "is valid in the whole cluster")


@rule(
    "access-no-broad-bindings",
    "critical",
    why="These bindings give an administrator's rights, or give rights to everybody.",
    fix="bind a Role of this namespace to one ServiceAccount.",
    source="CIS 5.1.1, 5.1.7; 7 of 13 checkers",
    per_object=True,
)
def no_broad_bindings(manifests: ManifestSet) -> Iterator[Finding]:
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        role = mapping(binding.body.get("roleRef"))
        if role.get("kind") == "ClusterRole" and role.get("name") in ("cluster-admin", "admin", "edit"):
            yield binding.finding("roleRef", role, "is an administrator's role")
        for index, subject in enumerate(map(mapping, items(binding.body.get("subjects")))):
            if str(subject.get("name")).startswith(EVERYBODY):
                yield binding.finding(f"subjects[{index}]", subject, "is everybody")


@rule(
    "access-admission-denies",
    "high",
    why="An admission policy that nothing binds, that only warns, or that is left out when it fails keeps nobody out.",
    fix="bind it with validationActions: [Deny], and leave failurePolicy at Fail.",
    source="Kubernetes: validating admission policy; this project: the cluster refuses what these rules find",
)
def admission_denies(manifests: ManifestSet) -> Iterator[Finding]:
    bindings = manifests.of("ValidatingAdmissionPolicyBinding")
    denying = {each.spec.get("policyName") for each in bindings if "Deny" in items(each.spec.get("validationActions"))}
    policies = manifests.of("ValidatingAdmissionPolicy")
    for policy in policies:
        if policy.name not in denying:
            yield policy.finding("metadata.name", policy.name, "is bound by nothing that denies")
        if policy.spec.get("failurePolicy") == "Ignore":
            yield policy.finding("spec.failurePolicy", "Ignore", "lets everything in when the policy fails")
    for binding in bindings:
        name = binding.spec.get("policyName")
        if policies and name not in {each.name for each in policies}:
            yield binding.finding("spec.policyName", name, "there is no such policy")

"""The Pod Security Standard `restricted`, and what goes beyond it, for every container of every role."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Container, Finding, ManifestSet, Pod, dig, items, mapping
from policy_tests.rule import rule
from policy_tests.rules.images import parts

APP_ARMOR = "container.apparmor.security.beta.kubernetes.io"
RESTRICTED = "Pod Security Standards: restricted"
BASELINE = "Pod Security Standards: baseline"
# Images whose files belong to a user that the image chose.
OWN_USER = re.compile(
    r"(?i)mysql|mariadb|postgres|mongo|redis|valkey|memcached|rabbitmq|nginx|nats|kafka|elastic|vault"
)
SHELL_TRICKS = re.compile(
    r"(?<![\w-])sudo\s|(?:curl|wget)\b[^|;]*\|\s*(?:ba|da|z)?sh\b|/dev/tcp/|\bnc\b.*\s-e\b|chmod\s+(?:-R\s+)?[0-7]?777\b"
)
SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)


def on_linux(pod: Pod) -> bool:
    """Whether the API server takes Linux' own fields in the pod; where os.name is windows, it refuses them."""
    return bool(dig(pod.spec, "os.name") != "windows")


def linux_containers(manifests: ManifestSet) -> list[Container]:
    return [container for container in manifests.containers if on_linux(container.pod)]


def effective(container: Container, field: str) -> object:
    """A field of the container's securityContext, or of its pod's where the container is silent."""
    own = container.security.get(field)
    return container.pod.security.get(field) if own is None else own


@rule(
    "pods-not-privileged",
    "critical",
    why="A privileged container is root on the node.",
    fix="remove privileged, or set it to false.",
    source=f"{BASELINE}; CIS 5.2.2",
    per_object=True,
)
def not_privileged(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        if container.security.get("privileged"):
            yield container.finding("securityContext.privileged", True, "the container is privileged")


@rule(
    "pods-no-escalation",
    "high",
    why="A set-uid binary in the image would give the process more rights than it started with.",
    fix="set allowPrivilegeEscalation: false.",
    source=f"{RESTRICTED}; CIS 5.2.6",
    per_object=True,
)
def no_escalation(manifests: ManifestSet) -> Iterator[Finding]:
    for container in linux_containers(manifests):
        value = container.security.get("allowPrivilegeEscalation")
        if value is not False:
            yield container.finding("securityContext.allowPrivilegeEscalation", value, "is not false")


@rule(
    "pods-run-as-non-root",
    "high",
    why="Root inside the container is one kernel bug away from root on the node.",
    fix="set runAsNonRoot: true and a runAsUser other than 0.",
    source=f"{RESTRICTED}; CIS 5.2.7",
    per_object=True,
)
def run_as_non_root(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        if effective(container, "runAsNonRoot") is not True:
            yield container.finding("securityContext.runAsNonRoot", effective(container, "runAsNonRoot"), "is not true")
        if effective(container, "runAsUser") == 0:
            yield container.finding("securityContext.runAsUser", 0, "runs as root")


@rule(
    "pods-no-root-group",
    "low",
    why="Files that only root's group may read or write are open to a process with group 0.",
    fix="set runAsGroup, fsGroup and supplementalGroups to groups other than 0.",
    source="NSA/CISA Kubernetes Hardening Guidance; kyverno require-non-root-groups",
)
def no_root_group(manifests: ManifestSet) -> Iterator[Finding]:
    containers = linux_containers(manifests)
    grouped = [each for each in containers if effective(each, "runAsGroup") != 0]
    unset = manifests.lacking(grouped, lambda each: effective(each, "runAsGroup"))
    for container in (*unset, *(each for each in containers if effective(each, "runAsGroup") == 0)):
        group = effective(container, "runAsGroup")
        yield container.finding("securityContext.runAsGroup", group, "the process has root's group")
    for pod in manifests.pods:
        groups = [pod.security.get("fsGroup"), *items(pod.security.get("supplementalGroups"))]
        if 0 in groups:
            yield pod.finding("securityContext", pod.security, "fsGroup or supplementalGroups holds root's group")


@rule(
    "pods-own-user",
    "low",
    why="A number below 10000 may be a user of the node, whose files a process that breaks out would own.",
    fix="set runAsUser to 10000 or more.",
    source="checkov CKV_K8S_40; kube-score container-security-context-user-group-id; 7 of 13 checkers",
)
def own_user(manifests: ManifestSet) -> Iterator[Finding]:
    chosen = [each for each in linux_containers(manifests) if isinstance(effective(each, "runAsUser"), int)]
    free = [each for each in chosen if not OWN_USER.search(parts(each.body.get("image"))[0])]
    for container in manifests.lacking(free, lambda each: int(str(effective(each, "runAsUser"))) >= 10000):
        yield container.finding("securityContext.runAsUser", effective(container, "runAsUser"), "is below 10000")


@rule(
    "pods-user-namespace",
    "low",
    why="In the node's user namespace the number of a container's user is a user of the node.",
    fix="set hostUsers: false as the other pods do.",
    source="Kubernetes: user namespaces; kubesec HostUsers",
)
def user_namespace(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.lacking(
        filter(on_linux, manifests.pods), lambda each: each.spec.get("hostUsers") is False, always=False
    ):
        yield pod.finding("hostUsers", pod.spec.get("hostUsers"), "is not false, where the other pods have it")


@rule(
    "pods-drop-capabilities",
    "high",
    why="Container runtimes grant a dozen capabilities, such as raw sockets, that an application does not need.",
    fix="set capabilities.drop: [ALL].",
    source=f"{RESTRICTED}; CIS 5.2.9",
    per_object=True,
)
def drop_capabilities(manifests: ManifestSet) -> Iterator[Finding]:
    for container in linux_containers(manifests):
        dropped = dig(container.security, "capabilities.drop")
        if "ALL" not in items(dropped):
            yield container.finding("securityContext.capabilities.drop", dropped, "does not drop ALL")


@rule(
    "pods-no-added-capabilities",
    "high",
    why="An added capability hands a part of root's power back.",
    fix="remove capabilities.add; only NET_BIND_SERVICE is harmless.",
    source=f"{RESTRICTED}; CIS 5.2.8",
    per_object=True,
)
def no_added_capabilities(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        added = items(dig(container.security, "capabilities.add"))
        if set(added) - {"NET_BIND_SERVICE"}:
            yield container.finding("securityContext.capabilities.add", added, "adds capabilities")


@rule(
    "pods-seccomp",
    "high",
    why="Without a seccomp profile every system call of the kernel can be attacked.",
    fix="set seccompProfile.type: RuntimeDefault on the pod.",
    source=f"{RESTRICTED}; CIS 5.7.2",
    per_object=True,
)
def seccomp(manifests: ManifestSet) -> Iterator[Finding]:
    for container in linux_containers(manifests):
        profile = mapping(effective(container, "seccompProfile")).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield container.finding("securityContext.seccompProfile.type", profile, "is no profile")


@rule(
    "pods-kernel-defaults",
    "medium",
    why="Unconfined AppArmor, custom SELinux types, an unmasked /proc, unsafe sysctls and host processes loosen the "
    "isolation from the node.",
    fix="remove the field.",
    source=BASELINE,
    per_object=True,
)
def kernel_defaults(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        if container.security.get("procMount", "Default") != "Default":
            yield container.finding("securityContext.procMount", container.security["procMount"], "unmasks /proc")
        if mapping(effective(container, "appArmorProfile")).get("type") == "Unconfined":
            yield container.finding("securityContext.appArmorProfile.type", "Unconfined", "switches AppArmor off")
        elif container.pod.annotations.get(f"{APP_ARMOR}/{container.name}") == "unconfined":
            yield container.pod.finding("", container.pod.annotations, "an annotation switches AppArmor off")
        options = mapping(effective(container, "seLinuxOptions"))
        allowed = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
        if options.get("user") or options.get("role") or options.get("type", "") not in allowed:
            yield container.finding("securityContext.seLinuxOptions", options, "changes the SELinux context")
        if mapping(effective(container, "windowsOptions")).get("hostProcess"):
            yield container.finding("securityContext.windowsOptions.hostProcess", True, "is a process of the host")
    for pod in manifests.pods:
        for sysctl in items(pod.security.get("sysctls")):
            if mapping(sysctl).get("name") not in SYSCTLS:
                yield pod.finding("securityContext.sysctls", sysctl, "is not a safe sysctl")


@rule(
    "pods-no-host-namespaces",
    "critical",
    why="In the host's namespaces a pod sees and signals the node's processes and passes by every NetworkPolicy.",
    fix="remove hostNetwork, hostPID and hostIPC.",
    source=f"{BASELINE}; CIS 5.2.3-5.2.5",
    per_object=True,
)
def no_host_namespaces(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(name):
                yield pod.finding(name, True, "shares a namespace with the node")


@rule(
    "pods-find-services",
    "high",
    why="Under dnsPolicy Default a pod asks the resolver of its node, which knows no Service of the cluster.",
    fix="remove dnsPolicy; ClusterFirst finds the names of the internet as well.",
    source="Kubernetes: DNS for Services and Pods; no checker has it",
    per_object=True,
)
def find_services(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        # In kube-system stands the DNS server itself, and beside it what must not wait for it.
        if pod.spec.get("dnsPolicy") == "Default" and pod.owner.namespace != "kube-system":
            yield pod.finding("dnsPolicy", "Default", "finds no Service")


@rule(
    "pods-read-only-root",
    "high",
    why="On a writable root file system an intruder can replace the program that runs.",
    fix="set readOnlyRootFilesystem: true and mount an emptyDir where the program writes.",
    source="NSA/CISA Kubernetes Hardening Guidance; kube-linter no-read-only-root-fs",
    per_object=True,
)
def read_only_root(manifests: ManifestSet) -> Iterator[Finding]:
    for container in linux_containers(manifests):
        value = container.security.get("readOnlyRootFilesystem")
        if value is not True:
            yield container.finding("securityContext.readOnlyRootFilesystem", value, "is not true")


@rule(
    "pods-namespace-enforces-restricted",
    "high",
    why="Only admission control stops a pod that somebody starts by hand.",
    fix="label the Namespace with pod-security.kubernetes.io/enforce: restricted.",
    source="Pod Security Admission; kubescape pod-security-admission-restricted-applied",
    per_object=True,
)
def namespace_enforces_restricted(manifests: ManifestSet) -> Iterator[Finding]:
    prefix = "pod-security.kubernetes.io/"
    label = f"{prefix}enforce"
    for namespace in manifests.of("Namespace"):
        if namespace.labels.get(label) != "restricted":
            yield namespace.finding(f"metadata.labels[{label}]", namespace.labels.get(label), "is not restricted")
        for mode in ("enforce", "audit", "warn"):
            version = namespace.labels.get(f"{prefix}{mode}-version", "latest")
            if not re.fullmatch(r"latest|v1\.\d+", str(version)):
                yield namespace.finding(
                    f"metadata.labels[{prefix}{mode}-version]", version, "is no version as v1.34 is"
                )


@rule(
    "pods-no-debugging-left-in",
    "low",
    why="A terminal, a shared process namespace, a chosen node or a host alias is what a debugging session forgot.",
    fix="remove stdin, tty, ephemeralContainers, hostAliases, nodeName and shareProcessNamespace.",
    source="gatekeeper-library disallowinteractive; kyverno block-ephemeral-containers; trivy KSV-0007",
    per_object=True,
)
def no_debugging_left_in(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        for name in ("ephemeralContainers", "hostAliases", "nodeName", "shareProcessNamespace"):
            if pod.spec.get(name):
                yield pod.finding(name, pod.spec[name], "is for debugging")
    for container in manifests.containers:
        for name in ("stdin", "tty"):
            if container.body.get(name):
                yield container.finding(name, True, "is for debugging")


def words(container: Container) -> Iterator[tuple[str, list[str]]]:
    """(path, words) of everything that the container or a hook or probe of it executes."""
    hooks = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle.preStop", "lifecycle.postStart")
    for path in ("command", "args", *(f"{hook}.exec.command" for hook in hooks)):
        if given := items(dig(container.body, path)):
            yield path, [str(word) for word in given]


@rule(
    "pods-no-shell-tricks",
    "medium",
    why="sudo, a script from the network, a socket made by the shell and chmod 777 undo what the image was built for.",
    fix="do it when the image is built, as the user that the container runs as.",
    source="kubescape sudo-in-container-entrypoint; kyverno deny-commands-in-exec-probe",
    per_object=True,
)
def no_shell_tricks(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path, given in words(container):
            if SHELL_TRICKS.search(" ".join(given) + " "):
                yield container.finding(path, given, "is no way to start a program")


@rule(
    "pods-no-cluster-consoles",
    "high",
    why="Tiller and the dashboard hand their own rights to whoever reaches them; git-sync runs what its variables say.",
    fix="remove it; people use kubectl with their own rights.",
    source="checkov CKV_K8S_33, 34, 44, 45, 159; kyverno disallow-helm-tiller; 4 of 13 checkers",
    per_object=True,
)
def no_cluster_consoles(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        image = parts(container.body.get("image"))[0]
        if image.endswith(("/tiller", "/kubernetes-dashboard", "/dashboard-web", "/dashboard-api")):
            yield container.finding("image", image, "administers the cluster for whoever reaches it")
        for entry in map(mapping, items(container.body.get("env"))):
            if "git-sync" in image and entry.get("name") in ("GITSYNC_GIT", "GIT_SYNC_GIT"):
                yield container.finding(f"env[{entry['name']}]", entry.get("value"), "chooses the program that runs")

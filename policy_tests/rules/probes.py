"""How Kubernetes, and Prometheus, learn whether a container works."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Body, Container, Finding, Manifest, ManifestSet, dig, items, join, mapping
from policy_tests.rule import rule
from policy_tests.rules.network import database_ports

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# Commands that succeed whatever the container does.
IDLE = re.compile(r"((/bin/)?(sh|bash) -c )?((/bin/)?true|:|exit 0)|(/bin/)?echo .*")


def handlers(container: Container) -> Iterator[tuple[str, str, Body]]:
    """(path, type, body) of every probe's and every hook's action."""
    places = [*PROBES, "lifecycle.preStop", "lifecycle.postStart"]
    for place in places:
        for kind in ("httpGet", "tcpSocket", "grpc"):
            action = dig(container.body, f"{place}.{kind}")
            if isinstance(action, dict):
                yield f"{place}.{kind}", kind, action


def startup_seconds(container: Container) -> int:
    """How long the container may take to start before its startupProbe has it killed; 0 without one."""
    probe = mapping(container.body.get("startupProbe"))
    fields = [("initialDelaySeconds", 0), ("periodSeconds", 10), ("failureThreshold", 3)]
    delay, period, failures = (probe.get(name) or default for name, default in fields)
    known = probe and all(isinstance(value, int) for value in (delay, period, failures))
    return delay + period * failures if known else 0


@rule(
    "probes-liveness",
    "medium",
    why="A process that hangs is never restarted without one.",
    fix="add a livenessProbe that asks the process itself and nothing behind it.",
    source="kube-linter no-liveness-probe; 11 of 13 checkers",
    per_object=True,
)
def liveness(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        # Elsewhere a helper beside the main container, which comes first, may do without.
        main = manifests.is_environment or container.ports or container.body is container.pod.spec["containers"][0]
        if container.long_running and main and not container.body.get("livenessProbe"):
            yield container.finding("livenessProbe", None, "is missing")


@rule(
    "probes-readiness",
    "high",
    why="A Service sends requests to a pod that is not ready, and a rollout goes on while its pods fail.",
    fix="add a readinessProbe that fails until the container can answer requests.",
    source="kube-linter no-readiness-probe; 11 of 13 checkers",
)
def readiness(manifests: ManifestSet) -> Iterator[Finding]:
    for container in (each for pod in manifests.served for each in pod.containers):
        if container.long_running and container.ports and not container.body.get("readinessProbe"):
            yield container.finding("readinessProbe", None, "is missing behind a Service")


@rule(
    "probes-differ",
    "low",
    why="A pod that is only not ready, say because its database is away, is then also killed.",
    fix="let liveness ask less, or give it a higher failureThreshold.",
    source="kube-score pod-probes-identical; kyverno ensure-probes-different",
    per_object=True,
)
def differ(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        live, ready = container.body.get("livenessProbe"), container.body.get("readinessProbe")
        if live and live == ready:
            yield container.finding("livenessProbe", live, "is the same as readinessProbe")


@rule(
    "probes-slow-start",
    "low",
    why="A database that recovers its log is slow to start, and liveness kills it each time before it has ended.",
    fix="add a startupProbe, or initialDelaySeconds to the livenessProbe.",
    source="Kubernetes: protect slow starting containers with startup probes",
    per_object=True,
)
def slow_start(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        live = mapping(container.body.get("livenessProbe"))
        patient = container.body.get("startupProbe") or live.get("initialDelaySeconds")
        # Elsewhere a StatefulSet may be no database.
        slow = container.pod.owner.kind == "StatefulSet" and (manifests.is_environment or database_ports(container.pod))
        if slow and container.long_running and live and not patient:
            yield container.finding("startupProbe", None, "is missing before the livenessProbe")


@rule(
    "probes-where-allowed",
    "critical",
    why="The API server refuses probes and hooks of an init container that ends, and a grace period before readiness.",
    fix="remove them; an init container that goes on running has restartPolicy: Always.",
    source="Kubernetes: init containers, sidecar containers; no checker has it",
    per_object=True,
)
def where_allowed(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for name in (*PROBES, "lifecycle"):
            if container.role == "initContainers" and not container.sidecar and container.body.get(name):
                yield container.finding(name, container.body[name], "belongs to a container that goes on running")
        grace = dig(container.body, "readinessProbe.terminationGracePeriodSeconds")
        if grace is not None:
            yield container.finding("readinessProbe.terminationGracePeriodSeconds", grace, "ends nothing")


@rule(
    "probes-ask-something",
    "high",
    why="The API server refuses a probe that has no action, or more than one.",
    fix="give it one of httpGet, exec with a command, tcpSocket and grpc.",
    source="Kubernetes: configure liveness, readiness and startup probes",
    per_object=True,
)
def ask_something(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for name in PROBES:
            probe = mapping(container.body.get(name))
            actions = [kind for kind in ("httpGet", "exec", "tcpSocket", "grpc") if probe.get(kind) is not None]
            if probe and (len(actions) != 1 or (actions == ["exec"] and not dig(probe, "exec.command"))):
                yield container.finding(name, probe, "has not exactly one action")


def command(container: Container, probe: str) -> list[str]:
    """The words of a probe's command; none for a probe of another kind."""
    return [str(word) for word in items(dig(container.body, f"{probe}.exec.command"))]


@rule(
    "probes-command-tells",
    "medium",
    why="A command that always succeeds hides every fault, and one that is no program fails in every container.",
    fix="ask the process, and write each word of the command as an item of its own, or hand a shell the line.",
    source="Kubernetes: define a liveness command; no checker has it",
    per_object=True,
)
def command_tells(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for name in PROBES:
            words = command(container, name)
            if len(words) == 1 and " " in words[0].strip():
                yield container.finding(f"{name}.exec.command", words, "is one word with spaces, no program's name")
            elif IDLE.fullmatch(" ".join(words).strip()):
                yield container.finding(f"{name}.exec.command", words, "succeeds always")


@rule(
    "probes-liveness-asks-itself",
    "high",
    why="When what a livenessProbe asks elsewhere is away, all replicas are killed, which brings nothing back.",
    fix="let liveness ask the process alone, and readiness what it needs.",
    source="Kubernetes: liveness, readiness and startup probes; no checker has it",
)
def liveness_asks_itself(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        words = command(container, "livenessProbe")
        for service in _named(manifests, container, words) if words else ():
            if container.pod not in manifests.behind(service):
                yield container.finding("livenessProbe.exec.command", words, f"asks {service}")


def _named(manifests: ManifestSet, container: Container, words: list[str]) -> Iterator[Manifest]:
    """The Services of the set that stand in a command as hosts: NAME.NAMESPACE, or a bare NAME behind -h or --host."""
    line = " ".join(words)
    bare = re.findall(r"(?<!\S)(?:-h|--host)[ =]*[\"']?([a-z0-9-]+)(?![\w.-])", line)
    full = re.findall(r"(?<![\w.-])([a-z0-9-]+)\.([a-z0-9-]+)(?![\w-])", line)
    for name, namespace in [*((name, container.pod.owner.namespace) for name in bare), *full]:
        if service := manifests.find("Service", name, namespace):
            yield service


@rule(
    "probes-scheme",
    "medium",
    why="A server that speaks TLS on the port refuses plain HTTP, and the other way round, so that the probe fails.",
    fix="set scheme: HTTPS for the port that is called https, and only there.",
    source="Kubernetes: HTTP probes; no checker has it",
    per_object=True,
)
def scheme(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        names = {port.get("containerPort"): port.get("name") for port in container.ports}
        for path, kind, action in handlers(container):
            port = names.get(action.get("port"), action.get("port"))
            asked = str(action.get("scheme") or "HTTP").upper()
            if kind == "httpGet" and port in ("http", "https") and str(port).upper() != asked:
                yield container.finding(f"{path}.scheme", action.get("scheme"), f"does not fit the port {port}")


@rule(
    "probes-metrics-port",
    "medium",
    why="Prometheus reads metrics from a port on which nothing listens, and the pod is down in every dashboard.",
    fix="write the number of a container's port into prometheus.io/port.",
    source="Prometheus: kubernetes_sd_configs, annotations of the example configuration; no checker has it",
    per_object=True,
)
def metrics_port(manifests: ManifestSet) -> Iterator[Finding]:
    for pod in manifests.pods:
        wanted = pod.annotations.get("prometheus.io/port")
        listed = {str(port.get("containerPort")) for container in pod.containers for port in container.ports}
        # A container may leave the list of its ports out, which is for readers only.
        if wanted is not None and listed and str(wanted) not in listed:
            place = join(pod.path.removesuffix("spec").rstrip("."), "metadata.annotations[prometheus.io/port]")
            yield pod.owner.finding(place, wanted, "is no port of these pods")


@rule(
    "probes-port-exists",
    "high",
    why="A probe of a port on which nothing listens fails for ever.",
    fix="name a port of the same container.",
    source="kube-linter liveness-port, readiness-port, startup-port",
    per_object=True,
)
def port_exists(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        known = {value for port in container.ports for value in (port.get("name"), port.get("containerPort"))}
        for path, _, action in handlers(container):
            # Elsewhere a container may leave the list of its ports out, which is for readers only.
            unlisted = isinstance(action.get("port"), int) and not container.ports and not manifests.is_environment
            if action.get("port") not in known - {None} and not unlisted:
                yield container.finding(f"{path}.port", action.get("port"), "is no port of this container")


@rule(
    "probes-ask-their-own-pod",
    "medium",
    why="A probe with a host makes the kubelet call any address, inside the node's network.",
    fix="remove host; the kubelet asks the pod.",
    source="Pod Security Standards: baseline (host probes and lifecycle hooks)",
    per_object=True,
)
def ask_their_own_pod(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for path, _, action in handlers(container):
            if action.get("host"):
                yield container.finding(f"{path}.host", action["host"], "asks another host")


@rule(
    "probes-sane-times",
    "low",
    why="A probe that outlasts its period, kills at the first hiccup or begins after minutes does more harm than good.",
    fix="set timeoutSeconds to at most periodSeconds, and let neither liveness nor startup kill within ten seconds.",
    source="datree CONTAINERS_INCORRECT_TIMEOUTSECONDS_VALUE and its siblings",
    per_object=True,
)
def sane_times(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        for name in PROBES:
            probe = mapping(container.body.get(name))
            times = {
                field: probe.get(field) for field in ("initialDelaySeconds", "failureThreshold", "successThreshold")
            }
            timeout, period = probe.get("timeoutSeconds") or 1, probe.get("periodSeconds") or 10
            if any(not isinstance(value, int | None) for value in (timeout, period, *times.values())):
                continue
            patience = period * (3 if times["failureThreshold"] is None else times["failureThreshold"])
            if timeout > period:
                yield container.finding(f"{name}.timeoutSeconds", timeout, f"is longer than the period of {period} s")
            if name == "livenessProbe" and patience < 5:
                yield container.finding(name, probe, f"kills after {patience} s")
            if name == "startupProbe" and 0 < startup_seconds(container) < 5:
                yield container.finding(name, probe, f"kills what has not started after {startup_seconds(container)} s")
            if (times["initialDelaySeconds"] or 0) > 600 or period > 300:
                yield container.finding(name, probe, "asks too late")
            if name != "readinessProbe" and times["successThreshold"] not in (None, 1):
                yield container.finding(f"{name}.successThreshold", times["successThreshold"], "must be 1")

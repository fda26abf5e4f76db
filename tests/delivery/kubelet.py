"""What the kubelets do with a pod in one turn, and say of it; and what is said where one is lost."""

from __future__ import annotations

from delivery.cluster import Manifest
from tests.delivery.server import TURN, Container, NotYetError, Server, Step, StepError

# Seconds: until a pod's first container starts, and between two restarts.
STARTING, RESTARTING = 1, 10
# Seconds without a sign of a node after which its pods are not ready, and for which they then stay.
MISSED, TOLERATED = 40, 300
# With these the container waits; the pod has not begun, or had begun.
WAITING = {
    "CrashLoopBackOff": "back-off 10s restarting failed container",
    "CreateContainerConfigError": 'secret "db-credentials" not found',
    "CreateContainerError": "context deadline exceeded",
    "ErrImagePull": "failed to pull and unpack image",
    "ErrImageNeverPull": "Container image is not present with pull policy of Never",
    "ImagePullBackOff": "Back-off pulling image",
    "InvalidImageName": "couldn't parse image name",
}
# With these the pod does not get that far, and events say why.
OBSTACLES = {
    "FailedCreate": "pods are forbidden: exceeded quota: quota",
    "FailedMount": 'MountVolume.SetUp failed for volume "credentials": secret not found',
    "FailedScheduling": "0/1 nodes are available: 1 Insufficient memory.",
}


def live(server: Server, pod: Manifest) -> None:
    """One turn of a pod: what its containers do, as far as nothing is wrong with one of them.

    `server.ill` may say of a container one of WAITING, one of OBSTACLES, or

    - `unstarted`: it runs, and its startup probe never succeeds;
    - `unready`: that has succeeded, and its readiness probe never does;
    - `restarting`: it is ready, and is restarted again and again.
    """
    life = server.lives[pod["metadata"]["uid"]]
    if life.ended is not None:
        return
    if not (server.ill or server.lost) and _settled(pod):
        return
    name, reason = illness(server, pod)
    if pod["spec"].get("nodeName") in server.lost:
        _mourn(server, pod)
        return
    if reason in OBSTACLES:
        server.event(pod, reason, OBSTACLES[reason])
    if reason == "FailedScheduling":
        _refuse(server, pod, OBSTACLES[reason])
        return
    if "nodeName" not in pod["spec"] and not _place(server, pod):
        return
    phase, waiting = "Pending", {}
    if reason in WAITING:
        server.event(pod, "BackOff" if reason.endswith("BackOff") else "Failed", WAITING[reason])
        phase = "Running" if reason == "CrashLoopBackOff" else "Pending"
        waiting = {name: reason}
    elif reason != "FailedMount" and server.clock >= life.born + STARTING:
        _work(server, pod)
        phase = "Pending" if life.begun is None else "Running"
        if life.ended is not None:
            phase = "Failed" if any(code for code, _ in life.codes.values()) else "Succeeded"
    server.set_status(pod, _status(server, pod, phase, waiting))


def _settled(pod: Manifest) -> bool:
    """Whether all that a pod still does is serve."""
    return {"type": "Ready", "status": "True"} in pod["status"].get("conditions", []) and _serves(pod)


def _place(server: Server, pod: Manifest) -> bool:
    """Gives a pod the node with the fewest pods; whether there is one."""
    free = [node for node in server.nodes if node not in server.cordoned and node not in server.lost]
    if free:
        taken = [other["spec"].get("nodeName") for other in server.of("Pod")]
        pod["spec"]["nodeName"] = min(free, key=taken.count)
        return True
    every = len(server.nodes)
    taints = f"{len(server.lost)} node(s) had untolerated taint {{node.kubernetes.io/unreachable: }}"
    cordoned = len(server.cordoned - server.lost.keys())
    whys = [f"{cordoned} node(s) were unschedulable"] * bool(cordoned) + [taints] * bool(server.lost)
    message = f"0/{every} nodes are available: {', '.join(whys)}."
    server.event(pod, "FailedScheduling", message)
    _refuse(server, pod, message)
    return False


def _refuse(server: Server, pod: Manifest, message: str) -> None:
    """What the scheduler says of a pod that no node takes."""
    why = {"reason": "Unschedulable", "message": message}
    conditions = [{"type": "PodScheduled", "status": "False", **why}]
    server.set_status(pod, {"phase": "Pending", "conditions": conditions})


def _mourn(server: Server, pod: Manifest) -> None:
    """What becomes of a pod whose node does not answer: it is not ready, and later deleted."""
    since = server.clock - server.lost[pod["spec"]["nodeName"]]
    if since >= MISSED:
        status = pod.get("status", {})
        others = [condition for condition in status.get("conditions", []) if condition["type"] != "Ready"]
        server.set_status(pod, {**status, "conditions": [*others, {"type": "Ready", "status": "False"}]})
    if since >= MISSED + TOLERATED:
        why = {"reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint"}
        conditions = [*pod["status"]["conditions"], {"type": "DisruptionTarget", "status": "True", **why}]
        server.set_status(pod, {**pod["status"], "conditions": conditions})
        server.doom(pod)


def illness(server: Server, pod: Manifest) -> tuple[str, str]:
    """The first container with which something is wrong, and what."""
    spec = pod["spec"]
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        if reason := _ill(server, container):
            return container["name"], reason
    return "", ""


def _ill(server: Server, container: Manifest) -> str:
    return server.ill.get(container.get("image", "")) or server.ill.get(container["name"], "")


def _serves(pod: Manifest) -> bool:
    """Whether the containers of a pod are started again whenever they end."""
    return bool(pod["spec"].get("restartPolicy", "Always") == "Always")


def _sidecar(container: Manifest) -> bool:
    return bool(container.get("restartPolicy") == "Always")


def _work(server: Server, pod: Manifest) -> None:
    """Ends the container whose time has come, and starts the next."""
    life, spec = server.lives[pod["metadata"]["uid"]], pod["spec"]
    if life.current and server.clock >= life.current.until:
        _end(server, pod, life.current)
    if life.current or life.ended is not None or server.clock < life.again:
        return
    before = [container for container in spec.get("initContainers", []) if not _sidecar(container)]
    steps = before if _serves(pod) else [*before, *spec["containers"]]
    rest = [container for container in steps if container["name"] not in life.codes]
    if life.begun is None and not any(container in before for container in rest):
        life.begun = server.clock
    if rest:
        _begin(server, pod, rest[0])
    elif not _serves(pod):
        life.ended = server.clock


def _begin(server: Server, pod: Manifest, spec: Manifest) -> None:
    life, name = server.lives[pod["metadata"]["uid"]], spec["name"]
    until = server.clock + server.step_seconds
    try:
        life.printed[name] = server.steps.get(name, _nothing)(Container(server, pod, spec))
        life.current = Step(name, until, 0, "Completed")
    except NotYetError:
        life.current = Step(name, server.clock + TURN, None, "")
    except StepError as error:
        life.printed[name] = f"{error}\n"
        life.current = Step(name, until, error.code, error.reason)


def _nothing(container: Container) -> str:
    return ""


def _end(server: Server, pod: Manifest, step: Step) -> None:
    life = server.lives[pod["metadata"]["uid"]]
    life.current = None
    if step.code and _serves(pod):
        life.crashes[step.name] = life.crashes.get(step.name, 0) + 1
        life.ends[step.name] = (step.code, step.reason)
        life.again = server.clock + RESTARTING
    elif step.code is not None:
        life.codes[step.name] = (step.code, step.reason)
        if step.code:
            life.ended = server.clock


def _status(server: Server, pod: Manifest, phase: str, ill: dict[str, str]) -> Manifest:
    """The status of a pod; `ill` says which of its containers wait, and why."""
    spec = pod["spec"]
    serving = [_container(server, pod, container, ill) for container in spec["containers"]]
    ready = phase == "Running" and all(container["ready"] for container in serving)
    condition = {"type": "Ready", "status": str(ready)}
    if ready and (gates := spec.get("readinessGates")):
        # Nobody here says that they are met.
        why = f'corresponding condition of pod readiness gate "{gates[0]["conditionType"]}" does not exist.'
        condition |= {"status": "False", "reason": "ReadinessGatesNotReady", "message": why}
    conditions = [condition]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": serving}
    if initial := [_container(server, pod, container, ill) for container in spec.get("initContainers", [])]:
        status["initContainerStatuses"] = initial
    return status


def _container(server: Server, pod: Manifest, spec: Manifest, ill: dict[str, str]) -> Manifest:
    life, name = server.lives[pod["metadata"]["uid"]], spec["name"]
    initial = spec not in pod["spec"]["containers"]
    crashes = life.crashes.get(name, 0)
    status = {"name": name, "image": spec.get("image", ""), "restartCount": crashes}
    words = life.printed.get(name, "") if spec.get("terminationMessagePolicy") == "FallbackToLogsOnError" else ""
    if name in life.ends:
        status["lastState"] = _terminated(*life.ends[name], words)
    idle = {**status, "ready": False, "started": False}
    reason = ill.get(name) or ("CrashLoopBackOff" if crashes else "PodInitializing")
    if name in life.codes:
        code, why = life.codes[name]
        return {**idle, "ready": initial and not code, "state": _terminated(code, why, words)}
    if _sidecar(spec) and life.ended is not None:
        # It is ended with the pod, by a signal.
        return {**idle, "state": _terminated(143, "Error")}
    if name not in ill:
        if life.current is not None and life.current.name == name:
            return {**idle, "ready": not initial, "started": True, "state": {"running": {}}}
        if _sidecar(spec) or (_serves(pod) and not initial and life.begun is not None):
            return {**status, "state": {"running": {}}, **_probes(server, pod, spec)}
    return {**idle, "state": {"waiting": {"reason": reason, "message": WAITING.get(reason, "")}}}


def _terminated(code: int, reason: str, words: str = "") -> Manifest:
    message = {"message": words} if code and words else {}
    return {"terminated": {"exitCode": code, "reason": reason, **message}}


def _probes(server: Server, pod: Manifest, spec: Manifest) -> Manifest:
    """What the probes of a container that serves have found, and how often it was restarted."""
    if _sidecar(spec):
        return {"ready": True, "started": True}
    age = server.clock - (server.lives[pod["metadata"]["uid"]].begun or 0)
    ill = _ill(server, spec)
    started = age >= server.ready_after and ill != "unstarted"
    restarts = int(max(age - server.ready_after, 0) // RESTARTING) if ill == "restarting" else 0
    return {"ready": started and ill != "unready", "started": started, "restartCount": restarts}

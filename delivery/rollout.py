"""Bringing a namespace to what a render says: apply, prune, wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from delivery import managed
from delivery.cluster import Cluster, Manifest, MissingError
from delivery.cluster import name as name
from delivery.render import component
from delivery.shell import DeliveryError, say

WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet")
# These are an administrator's: the deployer has no right to change them. What base/credentials adds
# to a Secret, credentials.py does here.
NOT_DELIVERED = ("namespace", "credentials")
# What is deleted when a render no longer has it. Nothing that holds data or secrets is among these.
PRUNED = (
    "Ingress",
    "CronJob",
    "Job",
    "Deployment",
    "Service",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "ConfigMap",
    "ServiceAccount",
)
# States of a container that do not mend themselves soon. The first crash may be a database that is
# still starting.
HOPELESS = (
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)
# Seconds; a container that has started is ready within a few, unless something is wrong.
READY_WITHIN = 30
REVISION = "deployment.kubernetes.io/revision"


def delivered(body: Manifest) -> bool:
    """Whether a delivery applies the object, and so may delete it."""
    return component(body) not in NOT_DELIVERED


def apply(cluster: Cluster, objects: Iterable[Manifest]) -> None:
    """Applies what a delivery may, and takes back what somebody has added to it.

    A Job runs again, as it cannot be changed.
    """
    wanted = _stated(cluster, objects)
    cluster.delete(*(name(body) for body in wanted if body["kind"] == "Job"))
    managed.apply(cluster, wanted)


def difference(cluster: Cluster, objects: Iterable[Manifest]) -> str:
    """What applying would change, Jobs aside, as a unified diff; empty for nothing.

    What somebody has added is in it once `delivery` owns it (managed.own).
    """
    return cluster.difference(body for body in _stated(cluster, objects) if body["kind"] != "Job")


def _stated(cluster: Cluster, objects: Iterable[Manifest]) -> list[Manifest]:
    """What a delivery applies of `objects`, an Ingress with its class."""
    wanted = [body for body in objects if delivered(body)]
    return [_classed(cluster, body) if body["kind"] == "Ingress" else body for body in wanted]


def _classed(cluster: Cluster, ingress: Manifest) -> Manifest:
    """An Ingress with the class that the cluster gives a new one.

    It gives one at the creation alone, and an apply takes away what a client-side one had.
    """
    if "ingressClassName" in ingress["spec"]:
        return ingress
    metadata = {**ingress["metadata"], "name": f"{ingress['metadata']['name']}-class"}
    backend = {"service": {"name": "none", "port": {"number": 80}}}
    new = cluster.rehearse({**ingress, "metadata": metadata, "spec": {"defaultBackend": backend}})
    given = {key: text for key, text in new["spec"].items() if key == "ingressClassName"}
    return {**ingress, "spec": {**ingress["spec"], **given}}


def surplus(wanted: Iterable[Manifest], others: Iterable[Manifest]) -> list[str]:
    """The names of what `others` have and `wanted` lacks, in the order in which it may be deleted."""
    kept = {name(body) for body in wanted}
    more = {name(body): body["kind"] for body in others if delivered(body)}
    ordered = sorted(
        (PRUNED.index(kind), other) for other, kind in more.items() if kind in PRUNED and other not in kept
    )
    return [other for _, other in ordered]


def wait(cluster: Cluster, objects: Iterable[Manifest], seconds: float = 300) -> None:
    """Waits until every workload among `objects` runs as it says, for up to `seconds`.

    Raises:
        DeliveryError: time is up, or a pod shows that it will not come; with the latest warnings
            and its last words.
    """
    workloads = [body for body in objects if body["kind"] in WORKLOADS]
    wanted = {name(body) for body in workloads}
    # A deployer may not look at kinds that no release has.
    kinds = sorted({body["kind"] for body in workloads})
    if not wanted:
        return
    say("waiting for " + ", ".join(sorted(wanted)))
    started = cluster.now()
    unready: dict[str, float] = {}
    while True:
        items = cluster.list(*kinds, "ReplicaSet", "Pod")
        late = wanted - {name(body) for body in items if name(body) in wanted and complete(body)}
        if not late:
            return
        # Of a workload whose change was not seen yet, the newest pods are still those from before.
        changed = [body for body in items if name(body) in late and observed(body)]
        pods = [pod for body in changed for pod in newest_pods(body, items)]
        now = cluster.now()
        names = [container for pod in pods for container in started_but_unready(pod)]
        unready = {container: unready.get(container, now) for container in names}
        problems = [problem for pod in pods for problem in hopeless(pod)]
        problems += [
            f"{container} is not ready after {READY_WITHIN} s"
            for container, since in unready.items()
            if now > since + READY_WITHIN
        ]
        if not problems and now > started + seconds:
            problems = [f"{', '.join(sorted(late))} did not come up within {seconds:.0f} s"]
        if problems:
            words = [line for pod in pods for line in last_words(pod)]
            raise DeliveryError("\n".join([*problems, *words, *_diagnosis(cluster)]))
        cluster.pause(1)


def gone(cluster: Cluster, selector: str, seconds: float) -> None:
    """Waits until no pod that a label selector matches is there, for up to `seconds`."""
    deadline = cluster.now() + seconds
    while pods := cluster.list("Pod", selector=selector):
        if cluster.now() > deadline:
            names = ", ".join(map(name, pods))
            raise DeliveryError(f"{names} did not end within {seconds:.0f} s")
        cluster.pause(1)


def restart(cluster: Cluster, workload: str, moment: str) -> None:
    """Has a workload's pods replaced one by one, as `kubectl rollout restart` has at that moment."""
    annotations = {"kubectl.kubernetes.io/restartedAt": moment}
    cluster.patch(workload, {"spec": {"template": {"metadata": {"annotations": annotations}}}})


def complete(body: Manifest) -> bool:
    """Whether all replicas of a workload are of its newest template, available, and no others left."""
    status = body.get("status", {})
    if body["kind"] == "DaemonSet":
        fields = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
        wanted = status.get("desiredNumberScheduled", 0)
    else:
        fields = ("replicas", "updatedReplicas", "availableReplicas")
        wanted = body["spec"]["replicas"]
    return observed(body) and all(status.get(field, 0) == wanted for field in fields)


def observed(body: Manifest) -> bool:
    """Whether a workload's controller has seen its newest change."""
    return bool(body.get("status", {}).get("observedGeneration", 0) >= body["metadata"]["generation"])


def newest_pods(workload: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The pods among `items` that are of a workload's newest template."""
    revision = workload["metadata"].get("annotations", {}).get(REVISION)
    owners = {workload["metadata"]["uid"]} if workload["kind"] != "Deployment" else set()
    owners |= {
        body["metadata"]["uid"]
        for body in _owned(items, "ReplicaSet", {workload["metadata"]["uid"]})
        if body["metadata"].get("annotations", {}).get(REVISION) == revision
    }
    hashes = (None, workload.get("status", {}).get("updateRevision"))
    return [
        pod
        for pod in _owned(items, "Pod", owners)
        if workload["kind"] != "StatefulSet" or pod["metadata"]["labels"].get("controller-revision-hash") in hashes
    ]


def _owned(items: Iterable[Manifest], kind: str, owners: set[str]) -> list[Manifest]:
    return [
        body
        for body in items
        if body["kind"] == kind and owners & {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}
    ]


def hopeless(pod: Manifest) -> Iterator[str]:
    """The containers of a pod that will not start without somebody's help, and why."""
    for container in statuses(pod):
        waiting = container["state"].get("waiting", {})
        if waiting.get("reason") in HOPELESS:
            place = f"{pod['metadata']['name']}/{container['name']}"
            yield f"{place}: {waiting['reason']}: {waiting.get('message', '')}"


def last_words(pod: Manifest) -> Iterator[str]:
    """The last line of each container that has failed, by `terminationMessagePolicy`, though it runs again by now."""
    for container in statuses(pod):
        ended = container["state"].get("terminated") or container.get("lastState", {}).get("terminated", {})
        lines = ended.get("message", "").split("\n") if ended.get("exitCode") else []
        if words := [line for line in lines if line.strip()]:
            place = f"{pod['metadata']['name']}/{container['name']}"
            yield f"{place} ended with code {ended['exitCode']}: {words[-1]}"


def started_but_unready(pod: Manifest) -> Iterator[str]:
    """The containers of a pod whose startup probe has succeeded, and whose readiness probe has not."""
    for container in pod["status"].get("containerStatuses", []):
        if container.get("started") and not container["ready"]:
            yield f"{pod['metadata']['name']}/{container['name']}"


def ready(pod: Manifest) -> bool:
    """Whether all containers of a pod serve, and it is to stay."""
    containers = pod["status"].get("containerStatuses", [])
    stays = "deletionTimestamp" not in pod["metadata"]
    return stays and bool(containers) and all(container["ready"] for container in containers)


def statuses(pod: Manifest) -> list[Manifest]:
    """The status of every container of a pod, in the order in which they start."""
    status = pod["status"]
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def table(pods: Iterable[Manifest]) -> Iterator[str]:
    """A line for each pod: its name, how many of its containers are ready, what it does, restarts."""
    for pod in pods:
        containers = pod["status"].get("containerStatuses", [])
        ready = sum(container["ready"] for container in containers)
        waiting = (status["state"].get("waiting", {}).get("reason") for status in statuses(pod))
        state = next(filter(None, waiting), pod["status"].get("phase", "Unknown"))
        if "deletionTimestamp" in pod["metadata"]:
            state = "Terminating"
        restarts = sum(container["restartCount"] for container in containers)
        count = f"{ready}/{len(pod['spec']['containers'])}"
        yield f"{pod['metadata']['name']:45} {count:>5}  {state}  {restarts} restarts"


def warnings(cluster: Cluster) -> Iterator[str]:
    """The warnings of a namespace in one line each, the newest last."""
    events = [event for event in cluster.list("Event") if event.get("type") == "Warning"]
    for event in sorted(events, key=moment):
        about = event["involvedObject"]
        yield f"{about.get('kind', '').lower()}/{about.get('name', '')}: {words(event)}"


def words(event: Manifest) -> str:
    """What an event says, in one line; its writer may have left out either part."""
    return f"{event.get('reason', '')}: {event.get('message', '')}".replace("\n", " ")


def moment(event: Manifest) -> str:
    """When an event happened last."""
    return str(event.get("lastTimestamp") or event.get("eventTime"))


def _diagnosis(cluster: Cluster) -> Iterator[str]:
    """The pods, the latest warnings, and the last words of the pods that are not ready."""
    try:
        pods = cluster.list("Pod")
        yield from table(pods)
        yield from list(warnings(cluster))[-20:]
        for pod in pods:
            if not ready(pod):
                # It may have gone by now.
                try:
                    yield cluster.logs(pod["metadata"]["name"], tail=15)
                except MissingError:
                    continue
    except DeliveryError as error:
        yield str(error)

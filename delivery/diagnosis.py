"""Why pods do not come, or do not serve, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from delivery.cluster import Cluster, Manifest, MissingError, going, lasting, name
from delivery.shell import DeliveryError
from delivery.workloads import lost, newest_sets, owned, ready, statuses

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
# Seconds for which pods may be refused; a quota is freed by pods that end.
REFUSED_FOR = 30
# Parts of the reason. Any other may pass.
REFUSALS = ("forbidden", "denied", "invalid")
# Of a webhook, whatever that is called and its error says.
SILENT = "failed calling webhook"
# What the scheduler says of nodes that somebody has cordoned.
CORDONED = "were unschedulable"
# Why a pod is kept from a node, or from serving, until a controller allows it.
GATED = ("SchedulingGated", "ReadinessGatesNotReady")
# What is to be done about that, by a part of the reason; the first one counts.
REMEDIES = {
    "exceeded quota": "`kubectl describe resourcequota` shows what takes it; free or raise it",
    "service account": "an administrator has to make that ServiceAccount",
    "": "change the release, or the rule that refuses it",
}
# What a registry says of an image that is not for everybody; ghcr.io says either.
PRIVATE = ("401", "403", "denied", "unauthorized")
# Of pods that are not ready, how many are asked for their last words.
ASKED = 10


@dataclass(frozen=True)
class Trouble:
    """A sign that a workload does not come.

    Attributes:
        about: what tells it from others, and from the same before something was tried again.
        words: one line about it.
        bearable: seconds for which it may last.
    """

    about: tuple[str, ...]
    words: str = field(compare=False)
    bearable: float = 0


def troubles(pod: Manifest) -> Iterator[Trouble]:
    """What keeps the containers of a pod from serving; some of it may last for a while."""
    uid, serving = pod["metadata"]["uid"], pod["status"].get("containerStatuses", [])
    for container in statuses(pod):
        place = f"{pod['metadata']['name']}/{container['name']}"
        waiting = container["state"].get("waiting", {})
        if (reason := waiting.get("reason")) in HOPELESS:
            about = (uid, container["name"], reason, str(container.get("restartCount", 0)))
            message = waiting.get("message", "")
            yield Trouble(about, f"{place}: {reason}: {message}{_unpulled(reason, message)}")
        elif container in serving and container.get("started") and not container["ready"]:
            about = (uid, container["name"], "unready", str(container.get("restartCount", 0)))
            yield Trouble(about, f"{place} is not ready after {READY_WITHIN} s", READY_WITHIN)


def _unpulled(reason: str, message: str) -> str:
    """What is typed where a registry gives an image to nobody that it does not know."""
    if reason == "ImagePullBackOff" and any(part in message.lower() for part in PRIVATE):
        return "; it may be private: make it public, or give the pods a Secret for it (docs/github.md#private-images)"
    return ""


def lingering(job: Manifest, items: Iterable[Manifest]) -> Iterator[Trouble]:
    """The containers that somebody has added to a Job's pods, and that keep it from its end."""
    own = {container["name"] for container in job["spec"]["template"]["spec"]["containers"]}
    for pod in owned(items, "Pod", {job["metadata"]["uid"]}):
        states = {status["name"]: status["state"] for status in pod["status"].get("containerStatuses", [])}
        if all("terminated" in states.get(container, {}) for container in own):
            for other in (container for container in states if "running" in states[container]):
                place = f"{pod['metadata']['name']}/{other}"
                way = "whoever adds it has to leave Jobs out, or make it a sidecar"
                words = f"{place} goes on after all containers of {name(job)} have ended: {way}"
                yield Trouble((pod["metadata"]["uid"], other, "lingering"), words, READY_WITHIN)


def suspended(job: Manifest) -> Iterator[Trouble]:
    """That somebody keeps a Job from its work, as a controller of queues does with those that it knows nothing of."""
    if job["spec"].get("suspend"):
        patch = f"kubectl -n {job['metadata']['namespace']} patch {name(job)} --type=merge"
        line = f"""`{patch} --patch='{{"spec":{{"suspend":false}}}}'` lets it begin"""
        words = f"{name(job)} is suspended, by hand or by a controller that has to leave it out; {line}"
        yield Trouble((job["metadata"]["uid"], "suspended"), words, REFUSED_FOR)


def hopeless(pod: Manifest) -> Iterator[str]:
    """The containers of a pod that will not start without somebody's help, and why."""
    return (trouble.words for trouble in troubles(pod) if not trouble.bearable)


def unmade(deployment: Manifest) -> Iterator[Trouble]:
    """Why the cluster makes no ReplicaSet of a Deployment's newest template, where it does not."""
    for condition in deployment.get("status", {}).get("conditions", []):
        if condition.get("reason") == "ReplicaSetCreateError":
            since, message = condition.get("lastTransitionTime", ""), condition.get("message", "")
            yield from _refusal(deployment["metadata"]["uid"], since, name(deployment), message)


def refusals(workload: Manifest, items: Iterable[Manifest], events: Iterable[Manifest]) -> Iterator[Trouble]:
    """Why the cluster makes no pods of a workload's newest template, where it does not.

    Of a Deployment the ReplicaSet among `items` says so, of the others the newest of `events`.
    """
    if workload["kind"] == "Deployment":
        for body in newest_sets(workload, items):
            yield from failure(body, name(workload))
        return
    own = [event for event in events if event["involvedObject"].get("uid") == workload["metadata"]["uid"]]
    # Of two in one second the good one counts: where it was the first, the other comes again.
    newest = max(own, key=lambda event: (moment(event), event.get("type") != "Warning"), default={})
    if newest.get("reason") == "FailedCreate":
        yield from _refusal(workload["metadata"]["uid"], "", name(workload), newest.get("message", ""))


def failure(replica_set: Manifest, workload: str) -> Iterator[Trouble]:
    """Why a ReplicaSet's pods are refused, where they are; the line names the `workload`."""
    for condition in replica_set.get("status", {}).get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            since, message = condition.get("lastTransitionTime", ""), condition.get("message", "")
            yield from _refusal(replica_set["metadata"]["uid"], since, workload, message)


def _refusal(uid: str, since: str, workload: str, message: str) -> Iterator[Trouble]:
    if way := remedy(message):
        words = f"{workload}: its pods are refused: {' '.join(message.split())}; {way}"
        yield Trouble((uid, since), words, REFUSED_FOR)


def remedy(message: str) -> str:
    """What is to be done about a pod that was not made; empty where it was not refused."""
    if SILENT in message or not any(part in message for part in REFUSALS):
        return ""
    return next(way for part, way in REMEDIES.items() if part in message)


def last_words(pod: Manifest) -> Iterator[str]:
    """The last line of each container that has failed, by `terminationMessagePolicy`, though it runs again by now."""
    for container in statuses(pod):
        ended = container["state"].get("terminated") or container.get("lastState", {}).get("terminated", {})
        lines = ended.get("message", "").split("\n") if ended.get("exitCode") else []
        if words := [line for line in lines if line.strip()]:
            place = f"{pod['metadata']['name']}/{container['name']}"
            yield f"{place} ended with code {ended['exitCode']}: {words[-1]}"


def table(pods: Iterable[Manifest]) -> Iterator[str]:
    """A line for each pod: its name, how many of its containers are ready, what it does, restarts."""
    for pod in pods:
        containers = pod["status"].get("containerStatuses", [])
        ready = sum(container["ready"] for container in containers)
        waiting = (status["state"].get("waiting", {}).get("reason") for status in statuses(pod))
        state = next(filter(None, waiting), pod["status"].get("phase", "Unknown"))
        if going(pod):
            state = "Terminating"
        if lost(pod):
            state = f"{state}, and its node does not answer"
        state = ": ".join((state, *gated(pod)))
        restarts = sum(container["restartCount"] for container in containers)
        count = f"{ready}/{len(pod['spec']['containers'])}"
        yield f"{pod['metadata']['name']:45} {count:>5}  {state}  {restarts} restarts"


def nodes(pods: Sequence[Manifest]) -> Iterator[str]:
    """What is wrong with the nodes of pods, as far as these show it, and what is typed."""
    names = sorted({pod["spec"]["nodeName"] for pod in pods if lost(pod)})
    for node in names:
        own = ", ".join(name(pod) for pod in pods if lost(pod) and pod["spec"]["nodeName"] == node)
        way = f"bring it back; should it never come, `kubectl delete node {node}` has them made elsewhere"
        yield f"{node}, the node of {own}, does not answer: {way}"
    if any(CORDONED in unscheduled(pod) for pod in pods):
        yield "a node takes no pods: `kubectl get nodes` says which one, and `kubectl uncordon NODE` ends that"


def disrupted(pod: Manifest) -> Iterator[str]:
    """What has taken a pod away: a drain, a node that is lost, or another pod that counts for more.

    https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """
    for condition in pod["status"].get("conditions", []):
        if (condition["type"], condition["status"]) == ("DisruptionTarget", "True"):
            why = f"{condition.get('reason', '')}: {condition.get('message', '')}"
            yield f"{name(pod)} was taken away: {why}; `kubectl get nodes` shows whether its node answers"


def gated(pod: Manifest) -> Iterator[str]:
    """What somebody who has gated a pod has not allowed yet; no event says so."""
    for condition in pod["status"].get("conditions", []):
        if condition.get("reason") in GATED:
            yield str(condition.get("message", ""))


def unscheduled(pod: Manifest) -> str:
    """Why no node takes a pod, empty where one does."""
    for condition in pod["status"].get("conditions", []):
        if (condition["type"], condition["status"]) == ("PodScheduled", "False"):
            return str(condition.get("message", ""))
    return ""


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
    """When an event happened last; one that does not say so comes before all others."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def report(cluster: Cluster) -> Iterator[str]:
    """The pods, the latest warnings, what keeps pods from going, and the last words of some that are not ready."""
    try:
        pods = cluster.list("Pod")
        yield from table(pods)
        yield from nodes(pods)
        yield from list(warnings(cluster))[-20:]
        yield from lasting(cluster, [name(pod) for pod in pods if going(pod) and pod["metadata"].get("finalizers")])
        ill = [pod for pod in pods if not ready(pod) and pod["status"].get("phase") != "Succeeded"]
        # Evictions leave hundreds, and users wait for the way back.
        for pod in ill[-ASKED:]:
            # It may have gone by now.
            try:
                yield cluster.logs(pod["metadata"]["name"], tail=15)
            except MissingError:
                continue
    except DeliveryError as error:
        yield str(error)

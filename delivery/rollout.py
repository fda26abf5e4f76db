"""Bringing a namespace to what a render says: apply, prune, wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from delivery import managed
from delivery.cluster import Cluster, Manifest, MissingError, RefusedError, going, lasting
from delivery.cluster import name as name
from delivery.render import component
from delivery.shell import DeliveryError, say
from delivery.sight import Sight

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
# Seconds for which pods may be refused; a quota is freed by pods that end.
REFUSED_FOR = 30
# Parts of the reason. Any other, such as a webhook that does not answer, may pass.
REFUSALS = ("forbidden", "denied", "invalid")
# What is to be done about that, by a part of the reason; the first one counts.
REMEDIES = {
    "exceeded quota": "`kubectl describe resourcequota` shows what takes it; free or raise it",
    "service account": "an administrator has to make that ServiceAccount",
    "": "change the release, or the rule that refuses it",
}
# Seconds that a statement of a migration may take (docs/database.md), and after which that is said.
MIGRATION, QUIET = 3600, 300
# Seconds between two looks at the events.
EVENTS_EVERY = 5
# Of pods that are not ready, how many are asked for their last words.
ASKED = 10
REVISION = "deployment.kubernetes.io/revision"
TEMPLATE = "deprecated.daemonset.template.generation"


def delivered(body: Manifest) -> bool:
    """Whether a delivery applies the object, and so may delete it."""
    return component(body) not in NOT_DELIVERED


def apply(cluster: Cluster, objects: Iterable[Manifest]) -> None:
    """Applies what a delivery may, and takes back what somebody has added to it.

    A Job runs again, as it cannot be changed; nor can a ConfigMap that somebody has made immutable.
    """
    wanted = _stated(cluster, objects)
    there = managed.live(cluster, wanted)
    jobs = [name(body) for body in wanted if body["kind"] == "Job"]
    # What is applied to an object that somebody is deleting goes with it.
    ending = [name(body) for body in there if going(body) and body["kind"] in PRUNED]
    anew = [*jobs, *ending, *_frozen(there, wanted)]
    cluster.delete(*anew)
    managed.own(cluster, (body for body in there if name(body) not in anew))
    cluster.apply(wanted)


def _frozen(there: Iterable[Manifest], wanted: Iterable[Manifest]) -> list[str]:
    """The ConfigMaps that are made anew, as somebody has made them immutable.

    Raises:
        RefusedError: one has other content. A node keeps that for new pods too, whatever takes its
            place, as long as one of its pods names it.
    """
    stated = {name(body): body for body in wanted if body["kind"] == "ConfigMap"}
    immutable = {name(body): body for body in there if name(body) in stated and body.get("immutable")}
    for label, body in immutable.items():
        if any(body.get(part) != stated[label].get(part) for part in ("binaryData", "data")):
            line = f"kubectl -n {body['metadata']['namespace']} delete"
            raise RefusedError(
                f"{label} is immutable with other content, which nodes keep as long as a pod names it: "
                "deliver another value in it, which gives it another name; or stop everything by "
                f"`{line} {label} && {line} deployment,job,pod -l environment`, then the same command again"
            )
    return [label for label in immutable if not stated[label].get("immutable")]


def difference(cluster: Cluster, objects: Iterable[Manifest]) -> str:
    """What applying would change, Jobs aside, as a unified diff; empty for nothing.

    What somebody has added is in it once `delivery` owns it (managed.own).
    """
    wanted = [body for body in _stated(cluster, objects) if body["kind"] != "Job"]
    maps = [body for body in wanted if body["kind"] == "ConfigMap"]
    anew = _frozen(managed.live(cluster, maps), maps)
    text = cluster.difference(body for body in wanted if name(body) not in anew)
    return text + "".join(f"{label} is immutable, and is made anew\n" for label in anew)


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


@dataclass(frozen=True)
class Past:
    """What a namespace showed before a rollout began, which is no verdict on it.

    Attributes:
        troubles: of its pods and of those that were refused, whichever workload's.
        events: their versions.
    """

    troubles: frozenset[Trouble] = frozenset()
    events: frozenset[str] = frozenset()


def past(cluster: Cluster) -> Past:
    """What there is, to be noted before something is applied that `wait` will wait for."""
    pods, sets, events = (cluster.list(kind) for kind in ("Pod", "ReplicaSet", "Event"))
    there = [trouble for pod in pods for trouble in troubles(pod)]
    there += [trouble for body in sets for trouble in _failure(body, "")]
    return Past(frozenset(there), frozenset(map(_version, events)))


def wait(cluster: Cluster, objects: Iterable[Manifest], seconds: float = 300, before: Past | None = None) -> None:
    """Waits until the workloads among `objects` run and the Jobs are done, for up to `seconds`.

    What `before` has is no reason to end it, as long as it stays as it was. The time in which the
    API server does not answer does not count, nor that in which a migration is at work. A Job that
    has gone, as its own time to live has it, is not asked for.

    Raises:
        DeliveryError: time is up, a Job has failed, a pod shows that it will not come, or somebody
            has scaled a workload; with the latest warnings and the pods' last words.
    """
    awaited = [body for body in objects if body["kind"] in (*WORKLOADS, "Job") and delivered(body)]
    wanted = {name(body): body for body in awaited}
    if not wanted:
        return
    say("waiting for " + ", ".join(sorted(wanted)))
    # A deployer may not look at kinds that no release has.
    kinds = sorted({body["kind"] for body in wanted.values()})
    standing = {label for label, body in wanted.items() if body["kind"] != "Job"}
    sight = Sight(cluster)
    judge = _Judge(sight, before or Past())
    while True:
        items = sight.list(*kinds, "ReplicaSet", "Pod")
        there = {name(body): body for body in items if name(body) in wanted}
        problems = [line for label, body in there.items() for line in astray(body, wanted[label])]
        done = {label for label, body in there.items() if complete(body)}
        late = (standing | there.keys()) - done
        if not late and not problems:
            return
        # Of a workload whose change was not seen yet, the newest pods are still those from before.
        changed = [there[label] for label in sorted(late & there.keys()) if observed(there[label])]
        pods = [pod for body in changed for pod in newest_pods(body, items) if not going(pod)]
        problems += judge.problems(changed, items, pods)
        if not problems and judge.idle(pods) > seconds:
            problems = [f"{', '.join(sorted(late))} did not come up within {seconds:.0f} s"]
        if problems:
            words = [line for pod in pods for line in last_words(pod)]
            raise DeliveryError("\n".join([*problems, *words, *_diagnosis(cluster)]))
        cluster.pause(1)


class _Judge:
    """What a wait has seen: for how long each trouble lasts, and how long nothing was at work."""

    def __init__(self, sight: Sight, before: Past) -> None:
        self.sight, self.before = sight, before
        self.old, self.since = before.troubles, dict[Trouble, float]()
        self.events, self.asked = list[Manifest](), float("-inf")
        self.last = self.told = sight.now()
        self.waited = self.worked = 0.0

    def problems(self, changed: Sequence[Manifest], items: Sequence[Manifest], pods: Iterable[Manifest]) -> list[str]:
        """The troubles of workloads and their newest pods that have lasted for too long."""
        if any(body["kind"] != "Deployment" for body in changed) and self.sight.now() > self.asked + EVENTS_EVERY:
            self.events, self.asked = self.sight.list("Event"), self.sight.now()
        events = [event for event in self.events if _version(event) not in self.before.events]
        found = [trouble for pod in pods for trouble in troubles(pod)]
        found += [trouble for body in changed for trouble in refusals(body, items, events)]
        now = self.sight.now()
        self.old &= {*found}
        self.since = {trouble: self.since.get(trouble, now) for trouble in found if trouble not in self.old}
        return [trouble.words for trouble, first in self.since.items() if now >= first + trouble.bearable]

    def idle(self, pods: Iterable[Manifest]) -> float:
        """The seconds until now in which no migration was at work in one of the newest pods."""
        now, working = self.sight.now(), [line for pod in pods for line in initializing(pod)]
        if working and self.worked < MIGRATION:
            self.worked += now - self.last
            if now > self.told + QUIET:
                self.told = now
                say(f"{working[0]} is at work; it has {MIGRATION - self.worked:.0f} s more")
        else:
            self.waited += now - self.last
        self.last = now
        return self.waited


def gone(cluster: Cluster, selector: str, seconds: float) -> None:
    """Waits until no pod that a label selector matches is there, for up to `seconds`."""
    sight = Sight(cluster)
    deadline = sight.now() + seconds
    while pods := sight.list("Pod", selector=selector):
        if sight.now() > deadline:
            names = ", ".join(map(name, pods))
            raise DeliveryError(f"{names} did not end within {seconds:.0f} s")
        cluster.pause(1)


def restart(cluster: Cluster, workload: str, moment: str) -> None:
    """Has a workload's pods replaced one by one, as `kubectl rollout restart` has at that moment."""
    annotations = {"kubectl.kubernetes.io/restartedAt": moment}
    cluster.patch(workload, {"spec": {"template": {"metadata": {"annotations": annotations}}}})


def complete(body: Manifest) -> bool:
    """Whether a Job is done, or all replicas of a workload are new and available, and no other left."""
    status = body.get("status", {})
    if body["kind"] == "Job":
        return "Complete" in _conditions(body)
    if body["kind"] == "DaemonSet":
        fields = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
        wanted = status.get("desiredNumberScheduled", 0)
    else:
        fields = ("replicas", "updatedReplicas", "availableReplicas")
        wanted = body["spec"]["replicas"]
    return observed(body) and all(status.get(field, 0) == wanted for field in fields)


def astray(body: Manifest, wanted: Manifest) -> Iterator[str]:
    """Why an object does not come to what a manifest says: a failed Job, or one that was scaled."""
    if body["kind"] == "Job" and (failed := _conditions(body).get("Failed")):
        yield f"{name(body)} failed: {failed.get('message', '')}"
    # An autoscaler's manifest names none.
    there, stated = (of["spec"].get("replicas") for of in (body, wanted))
    if stated not in (None, there):
        yield f"{name(body)} was scaled to {there} by hand, or by what `kubectl get hpa` shows, and is to have {stated}"


def _conditions(body: Manifest) -> dict[str, Manifest]:
    """What a controller says that is true of an object, by type."""
    conditions = body.get("status", {}).get("conditions", [])
    return {condition["type"]: condition for condition in conditions if condition["status"] == "True"}


def observed(body: Manifest) -> bool:
    """Whether a workload's controller has seen its newest change; a Job's has nothing to note."""
    seen = body.get("status", {}).get("observedGeneration", 0)
    return bool(body["kind"] == "Job" or seen >= body["metadata"]["generation"])


def newest_pods(workload: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The pods among `items` that are of a workload's newest template."""
    items = list(items)
    if workload["kind"] == "Deployment":
        return owned(items, "Pod", {body["metadata"]["uid"] for body in _newest_sets(workload, items)})
    own = owned(items, "Pod", {workload["metadata"]["uid"]})
    if workload["kind"] == "DaemonSet":
        label, newest = "pod-template-generation", workload["metadata"].get("annotations", {}).get(TEMPLATE)
    else:
        label, newest = "controller-revision-hash", workload.get("status", {}).get("updateRevision")
    return [pod for pod in own if pod["metadata"].get("labels", {}).get(label) in (None, newest)]


def _newest_sets(workload: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    revision = workload["metadata"].get("annotations", {}).get(REVISION)
    return [
        body
        for body in owned(items, "ReplicaSet", {workload["metadata"]["uid"]})
        if body["metadata"].get("annotations", {}).get(REVISION) == revision
    ]


def owned(items: Iterable[Manifest], kind: str, owners: set[str]) -> list[Manifest]:
    """Those of a kind among `items` that belong to one of the owners, by their uids."""
    return [
        body
        for body in items
        if body["kind"] == kind and owners & {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}
    ]


def troubles(pod: Manifest) -> Iterator[Trouble]:
    """What keeps the containers of a pod from serving; some of it may last for a while."""
    uid, serving = pod["metadata"]["uid"], pod["status"].get("containerStatuses", [])
    for container in statuses(pod):
        place = f"{pod['metadata']['name']}/{container['name']}"
        waiting = container["state"].get("waiting", {})
        if (reason := waiting.get("reason")) in HOPELESS:
            about = (uid, container["name"], reason, str(container.get("restartCount", 0)))
            yield Trouble(about, f"{place}: {reason}: {waiting.get('message', '')}")
        elif container in serving and container.get("started") and not container["ready"]:
            about = (uid, container["name"], "unready", str(container.get("restartCount", 0)))
            yield Trouble(about, f"{place} is not ready after {READY_WITHIN} s", READY_WITHIN)


def hopeless(pod: Manifest) -> Iterator[str]:
    """The containers of a pod that will not start without somebody's help, and why."""
    return (trouble.words for trouble in troubles(pod) if not trouble.bearable)


def refusals(workload: Manifest, items: Iterable[Manifest], events: Iterable[Manifest]) -> Iterator[Trouble]:
    """Why the cluster makes no pods of a workload's newest template, where it does not.

    Of a Deployment the ReplicaSet among `items` says so, of the others the newest of `events`.
    """
    if workload["kind"] == "Deployment":
        for body in _newest_sets(workload, items):
            yield from _failure(body, name(workload))
        return
    own = [event for event in events if event["involvedObject"].get("uid") == workload["metadata"]["uid"]]
    # Of two in one second the good one counts: where it was the first, the other comes again.
    newest = max(own, key=lambda event: (moment(event), event.get("type") != "Warning"), default={})
    if newest.get("reason") == "FailedCreate":
        yield from _refusal(workload["metadata"]["uid"], "", name(workload), newest.get("message", ""))


def _failure(replica_set: Manifest, workload: str) -> Iterator[Trouble]:
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
    if not any(part in message for part in REFUSALS):
        return ""
    return next(way for part, way in REMEDIES.items() if part in message)


def initializing(pod: Manifest) -> Iterator[str]:
    """The container of a pod that does its work before others begin, as a migration does."""
    sidecars = {part["name"] for part in pod["spec"].get("initContainers", []) if part.get("restartPolicy")}
    for container in pod["status"].get("initContainerStatuses", []):
        if "running" in container["state"] and container["name"] not in sidecars:
            yield f"{pod['metadata']['name']}/{container['name']}"


def last_words(pod: Manifest) -> Iterator[str]:
    """The last line of each container that has failed, by `terminationMessagePolicy`, though it runs again by now."""
    for container in statuses(pod):
        ended = container["state"].get("terminated") or container.get("lastState", {}).get("terminated", {})
        lines = ended.get("message", "").split("\n") if ended.get("exitCode") else []
        if words := [line for line in lines if line.strip()]:
            place = f"{pod['metadata']['name']}/{container['name']}"
            yield f"{place} ended with code {ended['exitCode']}: {words[-1]}"


def ready(pod: Manifest) -> bool:
    """Whether all containers of a pod serve, and it is to stay."""
    containers = pod["status"].get("containerStatuses", [])
    return not going(pod) and bool(containers) and all(container["ready"] for container in containers)


def first_container(pod: Manifest) -> tuple[str, str]:
    """A pod and its first container, whatever a hand has called that, as in Cluster.exec."""
    return pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]


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
        if going(pod):
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


def _version(body: Manifest) -> str:
    return str(body["metadata"]["resourceVersion"])


def _diagnosis(cluster: Cluster) -> Iterator[str]:
    """The pods, the latest warnings, what keeps pods from going, and the last words of some that are not ready."""
    try:
        pods = cluster.list("Pod")
        yield from table(pods)
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

"""Bringing a namespace to what a render says: apply, prune, wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from delivery import diagnosis, managed, workloads
from delivery.cluster import Cluster, Manifest, RefusedError, going
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
# Seconds in which a rollout has to come up.
UP = 300
# Seconds that a statement of a migration may take (docs/database.md), and after which that is said.
MIGRATION, QUIET = 3600, 300
# Seconds between two looks at the events.
EVENTS_EVERY = 5
# Seconds for which a node is awaited that takes the pod of a Job that has been done before.
UNPLACED = 60


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
    # A name may be as long as names get.
    metadata = {**ingress["metadata"], "name": f"class-{ingress['metadata']['name']}"[:100].rstrip("-.")}
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
class Past:
    """What a namespace showed before a rollout began, which is no verdict on it.

    Attributes:
        troubles: of its pods and of those that were refused, whichever workload's.
        events: their versions.
    """

    troubles: frozenset[diagnosis.Trouble] = frozenset()
    events: frozenset[str] = frozenset()


def past(cluster: Cluster) -> Past:
    """What there is, to be noted before something is applied that `wait` will wait for."""
    pods, sets, events = (cluster.list(kind) for kind in ("Pod", "ReplicaSet", "Event"))
    there = [trouble for pod in pods for trouble in diagnosis.troubles(pod)]
    there += [trouble for body in sets for trouble in diagnosis.failure(body, "")]
    return Past(frozenset(there), frozenset(map(_version, events)))


def wait(
    cluster: Cluster,
    objects: Iterable[Manifest],
    seconds: float = UP,
    before: Past | None = None,
    *,
    again: bool = False,
) -> None:
    """Waits until the workloads among `objects` run and the Jobs are done, for up to `seconds`.

    What `before` has is no reason to end it, as long as it stays as it was. The time in which the
    API server does not answer does not count, nor that in which a migration is at work. A Job that
    has gone, as its own time to live has it, is not asked for; nor, where the Jobs have been done
    before and run `again`, one that no node takes while all workloads run.

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
        wanted |= {label: body for label, body in there.items() if _admitted(cluster, body, wanted[label])}
        problems = [line for label, body in there.items() for line in astray(body, wanted[label])]
        done = {label for label, body in there.items() if complete(body)}
        late = (standing | there.keys()) - done
        if not late and not problems:
            return
        # Of a workload whose change was not seen yet, the newest pods are still those from before.
        changed = [there[label] for label in sorted(late & there.keys()) if observed(there[label])]
        pods = [pod for body in changed for pod in workloads.newest_pods(body, items) if not going(pod)]
        # A Deployment whose ReplicaSet is refused counts as not seen.
        unmade = [trouble for label in sorted(late & there.keys()) for trouble in diagnosis.unmade(there[label])]
        problems += judge.problems(changed, items, pods, unmade)
        unplaced = [*map(diagnosis.unscheduled, pods)]
        jobs_alone = again and not problems and late.isdisjoint(standing)
        if jobs_alone and unplaced and all(unplaced) and judge.waited > UNPLACED:
            say(f"no node takes {', '.join(sorted(late))}, done before and left to begin later: {unplaced[0]}")
            return
        if not problems and judge.idle(pods) > seconds:
            problems = [f"{', '.join(sorted(late))} did not come up within {seconds:.0f} s"]
        if problems:
            words = [line for pod in pods for line in diagnosis.last_words(pod)]
            raise DeliveryError("\n".join([*problems, *words, *diagnosis.report(cluster)]))
        cluster.pause(1)


class _Judge:
    """What a wait has seen: for how long each trouble lasts, and how long nothing was at work."""

    def __init__(self, sight: Sight, before: Past) -> None:
        self.sight, self.before = sight, before
        self.old, self.since = before.troubles, dict[diagnosis.Trouble, float]()
        self.events, self.asked = list[Manifest](), float("-inf")
        self.last = self.told = sight.now()
        self.waited = self.worked = 0.0

    def problems(
        self,
        changed: Sequence[Manifest],
        items: Sequence[Manifest],
        pods: Iterable[Manifest],
        more: Iterable[diagnosis.Trouble],
    ) -> list[str]:
        """The troubles of workloads, their newest pods and more that have lasted for too long."""
        if any(body["kind"] != "Deployment" for body in changed) and self.sight.now() > self.asked + EVENTS_EVERY:
            self.events, self.asked = self.sight.list("Event"), self.sight.now()
        events = [event for event in self.events if _version(event) not in self.before.events]
        found = [*more, *(trouble for pod in pods for trouble in diagnosis.troubles(pod))]
        jobs = [body for body in changed if body["kind"] == "Job"]
        found += [trouble for body in jobs for trouble in diagnosis.lingering(body, items)]
        found += [trouble for body in jobs for trouble in diagnosis.suspended(body)]
        found += [trouble for body in changed for trouble in diagnosis.refusals(body, items, events)]
        now = self.sight.now()
        self.old &= {*found}
        self.since = {trouble: self.since.get(trouble, now) for trouble in found if trouble not in self.old}
        return [trouble.words for trouble, first in self.since.items() if now >= first + trouble.bearable]

    def idle(self, pods: Iterable[Manifest]) -> float:
        """The seconds until now in which no migration was at work in one of the newest pods."""
        now, working = self.sight.now(), [line for pod in pods for line in workloads.initializing(pod)]
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
            late = f"{', '.join(map(name, pods))} did not end within {seconds:.0f} s"
            raise DeliveryError("\n".join([late, *diagnosis.nodes(pods)]))
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
    there, stated = (of["spec"].get("replicas") for of in (body, wanted))
    if _scaled(body, wanted):
        yield f"{name(body)} was scaled to {there} by hand, or by what `kubectl get hpa` shows, and is to have {stated}"


def _scaled(body: Manifest, wanted: Manifest) -> bool:
    """Whether an object has other replicas than a manifest says; an autoscaler's names none."""
    return wanted["spec"].get("replicas") not in (None, body["spec"].get("replicas"))


def _admitted(cluster: Cluster, body: Manifest, wanted: Manifest) -> bool:
    """Whether these replicas are what the cluster makes of a manifest, by a webhook."""
    if not _scaled(body, wanted):
        return False
    with suppress(DeliveryError):
        return not _scaled(body, cluster.preview(wanted))
    return False


def _conditions(body: Manifest) -> dict[str, Manifest]:
    """What a controller says that is true of an object, by type."""
    conditions = body.get("status", {}).get("conditions", [])
    return {condition["type"]: condition for condition in conditions if condition["status"] == "True"}


def observed(body: Manifest) -> bool:
    """Whether a workload's controller has seen its newest change; a Job's has nothing to note."""
    seen = body.get("status", {}).get("observedGeneration", 0)
    return bool(body["kind"] == "Job" or seen >= body["metadata"]["generation"])


def _version(body: Manifest) -> str:
    return str(body["metadata"]["resourceVersion"])

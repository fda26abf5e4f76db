"""A Job that this tool makes, followed to its end.

Such a Job has no owner: the history limits of the CronJob that it is a copy of would delete it
while it runs. It goes by itself some minutes after its end, and has a deadline, so that a tool
that was killed leaves nothing behind.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from delivery import diagnosis, rollout, workloads
from delivery.cluster import Cluster, Manifest
from delivery.render import COMPONENT
from delivery.shell import DeliveryError, say
from delivery.sight import Sight

# A label of the Job and of its pods; the value is the Job's name.
LABEL = "school-scheduler/job"
NAME_OF_POD = "batch.kubernetes.io/job-name"
# Seconds that a Job may take, and for which another of its sort is waited for; and in which its pods have gone.
LONGEST, GONE = 3600, 120
# Seconds: how long a Job stays after its end, and how much longer than whoever follows it it may run.
KEPT, SPARE = 600, 120
# Seconds for which something may keep a pod from starting: a quota or a volume; or nodes without
# room, or a webhook that does not answer.
STUCK, CROWDED = 30, 600
# Seconds for which an API server that does not answer is asked how a Job is doing.
PATIENCE = 600
# How often what fails is tried again while somebody waits for it.
RETRIES = 1
# Seconds after which a Job that is at work is told of again.
QUIET = 300
ENDED = ("Complete", "Failed")


class JobError(DeliveryError):
    """A Job did not do its work; `reason` is why, in one line."""

    def __init__(self, name: str, reason: str, logs: str = "") -> None:
        super().__init__(f"job/{name} {reason}\n{logs}".strip())
        self.reason = reason.removeprefix("failed: ")


class VanishedError(JobError):
    """A Job was deleted before its end was seen; it began at `since`, in the form of a backup's name."""

    def __init__(self, name: str, since: str) -> None:
        super().__init__(name, "was deleted before its end was seen: whether it did its work is not known")
        self.since = since


def run(
    cluster: Cluster,
    cronjob: str,
    variables: Mapping[str, str] | None = None,
    *,
    only: str | None = None,
    arguments: Sequence[str] = (),
    seconds: float = LONGEST,
) -> str:
    """Makes a Job as `cronjob` does and waits for its end; what its last container has printed.

    `variables` take the place of values that the template gives to environment variables. Where
    `only` is given, that container runs alone, with other `arguments` if there are any, and the
    sidecars before it.

    Raises:
        VanishedError: somebody deleted the Job; what it did is not known.
        JobError: the Job failed, did not begin or did not end in time; with the words of all its
            containers.
    """
    template = cluster.get(f"cronjob/{cronjob}")
    if template is None:
        raise DeliveryError(f"{cluster.namespace} has no CronJob {cronjob}; deliver a release")
    manifest = with_variables(from_template(template), variables or {})
    if only:
        manifest = alone(manifest, only, arguments)
    return follow(cluster, manifest, seconds)


def from_template(cronjob: Manifest) -> Manifest:
    """A Job as a CronJob makes it, under a name of its own and without the CronJob as its owner."""
    template = cronjob["spec"]["jobTemplate"]
    metadata = {
        "name": f"{cronjob['metadata']['name']}-{secrets.token_hex(4)}",
        "namespace": cronjob["metadata"]["namespace"],
        "labels": dict(template.get("metadata", {}).get("labels", {})),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": template["spec"],
    }


def follow(cluster: Cluster, manifest: Manifest, seconds: float) -> str:
    """Creates a Job and waits for its end; returns and raises as `run`."""
    manifest = owned_by_nobody(manifest, seconds)
    name = manifest["metadata"]["name"]
    # Unlike create, it may be repeated when the answer was lost.
    cluster.apply([manifest])
    say(f"waiting for job/{name}")
    try:
        outcome, seen = _end(cluster, name, seconds)
    except JobError:
        end(cluster, [name])
        raise
    if outcome is None:
        begun = (body["metadata"]["creationTimestamp"] for body in seen if body["kind"] == "Job")
        raise VanishedError(name, next(begun, "").translate({ord("-"): None, ord(":"): None}))
    if outcome != "Complete":
        raise JobError(name, f"failed: {_reason(cluster, seen)}", _logs(cluster, name))
    return _printed(cluster, name)


def owned_by_nobody(manifest: Manifest, seconds: float) -> Manifest:
    """The Job with what makes it go by itself, and with the label that finds it and its pods."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "ownerReferences"}
    spec = manifest["spec"]
    deadline = min(spec.get("activeDeadlineSeconds", seconds), seconds) + SPARE
    template = spec["template"]
    pod = template.get("metadata", {})
    label = {LABEL: metadata["name"]}
    return {
        **manifest,
        "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **label}},
        "spec": {
            **spec,
            "activeDeadlineSeconds": round(deadline),
            "backoffLimit": min(spec.get("backoffLimit", RETRIES), RETRIES),
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                **template,
                "metadata": {**pod, "labels": {**pod.get("labels", {}), **label}},
            },
        },
    }


def with_variables(job: Manifest, variables: Mapping[str, str]) -> Manifest:
    """The Job with other values for environment variables that some of its containers have."""
    pod = job["spec"]["template"]["spec"]
    entries = [
        entry
        for part in ("initContainers", "containers")
        for container in pod.get(part, [])
        for entry in container.get("env", [])
    ]
    missing = variables.keys() - {entry["name"] for entry in entries}
    if missing:
        names = ", ".join(sorted(missing))
        raise DeliveryError(f"no container of {job['metadata']['name']} has the variable {names}")
    for entry in entries:
        if entry["name"] in variables:
            entry.pop("valueFrom", None)
            entry["value"] = variables[entry["name"]]
    return job


def alone(job: Manifest, name: str, arguments: Sequence[str] = ()) -> Manifest:
    """The Job with one container and the sidecars before it; it counts as none of its component."""
    job["metadata"]["labels"] = {**job["metadata"].get("labels", {}), COMPONENT: name}
    pod = job["spec"]["template"]["spec"]
    before, found = [], None
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        if container["name"] == name:
            found = container
            break
        before += [container] if container.get("restartPolicy") == "Always" else []
    if found is None:
        raise DeliveryError(f"{job['metadata']['name']} has no container {name}")
    instead = {"args": list(arguments)} if arguments else {}
    pod["initContainers"], pod["containers"] = before, [{**found, **instead}]
    return job


def unfinished(cluster: Cluster | Sight, component: str) -> list[str]:
    """The names of a component's Jobs that have not ended, a CronJob's own among them."""
    return [job["metadata"]["name"] for job in _unfinished(cluster, component)]


def _unfinished(cluster: Cluster | Sight, component: str) -> list[Manifest]:
    jobs = cluster.list("Job", selector=f"{COMPONENT}={component}")
    return [job for job in jobs if _condition(job) is None]


def wait_for_others(cluster: Cluster, component: str, seconds: float = LONGEST) -> None:
    """Waits until no Job of a component runs; says once which one it waits for."""
    sight, seen = Sight(cluster), ""
    deadline = sight.now() + seconds
    while others := _unfinished(sight, component):
        if (name := others[0]["metadata"]["name"]) != seen:
            seen = name
            held = (trouble.words for trouble in diagnosis.suspended(others[0]))
            say(f"{next(held, f'job/{seen} is running')}; waiting for its end")
        if sight.now() > deadline:
            late = f"job/{seen} has not ended for {seconds:.0f} s"
            raise DeliveryError(f"{late}; nothing was begun")
        cluster.pause(1)


def end(cluster: Cluster, names: Sequence[str]) -> None:
    """Deletes Jobs and waits until their pods are gone, so that none does anything any more."""
    cluster.delete(*(f"job/{name}" for name in names))
    for name in names:
        rollout.gone(cluster, f"{NAME_OF_POD}={name}", seconds=GONE)


def _end(cluster: Cluster, name: str, seconds: float) -> tuple[str | None, list[Manifest]]:
    """How a Job ended, None where that cannot be known; and it and its pods as last seen."""
    sight = Sight(cluster, PATIENCE)
    began = free = told = others = sight.now()
    deadline, obstacle, looked = began + seconds, "", float("-inf")
    last: dict[str, Manifest] = {}
    while True:
        items = sight.list("Job", "Pod", selector=f"{LABEL}={name}")
        last |= {item["metadata"]["name"]: item for item in items}
        ended, outcome = verdict(items, list(last.values()))
        if ended:
            return outcome, list(last.values())
        now, pods = sight.now(), _pods(last.values())
        if problem := next((line for pod in pods for line in diagnosis.hopeless(pod)), None):
            raise JobError(name, f"cannot begin: {problem}", _logs(cluster, name))
        lingering = [trouble for item in _jobs(items) for trouble in diagnosis.lingering(item, items)]
        others = others if lingering else now
        if lingering and now > others + lingering[0].bearable:
            raise JobError(name, f"does not end: {lingering[0].words}", _logs(cluster, name))
        before = obstacle
        held = [trouble.words for item in _jobs(items) for trouble in diagnosis.suspended(item)]
        if held:
            (obstacle,) = held
        elif any(map(_begun, pods)):
            obstacle = ""
        elif now > looked + rollout.EVENTS_EVERY:
            obstacle, looked = _obstacle(sight, last.keys()), now
        if not obstacle:
            free = now
        elif obstacle != before:
            say(f"job/{name} has not begun: {obstacle}")
        bearable, remedy = _bearable(obstacle)
        if now > free + bearable:
            raise JobError(name, f"has not begun for {now - free:.0f} s: {obstacle}{remedy}")
        if now > deadline:
            raise JobError(name, f"did not end within {seconds:.0f} s", _logs(cluster, name))
        if now > told + QUIET:
            told = now
            say(f"job/{name} has not ended after {now - began:.0f} s; it has {seconds:.0f} s")
        cluster.pause(1)


def verdict(items: Sequence[Manifest], seen: Sequence[Manifest]) -> tuple[bool, str | None]:
    """Whether a Job has ended, and in which condition as far as that can be known.

    `items` has the Job and its pods as they are now, `seen` as they were last seen. Where the Job
    itself is gone its pods tell: one that succeeded has done the work, and nothing has ended as
    long as one is at work.
    """
    for item in items:
        if item["kind"] == "Job":
            condition = _condition(item)
            return (True, condition["type"]) if condition else (False, None)
    phases = {pod["status"].get("phase") for pod in _pods(seen)}
    if "Succeeded" in phases:
        return True, "Complete"
    if any(pod["status"].get("phase") != "Failed" for pod in _pods(items)):
        return False, None
    return True, "Failed" if phases == {"Failed"} else None


def _jobs(items: Iterable[Manifest]) -> list[Manifest]:
    return [item for item in items if item["kind"] == "Job"]


def _pods(items: Iterable[Manifest]) -> list[Manifest]:
    return [item for item in items if item["kind"] == "Pod"]


def _condition(job: Manifest) -> Manifest | None:
    conditions = job.get("status", {}).get("conditions", [])
    ended = (condition for condition in conditions if condition["status"] == "True" and condition["type"] in ENDED)
    return next(ended, None)


def _begun(pod: Manifest) -> bool:
    return any({"running", "terminated"} & container["state"].keys() for container in workloads.statuses(pod))


def _obstacle(cluster: Cluster | Sight, names: Collection[str]) -> str:
    """The newest event about a Job and its pods, where it is a warning, in one line; or nothing."""
    events = [item for item in cluster.list("Event") if item["involvedObject"].get("name") in names]
    newest = max(events, key=diagnosis.moment, default={})
    if newest.get("type") != "Warning":
        return ""
    return diagnosis.words(newest)


def _bearable(obstacle: str) -> tuple[float, str]:
    """For how many seconds it may keep a Job from beginning, and what is to be done then."""
    reason, _, words = obstacle.partition(": ")
    remedy = diagnosis.remedy(words) if reason == "FailedCreate" else ""
    passing = reason == "FailedScheduling" or (reason == "FailedCreate" and not remedy)
    return (CROWDED, "") if passing else (STUCK, remedy and f"; {remedy}")


def _reason(cluster: Cluster, seen: Sequence[Manifest]) -> str:
    """Why a Job failed, in one line.

    What the cluster says of its pods, or the last line of the container that did.
    """
    for pod in reversed(_pods(seen)):
        for line in diagnosis.disrupted(pod):
            return line
        if pod["status"].get("reason"):
            reason = f"{pod['status']['reason']}: {pod['status'].get('message', '')}"
            return reason.replace("\n", " ")
        containers = pod.get("spec", {}).get("initContainers", [])
        # Whatever failed, these are ended with the pod, and some end with an error then.
        sidecars = {part["name"] for part in containers if part.get("restartPolicy") == "Always"}
        for container in workloads.statuses(pod):
            ended = container["state"].get("terminated", {})
            if container["name"] in sidecars or not ended.get("exitCode"):
                continue
            if ended.get("reason") not in ("Error", None):
                return f"{container['name']}: {ended['reason']}"
            with suppress(DeliveryError):
                text = cluster.logs(pod["metadata"]["name"], container["name"], tail=20)
                return f"{container['name']}: {_message(text.splitlines())}"
    messages = (condition.get("message", "") for condition in map(_condition, seen) if condition)
    return next(messages, "its pods are gone")


def _message(lines: Sequence[str]) -> str:
    """The last line, without the fields around it where it is one of our own."""
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(last)["message"])
    return last


def _printed(cluster: Cluster, name: str) -> str:
    """What the last container of the Job's pod that succeeded has printed, if it is still there."""
    try:
        for pod in cluster.list("Pod", selector=f"{LABEL}={name}"):
            if pod["status"].get("phase") == "Succeeded":
                return cluster.logs(*workloads.first_container(pod))
        error = "its pods are gone"
    except DeliveryError as problem:
        error = str(problem)
    say(f"job/{name} has done its work, and its log cannot be read: {error}")
    return ""


def _logs(cluster: Cluster, name: str) -> str:
    """The last words of all containers of a Job's pods."""
    try:
        pods = cluster.list("Pod", selector=f"{LABEL}={name}")
        return "".join(cluster.logs(pod["metadata"]["name"], tail=20) for pod in pods)
    except DeliveryError as error:
        return f"its log cannot be read: {error}"

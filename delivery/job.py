"""A Job that this tool makes, followed to its end.

Such a Job has no owner: the history limits of the CronJob that it is a copy of would delete it
while it runs. It goes by itself some minutes after its end, and has a deadline, so that a tool
that was killed leaves nothing behind.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from delivery import rollout
from delivery.rollout import Manifest
from delivery.shell import DeliveryError, kubectl, say

# A label of the Job and of its pods; the value is the Job's name.
LABEL = "school-scheduler/job"
NAME_OF_POD = "batch.kubernetes.io/job-name"
# Seconds: how long a Job stays after its end, and how much longer than whoever follows it it may run.
KEPT, SPARE = 600, 120
# Seconds for which something may keep a pod from starting: a quota or a volume, or nodes without room.
STUCK, CROWDED = 30, 600
# Seconds for which an API server that does not answer is asked how a Job is doing.
PATIENCE = 600
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
    namespace: str,
    cronjob: str,
    variables: Mapping[str, str] | None = None,
    *,
    only: str | None = None,
    arguments: Sequence[str] = (),
    seconds: float = 3600,
) -> str:
    """Makes a Job as `cronjob` does and waits for its end; what its last container has printed.

    `variables` take the place of values that the template gives to environment variables. Where `only` is given, that
    container runs alone, with other `arguments` if there are any, and the sidecars before it.

    Raises:
        VanishedError: somebody deleted the Job; what it did is not known.
        JobError: the Job failed, did not begin or did not end in time; with the words of all its containers.
    """
    template = json.loads(kubectl("-n", namespace, "get", f"cronjob/{cronjob}", "-o", "json"))
    manifest = with_variables(from_template(namespace, template), variables or {})
    if only:
        manifest = alone(manifest, only, arguments)
    return follow(namespace, manifest, seconds)


def from_template(namespace: str, cronjob: Manifest) -> Manifest:
    """A Job as a CronJob makes it, under a name of its own and without the CronJob as its owner."""
    template = cronjob["spec"]["jobTemplate"]
    name = f"{cronjob['metadata']['name']}-{secrets.token_hex(4)}"
    labels = template.get("metadata", {}).get("labels", {})
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def follow(namespace: str, manifest: Manifest, seconds: float) -> str:
    """Creates a Job and waits for its end; returns and raises as `run`."""
    manifest = owned_by_nobody(manifest, seconds)
    name = manifest["metadata"]["name"]
    # Unlike create, it may be repeated when the answer was lost.
    ours = ("--server-side", "--field-manager=delivery")
    kubectl("-n", namespace, "apply", *ours, "-f", "-", stdin=json.dumps(manifest))
    say(f"waiting for job/{name}")
    try:
        outcome, seen = _end(namespace, name, seconds)
    except JobError:
        end(namespace, [name])
        raise
    if outcome is None:
        begun = (item["metadata"]["creationTimestamp"] for item in seen if item["kind"] == "Job")
        raise VanishedError(name, next(begun, "").translate({ord("-"): None, ord(":"): None}))
    if outcome != "Complete":
        raise JobError(name, f"failed: {_reason(namespace, seen)}", _logs(namespace, name))
    return _printed(namespace, name, seen)


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
            "ttlSecondsAfterFinished": KEPT,
            "template": {**template, "metadata": {**pod, "labels": {**pod.get("labels", {}), **label}}},
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
        raise DeliveryError(f"no container of {job['metadata']['name']} has the variable {', '.join(sorted(missing))}")
    for entry in entries:
        if entry["name"] in variables:
            entry.pop("valueFrom", None)
            entry["value"] = variables[entry["name"]]
    return job


def alone(job: Manifest, name: str, arguments: Sequence[str] = ()) -> Manifest:
    """The Job with no container but one, and the sidecars before it; it counts as none of its component."""
    job["metadata"]["labels"] = {**job["metadata"].get("labels", {}), rollout.COMPONENT: name}
    pod = job["spec"]["template"]["spec"]
    before, found = [], None
    for each in (*pod["initContainers"], *pod["containers"]):
        if each["name"] == name:
            found = each
            break
        before += [each] if each.get("restartPolicy") == "Always" else []
    if found is None:
        raise DeliveryError(f"{job['metadata']['name']} has no container {name}")
    instead = {"args": list(arguments)} if arguments else {}
    pod["initContainers"], pod["containers"] = before, [{**found, **instead}]
    return job


def unfinished(namespace: str, component: str) -> list[str]:
    """The names of the Jobs of a component that have not ended, a CronJob's own among them."""
    selector = f"--selector={rollout.COMPONENT}={component}"
    items = json.loads(kubectl("-n", namespace, "get", "jobs", selector, "-o", "json"))["items"]
    return [item["metadata"]["name"] for item in items if _condition(item) is None]


def wait_for_others(namespace: str, component: str, seconds: float = 3600) -> None:
    """Waits until no Job of a component runs; says once which one it waits for."""
    deadline, seen = time.monotonic() + seconds, ""
    while others := unfinished(namespace, component):
        if others[0] != seen:
            seen = others[0]
            say(f"job/{seen} is running; waiting for its end")
        if time.monotonic() > deadline:
            raise DeliveryError(f"job/{seen} has not ended for {seconds:.0f} s; nothing was begun")
        time.sleep(1)


def end(namespace: str, names: Sequence[str]) -> None:
    """Deletes Jobs and waits until their pods are gone, so that none of them does anything any more."""
    for name in names:
        kubectl("-n", namespace, "delete", "--ignore-not-found", "--wait", f"job/{name}")
        selector = f"{NAME_OF_POD}={name}"
        kubectl("-n", namespace, "wait", "pod", "-l", selector, "--for=delete", "--timeout=120s")


def _end(namespace: str, name: str, seconds: float) -> tuple[str | None, list[Manifest]]:
    """How a Job ended, None where that cannot be known; and it and its pods as they were last seen."""
    deadline, free, obstacle = time.monotonic() + seconds, time.monotonic(), ""
    last: dict[str, Manifest] = {}
    while True:
        command = ("-n", namespace, "get", "jobs,pods", "-l", f"{LABEL}={name}", "-o", "json")
        items = json.loads(kubectl(*command, patience=PATIENCE))["items"]
        last |= {item["metadata"]["name"]: item for item in items}
        ended, outcome = verdict(items, list(last.values()))
        if ended:
            return outcome, list(last.values())
        now, pods = time.monotonic(), _pods(last.values())
        if problem := next((line for pod in pods for line in rollout.hopeless(pod)), None):
            raise JobError(name, f"cannot begin: {problem}", _logs(namespace, name))
        before, obstacle = obstacle, "" if any(map(_begun, pods)) else _obstacle(namespace, last.keys())
        if not obstacle:
            free = now
        elif obstacle != before:
            say(f"job/{name} has not begun: {obstacle}")
        if now > free + (CROWDED if obstacle.startswith("FailedScheduling") else STUCK):
            raise JobError(name, f"has not begun for {now - free:.0f} s: {obstacle}")
        if now > deadline:
            raise JobError(name, f"did not end within {seconds:.0f} s", _logs(namespace, name))
        time.sleep(1)


def verdict(items: Sequence[Manifest], seen: Sequence[Manifest]) -> tuple[bool, str | None]:
    """Whether a Job has ended, and in which condition as far as that can be known.

    `items` has the Job and its pods as they are now, `seen` as they were last seen. Where the Job itself is gone its
    pods tell: one that succeeded has done the work, and nothing has ended as long as one is at work.
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


def _pods(items: Iterable[Manifest]) -> list[Manifest]:
    return [item for item in items if item["kind"] == "Pod"]


def _condition(job: Manifest) -> Manifest | None:
    conditions = job.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["status"] == "True" and each["type"] in ENDED), None)


def _statuses(pod: Manifest) -> list[Manifest]:
    status = pod["status"]
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _begun(pod: Manifest) -> bool:
    return any({"running", "terminated"} & container["state"].keys() for container in _statuses(pod))


def _obstacle(namespace: str, names: Collection[str]) -> str:
    """The newest event about a Job and its pods in one line, where it is a warning; empty otherwise."""
    items = json.loads(kubectl("-n", namespace, "get", "events", "-o", "json"))["items"]
    events = [item for item in items if item["involvedObject"]["name"] in names]
    events.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime")))
    newest = events[-1] if events else {}
    if newest.get("type") != "Warning":
        return ""
    return f"{newest['reason']}: {newest['message']}".replace("\n", " ")


def _reason(namespace: str, seen: Sequence[Manifest]) -> str:
    """Why a Job failed, in one line: what the cluster says of its pods, or the last line of the container that did."""
    for pod in reversed(_pods(seen)):
        if pod["status"].get("reason"):
            return f"{pod['status']['reason']}: {pod['status'].get('message', '')}".replace("\n", " ")
        containers = pod.get("spec", {}).get("initContainers", [])
        # Whatever failed, these are ended with the pod, and some end with an error then.
        sidecars = {each["name"] for each in containers if each.get("restartPolicy") == "Always"}
        for container in _statuses(pod):
            ended = container["state"].get("terminated", {})
            if container["name"] in sidecars or not ended.get("exitCode"):
                continue
            if ended.get("reason") not in ("Error", None):
                return f"{container['name']}: {ended['reason']}"
            with suppress(DeliveryError):
                names = (f"pod/{pod['metadata']['name']}", "-c", container["name"])
                lines = kubectl("-n", namespace, "logs", *names, "--tail=20").splitlines()
                return f"{container['name']}: {_message(lines)}"
    conditions = (_condition(item) for item in seen if item["kind"] == "Job")
    return next((condition.get("message", "") for condition in conditions if condition), "its pods are gone")


def _message(lines: Sequence[str]) -> str:
    """The last line, without the fields around it where it is one of our own."""
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(last)["message"])
    return last


def _printed(namespace: str, name: str, seen: Sequence[Manifest]) -> str:
    done = next((pod for pod in _pods(seen) if pod["status"].get("phase") == "Succeeded"), None)
    try:
        return kubectl("-n", namespace, "logs", f"pod/{done['metadata']['name']}" if done else f"job/{name}")
    except DeliveryError as error:
        say(f"job/{name} has done its work, and its log cannot be read: {error}")
        return ""


def _logs(namespace: str, name: str) -> str:
    options = ("--all-containers", "--prefix", "--ignore-errors", "--tail=20")
    try:
        return kubectl("-n", namespace, "logs", "-l", f"{LABEL}={name}", *options)
    except DeliveryError as error:
        return f"its log cannot be read: {error}"

"""A Job from a CronJob of the environment, followed to its end."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from delivery.shell import DeliveryError, kubectl, say


def run(
    namespace: str,
    cronjob: str,
    variables: Mapping[str, str] | None = None,
    *,
    only: str | None = None,
    arguments: Sequence[str] = (),
    seconds: float = 3600,
) -> str:
    """Makes a Job of `cronjob` and waits for its end; what its last container has printed.

    `variables` take the place of values that the template gives to environment variables. Where `only` is given, that
    container runs alone, with other `arguments`, and the sidecars before it.

    Raises:
        DeliveryError: the Job failed, or did not end in time; with the words of all its containers.
    """
    name = f"{cronjob}-{secrets.token_hex(3)}"
    template = kubectl(
        "-n", namespace, "create", "job", name, f"--from=cronjob/{cronjob}", "--dry-run=client", "-o", "json"
    )
    manifest = with_variables(json.loads(template), variables or {})
    if only:
        manifest = alone(manifest, only, arguments)
    return follow(namespace, manifest, seconds)


def follow(namespace: str, manifest: dict[str, Any], seconds: float) -> str:
    """Creates a Job and waits for its end; returns and raises as `run`."""
    name = manifest["metadata"]["name"]
    kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(manifest))
    say(f"waiting for job/{name}")
    deadline = time.monotonic() + seconds
    while (outcome := _outcome(namespace, name)) is None:
        if time.monotonic() > deadline:
            raise DeliveryError(f"job/{name} did not end within {seconds:.0f} s\n{_logs(namespace, name)}")
        time.sleep(1)
    if outcome != "Complete":
        raise DeliveryError(f"job/{name} failed\n{_logs(namespace, name)}")
    return kubectl("-n", namespace, "logs", f"job/{name}")


def with_variables(job: dict[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """The Job with other values for environment variables that some of its containers have."""
    pod = job["spec"]["template"]["spec"]
    entries = [
        entry for part in ("initContainers", "containers") for each in pod[part] for entry in each.get("env", [])
    ]
    missing = variables.keys() - {entry["name"] for entry in entries}
    if missing:
        raise DeliveryError(f"no container of {job['metadata']['name']} has the variable {', '.join(sorted(missing))}")
    for entry in entries:
        if entry["name"] in variables:
            entry.pop("valueFrom", None)
            entry["value"] = variables[entry["name"]]
    return job


def alone(job: dict[str, Any], name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The Job with no container but one, and the sidecars before it."""
    pod = job["spec"]["template"]["spec"]
    before, found = [], None
    for each in (*pod["initContainers"], *pod["containers"]):
        if each["name"] == name:
            found = each
            break
        before += [each] if each.get("restartPolicy") == "Always" else []
    if found is None:
        raise DeliveryError(f"{job['metadata']['name']} has no container {name}")
    pod["initContainers"], pod["containers"] = before, [{**found, "args": list(arguments)}]
    return job


def _outcome(namespace: str, name: str) -> str | None:
    status = json.loads(kubectl("-n", namespace, "get", "job", name, "-o", "json"))["status"]
    ends = (each["type"] for each in status.get("conditions", []) if each["status"] == "True")
    return next((each for each in ends if each in ("Complete", "Failed")), None)


def _logs(namespace: str, name: str) -> str:
    selector = f"batch.kubernetes.io/job-name={name}"
    options = ("--all-containers", "--prefix", "--ignore-errors", "--tail=20")
    return kubectl("-n", namespace, "logs", "-l", selector, *options)

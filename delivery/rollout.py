"""Bringing a namespace to what a render says: apply, prune, wait."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from delivery.shell import DeliveryError, kubectl, say

Manifest = dict[str, Any]
WORKLOADS = ("StatefulSet", "Deployment")
# These are an administrator's: the deployer has no right to change them. What base/credentials adds to a Secret,
# credentials.py does here.
NOT_DELIVERED = ("namespace", "credentials")
COMPONENT = "app.kubernetes.io/component"
NOT_THE_NAMESPACE = f"--selector={COMPONENT} notin ({','.join(NOT_DELIVERED)})"
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
# States of a container that do not mend themselves soon. The first crash may be a database that is still starting.
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


def read(manifests: str) -> list[Manifest]:
    """The objects of a multi-document YAML text."""
    # A delivery reads every release that is kept, and libyaml takes a seventh of the time.
    return [manifest for manifest in yaml.load_all(manifests, yaml.CSafeLoader) if manifest]


def write(manifests: Iterable[Manifest]) -> str:
    """The inverse of `read`."""
    return yaml.safe_dump_all(manifests, sort_keys=False)


def namespace_of(manifests: Iterable[Manifest]) -> Manifest:
    """The one Namespace of an environment."""
    found = [manifest for manifest in manifests if manifest["kind"] == "Namespace"]
    if len(found) != 1:
        raise DeliveryError(f"the render has {len(found)} Namespaces; an environment has exactly one")
    return found[0]


def web(manifests: Iterable[Manifest]) -> Manifest:
    """The Deployment that serves the pages, by its label: up to v0.1.0 its name was `web`."""
    deployments = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    found = [each for each in deployments if each["metadata"]["labels"]["app.kubernetes.io/component"] == "web"]
    if len(found) != 1:
        raise DeliveryError(f"the render has {len(found)} Deployments of component web; an environment has exactly one")
    return found[0]


def apply(manifests: str, *options: str) -> None:
    """Applies server-side; what others have changed by hand is set back. A Job runs again: it cannot be changed."""
    ours = ("--server-side", "--force-conflicts", "--field-manager=delivery")
    jobs = [each["metadata"] for each in read(manifests) if each["kind"] == "Job"]
    for job in jobs:
        if job.get("labels", {}).get("app.kubernetes.io/component") not in NOT_DELIVERED:
            prune(job["namespace"], [f"job/{job['name']}"])
    kubectl("apply", *ours, *options, "-f", "-", stdin=manifests)


def difference(manifests: str) -> str:
    """What applying would change in the cluster, Jobs aside, as a unified diff; empty for nothing."""
    ours = ("--server-side", "--force-conflicts", "--field-manager=delivery", NOT_THE_NAMESPACE)
    lasting = write(each for each in read(manifests) if each["kind"] != "Job")
    return kubectl("diff", *ours, "-f", "-", stdin=lasting, good=(0, 1))


def delivered(manifest: Manifest) -> bool:
    """Whether a delivery applies the object, and so may delete it."""
    return manifest["metadata"].get("labels", {}).get(COMPONENT) not in NOT_DELIVERED


def surplus(wanted: Iterable[Manifest], others: Iterable[Manifest]) -> list[str]:
    """KIND/NAME of what `others` have and `wanted` lacks, in the order in which it may be deleted."""
    kept = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in others if delivered(manifest)} - kept
    ordered = sorted((PRUNED.index(kind), kind, name) for kind, name in names if kind in PRUNED)
    return [f"{kind.lower()}/{name}" for _, kind, name in ordered]


def configuration(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The ConfigMaps among `manifests`; their names are hashes of what is in them."""
    return [manifest for manifest in manifests if manifest["kind"] == "ConfigMap"]


def prune(namespace: str, objects: list[str]) -> None:
    """Deletes what is still there of `objects`, and waits until their pods have gone too."""
    if objects:
        kubectl("-n", namespace, "delete", "--ignore-not-found", "--cascade=foreground", *objects)


def wait(namespace: str, manifests: Iterable[Manifest], seconds: float = 300) -> None:
    """Waits until every workload among `manifests` runs as it says, for up to `seconds`.

    Raises:
        DeliveryError: time is up, or a pod shows that it will not come; with the latest warnings and its last words.
    """
    wanted = {(each["kind"], each["metadata"]["name"]) for each in manifests if each["kind"] in WORKLOADS}
    say("waiting for " + ", ".join(sorted(name for _, name in wanted)))
    started = time.monotonic()
    unready: dict[str, float] = {}
    while True:
        kinds = "statefulsets,deployments,replicasets,pods"
        items = json.loads(kubectl("-n", namespace, "get", kinds, "-o", "json"))["items"]
        pending = [each for each in items if (each["kind"], each["metadata"]["name"]) in wanted and not complete(each)]
        if not pending:
            return
        pods = [pod for workload in pending for pod in newest_pods(workload, items)]
        now = time.monotonic()
        unready = {name: unready.get(name, now) for pod in pods for name in started_but_unready(pod)}
        problems = [problem for pod in pods for problem in hopeless(pod)]
        problems += [
            f"{name} is not ready after {READY_WITHIN} s" for name, at in unready.items() if now > at + READY_WITHIN
        ]
        if not problems and now > started + seconds:
            names = ", ".join(workload["metadata"]["name"] for workload in pending)
            problems = [f"{names} did not come up within {seconds:.0f} s"]
        if problems:
            raise DeliveryError("\n".join([*problems, *_diagnosis(namespace)]))
        time.sleep(1)


def complete(workload: Manifest) -> bool:
    """Whether all replicas of a Deployment or StatefulSet are of its newest template, available, and no others left."""
    status, replicas = workload.get("status", {}), workload["spec"]["replicas"]
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
    return status.get("observedGeneration", 0) >= workload["metadata"]["generation"] and counts == [replicas] * 3


def newest_pods(workload: Manifest, items: Iterable[Manifest]) -> list[Manifest]:
    """The pods among `items` that are of a Deployment's or StatefulSet's newest template."""
    revision = workload["metadata"].get("annotations", {}).get(REVISION)
    owners = {workload["metadata"]["uid"]} if workload["kind"] == "StatefulSet" else set()
    owners |= {
        each["metadata"]["uid"]
        for each in _owned(items, "ReplicaSet", {workload["metadata"]["uid"]})
        if each["metadata"].get("annotations", {}).get(REVISION) == revision
    }
    hashes = (None, workload.get("status", {}).get("updateRevision"))
    return [
        pod
        for pod in _owned(items, "Pod", owners)
        if pod["metadata"]["labels"].get("controller-revision-hash") in hashes
    ]


def _owned(items: Iterable[Manifest], kind: str, owners: set[str]) -> list[Manifest]:
    return [
        each
        for each in items
        if each["kind"] == kind and owners & {owner["uid"] for owner in each["metadata"].get("ownerReferences", [])}
    ]


def hopeless(pod: Manifest) -> Iterator[str]:
    """The containers of a pod that will not start without somebody's help, and why."""
    status = pod["status"]
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container["state"].get("waiting", {})
        if waiting.get("reason") in HOPELESS:
            yield f"{pod['metadata']['name']}/{container['name']}: {waiting['reason']}: {waiting.get('message', '')}"


def started_but_unready(pod: Manifest) -> Iterator[str]:
    """The containers of a pod whose startup probe has succeeded, and whose readiness probe has not."""
    for container in pod["status"].get("containerStatuses", []):
        if container.get("started") and not container["ready"]:
            yield f"{pod['metadata']['name']}/{container['name']}"


def _diagnosis(namespace: str) -> Iterator[str]:
    """The pods, the latest warnings, and the last words of the pods that are not ready."""
    pods = json.loads(kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
    silent = [
        f"pod/{pod['metadata']['name']}"
        for pod in pods
        if not all(container["ready"] for container in pod["status"].get("containerStatuses", [{"ready": False}]))
    ]
    options = ("--all-containers", "--ignore-errors", "--prefix", "--tail=15")
    questions = [
        ("get", "pods", "-o", "wide"),
        ("events", "--types=Warning"),
        *(("logs", pod, *options) for pod in silent),
    ]
    for question in questions:
        try:
            yield kubectl("-n", namespace, *question)
        except DeliveryError as error:
            yield str(error)

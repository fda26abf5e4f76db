"""A deployed environment: what is to be true of it, and whether it is there to be tested."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from app.credentials import adopted
from delivery import diagnosis, release, rollout
from delivery.cluster import Manifest, RefusedError, going
from delivery.kubectl import Kubectl, kubectl
from delivery.render import COMPONENT, Render, component
from delivery.shell import DeliveryError, program
from policy_tests.environment import Environment as Listed
from policy_tests.environment import read_list
from policy_tests.manifests import ManifestError
from policy_tests.packages import KUBECTL
from policy_tests.render import render as kustomize

# What is looked for, by the names that the API has for it; all of it a deployer may list.
KINDS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "pods": "Pod",
    "services": "Service",
    "ingresses": "Ingress",
    "cronjobs": "CronJob",
    "networkpolicies": "NetworkPolicy",
    "poddisruptionbudgets": "PodDisruptionBudget",
}
NEEDED = {"deployments", "statefulsets", "pods"}
# Seconds for one answer, for all that a kubectl asks, and for a rollout that has just begun. Where
# there is nothing, 20 s are enough to say so; a server at the end of a slow line is something.
ANSWER, ANSWERS, PATIENCE = 8, 15, 5


# What a deployer may do too; `pods/exec` would be a pod of that name.
EXEC = ("create", "pods", "--subresource=exec")
PORT_FORWARD = ("create", "pods", "--subresource=portforward")
CREDENTIALS = ("get", "secrets/db-credentials")
CERTIFICATE = ("get", "secrets/web-tls")
WORKLOADS, SERVICES = ("create", "deployments.apps"), ("create", "services")
RIGHTS = (EXEC, PORT_FORWARD, CREDENTIALS, CERTIFICATE, WORKLOADS, SERVICES)


class NotThere(DeliveryError):
    """There is nothing to test; the text is one line."""


@dataclass(frozen=True)
class Environment:
    """A namespace, the render it was deployed from, and the image that it says it runs.

    `source` says whence these are known, and `notes` what is odd about it.
    """

    namespace: str
    render: Render = field(repr=False)
    version: str
    source: str
    notes: tuple[str, ...] = ()

    @property
    def cluster(self) -> Kubectl:
        return Kubectl(self.namespace)

    def kubectl(self, *arguments: str) -> str:
        return kubectl("-n", self.namespace, *arguments)

    def deployment(self, component: str) -> Manifest:
        """The manifest of the component's Deployment, whatever its name."""
        return _deployment(self.render, component)

    def image(self, component: str) -> str:
        """The reference of the image that the component's pods have to run."""
        return str(_containers(self.deployment(component))[0]["image"])

    @property
    def container(self) -> str:
        """The name of the container that serves the pages."""
        return str(_containers(self.deployment("web"))[0]["name"])

    def pods(self, component: str) -> list[str]:
        """Names of the component's running pods, but for those that are ending.

        Where there is none, the test fails.
        """
        pods = self.cluster.list("Pod", selector=f"{COMPONENT}={component}")
        names = [
            pod["metadata"]["name"]
            for pod in pods
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]
        if not names:
            pytest.fail(f"no pod of {component} runs in {self.namespace}", pytrace=False)
        return names

    def may(self, *right: str) -> bool:
        """Whether these credentials have a right, in the words of `kubectl auth can-i`."""
        return _may(self.namespace, *right)

    def need(self, *right: str) -> None:
        """Skips a test that the rights of these credentials do not allow, and says so."""
        if not self.may(*right):
            pytest.skip(f"these credentials may not {' '.join(right)} in {self.namespace}")


@cache
def _may(namespace: str, *right: str) -> bool:
    return _ask("-n", namespace, "auth", "can-i", *right).returncode == 0


def _ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What kubectl says; unlike delivery.kubectl it does not ask again, and what came in spite of a refusal counts."""
    command = [program("kubectl"), f"--request-timeout={ANSWER}s", *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWERS, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise NotThere(f"kubectl is not installed; run `{KUBECTL}`") from None
    except subprocess.TimeoutExpired:
        raise NotThere(f"no cluster answers to kubectl within {ANSWERS} s") from None


def find(name: str | None, file: Path | None) -> Environment:
    """The environment of that name, all of whose pods are ready; `file` holds its manifests if known.

    Raises:
        NotThere: there is no such environment or no cluster, or a part of it is missing.
    """
    environments = read_list()
    if name not in environments:
        wrong = f"there is no environment {name!r}" if name else "which environment is to be tested?"
        raise NotThere(f"{wrong} --env is one of {', '.join(environments)}")
    listed = environments[name]
    namespace = listed.namespace
    _reach_cluster()
    live, unread = _live(namespace)
    if lacking := NEEDED & set(unread):
        raise NotThere(f"these credentials may not list {', '.join(sorted(lacking))} in {namespace}")
    environment = _wanted(listed, file, live)
    _complete(environment, live, unread)
    notes = [f"these credentials may not list {each}, so that none is missed" for each in unread]
    return replace(environment, notes=(*environment.notes, *notes))


def _reach_cluster() -> None:
    done = _ask("get", "--raw=/version")
    if done.returncode:
        raise NotThere(f"no cluster answers to kubectl: {_last_line(done.stderr)}")
    if '"gitVersion"' not in done.stdout:
        raise NotThere("what answers to kubectl is no Kubernetes; `kubectl config view --minify` says where it is")


def _live(namespace: str) -> tuple[list[Manifest], tuple[str, ...]]:
    """The objects of the namespace, and the resources that these credentials may not list."""
    # What is refused is missing in the answer, and the exit code is not 0.
    done = _ask("-n", namespace, "get", ",".join(KINDS), "-o", "json")
    refused = re.findall(r'cannot list resource "(\w+)"', done.stderr)
    if done.returncode and not refused:
        raise NotThere(f"the cluster does not list what {namespace} has: {_last_line(done.stderr)}")
    return json.loads(done.stdout)["items"] if done.stdout else [], tuple(refused)


def _wanted(listed: Listed, file: Path | None, live: Sequence[Manifest]) -> Environment:
    """What is to be true by the file, else the newest good release, else overlay and Deployments."""
    namespace = listed.namespace
    if file:
        try:
            deployed = Render(file.read_text())
            return Environment(namespace, deployed, deployed.image, str(file))
        except (OSError, ValueError, DeliveryError) as error:
            raise NotThere(f"--manifests: {error}") from None
    notes = []
    try:
        recorded = release.last_good(release.read(Kubectl(namespace)))
    except RefusedError:
        recorded = None
        notes.append("these credentials may not list configmaps, so that no record of a release was read")
    if recorded:
        source = f"its release {recorded.number}"
        return Environment(namespace, recorded.render, recorded.render.image, source)
    try:
        overlay = Render(kustomize(listed.overlay))
    except ManifestError as error:
        raise NotThere(str(error)) from None
    deployed = with_images(overlay, live)
    image, version = deployed.image, _image_variable(deployed, live)
    if version != image:
        notes.append(f"what serves the pages is {image}, and its variable IMAGE says {version}")
    source = "its Deployments, as no good release is recorded"
    return Environment(namespace, deployed, version, source, tuple(notes))


def with_images(overlay: Render, live: Iterable[Manifest]) -> Render:
    """The render with the images that its Deployments have in the cluster."""
    objects = copy.deepcopy(overlay.objects)
    there = {rollout.name(body): body for body in live if body["kind"] == "Deployment"}
    for body in objects:
        if rollout.name(body) in there:
            images = {part["name"]: part["image"] for part in _containers(there[rollout.name(body)])}
            for container in _containers(body):
                container["image"] = images.get(container["name"], container["image"])
    return Render.of(objects)


def _image_variable(deployed: Render, live: Iterable[Manifest]) -> str:
    """What the variable IMAGE of the pods says, which `kubectl set image` leaves as it is."""
    web = deployed.web
    there = next((body for body in live if rollout.name(body) == rollout.name(web)), web)
    variables = _containers(there)[0].get("env", [])
    values = {variable["name"]: variable.get("value", "") for variable in variables}
    return str(values.get("IMAGE", ""))


def _complete(environment: Environment, live: Sequence[Manifest], unread: Sequence[str]) -> None:
    """Raises NotThere unless every object is there and, within PATIENCE, every pod is ready."""
    namespace = environment.namespace
    kinds = {kind for resource, kind in KINDS.items() if resource not in unread}
    wanted = [body for body in environment.render.kind(*kinds) if rollout.delivered(body)]
    there = set(map(rollout.name, live))
    workloads = {rollout.name(body) for body in wanted if body["kind"] in rollout.WORKLOADS}
    if not workloads & there:
        raise NotThere(f"{namespace} is not deployed: the cluster has none of its Deployments and StatefulSets")
    missing = [f"{body['kind']}/{body['metadata']['name']}" for body in wanted if rollout.name(body) not in there]
    if missing:
        raise NotThere(f"{namespace} is deployed in part only: there is no {', no '.join(missing)}")
    deadline = time.monotonic() + PATIENCE
    while lacking := _shortfalls(workloads, live):
        if time.monotonic() > deadline:
            raise NotThere(f"{namespace} is deployed in part only: {'; '.join(lacking)}")
        time.sleep(1)
        live, _ = _live(namespace)


def _shortfalls(workloads: Container[str], live: Sequence[Manifest]) -> list[str]:
    texts = (shortfall(body, live) for body in live if rollout.name(body) in workloads)
    return [text for text in texts if text]


def shortfall(workload: Manifest, objects: Iterable[Manifest]) -> str:
    """What a Deployment or StatefulSet lacks of running as it says; empty for nothing."""
    status, replicas = workload.get("status", {}), workload["spec"]["replicas"]
    selected = workload["spec"]["selector"]["matchLabels"].items()
    pods = [
        each
        for each in objects
        if each["kind"] == "Pod" and selected <= each["metadata"].get("labels", {}).items() and not going(each)
    ]
    if replicas and pods and rollout.complete(workload):
        return ""
    name = f"{workload['kind']}/{workload['metadata']['name']}"
    if not replicas:
        return f"{name} is scaled to 0"
    reasons = [each["message"] for each in status.get("conditions", []) if each["type"] == "ReplicaFailure"]
    reasons += [f"{pod['metadata']['name']}: {reason}" for pod in pods if (reason := _ailment(pod))]
    available = f"{name} has {status.get('availableReplicas', 0)} of {replicas} pods available"
    if not pods and not reasons:
        reasons = ["no pod of it is there"]
    return f"{available} ({' '.join(reasons[0].split())})" if reasons else available


def account(secret: Mapping[str, str]) -> tuple[str, str]:
    """The application's own account in db-credentials."""
    login = {**secret, **adopted(secret)}
    if lacking := [key for key in ("app-user", "app-password") if not login.get(key)]:
        raise NotThere(f"Secret db-credentials lacks {' and '.join(lacking)}")
    return login["app-user"], login["app-password"]


def _ailment(pod: Manifest) -> str:
    """Why a pod is not ready, as far as it says so."""
    unmet = [each for each in pod["status"].get("conditions", []) if each["status"] == "False"]
    reasons = [*diagnosis.hopeless(pod), *(each["message"] for each in unmet if each.get("message"))]
    return f"{pod['status'].get('phase')}: {reasons[0]}" if reasons else ""


def _deployment(deployed: Render, wanted: str) -> Manifest:
    for body in deployed.kind("Deployment"):
        if component(body) == wanted:
            return body
    raise NotThere(f"the manifests have no Deployment with the label {COMPONENT}: {wanted}")


def _containers(deployment: Manifest) -> list[Manifest]:
    containers: list[Manifest] = deployment["spec"]["template"]["spec"]["containers"]
    return containers


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]

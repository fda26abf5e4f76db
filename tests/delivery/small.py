"""An environment with a release of a dozen objects, in a cluster in memory."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from delivery import __main__, credentials, deploy, workloads
from delivery.cluster import Cluster, Manifest
from delivery.render import COMPONENT, Render
from delivery.shell import DeliveryError
from delivery.target import Target
from delivery.traffic import PATHS, Answer
from policy_tests.environment import Environment, find
from tests.delivery.database import Database
from tests.delivery.fake import FakeCluster

PROD = find("prod")
HOST = "scheduler.example"
PART_OF = {"app.kubernetes.io/part-of": "school-scheduler"}
RESTORE = ("fetch", "load", "redump", "compare")
METRICS = 'http_requests_total{{status="200"}} {good}\nhttp_requests_total{{status="500"}} {bad}\n'


def body(version: str, kind: str, name: str, component: str, **fields: Any) -> Manifest:
    labels = {**PART_OF, COMPONENT: component}
    metadata = {"name": name, "namespace": PROD.namespace, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


NAMESPACE = body("v1", "Namespace", PROD.namespace, "namespace")
del NAMESPACE["metadata"]["namespace"]


def template(component: str, *containers: Manifest, **spec: Any) -> Manifest:
    labels = {**PART_OF, COMPONENT: component}
    if component == "web":
        labels["track"] = "stable"
    return {"metadata": {"labels": labels}, "spec": {"containers": list(containers), **spec}}


def workload(
    kind: str, name: str, component: str, *containers: Manifest, before: tuple[str, ...] = (), **spec: Any
) -> Manifest:
    initial = [{"name": step, "args": []} for step in before]
    pod = template(component, *containers, **({"initContainers": initial} if initial else {}))
    selector = {"matchLabels": pod["metadata"]["labels"]}
    fields = {"selector": selector, "template": pod, "replicas": 1, **spec}
    return body("apps/v1", kind, name, component, spec=fields)


def cronjob(name: str, steps: tuple[str, ...], **variables: str) -> Manifest:
    """A CronJob whose containers all have some variables, and their namespace as another."""
    here = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    env: list[Manifest] = [{"name": "BACKUP_ENVIRONMENT", **here}]
    env += [{"name": variable, "value": value} for variable, value in variables.items()]
    before = [{"name": step, "env": env} for step in steps[:-1]]
    pod = template(name, {"name": steps[-1], "env": env}, initContainers=before)
    pod["spec"]["restartPolicy"] = "Never"
    job = {"metadata": {"labels": pod["metadata"]["labels"]}}
    job["spec"] = {"template": pod, "backoffLimit": 0}
    return body("batch/v1", "CronJob", name, name, spec={"schedule": "@hourly", "jobTemplate": job})


def render(version: str, schema: str = "0001", *more: Manifest, hosts: bool = True) -> Render:
    """The release of an image; `version` is its tag, and in its digest and configuration."""
    alone = _render(version, schema, hosts)
    return Render.of([*alone.objects, *more]) if more else alone


@cache
def _render(version: str, schema: str, hosts: bool) -> Render:
    image = f"registry.example/school-scheduler:{version}@sha256:{version:0>64}"
    config = f"app-config-{version}"
    serving = {"image": image, "envFrom": [{"configMapRef": {"name": config}}]}
    web = workload("Deployment", "web", "web", {"name": "web", **serving}, replicas=2)
    web["metadata"]["annotations"] = {"school-scheduler/schema": schema}
    accounts = template("accounts", {"name": "accounts", "args": ["accounts", "--wait", "300"]})
    accounts["spec"]["restartPolicy"] = "Never"
    tls = {"tls": [{"hosts": [HOST], "secretName": "web-tls"}]} if hosts else {}
    return Render.of(
        [
            NAMESPACE,
            body("v1", "ServiceAccount", "web", "web"),
            body("v1", "ConfigMap", config, "web", data={"VERSION": version}),
            body("v1", "Service", "web", "web", spec={"selector": {COMPONENT: "web"}}),
            workload("StatefulSet", "mysql", "database", {"name": "mysql", "image": "mysql"}, before=("accounts",)),
            body("batch/v1", "Job", "accounts", "accounts", spec={"template": accounts}),
            web,
            workload("Deployment", "worker", "worker", {"name": "worker", **serving}),
            cronjob("backup", ("dump", "save"), PRUNE="yes"),
            cronjob("restore", RESTORE, BACKUP_NAME="newest", OVERWRITE="nothing"),
            cronjob("generation", ("generation",)),
            body("networking.k8s.io/v1", "Ingress", "web", "web", spec={**tls, "rules": [{"host": HOST}]}),
        ]
    )


@dataclass
class Scripted:
    """Proofs that judge a release by what its image is said to be.

    Attributes:
        illegal: images that break a rule.
        unfit: images whose smoke tests fail.
        failing: images whose pods answer with errors.
        smoked: the images that were smoke-tested, in order.
    """

    cluster: FakeCluster
    illegal: set[str] = field(default_factory=set)
    unfit: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    smoked: list[str] = field(default_factory=list)

    def policy(self, environment: Environment, render: Render) -> None:
        if render.image in self.illegal:
            raise DeliveryError("it breaks the rules; nothing was applied")

    def smoke(self, environment: Environment, render: Render) -> None:
        self.smoked.append(render.image)
        if render.image in self.unfit:
            raise DeliveryError("its smoke tests fail")
        serving = images(self.cluster)
        if serving != {render.image}:
            raise DeliveryError(f"{serving} serve the pages, not {render.image}")

    @contextmanager
    def traffic(self, cluster: Cluster, render: Render) -> Iterator[list[Answer]]:
        answers: list[Answer] = []

        def ask() -> bool:
            problem = None if images(self.cluster) else "status 503"
            answers.extend(Answer(self.cluster.now(), path, 0.01, problem) for path in PATHS)
            return True

        with self.cluster.every(0.5, ask):
            yield answers

    def metrics(self, pod: Manifest, command: tuple[str, ...]) -> str:
        """What a web pod counts: two requests a second, one in ten of which fails where it is ill."""
        seconds = self.cluster.now() - self.cluster.server.lives[pod["metadata"]["uid"]].born
        ill = workloads.main_container(pod)["image"] in self.failing
        return METRICS.format(good=2 * seconds, bad=0.2 * seconds if ill else 0)


def heard(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that whoever delivers has read since the last time; of a Job's name its first word."""
    lines = capsys.readouterr().err.splitlines()
    return [re.sub(r"(job/[a-z]+)-\w+", r"\1", line.removeprefix("delivery: ")) for line in lines]


def images(cluster: FakeCluster) -> set[str]:
    """The images of the web pods that are ready, the canary's among them."""
    return {
        workloads.main_container(pod)["image"]
        for pod in cluster.server.of("Pod", PROD.namespace)
        if pod["metadata"]["labels"].get(COMPONENT) == "web" and workloads.ready(pod)
    }


@dataclass
class Stage:
    """Production, and whoever delivers to it."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(PROD.namespace))

    def __post_init__(self) -> None:
        self.proofs = Scripted(self.cluster)
        self.target = Target(PROD, self.cluster, self.proofs)
        self.database = Database()
        self.database.plug(self.cluster.server)
        self.cluster.server.programs["web"] = self.proofs.metrics

    def type_in(self, *arguments: str) -> None:
        """As a person does, behind `python -m delivery`."""
        __main__.run(_parser().parse_args(arguments), self.target)

    def make_namespace(self) -> None:
        """The namespace, with nothing in it."""
        self.cluster.create(NAMESPACE)

    def begin(self) -> None:
        """The namespace and its Secret."""
        self.make_namespace()
        self.cluster.create(_secret())

    def deploy(self, version: str, *arguments: Any, **options: Any) -> None:
        deploy.deploy(self.target, render(version, *arguments), deploy.Options(**options))

    @contextmanager
    def unserved(self) -> Iterator[list[float]]:
        """The moments, half a second apart, at which nothing serves the pages; their list grows meanwhile."""
        moments: list[float] = []

        def look() -> bool:
            if not self.serving:
                moments.append(self.cluster.now())
            return True

        with self.cluster.every(0.5, look):
            yield moments

    @property
    def serving(self) -> set[str]:
        """The tags that serve the pages."""
        return {image.partition("@")[0].rpartition(":")[2] for image in images(self.cluster)}


@cache
def _parser() -> argparse.ArgumentParser:
    return __main__.parser()


@cache
def _secret() -> Manifest:
    """What is made of nothing for the database; its certificate takes longer than a delivery."""
    stage = Stage()
    stage.make_namespace()
    credentials.ensure_database(stage.cluster)
    found = stage.cluster.get("secret/db-credentials")
    assert found
    return found

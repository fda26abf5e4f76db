"""The smallest environment that delivery can deliver: a database with its Jobs, and the web."""

from __future__ import annotations

from typing import Any

from delivery.cluster import Manifest
from delivery.credentials import secret
from delivery.render import COMPONENT
from tests.delivery.database import NAMESPACE, ROTATED

# The web as the release calls it.
WEB = "school-scheduler"


def objects(namespace: str = NAMESPACE, image: str = "image:1") -> list[Manifest]:
    """What a render of it holds, in the order in which it is applied."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": labels("namespace")},
        },
        thing(
            namespace,
            "v1",
            "ConfigMap",
            f"app-config-{image[-1]}",
            "web",
            data={"LOG_FORMAT": "json"},
        ),
        workload(namespace, "StatefulSet", "mysql", "database", ["accounts"], ["mysql"], "mysql:9"),
        thing(namespace, "batch/v1", "Job", "accounts", "accounts", spec=accounts()),
        cronjob(namespace, "backup", ["dump"], ["save"]),
        cronjob(namespace, "restore", ["fetch", "load", "redump"], ["compare"]),
        workload(namespace, "Deployment", WEB, "web", ["migrate"], [WEB], image),
    ]


def credentials(namespace: str = NAMESPACE) -> Manifest:
    """The Secret of the database's accounts."""
    return secret(namespace, "db-credentials", dict.fromkeys(ROTATED, "the first"))


def labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "school-scheduler", COMPONENT: component}


def thing(namespace: str, version: str, kind: str, name: str, component: str, **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": labels(component)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def workload(
    namespace: str,
    kind: str,
    name: str,
    component: str,
    before: list[str],
    containers: list[str],
    image: str,
) -> Manifest:
    """A Deployment or StatefulSet with one replica."""
    chosen = {**labels(component), "track": "stable"}
    pod = {"initContainers": steps(before, image), "containers": steps(containers, image)}
    template = {"metadata": {"labels": chosen}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": chosen}, "template": template}
    return thing(namespace, "apps/v1", kind, name, component, spec=spec)


def cronjob(namespace: str, name: str, before: list[str], containers: list[str]) -> Manifest:
    """A CronJob whose containers all have the variables of its sort."""
    template = {"metadata": {"labels": labels(name)}, "spec": job(before, containers, name)}
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": template}
    return thing(namespace, "batch/v1", "CronJob", name, name, spec=spec)


VARIABLES: dict[str, list[Manifest]] = {
    "backup": [{"name": "PRUNE", "value": "yes"}],
    "restore": [
        {"name": "BACKUP_NAME", "value": "newest"},
        {"name": "OVERWRITE", "value": "nothing"},
    ],
}


def accounts() -> Manifest:
    """The spec of the Job that brings the accounts' passwords to the database."""
    spec = job([], ["accounts"])
    spec["template"]["spec"]["containers"][0]["args"] = ["accounts", "--wait", "300"]
    return spec


def job(before: list[str], containers: list[str], component: str = "accounts") -> Manifest:
    """The spec of a Job, whose pods are of a component."""
    pod = {
        "restartPolicy": "Never",
        "initContainers": steps(before, "image:1", component),
        "containers": steps(containers, "image:1", component),
    }
    return {"backoffLimit": 0, "template": {"metadata": {"labels": labels(component)}, "spec": pod}}


def steps(names: list[str], image: str, component: str = "") -> list[Manifest]:
    where = {
        "name": "BACKUP_ENVIRONMENT",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
    }
    env = [where, *VARIABLES.get(component, [])]
    return [{"name": name, "image": image, "args": [], "env": [dict(entry) for entry in env]} for name in names]

"""What watches the environments of a cluster: observability/, and beside each environment the database's exporter."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import yaml

from delivery import credentials, managed, replacement, rollout
from delivery.cluster import Cluster
from delivery.render import Render, component
from delivery.shell import ROOT, DeliveryError, say
from delivery.target import Target
from policy_tests.render import render as kustomize

NAMESPACE = "school-scheduler-observability"
LOGS = "school-scheduler-logs"
FOLDER = ROOT / "observability"
EXPORTER = FOLDER / "mysqld-exporter"
CONFIGURATION = "alertmanager.yaml"
# The labels of an environment's Namespace, which Prometheus' NetworkPolicy names too.
ENVIRONMENT = "app.kubernetes.io/part-of=school-scheduler,environment"


def install(target: Target, webhook: str | None, overlay: Path = FOLDER) -> None:
    """Installs or updates all of `overlay`, and watches an environment; alerts go to `webhook`.

    Prometheus asks the pods of every Namespace that has the labels of an environment.

    Raises:
        DeliveryError: the environment or an address is missing, and nothing was changed; or
            something does not run.
    """
    watched, cluster = target.cluster, target.cluster.within(NAMESPACE)
    _check(target)
    configuration = _configuration(cluster, webhook)
    labelled = {body["metadata"]["name"] for body in cluster.list("Namespace", selector=ENVIRONMENT)}
    targeted = write_targets(overlay, {watched.namespace, *labelled}, ROOT / "build")
    stack, exporter = (Render(kustomize(str(path))) for path in (targeted, EXPORTER))
    managed.apply(cluster, (body for body in stack.objects if component(body) == "namespace"))
    if not cluster.get("secret/grafana-admin"):
        _keep(cluster, "grafana-admin", "password", secrets.token_urlsafe(24))
    if configuration:
        _keep(cluster, "alertmanager-config", CONFIGURATION, configuration)
    managed.apply(cluster, stack.objects)
    if configuration:
        # It reads its configuration when it starts.
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        rollout.restart(cluster, "statefulset/alertmanager", moment)
    beside = [{**body, "metadata": {**body["metadata"], "namespace": watched.namespace}} for body in exporter.objects]
    managed.apply(watched, beside)
    for namespace in sorted({body["metadata"]["namespace"] for body in stack.kind(*rollout.WORKLOADS)}):
        there = [body for body in stack.objects if body["metadata"].get("namespace") == namespace]
        replacement.settle(cluster.within(namespace), there)
        rollout.wait(cluster.within(namespace), there)
    rollout.wait(watched, beside)
    shows = f"kubectl -n {NAMESPACE} port-forward svc/grafana 3000 shows it"
    say(f"{target.environment.name} is watched; {shows}")


def targets(configuration: str, namespaces: Iterable[str]) -> str:
    """Prometheus' configuration, with a line that says NAMESPACE once for each of `namespaces`."""
    names = sorted(namespaces)

    def repeated(line: re.Match[str]) -> str:
        return "".join(line[0].replace("NAMESPACE", name) for name in names)

    return re.sub(r".*NAMESPACE.*\n", repeated, configuration)


def write_targets(overlay: Path, namespaces: Iterable[str], build: Path) -> Path:
    """Writes a Kustomization upon `overlay` whose Prometheus asks `namespaces`; returns its folder.

    The ConfigMap gets another name with other targets, so Prometheus starts anew and reads them.
    """
    folder = build / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    file = "prometheus.yaml"
    (folder / file).write_text(targets((FOLDER / "prometheus" / file).read_text(), namespaces))
    merged = {"name": "prometheus-config", "namespace": NAMESPACE, "behavior": "merge"}
    content = {
        "resources": [os.path.relpath(overlay, folder)],
        "configMapGenerator": [{**merged, "files": [file]}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def _check(target: Target) -> None:
    namespace = target.environment.namespace
    if not target.cluster.get(f"namespace/{namespace}"):
        raise DeliveryError(f"there is no namespace {namespace}; deliver the environment first")
    known = credentials.read(target.cluster, credentials.DATABASE)
    wanted = ("exporter-user", "exporter-password", "ca.crt")
    if missing := [key for key in wanted if not known.get(key)]:
        lacks = f"Secret {namespace}/{credentials.DATABASE} lacks {', '.join(missing)}"
        raise DeliveryError(f"{lacks}; {credentials.remedy(target.environment)} adds them")


def _configuration(cluster: Cluster, webhook: str | None) -> str | None:
    """Alertmanager's configuration if it is new; None where the one in the cluster stays."""
    there = credentials.read(cluster, "alertmanager-config")
    if webhook:
        template = (FOLDER / "alertmanager" / CONFIGURATION).read_text()
        wanted = template.replace("WEBHOOK", webhook)
        return wanted if there.get(CONFIGURATION) != wanted else None
    if there:
        return None
    raise DeliveryError("say who is told of alerts: WEBHOOK=https://..., or make Secret alertmanager-config yourself")


def _keep(cluster: Cluster, name: str, key: str, value: str) -> None:
    """Creates or changes a Secret of one key."""
    cluster.apply([credentials.secret(cluster.namespace, name, {key: value})])

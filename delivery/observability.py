"""What watches the environments of a cluster: observability/, and beside each environment the database's exporter."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from delivery import credentials, rollout
from delivery.shell import ROOT, DeliveryError, kubectl, say
from policy_tests.environment import find

NAMESPACE = "school-scheduler-observability"
LOGS = "school-scheduler-logs"
FOLDER = ROOT / "observability"
EXPORTER = FOLDER / "mysqld-exporter"
CONFIGURATION = "alertmanager.yaml"


def install(environment: str, webhook: str | None, overlay: Path = FOLDER) -> None:
    """Installs or updates everything in `overlay`, and watches `environment` too; alerts go to the address `webhook`.

    Raises:
        DeliveryError: the environment or an address is missing, and nothing was changed; or something does not run.
    """
    watched = find(environment).namespace
    _check(watched)
    configuration = _configuration(webhook)
    manifests, exporter = (kubectl("kustomize", str(folder)) for folder in (overlay, EXPORTER))
    rollout.apply(manifests, "--selector=app.kubernetes.io/component=namespace")
    if not _has("secret", "grafana-admin"):
        _keep("grafana-admin", "password", secrets.token_urlsafe(24))
    if configuration:
        _keep("alertmanager-config", CONFIGURATION, configuration)
    rollout.apply(manifests)
    if configuration:
        # It reads its configuration when it starts.
        kubectl("-n", NAMESPACE, "rollout", "restart", "statefulset/alertmanager")
    rollout.apply(exporter, f"--namespace={watched}")
    rollout.wait(NAMESPACE, [each for each in rollout.read(manifests) if each["kind"] in rollout.WORKLOADS])
    rollout.wait(watched, [each for each in rollout.read(exporter) if each["kind"] in rollout.WORKLOADS])
    kubectl("-n", LOGS, "rollout", "status", "daemonset/collector", "--timeout=3m")
    say(f"{environment} is watched; kubectl -n {NAMESPACE} port-forward svc/grafana 3000 shows it")


def _check(watched: str) -> None:
    if not kubectl("get", "namespace", watched, "--ignore-not-found", "-o", "name").strip():
        raise DeliveryError(f"there is no namespace {watched}; deliver the environment first")
    known = credentials.read(watched, "db-credentials")
    missing = [key for key in ("exporter-user", "exporter-password", "ca.crt") if not known.get(key)]
    if missing:
        lacks = f"Secret {watched}/db-credentials lacks {', '.join(missing)}"
        raise DeliveryError(f"{lacks}; `make credentials ENV={watched.removeprefix('school-scheduler-')}` adds them")


def _configuration(webhook: str | None) -> str | None:
    """Alertmanager's configuration if it is new; None where the one in the cluster stays."""
    if webhook:
        wanted = (FOLDER / "alertmanager" / CONFIGURATION).read_text().replace("WEBHOOK", webhook)
        if not _has("secret", "alertmanager-config"):
            return wanted
        return wanted if credentials.read(NAMESPACE, "alertmanager-config").get(CONFIGURATION) != wanted else None
    if _has("secret", "alertmanager-config"):
        return None
    raise DeliveryError("say who is told of alerts: WEBHOOK=https://..., or make Secret alertmanager-config yourself")


def _has(kind: str, name: str) -> bool:
    return bool(kubectl("-n", NAMESPACE, "get", kind, name, "--ignore-not-found", "-o", "name").strip())


def _keep(name: str, key: str, value: str) -> None:
    """Creates or changes a Secret of one key; by standard input, as others on this machine can read command lines."""
    labels = {"app.kubernetes.io/part-of": "school-scheduler"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    rollout.apply(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {key: value}}))

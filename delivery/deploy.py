"""Applying a rendered environment and waiting until it runs."""

from __future__ import annotations

from typing import Any

import yaml

from delivery import credentials
from delivery.shell import DeliveryError, kubectl, say

Manifest = dict[str, Any]
WORKLOADS = ("StatefulSet", "Deployment")


def apply(rendered: str, *, bootstrap: bool) -> str:
    """Applies `rendered` server-side, waits for every workload and returns the namespace.

    With `bootstrap` the namespace comes first, and random credentials are created where there are none.
    """
    manifests: list[Manifest] = [manifest for manifest in yaml.safe_load_all(rendered) if manifest]
    namespaces = [manifest for manifest in manifests if manifest["kind"] == "Namespace"]
    if len(namespaces) != 1:
        raise DeliveryError(f"the render has {len(namespaces)} Namespaces; an environment has exactly one")
    namespace: str = namespaces[0]["metadata"]["name"]
    if bootstrap:
        _server_side(yaml.safe_dump(namespaces[0]))
        credentials.ensure_database(namespace)
        credentials.ensure_tls(namespace, tls_hosts(manifests))
    say(f"applying {len(manifests)} objects to {namespace}")
    _server_side(rendered)
    for kind in WORKLOADS:
        for manifest in manifests:
            if manifest["kind"] == kind:
                wait(namespace, f"{kind.lower()}/{manifest['metadata']['name']}")
    return namespace


def tls_hosts(manifests: list[Manifest]) -> list[str]:
    """The hosts that the Ingresses among `manifests` serve by TLS, in order."""
    ingresses = (manifest["spec"] for manifest in manifests if manifest["kind"] == "Ingress")
    return [host for spec in ingresses for entry in spec.get("tls", []) for host in entry["hosts"]]


def wait(namespace: str, workload: str, seconds: int = 300) -> None:
    """Waits for a rollout; a failed one is reported with its pods, latest events and last words."""
    say(f"waiting for {workload}")
    try:
        kubectl("-n", namespace, "rollout", "status", workload, f"--timeout={seconds}s", timeout=seconds + 30)
    except DeliveryError as error:
        name = workload.partition("/")[2]
        reports = [
            kubectl("-n", namespace, "get", "pods", "-o", "wide"),
            kubectl("-n", namespace, "events", "--types=Warning"),
            *(_logs(namespace, pod) for pod in _pods(namespace) if pod.startswith(f"pod/{name}-")),
        ]
        raise DeliveryError("\n".join([str(error), *reports])) from None


def _pods(namespace: str) -> list[str]:
    return kubectl("-n", namespace, "get", "pods", "-o", "name").split()


def _logs(namespace: str, pod: str) -> str:
    try:
        return kubectl("-n", namespace, "logs", pod, "--all-containers", "--ignore-errors", "--prefix", "--tail=15")
    except DeliveryError as error:
        return str(error)


def _server_side(manifests: str) -> None:
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=delivery", "-f", "-", stdin=manifests)

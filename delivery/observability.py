"""What watches the environments of a cluster: observability/, and beside each environment the database's exporter."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from delivery import credentials, managed, replacement, rollout
from delivery.cluster import Cluster, Manifest
from delivery.render import Render, component
from delivery.shell import ROOT, DeliveryError, say
from delivery.site import url_of
from delivery.target import Target
from policy_tests.render import render as kustomize

NAMESPACE = "school-scheduler-observability"
LOGS = "school-scheduler-logs"
FOLDER = ROOT / "observability"
EXPORTER = FOLDER / "mysqld-exporter"
CONFIGURATION = "alertmanager.yaml"
# What users ask for, by the module of the probe that asks. /health tells a certificate without troubling the database.
PATHS = {"page": "/", "save": "/ready?save=true", "certificate": "/health"}
# The labels of an environment's Namespace, which Prometheus' NetworkPolicy names too.
ENVIRONMENT = "app.kubernetes.io/part-of=school-scheduler,environment"


@dataclass(frozen=True)
class Watched:
    """An environment that Prometheus asks.

    Attributes:
        namespace: whose pods it asks.
        url: what its users ask, without a path; None where it has no Ingress.
        authority: the certificate that signed the one of its site; None where a public authority did.
    """

    namespace: str
    url: str | None = None
    authority: str | None = None

    @classmethod
    def read(cls, cluster: Cluster) -> Watched:
        """What there is in a cluster's namespace."""
        ingress = cluster.get("ingress/web")
        if not ingress:
            say(f"{cluster.namespace} has no Ingress web, so nothing asks for its pages; deliver it, and do this again")
            return cls(cluster.namespace)
        return cls(cluster.namespace, url_of(ingress), credentials.read(cluster, credentials.SITE).get("ca.crt"))

    def probes(self, through: str | None) -> list[Manifest]:
        """The targets of Prometheus' file_sd_configs, asked at the address `through` where there is one."""
        if not self.url:
            return []
        scheme, _, host = self.url.partition("://")
        asked = {module: path for module, path in PATHS.items() if scheme == "https" or module != "certificate"}
        return [
            {
                "targets": [f"{self.url}{path}"],
                "labels": {
                    "namespace": self.namespace,
                    "probe": module,
                    "__param_module": module,
                    "__param_target": f"{scheme}://{through or host}{path}",
                    "__param_hostname": host,
                },
            }
            for module, path in asked.items()
        ]


def install(
    target: Target,
    webhook: str | None,
    overlay: Path = FOLDER,
    *,
    through: str | None = None,
    heartbeat: str | None = None,
) -> None:
    """Installs or updates all of `overlay`, and watches an environment; alerts go to `webhook`.

    A service outside the cluster hears at `heartbeat` every minute that alerts are told.
    Prometheus asks the pods of every Namespace that has the labels of an environment, and its site as users do;
    `through` is the ingress controller's address for pods where the cluster's DNS does not know the hosts.

    Raises:
        DeliveryError: the environment or an address is missing, and nothing was changed; or
            something does not run.
    """
    watched, cluster = target.cluster, target.cluster.within(NAMESPACE)
    _check(target)
    configuration = _configuration(cluster, {"team": webhook, "outside": heartbeat})
    spaces = [body["metadata"] for body in cluster.list("Namespace", selector=ENVIRONMENT)]
    labelled = {space["name"]: space["labels"]["environment"] for space in spaces}
    environments = [Watched.read(cluster.within(name)) for name in sorted({watched.namespace, *labelled})]
    targeted = write_targets(overlay, environments, ROOT / "build", through)
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
    for namespace, name in labelled.items():
        if not cluster.within(namespace).get(f"deployment/{EXPORTER.name}"):
            say(f"nothing asks the database of {namespace}; `make observability ENV={name}` does")
    shows = f"kubectl -n {NAMESPACE} port-forward svc/grafana 3000 shows it"
    say(f"{target.environment.name} is watched; {shows}")


def targets(configuration: str, namespaces: Iterable[str]) -> str:
    """Prometheus' configuration, with a line that says NAMESPACE once for each of `namespaces`."""
    names = sorted(namespaces)

    def repeated(line: re.Match[str]) -> str:
        return "".join(line[0].replace("NAMESPACE", name) for name in names)

    return re.sub(r".*NAMESPACE.*\n", repeated, configuration)


def write_targets(overlay: Path, environments: Sequence[Watched], build: Path, through: str | None = None) -> Path:
    """Writes a Kustomization upon `overlay` whose Prometheus asks `environments`; returns its folder.

    The ConfigMaps get other names with other targets, so Prometheus and the probe start anew and read them.
    """
    folder = build / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = (FOLDER / "prometheus" / "prometheus.yaml").read_text()
    asked = {
        "prometheus.yaml": targets(configuration, (each.namespace for each in environments)),
        "sites.yaml": yaml.safe_dump([probe for each in environments for probe in each.probes(through)]),
    }
    trusted = {f"{each.namespace}.crt": each.authority for each in environments if each.authority}
    for file, text in {**asked, **trusted}.items():
        (folder / file).write_text(text)
    merged = {"namespace": NAMESPACE, "behavior": "merge"}
    content = {
        "resources": [os.path.relpath(overlay, folder)],
        "configMapGenerator": [
            {"name": "prometheus-config", "files": [*asked], **merged},
            {"name": "blackbox-config", "files": [*trusted], **merged},
        ],
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


def _configuration(cluster: Cluster, addresses: Mapping[str, str | None]) -> str | None:
    """Alertmanager's configuration if it is new; None where the one in the cluster stays.

    `addresses` has the URL of each receiver; where there is none, it is the one in the cluster.
    """
    there = credentials.read(cluster, "alertmanager-config").get(CONFIGURATION, "")
    if there and not any(addresses.values()):
        return None
    known = {**_addresses(there), **{name: url for name, url in addresses.items() if url}}
    if "team" not in known:
        who = "WEBHOOK=https://..., or make Secret alertmanager-config yourself"
        raise DeliveryError(f"say who is told of alerts: {who}")
    wanted = yaml.safe_load((FOLDER / "alertmanager" / CONFIGURATION).read_text())
    for receiver in wanted["receivers"]:
        name = receiver["name"]
        if name in known:
            # That a sign of life is over is not a sign of life.
            receiver["webhook_configs"] = [{"url": known[name], "send_resolved": name == "team"}]
    text = yaml.safe_dump(wanted, sort_keys=False)
    return text if there != text else None


def _addresses(configuration: str) -> dict[str, str]:
    """The URL of each receiver of a configuration that has one."""
    receivers = (yaml.safe_load(configuration) or {}).get("receivers", [])
    return {
        receiver["name"]: receiver["webhook_configs"][0]["url"]
        for receiver in receivers
        if "webhook_configs" in receiver
    }


def _keep(cluster: Cluster, name: str, key: str, value: str) -> None:
    """Creates or changes a Secret of one key."""
    cluster.apply([credentials.secret(cluster.namespace, name, {key: value})])

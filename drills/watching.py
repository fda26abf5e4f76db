"""What watches the environment of a drill, and what it says: Prometheus, Loki, and whoever is told of alerts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import pytest
import yaml

from delivery import observability
from delivery.kubectl import kubectl
from delivery.observability import NAMESPACE
from delivery.shell import ROOT

if TYPE_CHECKING:
    from drills.conftest import Stage

HERE = Path(__file__).parent
Found = TypeVar("Found")
# What watches, as Prometheus sees it.
PARTS = 'up{job=~"kube-state-metrics|collector|observability"}'


class Watch:
    """Everything of observability/ beside the stage's environment, with a receiver for its alerts."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        receiver = "http://alert-receiver:8080/"
        observability.install(
            stage.target, receiver, _without_grafana(), through=_controller(), heartbeat=f"{receiver}alive"
        )
        self._receive()
        # Prometheus itself, Alertmanager, Loki, kube-state-metrics and a collector.
        until(lambda: self.query(f"min({PARTS}) == 1 and count({PARTS}) >= 5"), seconds=120)
        self.began = time.time()

    def _receive(self) -> None:
        pod, service, policy = yaml.safe_load_all((HERE / "receiver.yaml").read_text())
        container = pod["spec"]["containers"][0]
        container["image"] = str(self.stage.good)
        container["command"][-1] = (HERE / "receiver.py").read_text()
        kubectl("-n", NAMESPACE, "delete", "pod/alert-receiver", "--ignore-not-found")
        text = yaml.safe_dump_all([pod, service, policy])
        kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=text)
        kubectl("-n", NAMESPACE, "wait", "pod/alert-receiver", "--for=condition=Ready", "--timeout=2m")

    def received(self) -> list[dict[str, str]]:
        """Every alert that the receiver was told, in order."""
        return [json.loads(line) for line in kubectl("-n", NAMESPACE, "logs", "alert-receiver").splitlines()]

    def told(self, status: str) -> list[dict[str, str]]:
        """The alerts of that status (firing, resolved) that the receiver was told about the environment, in order."""
        wanted = (status, self.stage.namespace)
        return [each for each in self.received() if (each["status"], each.get("namespace")) == wanted]

    def signs_of_life(self) -> int:
        """How often the receiver has heard that alerts are told."""
        return sum(alert["alertname"] == "Watchdog" for alert in self.received())

    def of_environment(self, query: str) -> str:
        """A query of a dashboard, with the environment chosen."""
        return query.replace("$namespace", self.stage.namespace)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers at this moment: series with `metric` and `value`."""
        answer: list[dict[str, Any]] = _ask("prometheus-0:9090", "api/v1/query", query=expression)["result"]
        return answer

    def range(self, expression: str, span: tuple[float, float]) -> list[dict[str, Any]]:
        """What Prometheus answers between two moments, every fifteen seconds: series with `metric` and `values`."""
        moments = {"start": f"{span[0]:.0f}", "end": f"{span[1]:.0f}", "step": "15"}
        answer = _ask("prometheus-0:9090", "api/v1/query_range", query=expression, **moments)
        found: list[dict[str, Any]] = answer["result"]
        return found

    def series(self, selector: str) -> list[dict[str, str]]:
        """The labels of every series of the last hour."""
        answer: list[dict[str, str]] = _ask(
            "prometheus-0:9090", "api/v1/series", **{"match[]": selector, "start": f"{time.time() - 3600:.0f}"}
        )
        return answer

    def lines(self, query: str) -> list[str]:
        """The lines of the last hour that Loki finds, newest first."""
        streams = _ask("loki-0:3100", "loki/api/v1/query_range", query=query, since="1h", limit="200")["result"]
        found = [entry for stream in streams for entry in stream["values"]]
        return [line for _, line in sorted(found, reverse=True)]

    def everything(self) -> Iterator[str]:
        """Every line that Loki has since the drills began, oldest first, from all namespaces."""
        start = int(self.began * 1e9)
        while True:
            options = {"start": str(start), "limit": "5000", "direction": "forward"}
            streams = _ask("loki-0:3100", "loki/api/v1/query_range", query='{namespace=~".+"}', **options)["result"]
            found = [(int(at), line) for stream in streams for at, line in stream["values"]]
            yield from (line for _, line in found)
            if len(found) < 5000:
                return
            # Of one moment there may be lines beyond the limit: it is asked for again.
            start = max(at for at, _ in found)


def until(question: Callable[[], Found], seconds: float = 420) -> Found:
    """Asks every two seconds until the answer is not empty; fails after that many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(2)
    return answer


def _ask(pod: str, path: str, **parameters: str) -> Any:
    address = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/proxy/{path}?{urlencode(parameters)}"
    return json.loads(kubectl("get", "--raw", address))["data"]


def _controller() -> str:
    """The ingress controller's address for pods, as no DNS knows the hosts of a drill."""
    services = json.loads(kubectl("get", "services", "--all-namespaces", "--output=json"))["items"]
    (address,) = [
        f"{body['metadata']['name']}.{body['metadata']['namespace']}.svc"
        for body in services
        if body["metadata"]["namespace"] in ("ingress-nginx", "traefik")
        and {80, 443} <= {port["port"] for port in body["spec"]["ports"]}
    ]
    return address


def _without_grafana() -> Path:
    """An overlay that does not start Grafana: what it would draw, the drills ask for themselves."""
    folder = ROOT / "build" / "observability"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"resources": ["../../observability"], "replicas": [{"name": "grafana", "count": 0}]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="session")
def watch(stage: Stage) -> Iterator[Watch]:
    yield Watch(stage)
    named = [f"{kind}/alert-receiver" for kind in ("pod", "service", "networkpolicy")]
    kubectl("-n", NAMESPACE, "delete", *named)

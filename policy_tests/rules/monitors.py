"""Prometheus' own resources, as its operator takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Finding, ManifestSet, dig, items, mapping
from policy_tests.quantity import seconds
from policy_tests.rule import rule

GROUP = "monitoring.coreos.com"
ENDPOINTS = {"ServiceMonitor": "endpoints", "PodMonitor": "podMetricsEndpoints"}
QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`|#.*")
PAIRS = {")": "(", "]": "[", "}": "{"}


@rule(
    "monitors-scrape-in-time",
    "medium",
    why="The operator leaves out a monitor that waits for an answer longer than until the next question.",
    fix="set scrapeTimeout below interval.",
    source="Prometheus: configuration, scrape_timeout; prometheus-operator: ServiceMonitor",
    per_object=True,
)
def scrape_in_time(manifests: ManifestSet) -> Iterator[Finding]:
    for kind, field in ENDPOINTS.items():
        for monitor in manifests.of(f"{kind}.{GROUP}"):
            for index, endpoint in enumerate(map(mapping, items(monitor.spec.get(field)))):
                timeout, interval = seconds(endpoint.get("scrapeTimeout")), seconds(endpoint.get("interval"))
                if timeout is not None and interval is not None and timeout > interval:
                    path = f"spec.{field}[{index}].scrapeTimeout"
                    yield monitor.finding(path, endpoint["scrapeTimeout"], f"is above {endpoint['interval']}")


@rule(
    "monitors-pods",
    "low",
    why="A PodMonitor of no pod, or of a port that its pods do not name, sees nothing, without an error.",
    fix="make the selector equal to labels of the pods, and name one of their ports.",
    source="kube-linter dangling-servicemonitor, for pods; prometheus-operator: PodMonitor",
)
def pods(manifests: ManifestSet) -> Iterator[Finding]:
    held = {pod.owner.namespace for pod in manifests.pods}
    for monitor in manifests.of(f"PodMonitor.{GROUP}"):
        spaces = set(items(dig(monitor.spec, "namespaceSelector.matchNames")) or [monitor.namespace])
        selector = monitor.spec.get("selector")
        # A namespace without any pod here may have its own elsewhere.
        if dig(monitor.spec, "namespaceSelector.any") or not spaces <= held:
            continue
        seen = [pod for space in sorted(spaces) for pod in manifests.select(selector, space)]
        if not seen:
            yield monitor.finding("spec.selector", selector, "selects no pod")
        names = {port.get("name") for pod in seen for container in pod.containers for port in container.ports}
        for index, endpoint in enumerate(map(mapping, items(monitor.spec.get("podMetricsEndpoints")))):
            if seen and endpoint.get("port") not in (None, *names):
                path = f"spec.podMetricsEndpoints[{index}].port"
                yield monitor.finding(path, endpoint["port"], "is no port of these pods")


@rule(
    "monitors-expressions",
    "high",
    why="Prometheus loads none of the rules of a file with an expression that it cannot read.",
    fix="close every bracket of expr; promtool check rules says the rest.",
    source="prometheus-operator: admission webhook for rules; promtool",
    per_object=True,
)
def expressions(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.of(f"PrometheusRule.{GROUP}"):
        for group in map(mapping, items(manifest.spec.get("groups"))):
            for index, body in enumerate(map(mapping, items(group.get("rules")))):
                expression = str(body.get("expr") or "")
                if not _balanced(expression):
                    path = f"spec.groups[{group.get('name')}].rules[{body.get('alert') or body.get('record') or index}]"
                    yield manifest.finding(f"{path}.expr", expression, "has brackets that do not close")


def _balanced(expression: str) -> bool:
    open_brackets: list[str] = []
    for sign in QUOTED.sub("", expression):
        if sign in PAIRS.values():
            open_brackets.append(sign)
        elif sign in PAIRS and (not open_brackets or open_brackets.pop() != PAIRS[sign]):
            return False
    return not open_brackets

"""Prometheus' own resources, as its operator takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Finding, ManifestSet, items, mapping
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

"""What rules and dashboards ask Prometheus for: each metric, and the labels that they take it to have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
RULES = HERE / "prometheus" / "rules"
DASHBOARDS = HERE / "grafana" / "dashboards"
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^{}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPING = re.compile(r"\b(?:by|on|group_left)\s*\(([^()]*)\)")


def selectors(expression: str) -> list[tuple[str, frozenset[str]]]:
    """(metric, labels that are matched) of every selector in a PromQL expression."""
    return [(name, frozenset(MATCHER.findall(inside))) for name, inside in SELECTOR.findall(expression)]


def grouped(expression: str) -> frozenset[str]:
    """The labels that an expression groups or joins by."""
    return frozenset(label for found in GROUPING.findall(expression) for label in re.findall(r"\w+", found))


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for file in sorted(RULES.glob("*.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """(dashboard, panel) of every panel of every dashboard."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield file.stem, panel


def queries(panel: dict[str, Any]) -> list[str]:
    """The queries of a panel."""
    return [target["expr"] for target in panel["targets"]]


def marks() -> Iterator[str]:
    """The queries of the dashboards' annotations."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        yield from (mark["expr"] for mark in json.loads(file.read_text())["annotations"]["list"])


def everything() -> list[str]:
    """All PromQL that anything here evaluates."""
    drawn = [query for _, panel in panels() if panel["type"] != "logs" for query in queries(panel)]
    return [rule["expr"] for rule in rules()] + drawn + list(marks())

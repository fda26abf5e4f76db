"""Rules and dashboards against what the deployed exporters serve: served.json, as drills/test_alerts_data.py saw it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from observability.expressions import everything, grouped, rules, selectors

SERVED: dict[str, list[str]] = json.loads(Path(__file__).with_name("served.json").read_text())
# What Prometheus makes of the rules.
RECORDED = {"ALERTS"} | {rule["record"] for rule in rules() if "record" in rule}
EVERYTHING = sorted(set(everything()) - {"vector(1)"})


@pytest.mark.parametrize("expression", EVERYTHING)
def test_every_metric_and_label_is_served(expression: str) -> None:
    made = re.findall(r"\w+(?::\w+)+", re.sub(r'".*?"', "", expression))
    asked = list(selectors(expression))
    assert made or asked
    assert set(made) <= RECORDED
    for name, labels in asked:
        assert name in RECORDED or labels <= set(SERVED.get(name, [])), name


@pytest.mark.parametrize("expression", EVERYTHING)
def test_every_label_that_is_grouped_by_is_served(expression: str) -> None:
    names = [name for name, _ in selectors(expression) if name in SERVED]
    known = {label for name in names for label in SERVED[name]} | {"namespace", "cronjob", "indicator", "job", "le"}
    assert grouped(expression) <= known


def test_nothing_is_recorded_that_nobody_asks_for() -> None:
    assert set(SERVED) == {name for expression in EVERYTHING for name, _ in selectors(expression)} - RECORDED

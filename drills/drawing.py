"""Dashboards drawn of what Prometheus and Loki answer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from drills.watching import Watch
from observability.dashboards import dashboard
from observability.picture import Drawn, Series, picture

SECONDS = 2400


def draw(watch: Watch, uid: str) -> str:
    """The dashboard of the stage's environment and of the last SECONDS, as SVG."""
    span = time.time() - SECONDS, time.time()
    shown = dashboard(uid)
    panels = [_drawn(watch, panel, span) for panel in shown["panels"]]
    return picture(shown["title"], panels, span, list(_marks(watch, shown["annotations"]["list"], span)))


def _drawn(watch: Watch, panel: dict[str, Any], span: tuple[float, float]) -> Drawn:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    series: list[Series] = []
    lines: list[str] = []
    for target in panel["targets"]:
        query = watch.of_environment(target["expr"])
        if panel["type"] == "logs":
            lines += watch.lines(query)
        elif panel["type"] == "table":
            lines += [_row(each, unit) for each in watch.query(query)]
        else:
            for each in watch.range(query, span):
                points = [(at, float(value)) for at, value in each["values"] if not math.isnan(float(value))]
                series += [Series(_legend(target["legendFormat"], each["metric"]), points)] if points else []
    return Drawn(panel["title"], panel["type"], unit, series, lines)


def _legend(template: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template


def _row(answer: dict[str, Any], unit: str) -> str:
    # That a container runs is said by its being there; a moment has to be read.
    moment = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(float(answer["value"][1]) / 1000))]
    return "  ".join([*answer["metric"].values(), *(moment if unit == "dateTimeFromNow" else [])])


def _marks(watch: Watch, marks: list[dict[str, Any]], span: tuple[float, float]) -> Iterator[tuple[float, str]]:
    for mark in marks:
        for each in watch.range(watch.of_environment(mark["expr"]), span):
            at = float(each["values"][-1][1]) / 1000 if mark["useValueForTime"] else float(each["values"][0][0])
            if span[0] < at < span[1]:
                yield at, mark["iconColor"]

"""`python -m observability` writes what is made from something else here: dashboards, and the operator's rules."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

from observability.dashboards import DASHBOARDS, dashboard

HERE = Path(__file__).parent
# What is about the programs of this folder is left to whoever runs others in their place.
OTHERS = ("absence", "application", "backups", "database", "kubernetes", "objective")
PRELUDE = """# Made of observability/prometheus/rules by `python -m observability`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: school-scheduler
  labels:
    app.kubernetes.io/name: school-scheduler
    app.kubernetes.io/component: monitoring
spec:
  groups:
"""


def prometheus_rule() -> str:
    """The rules as an object of the Prometheus Operator."""
    files = [HERE / "prometheus" / "rules" / f"{name}.yaml" for name in OTHERS]
    groups = "".join(file.read_text().removeprefix("groups:\n") for file in files)
    return f"{PRELUDE}{indent(groups, '  ')}"


def made() -> dict[Path, str]:
    """Each file with its content."""
    folder = HERE / "grafana" / "dashboards"
    pages = {folder / f"{uid}.json": json.dumps(dashboard(uid), indent=2) + "\n" for uid in DASHBOARDS}
    return {**pages, HERE.parent / "components" / "monitoring" / "prometheusrule.yaml": prometheus_rule()}


if __name__ == "__main__":
    for file, content in made().items():
        file.write_text(content)

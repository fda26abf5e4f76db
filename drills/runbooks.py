"""The lines of a runbook, typed as they stand there.

Those of a shell are fenced as `sh`, whose second word names what the cluster has to have for them;
queries as `promql` and `logql`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from delivery.kubectl import kubectl
from delivery.shell import ROOT
from delivery.site import host_of
from drills.conftest import Stage
from drills.watching import Watch

BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\S+) *(?P<needs>\S*)\n(?P<lines>.*?)^(?P=indent)```$", re.M | re.S)
TAKES_BACK = re.compile(r"`(make rollback [^`]+)` takes it back")


def follow(watch: Watch, alert: Mapping[str, str]) -> None:
    """Types everything that the runbook of an alert has; `alert` has its labels."""
    stage = watch.stage
    text = (ROOT / "docs" / "runbooks" / f"{alert['alertname']}.md").read_text()
    for block in BLOCK.finditer(text):
        lines = block["lines"]
        match block["language"]:
            case "sh" if not block["needs"] or block["needs"] in offered():
                type_in(stage, lines, alert)
            case "promql":
                watch.query(_expanded(stage, lines, alert))
            case "logql":
                watch.lines(_expanded(stage, lines, alert))


def take_back(stage: Stage) -> None:
    """Types the line that `make status` ends with, as the runbooks say."""
    found = TAKES_BACK.search(type_in(stage, "make status ENV=$ENV", {}))
    assert found, "status names no line that takes the changes back"
    type_in(stage, found[1], {})


def type_in(stage: Stage, lines: str, alert: Mapping[str, str]) -> str:
    """What a shell prints that has the labels of an alert as variables, and little else.

    Lines that fail, or that print nothing, fail the test.
    """
    kept = {name: os.environ[name] for name in ("PATH", "KUBECONFIG") if name in os.environ}
    with TemporaryDirectory() as home:
        # No DNS knows the hosts of a drill.
        host = host_of(stage.render(stage.good).ingress)
        resolved = [f"resolve = {host}:{port}:{stage.ingress}\n" for port in (80, 443)]
        Path(home, ".curlrc").write_text("".join(resolved))
        answer = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=ROOT,
            env={**_variables(stage, alert), **kept, "HOME": home, "INGRESS": stage.ingress},
            text=True,
            timeout=900,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    assert answer.returncode == 0, f"{lines}\n{answer.stdout}"
    assert answer.stdout.strip(), f"prints nothing:\n{lines}"
    return answer.stdout


@cache
def offered() -> frozenset[str]:
    """Which of what some lines need this cluster has; Grafana's image is in no drill."""
    kinds = kubectl("api-resources", "--output=name")
    return frozenset({"cert-manager"} if "certificates.cert-manager.io" in kinds else ())


def _variables(stage: Stage, alert: Mapping[str, str]) -> dict[str, str]:
    return {**{label.upper(): value for label, value in alert.items()}, "ENV": stage.environment.name}


def _expanded(stage: Stage, query: str, alert: Mapping[str, str]) -> str:
    for name, value in _variables(stage, alert).items():
        query = query.replace(f"${name}", value)
    return query

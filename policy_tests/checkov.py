"""One checkov run over the rendered environments."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from policy_tests.environment import ROOT
from policy_tests.manifests import ManifestError, ManifestSet

PYTHON = ROOT / ".venv-checkov" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# Its command line loads all its other frameworks too, and Python looks for garbage meanwhile: twice the time in all.
PROGRAM = """
import gc, json, sys
gc.disable()
from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter
sys.stdin.read()
report = Runner().run(root_folder=sys.argv[1], runner_filter=RunnerFilter(framework=["kubernetes"]))
print(json.dumps(report.get_dict(is_quiet=True), default=str))
"""


@dataclass(frozen=True)
class Failure:
    """A check that failed; `object` is ENVIRONMENT/KIND/NAME."""

    rule: str
    object: str
    title: str


def start(folder: Path) -> subprocess.Popen[str]:
    """Starts a checkov that loads itself, which takes most of its time, and then waits for `failures`.

    It runs in its own virtual environment, as its pins contradict the application's. Raises ManifestError.
    """
    if not PYTHON.exists():
        raise ManifestError("checkov is not installed; run `make policy`, which installs it")
    pipe = subprocess.PIPE
    command = [str(PYTHON), "-W", "ignore", "-c", PROGRAM, str(folder)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def write(environments: Mapping[str, ManifestSet], folder: Path) -> None:
    """The sets as checkov reads them, a file each."""
    for name, manifests in environments.items():
        bodies = [manifest.body for manifest in manifests.manifests]
        (folder / f"{name}.yaml").write_text(yaml.dump_all(bodies, Dumper=yaml.CSafeDumper))


def failures(process: subprocess.Popen[str], folder: Path, environments: Mapping[str, ManifestSet]) -> list[Failure]:
    """What the waiting checkov finds in the rendered environments; raises ManifestError."""
    write(environments, folder)
    stdout, stderr = process.communicate("")
    try:
        report = json.loads(stdout)
        seen = report["summary"]["resource_count"], report["summary"]["parsing_errors"]
    except (ValueError, KeyError, TypeError):
        raise ManifestError(f"checkov gave no report: {(stderr or stdout).strip()[-300:]}") from None
    if seen[0] < sum(len(manifests.manifests) for manifests in environments.values()) or seen[1]:
        raise ManifestError(f"checkov read only a part: {seen[0]} objects, {seen[1]} files that it could not read")
    return [
        Failure(check["check_id"], _object(check["file_path"], check["resource"]), check["check_name"])
        for check in report["results"]["failed_checks"]
    ]


def _object(file: str, resource: str) -> str:
    """`/prod.yaml` and `Deployment.school-scheduler-prod.web` as prod/Deployment/web."""
    kind, _, name = resource.partition(".")
    return f"{Path(file).stem}/{kind}/{name.partition('.')[2] or name}"

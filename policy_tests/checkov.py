"""One checkov run over the rendered environments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import yaml

from policy_tests.environment import ROOT
from policy_tests.manifests import ManifestError, ManifestSet
from policy_tests.packages import PACKAGES

# The version that waivers.yaml is about, where `make` has installed it.
PYTHON = ROOT / ".venv-checkov" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PINS = ROOT / "requirements" / "checkov.txt"
# Its command line loads all its other frameworks too, and Python looks for garbage meanwhile: twice the time in all.
LIBRARY = """
import gc, json, sys
gc.disable()
from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter
sys.stdin.read()
report = Runner().run(root_folder=sys.argv[1], runner_filter=RunnerFilter(framework=["kubernetes"]))
print(json.dumps(report.get_dict(is_quiet=True), default=str))
"""
COMMAND_LINE = """
import subprocess, sys
sys.stdin.read()
options = "--framework kubernetes --output json --quiet --compact --skip-download --directory".split()
subprocess.run([sys.argv[2], *options, sys.argv[1]], stdin=subprocess.DEVNULL)
"""


@dataclass(frozen=True)
class Failure:
    """A check that failed; `object` is ENVIRONMENT/KIND/NAME."""

    rule: str
    object: str
    title: str


@dataclass(frozen=True)
class Report:
    """What checkov found, and its version."""

    version: str
    failures: list[Failure]

    @property
    def drift(self) -> str:
        """Which version waivers.yaml is about, where it is not this one; else empty."""
        pinned = "".join(re.findall(r"(?m)^checkov==(\S+)", PINS.read_text()))
        return "" if self.version == pinned else f"this is checkov {self.version}, and {PINS.name} pins {pinned}"


def command(folder: Path) -> list[str]:
    """What waits for the end of its standard input and then checks a folder; raises ManifestError.

    The pinned version goes first, then the one beside this pytest, then the one on the PATH.
    """
    python = str(PYTHON) if PYTHON.exists() else sys.executable if find_spec("checkov") else None
    if python:
        return [python, "-W", "ignore", "-c", LIBRARY, str(folder)]
    if program := shutil.which("checkov"):
        return [sys.executable, "-c", COMMAND_LINE, str(folder), program]
    leaving_out = "--ignore policy_tests/test_checkov.py goes without it"
    raise ManifestError(f"checkov is not installed; run `{PACKAGES}`; {leaving_out}")


def start(folder: Path) -> subprocess.Popen[str]:
    """Starts a checkov that loads itself, which takes most of its time, and then waits for `report`.

    It runs in a process of its own, as its pins contradict the application's. Raises ManifestError.
    """
    pipe = subprocess.PIPE
    # It would wait for an answer about newer versions of itself.
    variables = {**os.environ, "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"}
    return subprocess.Popen(command(folder), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=variables)


def write(environments: Mapping[str, ManifestSet], folder: Path) -> None:
    """The sets as checkov reads them, a file each."""
    for name, manifests in environments.items():
        bodies = [manifest.body for manifest in manifests.manifests]
        (folder / f"{name}.yaml").write_text(yaml.dump_all(bodies, Dumper=yaml.CSafeDumper))


def report(process: subprocess.Popen[str], folder: Path, environments: Mapping[str, ManifestSet]) -> Report:
    """What the waiting checkov finds in the rendered environments; raises ManifestError."""
    write(environments, folder)
    stdout, stderr = process.communicate("")
    try:
        found = json.loads(stdout)
        summary = found["summary"]
        seen = summary["resource_count"], summary["parsing_errors"]
    except (ValueError, KeyError, TypeError):
        raise ManifestError(f"checkov gave no report: {(stderr or stdout).strip()[-300:]}") from None
    if seen[0] < sum(len(manifests.manifests) for manifests in environments.values()) or seen[1]:
        raise ManifestError(f"checkov read only a part: {seen[0]} objects, {seen[1]} files that it could not read")
    failures = [
        Failure(check["check_id"], _object(check["file_path"], check["resource"]), check["check_name"])
        for check in found["results"]["failed_checks"]
    ]
    return Report(summary["checkov_version"], failures)


def _object(file: str, resource: str) -> str:
    """`/prod.yaml` and `Deployment.school-scheduler-prod.web` as prod/Deployment/web."""
    kind, _, name = resource.partition(".")
    return f"{Path(file).stem}/{kind}/{name.partition('.')[2] or name}"

"""One checkov run over the rendered environments."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from policy_tests.manifests import ManifestError, ManifestSet
from policy_tests.render import ROOT


@dataclass(frozen=True)
class Failure:
    """A check that failed; `object` is ENVIRONMENT/KIND/NAME."""

    rule: str
    object: str
    title: str


def program() -> str:
    """checkov's own virtual environment comes first, as its pins contradict the application's."""
    beside = ROOT / ".venv-checkov" / "bin" / "checkov"
    if found := str(beside) if beside.exists() else shutil.which("checkov"):
        return found
    raise ManifestError("checkov is not installed; run `make policy`, which installs it")


def failures(environments: Mapping[str, ManifestSet], folder: Path) -> list[Failure]:
    """What checkov finds; the sets are written into the folder, a file each. Raises ManifestError."""
    for name, manifests in environments.items():
        bodies = [manifest.body for manifest in manifests.manifests]
        (folder / f"{name}.yaml").write_text(yaml.dump_all(bodies, Dumper=yaml.CSafeDumper))
    options = ["--framework", "kubernetes", "--output", "json", "--quiet", "--compact", "--skip-download"]
    done = subprocess.run([program(), "--directory", folder, *options], capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
        seen = report["summary"]["resource_count"], report["summary"]["parsing_errors"]
    except (ValueError, KeyError, TypeError):
        raise ManifestError(f"checkov gave no report: {(done.stderr or done.stdout).strip()[-300:]}") from None
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

"""Known vulnerabilities of what is installed and of an image: python -m delivery.audit [IMAGE].

Ends with 1 where a newer version mends one. What could not be asked for is said in capitals, and ends with 0.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from delivery.shell import ROOT

PIP_AUDIT = ROOT / ".venv-audit" / "bin" / "pip-audit"

FIXED = "fixed in"


def found(report: dict[str, Any]) -> Iterator[str]:
    """The vulnerabilities in a report of pip-audit, one a line."""
    for package in report["dependencies"]:
        for each in package.get("vulns", []):
            remedy = f"{FIXED} {', '.join(each['fix_versions'])}" if each["fix_versions"] else "not fixed yet"
            yield f"{package['name']} {package['version']}: {each['id']}, {remedy}"


def unasked(report: dict[str, Any]) -> list[str]:
    """The packages that the database of advisories did not answer about."""
    return [package["name"] for package in report["dependencies"] if "skip_reason" in package]


def requirements(file: Path) -> bool:
    """Whether no package of a requirements file has a known vulnerability that can be mended, or nobody could say."""
    options = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")
    command = (PIP_AUDIT, *options, "--requirement", file)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    name = file.relative_to(ROOT)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        skipped(str(name), f"pip-audit says {(done.stderr.strip() or 'nothing').splitlines()[-1]}")
        return True
    lines, names = list(found(report)), unasked(report)
    count = len(report["dependencies"]) - len(names)
    print("\n".join([f"{name}: {len(lines)} known vulnerabilities in {count} packages", *lines]), flush=True)
    if names:
        skipped(f"{len(names)} packages of {name}", f"nothing is known of {', '.join(names[:3])} ...")
    return not any(FIXED in line for line in lines)


def image(reference: str) -> bool:
    """Whether trivy finds nothing in an image that is grave and can be mended, or cannot look."""
    if not (trivy := shutil.which("trivy")):
        skipped(reference, "trivy is not installed")
        return True
    grave = ("--severity=HIGH,CRITICAL", "--ignore-unfixed", "--exit-code=1")
    if subprocess.run([trivy, "image", "--download-db-only", "--quiet"], check=False).returncode:
        skipped(reference, "trivy cannot fetch its database")
        return True
    left = f"--ignorefile={ROOT / '.trivyignore.yaml'}"
    return not subprocess.run([trivy, "image", "--skip-db-update", *grave, left, reference], check=False).returncode


def skipped(what: str, why: str) -> None:
    """Says that something was not looked at; GitHub shows it on the page of the run."""
    line = f"AUDIT SKIPPED: {what}: {why}"
    print(f"::warning::{line}" if os.environ.get("GITHUB_ACTIONS") else line, flush=True)


def main() -> int:
    good = [requirements(file) for file in sorted((ROOT / "requirements").glob("*.txt"))]
    good += [image(reference) for reference in sys.argv[1:]]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

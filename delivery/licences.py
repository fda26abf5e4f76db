"""docs/licences.md, from what the installed packages say of themselves: python -m delivery.licences."""

from __future__ import annotations

import re
from importlib import metadata

from delivery.pins import IMAGES, images
from delivery.shell import ROOT, DeliveryError

DOCUMENT = ROOT / "docs" / "licences.md"
# SPDX identifiers of what may be handed on together with MIT code.
ALLOWED = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU", "Zlib"}
# These claim changes of themselves alone.
ALLOWED |= {"LGPL-3.0-only", "MPL-2.0", "PSF-2.0"}
# Of packages that give no identifier, as their licence file has it.
SPELT = {"PSFL": "PSF-2.0", "Apache 2.0": "Apache-2.0", "3-Clause BSD License": "BSD-3-Clause"}
UNSAID = {"jinja2": "BSD-3-Clause", "pyrage": "MIT"}
# Programs of their own that run beside ours, unchanged.
BESIDE = {
    "docker.io/grafana/grafana": "AGPL-3.0-only",
    "docker.io/grafana/loki": "AGPL-3.0-only",
    "docker.io/library/mysql": "GPL-2.0-only",
    "docker.io/library/python": "PSF-2.0",
    "docker.io/otel/opentelemetry-collector-contrib": "Apache-2.0",
    "docker.io/prom/alertmanager": "Apache-2.0",
    "docker.io/prom/blackbox-exporter": "Apache-2.0",
    "docker.io/prom/mysqld-exporter": "Apache-2.0",
    "docker.io/prom/prometheus": "Apache-2.0",
    "docker.io/rclone/rclone": "MIT",
    "registry.k8s.io/kube-state-metrics/kube-state-metrics": "Apache-2.0",
}
PAGE = """# Licences

School Scheduler is under the [MIT licence](../LICENSE). `make licences` writes this page, and refuses a package whose
licence is none of those that `delivery/licences.py` allows.

| in the image | licence |
|---|---|
{ours}

| beside it, a program of its own | licence |
|---|---|
{beside}
"""


def packages() -> list[str]:
    """The packages of the image, by requirements/app.txt."""
    text = (ROOT / "requirements" / "app.txt").read_text()
    return sorted(set(re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE)))


def licence(package: str) -> str:
    """The SPDX expression of an installed package."""
    said = metadata.metadata(package).json
    text = str(said.get("license_expression") or said.get("license") or UNSAID.get(package, "unknown"))
    return SPELT.get(text, text)


def refused(expression: str) -> list[str]:
    """What of an SPDX expression we may not hand on; of alternatives one is enough."""
    alternatives = [each.strip("() ").split(" AND ") for each in expression.split(" OR ")]
    return min(([part for part in each if part not in ALLOWED] for each in alternatives), key=len)


def document() -> str:
    """The content of docs/licences.md.

    Raises:
        DeliveryError: a package's licence is not among those that are allowed.
    """
    known = {package: licence(package) for package in packages()}
    if bad := [f"{package} ({known[package]})" for package in known if refused(known[package])]:
        raise DeliveryError(f"not to be handed on with MIT code: {', '.join(bad)}; choose another package")
    ours = [f"| {package} | {text} |" for package, text in known.items()]
    beside = [f"| {name} | {BESIDE[name]} |" for name in sorted(images(IMAGES.read_text()))]
    return PAGE.format(ours="\n".join(ours), beside="\n".join(beside))


if __name__ == "__main__":
    DOCUMENT.write_text(document())

"""What docs/gitops.md hands to Flux and Argo CD."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from delivery.cluster import Manifest
from delivery.shell import ROOT
from policy_tests.environment import Environment
from policy_tests.render import render

DOCUMENT = ROOT / "docs" / "gitops.md"
# What they read of the repository, Secrets aside.
FOLDERS = ("base", "components", "overlays")


def handed(environment: Environment, kind: str) -> Manifest:
    """The document's object of a kind, with the environment's name in place of prod's."""
    text = re.sub(r"\bprod\b", environment.name, DOCUMENT.read_text())
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    bodies = (body for block in blocks for body in yaml.safe_load_all(block))
    (found,) = (body for body in bodies if body["kind"] == kind)
    return dict(found)


def components(body: Manifest) -> list[str]:
    """What a Kustomization of Flux, or an Application, adds to the components of an overlay."""
    added: list[str] = _source(body).get("kustomize", _source(body))["components"]
    return added


def path(body: Manifest) -> str:
    """The overlay that it renders, from the root of the repository."""
    return str(_source(body)["path"]).removeprefix("./")


def copy(folder: Path) -> None:
    """Copies into a folder what a controller reads of the working tree."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)


def applied(body: Manifest, folder: Path) -> str:
    """What a controller makes of it, in a copy: the overlay, with the components behind its own."""
    copy(folder)
    file = folder / path(body) / "kustomization.yaml"
    content = yaml.safe_load(file.read_text())
    content["components"] += components(body)
    file.write_text(yaml.safe_dump(content))
    return render(path(body), folder)


def _source(body: Manifest) -> Manifest:
    spec: Manifest = body["spec"]
    return spec if body["kind"] == "Kustomization" else spec["source"]

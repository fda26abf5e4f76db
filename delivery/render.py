"""An overlay with another image: `build/<env>`, a Kustomization on top of `overlays/<env>`."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from delivery.image import NAME, Image
from delivery.shell import ROOT, kubectl
from policy_tests.environment import find


def overlay_image(environment: str) -> str:
    """The name under which `overlays/<env>` knows the application's image after its own version Component."""
    version = yaml.safe_load((ROOT / find(environment).overlay / "version" / "kustomization.yaml").read_text())
    return str(next(image["newName"] for image in version["images"] if image["name"] == NAME))


def write_overlay(environment: str, image: Image, *, single_node: bool, build: Path = ROOT / "build") -> Path:
    """Writes `build/<env>` (not in Git) and returns its folder; `overlays/<env>` stays as it is."""
    folder = build / environment
    (folder / "version").mkdir(parents=True, exist_ok=True)
    # Kustomize takes no absolute path.
    root = os.path.relpath(ROOT, folder)
    renamed = {"name": overlay_image(environment), "newName": image.name, "newTag": image.tag, "digest": image.digest}
    _write(folder / "version", "v1alpha1", "Component", images=[renamed])
    # The environment variable IMAGE repeats the reference, so it is filled in again after the image has changed.
    components = ["version", f"{root}/components/version-env"]
    if single_node:
        components += [f"{root}/components/{name}" for name in ("backup-store", "single-node")]
    # What the components add belongs to the environment too.
    own = {"namespace": find(environment).namespace}
    labels = [{"pairs": {"environment": environment}, "includeTemplates": True}]
    resources = [f"{root}/{find(environment).overlay}"]
    _write(folder, "v1beta1", "Kustomization", **own, resources=resources, components=components, labels=labels)
    return folder


def render(overlay: Path) -> Path:
    """Renders an overlay once; returns the file that has its manifests, beside it."""
    file = overlay / "manifests.yaml"
    file.write_text(kubectl("kustomize", str(overlay)))
    return file


def _write(folder: Path, version: str, kind: str, **fields: object) -> None:
    content = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, **fields}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

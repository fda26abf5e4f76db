"""An overlay with another image: `build/<env>`, a Kustomization on top of `overlays/<env>`.

Or its own version, to be committed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from delivery.image import NAME, Image
from delivery.render import COMPONENT, SINGLE_NODE, Render
from delivery.shell import ROOT, DeliveryError
from policy_tests.environment import Environment
from policy_tests.render import render as kustomize


def image_name(environment: Environment) -> str:
    """The name by which the overlay knows the application's image after its own version Component.

    Raises:
        DeliveryError: the Component names none.
    """
    file = _version(environment, ROOT)
    try:
        images = yaml.safe_load(file.read_text())["images"]
        (name,) = (image["newName"] for image in images if image["name"] == NAME)
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise _unclear(file, ROOT, error) from None
    return str(name)


def choose(environment: Environment, image: Image, root: Path = ROOT) -> bool:
    """Has the environment's version Component name an image; the rest of the file stays.

    Returns whether that changes the file.

    Raises:
        DeliveryError: the Component does not name that image once, with its tag and digest.
    """
    file = _version(environment, root)
    text = changed = file.read_text()
    try:
        document: Any = yaml.compose(text)
        (images,) = (value for key, value in document.value if key.value == "images")
        entries = [{key.value: value for key, value in entry.value} for entry in images.value]
        (entry,) = (entry for entry in entries if entry["name"].value == NAME)
        wanted = {"newName": image.name, "newTag": image.tag, "digest": image.digest}
        # From the end, as what is before keeps its place.
        for key, value in sorted(wanted.items(), key=lambda item: -entry[item[0]].start_mark.index):
            before, after = entry[key].start_mark.index, entry[key].end_mark.index
            if entry[key].value != value:
                changed = f"{changed[:before]}{_scalar(value)}{changed[after:]}"
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _unclear(file, root, error) from None
    file.write_text(changed)
    return changed != text


def write(environment: Environment, image: Image, *, single_node: bool, build: Path = ROOT / "build") -> Path:
    """Writes `build/<env>` (not in Git) and returns its folder; `overlays/<env>` stays as it is.

    What it renders to says whether it is for a `single_node` (Render.single_node).
    """
    folder = build / environment.name
    (folder / "version").mkdir(parents=True, exist_ok=True)
    # Kustomize takes no absolute path.
    root = os.path.relpath(ROOT, folder)
    renamed = {
        "name": image_name(environment),
        "newName": image.name,
        "newTag": image.tag,
        "digest": image.digest,
    }
    _write(folder / "version", "v1alpha1", "Component", images=[renamed])
    # The variable IMAGE repeats the reference, so it is filled in again after the image has changed.
    components = ["version", f"{root}/components/version-env"]
    if single_node:
        components += [f"{root}/components/{name}" for name in ("backup-store", "single-node")]
    note = {"metadata": {"name": "web", "annotations": {SINGLE_NODE: str(single_node).lower()}}}
    web = {"kind": "Deployment", "labelSelector": f"{COMPONENT}=web"}
    _write(
        folder,
        "v1beta1",
        "Kustomization",
        # What the components add belongs to the environment too.
        namespace=environment.namespace,
        resources=[f"{root}/{environment.overlay}"],
        components=components,
        patches=[{"target": web, "patch": yaml.safe_dump({"kind": "Deployment", **note})}],
        labels=[{"pairs": {"environment": environment.name}, "includeTemplates": True}],
    )
    return folder


def render(folder: Path) -> Render:
    """What kustomize makes of an overlay; `manifests.yaml` beside it has the same."""
    text = kustomize(str(folder))
    (folder / "manifests.yaml").write_text(text)
    return Render(text)


def _version(environment: Environment, root: Path) -> Path:
    return root / environment.overlay / "version" / "kustomization.yaml"


def _unclear(file: Path, root: Path, error: Exception) -> DeliveryError:
    what = f"{file.relative_to(root)} does not name the image {NAME} once"
    return DeliveryError(f"{what}; `git diff` shows why: {' '.join(str(error).split())}")


def _scalar(text: str) -> str:
    """A text as YAML has it, in quotes where it would be a number or a date without them."""
    return yaml.safe_dump(text, width=1000).partition("\n")[0]


def _write(folder: Path, version: str, kind: str, **fields: object) -> None:
    content = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, **fields}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

"""The rendered overlays, as ManifestSets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from policy_tests.manifests import Manifest, ManifestError, ManifestSet, read_manifests

ROOT = Path(__file__).resolve().parent.parent
# In the order of promotion.
ENVIRONMENTS = ("dev", "homolog", "preprod", "prod")
DECLARED = ROOT / "base" / "mysql" / "secret-example.yaml"


def kustomize() -> list[str]:
    """The command that renders an overlay; raises ManifestError when neither kustomize nor kubectl is there."""
    if program := shutil.which("kustomize"):
        return [program, "build"]
    beside = Path(sys.executable).with_name("kubectl.exe" if os.name == "nt" else "kubectl")
    if program := str(beside) if beside.exists() else shutil.which("kubectl"):
        return [program, "kustomize"]
    raise ManifestError("neither kustomize nor kubectl is on the PATH; run `make policy`, which installs kubectl")


def render(environment: str) -> str:
    """The YAML of `overlays/<environment>`; raises ManifestError."""
    overlay = f"overlays/{environment}"
    done = subprocess.run([*kustomize(), overlay], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ManifestError(f"{overlay} does not render: {done.stderr.strip()}")
    return done.stdout


def read_environments() -> dict[str, ManifestSet]:
    """Every overlay, rendered once, each knowing the others; raises ManifestError."""
    with ThreadPoolExecutor() as pool:
        texts = dict(zip(ENVIRONMENTS, pool.map(render, ENVIRONMENTS), strict=True))
    sets = {name: read_manifests(text, f"overlays/{name}") for name, text in texts.items()}
    return together(sets, read_manifests(DECLARED.read_text(), str(DECLARED.relative_to(ROOT))))


def together(sets: dict[str, tuple[Manifest, ...]], declared: tuple[Manifest, ...]) -> dict[str, ManifestSet]:
    """The environments, each knowing the others; what is declared for all is declared in each one's namespace."""
    environments: dict[str, ManifestSet] = {}
    for name, manifests in sets.items():
        environments[name] = ManifestSet(name, manifests, environments, _into(f"school-scheduler-{name}", declared))
    return environments


def _into(namespace: str, manifests: tuple[Manifest, ...]) -> tuple[Manifest, ...]:
    return tuple(
        Manifest({**manifest.body, "metadata": {**manifest.body["metadata"], "namespace": namespace}})
        for manifest in manifests
    )


def read_path(path: str) -> dict[str, ManifestSet]:
    """The sets of `--manifests`: a file, a folder in which each file is one set, or `-`; raises ManifestError."""
    if path == "-":
        return {"stdin": ManifestSet("stdin", read_manifests(sys.stdin.read(), "standard input"))}
    place = Path(path)
    if not place.exists():
        raise ManifestError(f"{path}: there is no such file or folder")
    if place.is_file():
        return {place.name: ManifestSet(place.name, read_manifests(place.read_text(), path))}
    files = sorted(file for file in place.rglob("*") if file.suffix in (".yaml", ".yml", ".json"))
    if not files:
        raise ManifestError(f"{path}: nothing to check; give it files that end in .yaml, .yml or .json")
    names = {str(file.relative_to(place)): file for file in files}
    return {name: ManifestSet(name, read_manifests(file.read_text(), str(file))) for name, file in names.items()}

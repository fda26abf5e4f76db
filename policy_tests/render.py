"""The rendered overlays, and what `--manifests` names, as ManifestSets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policy_tests.environment import ROOT, Environment, find, read_list
from policy_tests.manifests import (
    KUBERNETES,
    Finding,
    Manifest,
    ManifestError,
    ManifestSet,
)
from policy_tests.packages import KUBECTL
from policy_tests.reader import read_documents, read_manifests

# What people make by hand, for all environments.
DECLARED = "*/*/secret-example.yaml"
Versions = tuple[str, ...]


def kustomize() -> list[str]:
    """The command that renders an overlay; raises ManifestError when neither kustomize nor kubectl is there."""
    if program := shutil.which("kustomize"):
        return [program, "build"]
    beside = Path(sys.executable).with_name("kubectl.exe" if os.name == "nt" else "kubectl")
    if program := str(beside) if beside.exists() else shutil.which("kubectl"):
        return [program, "kustomize"]
    raise ManifestError(f"neither kustomize nor kubectl is on the PATH; run `{KUBECTL}`, or install either")


def render(overlay: str, root: Path = ROOT) -> str:
    """The YAML of a folder of the checkout; raises ManifestError."""
    # Four short runs at once have memory to spare, and Go's garbage collector takes a third of their time.
    options = {**os.environ, "GOGC": os.environ.get("GOGC", "off")}
    done = subprocess.run([*kustomize(), overlay], cwd=root, env=options, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ManifestError(f"{overlay} does not render: {done.stderr.strip()}")
    return done.stdout


def read_environments(root: Path = ROOT, versions: Versions = KUBERNETES) -> dict[str, ManifestSet]:
    """Every overlay of a checkout, rendered once, each knowing the others; raises ManifestError."""
    listed = read_list(root)
    with ThreadPoolExecutor() as pool:
        texts = list(pool.map(lambda environment: render(environment.overlay, root), listed.values()))
    declared = _declared(root)
    environments: dict[str, ManifestSet] = {}
    for (name, environment), text in zip(listed.items(), texts, strict=True):
        environments[name] = ManifestSet(
            name,
            read_manifests(text, environment.overlay),
            environment,
            environments,
            declared=_into(environment.namespace, declared),
            released=released(environment, root),
            kubernetes=versions,
        )
    return environments


def as_environment(
    given: Mapping[str, ManifestSet | ManifestError], names: Sequence[str]
) -> dict[str, ManifestSet | ManifestError]:
    """One given set as the render of the environment `names[0]`, which is compared with no other."""
    sets = list(given.values())
    if len(names) != 1 or len(sets) != 1 or isinstance(sets[0], ManifestError):
        raise ManifestError("--env with --manifests says whose render it is; give one environment and one file")
    environment = find(names[0])
    declared = _into(environment.namespace, _declared(ROOT))
    environments: dict[str, ManifestSet] = {}
    environments[environment.name] = replace(
        sets[0], name=environment.name, environment=environment, environments=environments, declared=declared
    )
    return {**environments}


def _declared(root: Path) -> tuple[Manifest, ...]:
    files = sorted(root.glob(DECLARED))
    read = (read_manifests(file.read_text(), file.relative_to(root).as_posix()) for file in files)
    return tuple(each for manifests in read for each in manifests)


def _into(namespace: str, manifests: tuple[Manifest, ...]) -> tuple[Manifest, ...]:
    """What is declared for all environments, declared in one's namespace."""
    return tuple(
        Manifest({**manifest.body, "metadata": {**manifest.body["metadata"], "namespace": namespace}})
        for manifest in manifests
    )


def released(environment: Environment, root: Path = ROOT) -> frozenset[str]:
    """The image digests that the environment's version file ever held, as far as the checkout's history goes."""
    if not shutil.which("git"):
        return frozenset()
    command = ["git", "log", "--patch", "--format=", "--", f"{environment.overlay}/version"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return frozenset(re.findall(r"(?m)^\+.*\b(sha256:[0-9a-f]{64})\b", done.stdout))


def read_path(path: str, versions: Versions = KUBERNETES) -> dict[str, ManifestSet | ManifestError]:
    """The sets of `--manifests`: a file, a folder in which each file is one set, or `-`; raises ManifestError.

    A file of a folder that cannot be read stands there as its error, so that the other files are checked.
    """
    if path == "-":
        return {"stdin": ManifestSet("stdin", read_manifests(sys.stdin.read(), "standard input"), kubernetes=versions)}
    place = Path(path)
    if not place.exists():
        raise ManifestError(f"{path}: there is no such file or folder")
    if place.is_file():
        return {place.name: ManifestSet(place.name, _read(place), kubernetes=versions)}
    files = sorted(file for file in place.rglob("*") if file.suffix in (".yaml", ".yml", ".json"))
    if not files:
        raise ManifestError(f"{path}: nothing to check; give it files that end in .yaml, .yml or .json")
    sets: dict[str, ManifestSet | ManifestError] = {}
    for file in files:
        name = file.relative_to(place).as_posix()
        try:
            sets[name] = ManifestSet(name, _read(file), kubernetes=versions)
        except ManifestError as error:
            sets[name] = error
    return sets


def _read(file: Path) -> tuple[Manifest, ...]:
    try:
        return read_manifests(file.read_text(encoding="utf-8-sig"), str(file))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}:1: not UTF-8 text: {error.reason}") from None


def place(finding: Finding) -> tuple[str, int]:
    """(file, line) of what a finding is about: where it was read, or the source of a rendered overlay's object."""
    manifest = finding.manifest
    file, line = manifest.source, manifest.line
    if file in {environment.overlay for environment in read_list().values()}:
        file, line = _source(manifest.kind, re.sub(r"-[a-z0-9]{10}$", "", manifest.name), file)
    text = Path(file) if Path(file).is_absolute() or not (ROOT / file).exists() else ROOT / file
    return file, _line(text, line, finding.path) if text.is_file() else line


@cache
def _sources() -> dict[tuple[str, str], tuple[str, int]]:
    """(file, line) of every object, by kind and name, and of every generated ConfigMap."""
    sources: dict[tuple[str, str], tuple[str, int]] = {}
    files = sorted(file for folder in ("overlays", "components", "base") for file in (ROOT / folder).rglob("*.yaml"))
    for file in files:
        text, path = file.read_text(), file.relative_to(ROOT).as_posix()
        for document, line, _ in read_documents(text, path):
            if isinstance(document, dict) and isinstance(name := (document.get("metadata") or {}).get("name"), str):
                sources[str(document.get("kind")), name] = path, line
                sources.setdefault((str(document.get("kind")), ""), (path, line))
        if file.name == "kustomization.yaml" and "base" in file.parts:
            for match in re.finditer(r"(?m)^ *- name: (\S+)$", text):
                sources.setdefault(("ConfigMap", match[1]), (path, text[: match.start()].count("\n") + 1))
    return sources


def _source(kind: str, name: str, overlay: str) -> tuple[str, int]:
    known = _sources()
    anywhere = known.get((kind, "")) if kind == "Namespace" else None
    return known.get((kind, name)) or anywhere or (f"{overlay}/kustomization.yaml", 1)


@cache
def _nodes(file: Path) -> list[Any]:
    return list(yaml.compose_all(file.read_text(encoding="utf-8-sig"), yaml.CSafeLoader))


def _line(file: Path, line: int, path: str) -> int:
    """The line of the deepest part of the path that the object which begins on `line` has."""
    documents = [node for node in _nodes(file) if node is not None]
    listed = [item for node in documents for item in _children(node, "items")]
    here = next((node for node in (*listed, *documents) if node.start_mark.line + 1 == line), None)
    for step in re.findall(r"(?<=\[)[^\]]*(?=\])|[^.\[\]]+", path):
        inside = None
        if isinstance(here, yaml.MappingNode):
            inside = next((pair for pair in here.value if pair[0].value == step), None)
        elif isinstance(here, yaml.SequenceNode):
            named = [(child, child) for index, child in enumerate(here.value) if step in (_name(child), str(index))]
            inside = named[0] if named else None
        if inside is None:
            break
        line, here = inside[0].start_mark.line + 1, inside[1]
    return line


def _children(node: Any, key: str) -> list[Any]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return [
        item for name, value in pairs if name.value == key and isinstance(value.value, list) for item in value.value
    ]


def _name(node: Any) -> str | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value.value for key, value in pairs if key.value == "name"), None)

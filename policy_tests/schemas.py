"""Kubernetes' own JSON schemas, from the package kubernetes-validate, read once a version instead of once an object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from policy_tests.manifests import BUILT_IN_GROUPS, Body, Manifest

# Found without importing the package, which takes as long as all rules together.
PACKAGE = find_spec("kubernetes_validate")
if PACKAGE is None or PACKAGE.origin is None:
    raise ModuleNotFoundError("No module named 'kubernetes_validate'", name="kubernetes_validate")
FOLDER = Path(PACKAGE.origin).with_name("kubernetes-json-schema")
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
Error = tuple[str, object, str]
# The steps to a place, the last one first: (((), "spec"), "replicas").
Way = tuple[Any, ...]
SHAPES: dict[int, Shape] = {}
# Still served, but to be removed; https://kubernetes.io/docs/reference/using-api/deprecation-guide/
DEPRECATED = {("v1", "Endpoints"): "discovery.k8s.io/v1", ("v1", "ComponentStatus"): None}
# Kinds that went without a successor, or to another name.
GONE = {"PodSecurityPolicy": "label namespaces for Pod Security Admission"}


def supported() -> list[str]:
    """The versions whose schemas the package has, oldest first."""
    found = [folder.name[1:].removesuffix(".0-local-strict") for folder in FOLDER.glob("v*-local-strict")]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


@cache
def read(version: str, file: str) -> Any:
    return json.loads((FOLDER / f"v{version}.0-local-strict" / file).read_text())


@cache
def _files(version: str) -> dict[str, list[str]]:
    """The schema files of each kind, in lower case; a file without a group or version in its name is no object's."""
    files: dict[str, list[str]] = {}
    for path in sorted((FOLDER / f"v{version}.0-local-strict").glob("*-*.json")):
        files.setdefault(path.name.partition("-")[0], []).append(path.name)
    return files


def _kinds(file: str, version: str) -> list[dict[str, str]]:
    kinds: list[dict[str, str]] = read(version, file).get("x-kubernetes-group-version-kind", [])
    return kinds


@cache
def kind_schemas(kind: str, version: str) -> dict[str, Any]:
    """The schema of each apiVersion that serves the kind, the stable ones first."""
    found = {}
    for file in _files(version).get(kind.lower(), []):
        for served in _kinds(file, version):
            if served["kind"] == kind:
                found["/".join(filter(None, (served["group"], served["version"])))] = read(version, file)
    return dict(sorted(found.items(), key=lambda entry: ("alpha" in entry[0], "beta" in entry[0])))


@cache
def resources_served(version: str) -> dict[str, set[str]]:
    """The groups of each resource, by the name that the API's addresses and RBAC have for it: `deployments`."""
    files = _files(version)
    # What can be listed, or is an answer to whoever creates it.
    kinds = [kind for kind in files if f"{kind}list" in files or kind.endswith("review")]
    return {_plural(kind): {each["group"] for file in files[kind] for each in _kinds(file, version)} for kind in kinds}


def _plural(kind: str) -> str:
    if kind.endswith("y") and kind[-2] not in "aeiou":
        return f"{kind[:-1]}ies"
    return kind if kind == "endpoints" else f"{kind}es" if kind.endswith(("s", "x", "ch")) else f"{kind}s"


@dataclass
class Shape:
    """A schema made ready: what a value of it may be, and the schemas of what is in it."""

    types: frozenset[type]
    wanted: str
    choices: list[Body]
    enum: list[object] | None
    required: list[str]
    known: Body
    others: Body | bool
    items: Body | None


@lru_cache(maxsize=4096)
def errors(manifest: Manifest, version: str) -> tuple[Error, ...]:
    """(path, value, what is wrong) of all that Kubernetes `version` would refuse, unknown fields included."""
    found: list[Error] = []
    if schema := kind_schemas(manifest.kind, version).get(manifest.body["apiVersion"]):
        _check(schema, manifest.body, (), version, found)
    return tuple(found)


def _check(schema: Body, value: object, way: Way, version: str, found: list[Error]) -> None:
    """The part of JSON Schema that Kubernetes' schemas use, much faster than the package jsonschema."""
    shape = SHAPES.get(id(schema)) or _shape(schema, version)
    if shape.choices:
        if sum(not _refused(choice, value, version) for choice in shape.choices) != 1:
            found.append((_path(way), value, f"is neither {' nor '.join(str(c.get('type')) for c in shape.choices)}"))
    elif shape.types and type(value) not in shape.types:
        found.append((_path(way), value, f"is no {shape.wanted}"))
    elif shape.enum and value is not None and value not in shape.enum:
        found.append((_path(way), value, f"is none of {', '.join(map(str, shape.enum))}"))
    elif isinstance(value, dict):
        found += [(_path((way, name)), None, "is required") for name in shape.required if name not in value]
        for name, child in value.items():
            inner = shape.known.get(name, shape.others)
            if isinstance(inner, dict):
                _check(inner, child, (way, name), version, found)
            elif not inner:
                like = get_close_matches(str(name), shape.known, n=1)
                message = f"is no field; is {like[0]} meant?" if like else "is no field"
                found.append((_path((way, name)), child, message))
    elif isinstance(value, list) and shape.items is not None:
        for index, child in enumerate(value):
            _check(shape.items, child, (way, index), version, found)


def _refused(schema: Body, value: object, version: str) -> bool:
    found: list[Error] = []
    _check(schema, value, (), version, found)
    return bool(found)


def _shape(schema: Body, version: str) -> Shape:
    """The shape of a schema, which lives, at its address, as long as the process does."""
    target = schema
    while reference := target.get("$ref"):
        target = read(version, "_definitions.json")["$defs"][reference.rpartition("/")[2]]
    given = target.get("type", "object" if "properties" in target else [])
    names = [given] if isinstance(given, str) else given
    shape = Shape(
        frozenset(type for name in names for type in TYPES[name]),
        " or ".join(name for name in names if name != "null"),
        target.get("oneOf", []),
        target.get("enum"),
        target.get("required", []),
        target.get("properties", {}),
        target.get("additionalProperties", True),
        target.get("items"),
    )
    SHAPES[id(schema)] = shape
    return shape


def _path(way: Way) -> str:
    steps: list[object] = []
    while way:
        way, step = way
        steps.append(step)
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(steps)).lstrip(".")


def unserved(manifest: Manifest, version: str) -> str:
    """What is wrong with apiVersion and kind in Kubernetes `version`; empty for what it serves and custom resources."""
    api_version, kind = manifest.body["apiVersion"], manifest.kind
    served = kind_schemas(kind, version)
    if api_version in served:
        stable = next(iter(served))
        newer = stable if stable.partition("/")[0] == api_version.partition("/")[0] and "beta" not in stable else None
        if (api_version, kind) in DEPRECATED or (newer and newer != api_version and "beta" in api_version):
            return f"is deprecated in Kubernetes {version}; use {DEPRECATED.get((api_version, kind)) or newer}"
        return ""
    if manifest.custom_group and not get_close_matches(manifest.custom_group, BUILT_IN_GROUPS, cutoff=0.88):
        return ""
    if served:
        remedy = f"use {' or '.join(served)}"
    else:
        like = get_close_matches(kind.lower(), _files(version), n=1, cutoff=0.8)
        meant = [kinds["kind"] for file in _files(version)[like[0]] for kinds in _kinds(file, version)] if like else []
        remedy = GONE.get(kind) or (f"is {meant[0]} meant?" if meant else "a custom resource's group has a dot in it")
    return f"Kubernetes {version} serves no {kind} in {api_version}; {remedy}"

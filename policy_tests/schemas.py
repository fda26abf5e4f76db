"""Kubernetes' own JSON schemas, from the package kubernetes-validate, read once a version instead of once an object."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from kubernetes_validate import utils
from referencing import Registry, Resource

from policy_tests.manifests import Manifest

# The oldest version that the project is tried on (docs/cluster.md), and the newest whose schemas the package has.
OLDEST, NEWEST = "1.34", "1.37"


@cache
def _definitions(version: str) -> Resource[Any]:
    return Resource.from_contents(utils.schema_contents(f"{_folder(version)}/_definitions.json", version))


def _folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}.0-local-strict"


@cache
def _validator(api_version: str, kind: str, version: str) -> Draft202012Validator | None:
    group, _, name = api_version.rpartition("/")
    file = f"{kind.lower()}-{group.partition('.')[0]}{'-' if group else ''}{name}.json"
    try:
        schema = utils.schema_contents(f"{_folder(version)}/{file}", version)
    except FileNotFoundError:
        return None
    registry: Registry[Any] = _definitions(version) @ Registry()
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry)


def errors(manifest: Manifest, version: str) -> list[str]:
    """What Kubernetes `version` would refuse in the object, unknown fields included, as `PATH: what is wrong`."""
    api_version = manifest.body["apiVersion"]
    validator = _validator(api_version, manifest.kind, version)
    if validator is None:
        return [f"Kubernetes {version} has no {manifest.kind} in {api_version}; it was removed, misspelt or is a CRD"]
    found = validator.iter_errors(manifest.body)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]

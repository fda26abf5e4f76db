"""jsonschema agrees on what the schemas refuse."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

from policy_tests import schemas
from policy_tests.manifests import KUBERNETES, Manifest, ManifestSet
from policy_tests.reader import read_manifests
from tests.policy.mutations import apply, read_examples


def jsonschema_accepts(manifest: Manifest, version: str) -> bool:
    schema = schemas.kind_schemas(manifest.kind, version)[manifest.body["apiVersion"]]
    definitions = Resource.from_contents(schemas.read(version, "_definitions.json"))
    return bool(Draft202012Validator(schema, registry=definitions @ Registry()).is_valid(manifest.body))


def test_jsonschema_agrees(sets: dict[str, ManifestSet]) -> None:
    version = KUBERNETES[-1]
    known = set(sets["prod"].manifests)
    kinds = {manifest.kind: manifest for manifest in known}
    faults = [apply(example, sets) for example in read_examples() if example.rule == "schema-valid"]
    changed = [each for manifests in faults for each in manifests.manifests if each not in known]
    objects = [each for each in (*kinds.values(), *changed) if not each.custom_group]
    assert any(schemas.errors(each, version) for each in objects)
    for each in objects:
        assert (not schemas.errors(each, version)) == jsonschema_accepts(each, version), str(each)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("{replicas: three}", ("spec.replicas", "is no integer")),
        ("{paused: 1}", ("spec.paused", "is no boolean")),
        ("{replica: 3}", ("spec.replica", "is no field; is replicas meant?")),
        ("{template: {spec: {containers: [{image: a}]}}}", ("spec.template.spec.containers[0].name", "is required")),
    ],
)
def test_what_is_refused_is_said_with_its_place(spec: str, found: tuple[str, str]) -> None:
    text = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec: {spec}\n"
    (deployment,) = read_manifests(text, "x")
    assert found in {(path, message) for path, _, message in schemas.errors(deployment, KUBERNETES[-1])}

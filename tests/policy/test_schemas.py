"""jsonschema agrees on what the schemas refuse."""

from __future__ import annotations

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

from policy_tests import schemas
from policy_tests.manifests import KUBERNETES, Manifest, ManifestSet
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

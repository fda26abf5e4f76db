"""Others agree: checkov, but for what waivers.yaml accepts, and jsonschema, on what the schemas refuse."""

from __future__ import annotations

import pytest

from policy_tests import schemas
from policy_tests.checkov import Failure
from policy_tests.conftest import CHECKOV
from policy_tests.manifests import KUBERNETES, Manifest, ManifestError, ManifestSet
from policy_tests.mutations import apply, read_examples
from policy_tests.waivers import Waiver, waived


def jsonschema_accepts(manifest: Manifest, version: str) -> bool:
    # Imported here, for checkov to start earlier.
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from referencing import Registry, Resource

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


@pytest.fixture(scope="module")
def failures(pytestconfig: pytest.Config) -> list[Failure]:
    try:
        return pytestconfig.stash[CHECKOV].result()
    except ManifestError as error:
        pytest.fail(str(error), pytrace=False)


def test_checkov_finds_nothing_that_is_not_waived(failures: list[Failure], waivers: tuple[Waiver, ...]) -> None:
    assert [failure for failure in failures if not waived(waivers, failure.rule, failure.object)] == []


def test_every_waiver_of_a_checkov_rule_is_used(failures: list[Failure], waivers: tuple[Waiver, ...]) -> None:
    theirs = [waiver for waiver in waivers if waiver.rule.startswith("CKV")]
    assert [waiver for waiver in theirs if not any(waiver.covers(each.rule, each.object) for each in failures)] == []

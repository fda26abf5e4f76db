"""Every rule, in every environment."""

from __future__ import annotations

import pytest

from policy_tests import schemas
from policy_tests.manifests import ManifestSet
from policy_tests.rule import Rule, explain
from policy_tests.waivers import Waiver, waived


def test_rule(name: str, rule: Rule, manifests: ManifestSet, waivers: tuple[Waiver, ...]) -> None:
    try:
        found = list(rule.check(manifests))
    except (AttributeError, TypeError):
        if not any(schemas.errors(manifest, schemas.NEWEST) for manifest in manifests.manifests):
            raise
        pytest.fail(f"{name} has a field of the wrong type, so this rule cannot tell; see test_schema", pytrace=False)
    findings = [
        explain(rule, name, finding) for finding in found if not waived(waivers, rule.id, f"{name}/{finding.manifest}")
    ]
    if findings:
        pytest.fail("\n".join(findings), pytrace=False)


@pytest.mark.parametrize("version", [schemas.OLDEST, schemas.NEWEST])
def test_schema(name: str, manifests: ManifestSet, version: str) -> None:
    objects = manifests.manifests
    errors = [f"{name} {manifest} {error}" for manifest in objects for error in schemas.errors(manifest, version)]
    if errors:
        pytest.fail("\n".join(errors), pytrace=False)

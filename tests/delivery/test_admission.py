from __future__ import annotations

import pytest

from policy_tests.check import check
from policy_tests.manifests import ManifestSet, matches
from policy_tests.reader import read_manifests
from policy_tests.render import render
from policy_tests.rule import explain


def rendered(folder: str) -> ManifestSet:
    return ManifestSet(folder, read_manifests(render(folder), folder))


@pytest.fixture(scope="module")
def admission() -> ManifestSet:
    return rendered("admission")


def test_every_rule_holds(admission: ManifestSet) -> None:
    assert [explain(rule, admission.name, finding) for rule, finding in check(admission)] == []


def test_every_namespace_of_ours_is_selected(admission: ManifestSet) -> None:
    namespaces = [each for folder in ("base/namespace", "observability") for each in rendered(folder).of("Namespace")]
    assert len(namespaces) == 3
    for binding in admission.of("ValidatingAdmissionPolicyBinding"):
        selector = binding.spec["matchResources"]["namespaceSelector"]
        assert all(matches(selector, each.labels) for each in namespaces)
        assert not matches(selector, {"kubernetes.io/metadata.name": "kube-system"})

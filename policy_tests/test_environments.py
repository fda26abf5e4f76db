"""Every rule, in every environment or given set."""

from __future__ import annotations

import pytest

from policy_tests.check import check
from policy_tests.conftest import FOUND, UNCHECKED
from policy_tests.manifests import ManifestSet
from policy_tests.rule import explain
from policy_tests.waivers import Waiver


def test_rules(name: str, manifests: ManifestSet, waivers: tuple[Waiver, ...], pytestconfig: pytest.Config) -> None:
    found = list(check(manifests, waivers))
    pytestconfig.stash[FOUND] += [(name, rule, finding) for rule, finding in found]
    pytestconfig.stash[UNCHECKED] |= {manifest.type for manifest in manifests.manifests if manifest.custom_group}
    if found:
        pytest.fail("\n".join(explain(rule, name, finding) for rule, finding in found), pytrace=False)

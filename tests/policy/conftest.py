"""The rendered environments, and what the rules find in them."""

from __future__ import annotations

import pytest

from policy_tests.check import check
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.render import read_environments
from policy_tests.rule import RULES

Known = dict[tuple[str, str], list[Finding]]


@pytest.fixture(scope="session")
def sets() -> dict[str, ManifestSet]:
    return read_environments()


@pytest.fixture(scope="session")
def known(sets: dict[str, ManifestSet]) -> Known:
    """What each rule finds in each environment, waived or not."""
    found: Known = {(rule, name): [] for rule in RULES for name in sets}
    for name, manifests in sets.items():
        for rule, finding in check(manifests):
            found[rule.id, name].append(finding)
    return found

"""checkov agrees, but for what waivers.yaml accepts."""

from __future__ import annotations

from collections import Counter

import pytest

from policy_tests.checkov import Report
from policy_tests.conftest import CHECKOV
from policy_tests.manifests import ManifestError
from policy_tests.waivers import Waiver, waived


@pytest.fixture(scope="module")
def report(pytestconfig: pytest.Config) -> Report:
    future = pytestconfig.stash[CHECKOV]
    if isinstance(error := future.exception(), ManifestError):
        pytest.fail(str(error), pytrace=False)
    return future.result()


def test_checkov_finds_nothing_that_is_not_waived(report: Report, waivers: tuple[Waiver, ...]) -> None:
    found = [failure for failure in report.failures if not waived(waivers, failure.rule, failure.object)]
    if found and report.drift:
        # Older versions have mistakes that were mended, newer ones rules that nobody has looked at.
        rules = Counter(failure.rule for failure in found)
        findings = ", ".join(f"{rule} in {number} objects" for rule, number in rules.items())
        pytest.skip(f"{report.drift}, which counts; it finds {findings}")
    assert found == []


def test_every_waiver_of_a_checkov_rule_is_used(report: Report, waivers: tuple[Waiver, ...]) -> None:
    theirs = [waiver for waiver in waivers if waiver.rule.startswith("CKV")]
    unused = [waiver for waiver in theirs if not any(waiver.covers(each.rule, each.object) for each in report.failures)]
    if unused and report.drift:
        pytest.skip(f"{report.drift}, which needs more waivers")
    assert unused == []

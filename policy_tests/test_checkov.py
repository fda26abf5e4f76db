"""checkov agrees, but for what waivers.yaml accepts."""

from __future__ import annotations

import pytest

from policy_tests.checkov import Failure
from policy_tests.conftest import CHECKOV
from policy_tests.manifests import ManifestError
from policy_tests.waivers import Waiver, waived


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

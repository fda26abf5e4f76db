"""Every waiver is in force and needed."""

from __future__ import annotations

from datetime import UTC, datetime

# Importing the package registers the rules.
import policy_tests.rules  # noqa: F401
from policy_tests.manifests import ManifestSet
from policy_tests.rule import RULES
from policy_tests.waivers import Waiver


def test_no_waiver_has_expired(waivers: tuple[Waiver, ...]) -> None:
    assert [waiver for waiver in waivers if waiver.expires < datetime.now(UTC).date()] == []


def test_every_waiver_of_our_own_rules_is_used(waivers: tuple[Waiver, ...], sets: dict[str, ManifestSet]) -> None:
    ours = [waiver for waiver in waivers if not waiver.rule.startswith("CKV")]
    assert [waiver for waiver in ours if not _used(waiver, sets)] == []


def _used(waiver: Waiver, sets: dict[str, ManifestSet]) -> bool:
    found = ((name, finding) for name, each in sets.items() for finding in RULES[waiver.rule].check(each))
    return any(waiver.covers(waiver.rule, f"{name}/{finding.manifest}") for name, finding in found)


def test_every_waiver_is_of_a_rule_that_exists(waivers: tuple[Waiver, ...]) -> None:
    assert {waiver.rule for waiver in waivers if not waiver.rule.startswith("CKV")} <= set(RULES)

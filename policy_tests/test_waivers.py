"""A waiver is complete, in force and needed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy_tests.manifests import ManifestError, ManifestSet
from policy_tests.rule import RULES
from policy_tests.waivers import Waiver, read_waivers, waived


def test_no_waiver_has_expired(waivers: tuple[Waiver, ...]) -> None:
    assert [waiver for waiver in waivers if waiver.expires < datetime.now(UTC).date()] == []


def test_every_waiver_of_our_own_rules_is_used(waivers: tuple[Waiver, ...], sets: dict[str, ManifestSet]) -> None:
    ours = [waiver for waiver in waivers if not waiver.rule.startswith("CKV")]
    found = {
        (rule.id, f"{name}/{finding.manifest}")
        for rule in RULES.values()
        for name, manifests in sets.items()
        for finding in rule.check(manifests)
    }
    assert [waiver for waiver in ours if not any(waiver.covers(rule, object) for rule, object in found)] == []


def test_a_waiver_covers_its_own_rule_and_objects_only(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text('- {rule: probes-liveness, object: "*/Deployment/worker", reason: none, expires: 2027-01-31}')
    waivers = read_waivers(file)
    assert waived(waivers, "probes-liveness", "prod/Deployment/worker")
    assert not waived(waivers, "probes-liveness", "prod/Deployment/web")
    assert not waived(waivers, "probes-readiness", "prod/Deployment/worker")


def test_a_waiver_without_a_reason_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text('- {rule: probes-liveness, object: "*/Deployment/worker", expires: 2027-01-31}')
    with pytest.raises(ManifestError, match=r"waivers.yaml.*a waiver has exactly expires, object, reason, rule"):
        read_waivers(file)

"""A waiver covers what it names and nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from policy_tests.check import check
from policy_tests.manifests import Manifest, ManifestError, ManifestSet
from policy_tests.waivers import Waiver, read_waivers, waived


def test_a_waiver_covers_its_own_rule_and_objects_only(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text('- {rule: probes-liveness, object: "*/Deployment/worker", reason: none, expires: 2027-01-31}')
    waivers = read_waivers(file)
    assert waived(waivers, "probes-liveness", "prod/Deployment/worker")
    assert not waived(waivers, "probes-liveness", "prod/Deployment/school-scheduler")
    assert not waived(waivers, "probes-readiness", "prod/Deployment/worker")


@pytest.mark.parametrize(("namespace", "found"), [("school-scheduler-prod", 0), ("elsewhere", 1)])
def test_a_waiver_covers_no_namesake_elsewhere(namespace: str, found: int) -> None:
    metadata = {"name": "deployer", "namespace": namespace}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata}
    reading = Manifest({**role, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]})
    waiver = Waiver("access-no-secret-reading", "*/Role/deployer", "none", date(2999, 1, 31))
    assert len(list(check(ManifestSet("x", (reading,)), [waiver]))) == found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("expires: 2027-01-31", "a waiver has exactly expires, object, reason, rule"),
        ("expires: 2027-01-31, reason: ''", "a waiver has exactly expires, object, reason, rule"),
        ("expires: soon, reason: none", "expires is a date"),
    ],
)
def test_an_incomplete_waiver_is_refused(tmp_path: Path, fields: str, message: str) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(f'- {{rule: probes-liveness, object: "*/Deployment/worker", {fields}}}')
    with pytest.raises(ManifestError, match=f"waivers.yaml.*{message}"):
        read_waivers(file)

"""What rules find only in manifests from elsewhere, where other customs are fair than in this project's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_tests.check import check
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.reader import read_manifests
from policy_tests.render import read_path
from policy_tests.rule import RULES
from tests.policy.test_rules import FOREIGN

PRIVATE = "[10.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]"
FAULTS = {
    "network-dns-allowed": ("{port: 53, protocol: UDP}", "{port: 5353, protocol: UDP}"),
    "network-policies-not-open": (f"cidr: 0.0.0.0/0, except: {PRIVATE}", "cidr: 0.0.0.0/1"),
    "network-services-let-in": ("ports: [{port: admission}]", "ports: [{port: http}]"),
    "gateway-grants": ("{name: berths, port: 80}", "{name: dns, namespace: kube-system, port: 53}"),
    "gateway-own-routes": ("protocol: HTTPS", "protocol: HTTPS\n      allowedRoutes: {namespaces: {from: All}}"),
    "gateway-routes-attach": ("parentRefs: [{name: harbour, sectionName: https}]", "parentRefs: [{name: harbor}]"),
    "references-custom-resources": ("{app: berths}}\n  end", "{app: berth}}\n  end"),
    "webhooks-service": ("namespace: harbour, path: /judge", "namespace: harbor, path: /judge"),
}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_fault_is_found_in_manifests_from_elsewhere(rule: str, tmp_path: Path) -> None:
    right, wrong = FAULTS[rule]
    text = (FOREIGN / "harbour.yaml").read_text()
    assert right in text
    file = tmp_path / "harbour.yaml"
    file.write_text(text.replace(right, wrong))
    (manifests,) = read_path(str(file)).values()
    assert isinstance(manifests, ManifestSet)
    assert rule in {reported.id for reported, _ in check(manifests)}


def found(rule: str, text: str) -> list[Finding]:
    return list(RULES[rule].check(ManifestSet("house", read_manifests(text, "house.yaml"))))


def test_secrets_in_the_environment_are_fair_where_nobody_mounts_them() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  containers: [{name: one, env: [%s]}]\n"
    secret = "{name: KEY, valueFrom: {secretKeyRef: {name: door, key: key}}}"
    pods = (pod % (name, env) for name, env in (("a", secret), ("b", ""), ("c", "")))
    assert found("secrets-as-files", "---\n".join(pods)) == []


@pytest.mark.parametrize(("selector", "findings"), [("{matchLabels: {app: a}}", 0), ("{}", 1)])
def test_denying_is_asked_of_a_namespace_that_has_policies_for_all_its_pods(selector: str, findings: int) -> None:
    text = f"""\
{{apiVersion: v1, kind: Namespace, metadata: {{name: house}}}}
---
{{apiVersion: v1, kind: Pod, metadata: {{name: a, namespace: house, labels: {{app: a}}}}, spec: {{containers: []}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: quiet, namespace: house}}
spec: {{podSelector: {selector}, policyTypes: [Egress]}}
"""
    assert len(found("network-default-deny", text)) == findings

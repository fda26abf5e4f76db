from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from delivery.render import Render
from delivery.shell import ROOT
from policy_tests.check import check
from policy_tests.manifests import ManifestSet
from policy_tests.reader import read_manifests
from policy_tests.render import as_environment, render
from policy_tests.rule import explain
from policy_tests.rules.references import secrets_made
from policy_tests.waivers import read_waivers

COMPONENT = "app.kubernetes.io/component"
CLIENTS = ("web", "worker", "generation", "accounts", "backup", "restore")


def rendered(name: str, folder: Path, *patches: dict[str, Any]) -> str:
    """Production with one more component, and patches of what that brings."""
    root = os.path.relpath(ROOT, folder)
    content = {
        "namespace": "school-scheduler-prod",
        "resources": [f"{root}/overlays/prod"],
        "components": [f"{root}/components/{name}"],
        "labels": [{"pairs": {"environment": "prod"}}],
        "patches": [
            {"patch": yaml.safe_dump(patch), "target": {"kind": patch["kind"], "name": patch["metadata"]["name"]}}
            for patch in patches
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return render(str(folder))


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return list(Render(rendered("external-mysql", tmp_path_factory.mktemp("external"))).objects)


def test_a_managed_database_leaves_nothing_of_our_own_but_what_the_restore_drill_starts_by(
    external: list[dict[str, Any]],
) -> None:
    names = {(each["kind"], each["metadata"]["name"].partition("-config-")[0]) for each in external}
    assert {name for name in names if name[1] == "mysql"} == {("ConfigMap", "mysql")}
    assert ("Job", "accounts") in names
    assert [each for each in external if each["metadata"].get("labels", {}).get(COMPONENT) == "credentials"] == []


def test_a_managed_database_is_reached_by_those_alone_that_need_it(external: list[dict[str, Any]]) -> None:
    policies = [each for each in external if each["kind"] == "NetworkPolicy"]
    open_to = {
        policy["metadata"]["name"]: rule["to"]
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        if {"protocol": "TCP", "port": 3306} in rule["ports"]
    }
    assert open_to == {name: [{"ipBlock": {"cidr": "192.0.2.0/24"}}] for name in CLIENTS}


def test_a_managed_database_still_renders_to_what_kubernetes_knows(external: list[dict[str, Any]]) -> None:
    for manifest in external:
        kubernetes_validate.validate(manifest, "1.34", strict=True)


# What an overlay adds, as docs/secrets.md has it; kubeseal writes a namespace, which the component gets later.
SEALED = {
    "apiVersion": "bitnami.com/v1alpha1",
    "kind": "SealedSecret",
    "metadata": {"name": "db-credentials", "namespace": "school-scheduler-prod"},
    "spec": {"encryptedData": {"password": "CIPHERTEXT"}},
}
VAULT = {
    "apiVersion": "external-secrets.io/v1",
    "kind": "SecretStore",
    "metadata": {"name": "vault"},
    "spec": {"provider": {"vault": {"server": "https://vault.example.org", "path": "school-scheduler-prod"}}},
}


@pytest.fixture(
    scope="module", params=[("sealed-secrets", SEALED), ("external-secrets", VAULT)], ids=lambda each: each[0]
)
def keeping(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ManifestSet:
    """Production whose Secrets come by a controller."""
    name, patch = request.param
    text = rendered(name, tmp_path_factory.mktemp(name), patch)
    given = ManifestSet("given", read_manifests(text, "overlays/prod"))
    environment = as_environment({"given": given}, ["prod"])["prod"]
    assert isinstance(environment, ManifestSet)
    return environment


def test_with_secrets_by_a_controller_every_rule_is_kept(keeping: ManifestSet) -> None:
    assert [explain(rule, "prod", finding) for rule, finding in check(keeping, read_waivers())] == []


def test_a_controller_makes_each_secret_that_is_not_the_certificate_s(keeping: ManifestSet) -> None:
    without_examples = ManifestSet("given", keeping.manifests)
    made = {name for _, name in secrets_made(without_examples)}
    assert made >= {"db-credentials", "backup"}


def test_the_controller_s_objects_have_fields_that_it_knows(keeping: ManifestSet) -> None:
    schemas = yaml.safe_load((Path(__file__).parent / "custom_resources.yaml").read_text())
    custom = [each for each in keeping.manifests if each.kind in schemas]
    assert len(custom) in (2, 3)
    for each in custom:
        Draft202012Validator(schemas[each.kind]).validate(each.body["spec"])


def test_where_a_controller_makes_secrets_the_deployer_brings_none(keeping: ManifestSet) -> None:
    role = keeping.find("Role", "secrets", "school-scheduler-prod")
    assert role and [group for rule in role.body["rules"] for group in rule["apiGroups"]] in (
        ["bitnami.com"],
        ["external-secrets.io"],
    )


def test_where_a_controller_makes_secrets_nothing_beside_it_adds_to_them(keeping: ManifestSet) -> None:
    assert [each.name for each in keeping.manifests if each.labels.get(COMPONENT) == "credentials"] == []


def test_an_overlay_s_patch_reaches_the_controller_s_object(keeping: ManifestSet) -> None:
    text = "\n".join(each.text for each in keeping.manifests if each.kind in ("SealedSecret", "SecretStore"))
    assert "CIPHERTEXT" in text or ("https://vault.example.org" in text and "kubernetes" in text)


def test_private_images_are_pulled_with_a_secret_by_every_account_and_every_rule_is_kept(tmp_path: Path) -> None:
    text = rendered("pull-secret", tmp_path)
    given = ManifestSet("given", read_manifests(text, "overlays/prod"))
    environment = as_environment({"given": given}, ["prod"])["prod"]
    assert isinstance(environment, ManifestSet)
    assert [explain(rule, "prod", finding) for rule, finding in check(environment, read_waivers())] == []
    accounts = [each.body for each in environment.manifests if each.kind == "ServiceAccount"]
    assert len(accounts) > 8
    assert all(body["imagePullSecrets"] == [{"name": "image-pull"}] for body in accounts)
    for body in accounts:
        kubernetes_validate.validate(body, "1.34", strict=True)

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from delivery.shell import ROOT, kubectl

CLIENTS = ("web", "worker", "generation", "accounts", "backup", "restore")


def with_component(name: str, folder: Path) -> list[dict[str, Any]]:
    """Production with one more component."""
    root = os.path.relpath(ROOT, folder)
    content = {"resources": [f"{root}/overlays/prod"], "components": [f"{root}/components/{name}"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return list(yaml.safe_load_all(kubectl("kustomize", str(folder))))


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return with_component("external-mysql", tmp_path_factory.mktemp("external"))


def test_a_managed_database_leaves_nothing_of_our_own(external: list[dict[str, Any]]) -> None:
    names = {(each["kind"], each["metadata"]["name"].partition("-config-")[0]) for each in external}
    assert not {name for name in names if name[1] == "mysql"}
    assert ("Job", "accounts") in names


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

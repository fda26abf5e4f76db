"""The list of environments: what it says, and what is refused in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from policy_tests.environment import FILE, ROOT, find, read_list
from policy_tests.manifests import ManifestError
from policy_tests.rule import RULES

ENTRY = "- {name: uat, namespace: school-uat, overlay: overlays/uat}\n"


def test_a_listed_environment_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(f"{ENTRY[:-2]}, requires: [ingress-tls]}}\n")
    (uat,) = read_list(tmp_path).values()
    assert (uat.name, uat.namespace, uat.overlay) == ("uat", "school-uat", "overlays/uat")
    assert uat.requires == {"ingress-tls"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not a list; give it one entry for each environment"),
        ("name: uat", "it is not a list"),
        ("- uat", "entry 1 lacks name, namespace, overlay; add a text for each"),
        ("- {name: uat, namespace: '', overlay: 7}", "entry 1 lacks namespace, overlay"),
        (ENTRY.replace("}", ", replicas: 2}"), "entry 1 has replicas; an entry has name, namespace, overlay, requires"),
        (ENTRY.replace("}", ", requires: ingress-tls}"), "entry 1: requires is not a list; give it rules' ids"),
        (2 * ENTRY, "two environments have the name uat; rename one"),
        (ENTRY + ENTRY.replace("name: uat", "name: qa"), "two environments have the namespace school-uat"),
        ("- [", "restore it from Git"),
    ],
)
def test_a_list_that_says_nothing_or_too_much_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ManifestError, match=re.escape(message)):
        read_list(tmp_path)


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"environments\.yaml: .*No such file.*; restore it from Git"):
        read_list(tmp_path)


def test_required_rules_are_those_that_hold_in_some_environments_only() -> None:
    required = {rule for environment in read_list().values() for rule in environment.requires}
    assert required == {rule.id for rule in RULES.values() if rule.where_required}


def test_each_overlay_is_listed() -> None:
    folders = {folder.relative_to(ROOT).as_posix() for folder in (ROOT / "overlays").iterdir()}
    assert folders == {environment.overlay for environment in read_list().values()}


def test_a_rule_of_sops_is_about_the_secrets_of_one_listed_environment() -> None:
    rules = yaml.safe_load((ROOT / ".sops.yaml").read_text())["creation_rules"]
    files = [f"secrets/{name}.enc.yaml" for name in read_list()]
    for rule in rules:
        opened = [file for file in files if re.search(rule["path_regex"], file)]
        assert len(opened) == 1, rule["path_regex"]


def test_the_readme_lists_the_environments_in_order() -> None:
    rows = re.findall(r"(?m)^\| (\w+) \| `([\w-]+)` \|.*`(overlays/\w+)` \|$", (ROOT / "README.md").read_text())
    listed = read_list().values()
    assert rows == [(environment.name, environment.namespace, environment.overlay) for environment in listed]


def test_an_environment_that_is_not_listed_is_named_beside_those_that_are() -> None:
    message = r"there is no environment 'none'; environments\.yaml lists dev, homolog, "
    with pytest.raises(ManifestError, match=message):
        find("none")

from __future__ import annotations

from pathlib import Path

import pytest

from policy_tests.environment import read_list
from repository import wanted
from repository.wanted import RepositoryError

TEXT = wanted.FILE.read_text()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("  dev:\n    branches: [develop, main]\n", "  dev: {}\n", "environment dev admits no ref"),
        (
            "branches: [develop, main]",
            "branches: develop",
            "environments.dev.branches: Input should be a valid list",
        ),
        ("branches: [develop, main]", "branches: ['**']", "no special character but single *"),
        (
            "branches: [develop, main]",
            "branches: ['release/**']",
            "no special character but single *",
        ),
        ("branches: [develop, main]", "branches: ['v[0-9]']", "no special character but single *"),
        (
            "branches: [develop, main]",
            "refs: [develop]",
            "environments.dev.refs: Extra inputs are not permitted",
        ),
        ("gate: true", "gate: 1", "Input should be a valid boolean"),
        ("gate: true", "wait_timer: 50000", "less than or equal to 43200"),
        ("name: new tags", "name: branches", "ruleset branches is there twice"),
        ("target: tag", "target: push", "Input should be 'branch' or 'tag'"),
        ("bypass: [maintain, admin]", "bypass: [write]", "Input should be 'maintain' or 'admin'"),
        (
            "default_workflow_permissions: read",
            "default_workflow_permissions: none",
            "Input should be 'read' or",
        ),
        ("name: SOPS_AGE_KEY,", "name: KUBECONFIG,", "secret KUBECONFIG is there twice"),
        ("name: INGRESS,", "name: IMAGE_NAME,", "variable IMAGE_NAME is there twice"),
        ("name: INGRESS,", "name: ingress,", "String should match pattern"),
        (
            "in: [registry]",
            "in: [registries]",
            "is kept in registries, which is no environment here",
        ),
        ("in: [registry]", "in: []", "should have at least 1 item"),
        (
            "needed: [homolog,",
            "needed: [registry,",
            "KUBECONFIG is needed in registry, where it is not kept",
        ),
        ("before: KUBECONFIG}", "before: KUBE}", "goes before KUBE, which is no secret here"),
        ("  dev:\n", "  repository:\n", "no environment is called repository"),
        ("environments:", "environments: [", "repository.yaml: while parsing"),
        ("environments:", "environment:", "environment"),
    ],
)
def test_a_file_that_says_what_has_no_meaning_is_refused(tmp_path: Path, old: str, new: str, text: str) -> None:
    assert old in TEXT
    file = tmp_path / wanted.FILE.name
    file.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(RepositoryError) as refusal:
        wanted.read(file)
    assert text in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"^none\.yaml: .*No such file"):
        wanted.read(tmp_path / "none.yaml")


def test_each_environment_that_is_delivered_to_is_one_of_github_s() -> None:
    names = {"production" if name == "prod" else name for name in read_list()}
    assert names <= wanted.read().environments.keys()


def test_whoever_goes_past_a_ruleset_may_only_create() -> None:
    passed = [ruleset for ruleset in wanted.read().rulesets if ruleset.bypass]
    assert [[rule.type for rule in ruleset.rules] for ruleset in passed] == [["creation"]]

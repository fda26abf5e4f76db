from __future__ import annotations

from collections.abc import Iterator

import pytest

from delivery.render import Render
from policy_tests.environment import find, read_list
from policy_tests.render import render

Right = tuple[str, str, str, str]


def rights(environment: str, account: str) -> Iterator[Right]:
    """(group, resource, name or "", verb) of an account, by the Roles that are bound to it."""
    manifests = Render(render(find(environment).overlay)).objects
    roles = {each["metadata"]["name"]: each["rules"] for each in manifests if each["kind"] == "Role"}
    for binding in (each for each in manifests if each["kind"] == "RoleBinding"):
        if account in [subject["name"] for subject in binding["subjects"]]:
            for rule in roles[binding["roleRef"]["name"]]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        for name in rule.get("resourceNames", [""]):
                            yield from ((group, resource, name, verb) for verb in rule["verbs"])


@pytest.mark.parametrize("environment", read_list())
def test_the_account_that_adds_credentials_would_give_the_deployer_nothing_new(environment: str) -> None:
    # So that nothing is lost where admission/, which keeps it from a deployer, is not installed.
    deployer = set(rights(environment, "deployer"))
    adding = set(rights(environment, "credentials"))
    assert ("", "secrets", "db-credentials", "patch") in adding
    everywhere = {(group, resource, verb) for group, resource, name, verb in deployer if not name}
    assert [right for right in adding - deployer if (right[0], right[1], right[3]) not in everywhere] == []

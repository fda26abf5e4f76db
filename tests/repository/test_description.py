from __future__ import annotations

import json
from typing import Any

import pytest

from tests.repository.description import (
    FILE,
    OPERATIONS,
    ViolationError,
    answer_schema,
    check_answer,
    check_request,
    cut,
    description,
    find,
    specimen,
    validate,
)

PUT = ("PUT", "/repos/a/b/environments/dev")


def test_the_cut_is_small_and_has_all_that_is_referred_to() -> None:
    small = description()
    assert FILE.stat().st_size < 200_000
    # What is cut again stays as it is.
    again = cut(small) | {key: small[key] for key in ("package", "integrity")}
    assert json.dumps(again, sort_keys=True) == json.dumps(small, sort_keys=True)


def test_the_smallest_answer_of_each_operation_is_allowed() -> None:
    for method, path in OPERATIONS:
        operation = description()["paths"][path][method]
        for status in operation["responses"]:
            if schema := answer_schema(operation, int(status)):
                validate(specimen(schema), schema)


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        (*PUT, {"wait_timer": "0"}),
        (*PUT, {"waits": 0}),
        (*PUT, {"reviewers": [{"type": "Group", "id": 1}]}),
        (*PUT, {"deployment_branch_policy": {"protected_branches": True}}),
        ("PUT", "/repos/a/b/environments/dev?page=1", {}),
        ("GET", "/repos/a/b/environments/dev", {}),
        ("GET", "/repos/a/b/environments?per_page=many", None),
        ("GET", "/repos/a/b/environments?size=1", None),
        ("GET", "/repos/a/b/rulesets/one", None),
        ("POST", "/repos/a/b/rulesets", {"name": "x", "enforcement": "on"}),
        (
            "POST",
            "/repos/a/b/rulesets",
            {"name": "x", "enforcement": "active", "rules": [{"type": "magic"}]},
        ),
        ("POST", "/repos/a/b/rulesets", {"name": "x", "enforcement": "active", "bypass": []}),
        ("DELETE", "/repos/a/b/environments/dev", None),
        ("GET", "/repos/a/b/environments/a/b", None),
    ],
)
def test_a_request_that_github_does_not_know_is_a_violation(method: str, url: str, body: Any) -> None:
    with pytest.raises(ViolationError):
        check_request(method, url, body)


def test_requests_that_github_knows_are_none() -> None:
    check_request(*PUT, {"wait_timer": 0, "reviewers": None, "deployment_branch_policy": None})
    check_request("GET", "/repos/a/b/environments/a%2Fb/secrets?per_page=100&page=1", None)


@pytest.mark.parametrize(
    ("path", "status", "change"),
    [
        ("/repos/a/b/environments/dev", 200, {"name": None}),
        (
            "/repos/a/b/environments/dev",
            200,
            {"deployment_branch_policy": {"protected_branches": True}},
        ),
        ("/repos/a/b/rulesets/1", 200, {"enforcement": "on"}),
        ("/repos/a/b/actions/permissions/workflow", 200, {"default_workflow_permissions": "none"}),
        ("/repos/a/b/actions/permissions/workflow", 201, {}),
    ],
)
def test_an_answer_that_github_would_not_give_is_a_violation(path: str, status: int, change: dict[str, Any]) -> None:
    operation, _, _ = find("GET", path)
    schema = answer_schema(operation, 200)
    assert schema
    check_answer("GET", path, 200, specimen(schema))
    with pytest.raises(ViolationError):
        check_answer("GET", path, status, specimen(schema) | change)

"""docs/document.md: what works names a test that there is, and the names that the document uses are in every render."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from delivery.render import Render
from delivery.shell import ROOT
from policy_tests.environment import find, read_list
from policy_tests.render import render as kustomize

ROWS = [
    tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
    for line in (ROOT / "docs" / "document.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| line ")
]


def functions(file: str) -> set[str]:
    body = ast.walk(ast.parse((ROOT / file).read_text()))
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_line_that_works_names_a_test_and_every_test_is_there(row: tuple[str, ...]) -> None:
    _, today, why, tested = row
    named = re.findall(r"`([^`]+\.py)::(test_\w+)`", tested)
    assert today == "works" or re.fullmatch("replaced by .+", today)
    assert why
    assert named or today != "works"
    assert [test for file, test in named if test not in functions(file)] == []


@pytest.mark.parametrize("environment", read_list())
def test_what_serves_the_pages_has_the_document_s_name(environment: str) -> None:
    render = Render(kustomize(find(environment).overlay))
    (container,) = render.web["spec"]["template"]["spec"]["containers"]
    names = (render.web["metadata"]["name"], container["name"])
    assert names == ("school-scheduler", "school-scheduler")
    kept = {(body["kind"], body["metadata"]["name"]) for body in render.objects}
    assert kept >= {(kind, "web") for kind in ("Service", "Ingress", "ServiceAccount")}


def test_a_checkout_on_windows_keeps_line_ends_that_containers_read() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("git has no checkout here")
    files = ("base/mysql/accounts.sh", "base/backup/dump.sh", "base/mysql/my.cnf")
    answer = subprocess.run(["git", "check-attr", "eol", *files], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n") == [*(f"{file}: eol: lf" for file in files), ""]

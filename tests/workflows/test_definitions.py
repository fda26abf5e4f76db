from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from policy_tests.environment import read_list
from tests.workflows.act import PIN, REPOSITORY, ROOT, definitions, portable

TEXTS = {str(file.relative_to(ROOT / ".github")): file.read_text() for file in definitions()}
GUIDE = (ROOT / "docs" / "github.md").read_text()


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value of a document with its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, (*path, str(index)))
    else:
        yield path, str(node)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_act_runs_differs_by_three_keys_and_the_spelling_of_this_repository(text: str) -> None:
    ours = dict(leaves(yaml.safe_load(text)))
    acts = dict(leaves(yaml.safe_load(portable(text))))
    assert acts.keys() <= ours.keys()
    missing = {(path[-1], ours[path]) for path in ours.keys() - acts.keys()}
    assert missing <= {("queue", "max"), ("artifact-metadata", "write"), ("deployment", "False")}
    changed = {(path[-1], ours[path], acts[path]) for path in acts if ours[path] != acts[path]}
    assert changed == {
        ("uses", value, f"{REPOSITORY}/{value[2:]}@self") for value in ours.values() if value.startswith("$/")
    }


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_action_is_this_repository_s_or_pinned_by_commit(text: str) -> None:
    external = re.findall(r"uses: (?!\$/)", text)
    assert len(external) == len(PIN.findall(text))
    assert all(re.fullmatch("[0-9a-f]{40}", sha) for _, sha, _ in PIN.findall(text))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_secret_without_a_suffix_stands_in_for_each_that_has_one(text: str) -> None:
    for value in dict(leaves(yaml.safe_load(text))).values():
        for name in set(re.findall(r"secrets\.(KUBECONFIG|SOPS_AGE_KEY)_", value)):
            assert value.endswith(f" || secrets.{name} }}}}")


def test_each_environment_is_delivered_to_by_one_workflow() -> None:
    delivered = [name for text in TEXTS.values() for name in re.findall(r"-m delivery deploy (\w+)", text)]
    assert sorted(delivered) == sorted(read_list())


@pytest.mark.parametrize("kind", ["secrets", "vars"])
def test_the_guide_names_each_secret_and_variable(kind: str) -> None:
    used = {name for text in TEXTS.values() for name in re.findall(rf"\b{kind}\.([A-Z_]+)", text)}
    (section,) = re.findall(
        rf"^## {'Secrets' if kind == 'secrets' else 'Variables'}\n(.*?)(?=^## )", GUIDE, re.M | re.S
    )
    assert set(re.findall(r"^\| `([A-Z_]+)`", section, re.M)) == used


def test_the_guide_lists_each_workflow() -> None:
    listed = re.findall(r"^\| \[?`([a-z-]+)\.yml`", GUIDE, re.M)
    assert sorted(listed) == sorted(
        name.split("/")[1][: -len(".yml")] for name in TEXTS if name.startswith("workflows")
    )


def test_each_job_that_reaches_a_cluster_may_do_so_without_a_secret() -> None:
    jobs = [job for text in TEXTS.values() for job in yaml.safe_load(text).get("jobs", {}).values()]
    reaching = [job for job in jobs if any("/actions/cluster" in step.get("uses", "") for step in job["steps"])]
    assert len(reaching) > len(read_list())
    assert {job["permissions"].get("id-token") for job in reaching} == {"write"}

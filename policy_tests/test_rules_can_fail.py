"""Every rule reports a fault made in this repository's own manifests, and leaves a near miss alone."""

from __future__ import annotations

import pytest

from policy_tests.manifests import ManifestSet
from policy_tests.mutations import Example, apply, read_examples
from policy_tests.rule import RULES

Places = set[tuple[str, str, str]]


def examples(fault: bool) -> list[object]:
    chosen = [example for example in read_examples() if example.fault is fault]
    return [pytest.param(example, id=f"{example.rule}-{number}") for number, example in enumerate(chosen)]


def places(rule: str, manifests: ManifestSet) -> Places:
    return {(str(found.manifest), found.path, found.message) for found in RULES[rule].check(manifests)}


@pytest.fixture(scope="module")
def known(sets: dict[str, ManifestSet]) -> dict[tuple[str, str], Places]:
    """What each rule finds in each environment before anything is changed."""
    return {(rule, name): places(rule, manifests) for rule in RULES for name, manifests in sets.items()}


@pytest.mark.parametrize("example", examples(fault=True))
def test_fault_is_reported_by_this_rule_alone(
    example: Example, sets: dict[str, ManifestSet], known: dict[tuple[str, str], Places]
) -> None:
    changed = apply(example, sets)
    reporting = {rule for rule in RULES if places(rule, changed) - known[rule, example.environment]}
    assert reporting == {example.rule, *example.also}


@pytest.mark.parametrize("example", examples(fault=False))
def test_near_miss_is_left_alone(
    example: Example, sets: dict[str, ManifestSet], known: dict[tuple[str, str], Places]
) -> None:
    assert places(example.rule, apply(example, sets)) <= known[example.rule, example.environment]


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_a_fault_and_a_near_miss(rule: str) -> None:
    assert {example.fault for example in read_examples() if example.rule == rule} == {True, False}


def test_every_example_belongs_to_a_rule() -> None:
    assert {example.rule for example in read_examples()} <= set(RULES)

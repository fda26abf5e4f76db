"""Every rule reports faults made in this repository's own manifests, and leaves near misses and others' work alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from policy_tests.check import check
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.reader import read_yaml
from policy_tests.render import read_path
from policy_tests.rule import RULES, explain
from tests.policy.conftest import Known
from tests.policy.mutations import Example, apply, read_examples
from tests.policy.mutators import mutants

FOREIGN = Path(__file__).with_name("examples") / "foreign"
SURVIVORS = Path(__file__).with_name("survivors.yaml")
TOPICS = sorted({rule.partition("-")[0] for rule in RULES})


def examples(topic: str, fault: bool) -> list[Example]:
    rules = [rule for rule in RULES if rule.partition("-")[0] == topic]
    chosen = [example for example in read_examples() if example.rule in rules and example.fault is fault]
    assert {example.rule for example in chosen} == set(rules), "a rule has no such example"
    return chosen


def places(findings: Iterable[Finding]) -> set[tuple[str, str, str]]:
    return {(str(found.manifest), found.path, found.message) for found in findings}


def reporting(rules: Iterable[str], changed: ManifestSet, before: ManifestSet, known: Known) -> set[str]:
    """Those of the rules that find in a changed environment what they did not find in it before."""
    unchanged = set(before.manifests)
    whole = replace(changed, kubernetes=changed.kubernetes[-1:])
    part = replace(whole, manifests=tuple(each for each in changed.manifests if each not in unchanged))
    looked_at = {rule: part if RULES[rule].per_object else whole for rule in rules}
    found = {rule: places(RULES[rule].check(seen)) for rule, seen in looked_at.items()}
    return {rule for rule, seen in found.items() if seen and seen - places(known[rule, before.name])}


@pytest.mark.parametrize("topic", TOPICS)
def test_each_fault_is_reported(topic: str, sets: dict[str, ManifestSet], known: Known) -> None:
    for example in examples(topic, fault=True):
        changed = apply(example, sets)
        assert reporting([example.rule], changed, sets[example.environment], known), dict(example.changes)


@pytest.mark.parametrize("topic", TOPICS)
def test_first_fault_of_each_rule_is_reported_by_no_other(
    topic: str, sets: dict[str, ManifestSet], known: Known
) -> None:
    # For all faults, and with rules that compare environments, it would take most of the time of these tests.
    first = {example.rule: example for example in reversed(examples(topic, fault=True))}
    others = [rule.id for rule in RULES.values() if rule.id.startswith(topic) or not rule.ours]
    for rule, example in first.items():
        found = reporting(others, apply(example, sets), sets[example.environment], known)
        assert found == {rule, *example.also}, dict(example.changes)


@pytest.mark.parametrize("topic", TOPICS)
def test_each_near_miss_is_left_alone(topic: str, sets: dict[str, ManifestSet], known: Known) -> None:
    for example in examples(topic, fault=False):
        changed = apply(example, sets)
        assert not reporting([example.rule], changed, sets[example.environment], known), dict(example.changes)


def test_every_example_belongs_to_a_rule() -> None:
    assert {example.rule for example in read_examples()} <= set(RULES)


def test_no_fault_in_any_object_survives(sets: dict[str, ManifestSet], known: Known) -> None:
    prod = sets["prod"]
    # Whatever is missing in production alone is missing against preproduction; here it is missing in every environment.
    anybody = [rule for rule in RULES if rule != "environments-lose-nothing"]
    made = {mutant.name: reporting(mutant.rules or anybody, mutant.manifests, prod, known) for mutant in mutants(prod)}
    assert len(made) > 300
    assert {name for name, reported in made.items() if not reported} == set(read_yaml(SURVIVORS.read_text(), "x")[0])


@pytest.mark.parametrize("file", sorted(FOREIGN.iterdir()), ids=lambda file: file.name)
def test_correct_manifests_from_elsewhere_give_no_finding(file: Path) -> None:
    (manifests,) = read_path(str(file)).values()
    assert isinstance(manifests, ManifestSet)
    assert [explain(rule, file.name, finding) for rule, finding in check(manifests)] == []

"""A rule: one small pure function over a ManifestSet, with what a reader of its findings needs to know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from policy_tests.manifests import Finding, ManifestSet

Severity = Literal["critical", "high", "medium", "low"]
Check = Callable[[ManifestSet], Iterator[Finding]]

RULES: dict[str, Rule] = {}


@dataclass(frozen=True)
class Rule:
    """`why` and `fix` are one sentence each; `source` names the standard, the manual or the checkers that agree."""

    id: str
    severity: Severity
    why: str
    fix: str
    source: str
    check: Check = field(repr=False)
    # Compares with this project's own environments, so it says nothing about manifests from elsewhere.
    ours: bool = False
    # Holds in the environments that require it (environments.yaml), and for manifests from elsewhere.
    where_required: bool = False
    # Says about an object what the rest of its set cannot change, so that the proof asks about changed objects alone.
    per_object: bool = False


def rule(
    id: str,
    severity: Severity,
    *,
    why: str,
    fix: str,
    source: str,
    ours: bool = False,
    where_required: bool = False,
    per_object: bool = False,
) -> Callable[[Check], Check]:
    """Registers the decorated function in RULES."""

    def register(check: Check) -> Check:
        if id in RULES:
            raise ValueError(f"two rules are called {id}")
        chosen = _where_required(id, check) if where_required else check
        RULES[id] = Rule(id, severity, why, fix, source, chosen, ours, where_required, per_object)
        return check

    return register


def _where_required(id: str, check: Check) -> Check:
    def chosen(manifests: ManifestSet) -> Iterator[Finding]:
        if manifests.environment is None or id in manifests.environment.requires:
            yield from check(manifests)

    return chosen


def explain(rule: Rule, environment: str, finding: Finding) -> str:
    """The finding in two lines: where and what, then why and how to fix it."""
    place = f"{environment} {finding.manifest} {seen(finding)}"
    return f"{place}: {finding.message} ({rule.severity}, {rule.id})\n    {rule.why} Fix: {rule.fix}"


def seen(finding: Finding) -> str:
    """The path and the value there, cut to a readable length."""
    value = json.dumps(finding.value, default=str, ensure_ascii=False)
    return f"{finding.path or 'metadata.name'} = {value if len(value) <= 120 else value[:117] + '...'}"

"""Findings in the format of code scanning: SARIF 2.1.0.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from policy_tests.manifests import Finding
from policy_tests.render import place
from policy_tests.rule import Rule, seen

LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
# GitHub sorts by this number, from 0 to 10.
SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.0", "low": "2.0"}
UNREADABLE = "input-readable"


def sarif(findings: Iterable[tuple[str, Rule, Finding]], unreadable: Iterable[str] = ()) -> dict[str, Any]:
    """The log of one run: (set, rule, finding) of each finding, and the message of each input that was refused."""
    found = list(findings)
    rules = {rule.id: _rule(rule) for _, rule, _ in found}
    results = [_result(name, rule, finding) for name, rule, finding in found]
    for message in unreadable:
        rules[UNREADABLE] = {"id": UNREADABLE, "shortDescription": {"text": "The input can be read."}}
        file, line, text = re.findall(r"(?s)^(.*?):(?:(\d+):)? (.*)", message)[0]
        results.append(_at(UNREADABLE, "error", text, file, int(line or 1)))
    driver = {"name": "policy_tests", "informationUri": "https://docs.pytest.org/", "rules": list(rules.values())}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} Fix: {rule.fix} Source: {rule.source}"},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {"security-severity": SCORES[rule.severity], "tags": ["security"]},
    }


def _result(name: str, rule: Rule, finding: Finding) -> dict[str, Any]:
    text = f"{name} {finding.manifest} {seen(finding)}: {finding.message}. {rule.why} Fix: {rule.fix}"
    file, line = place(finding)
    result = _at(rule.id, LEVELS[rule.severity], text, file, line)
    # Two environments share a source object; the finding in each is one of its own.
    result["partialFingerprints"] = {"finding/v1": f"{name}/{finding.manifest}/{finding.path}/{rule.id}"}
    return result


def _at(rule: str, level: str, text: str, file: str, line: int) -> dict[str, Any]:
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    location = {"artifactLocation": {"uri": path.as_posix()}, "region": {"startLine": line}}
    message = {"text": text}
    return {"ruleId": rule, "level": level, "message": message, "locations": [{"physicalLocation": location}]}

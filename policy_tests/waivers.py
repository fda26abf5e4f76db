"""Findings that are known and accepted, for a time and a reason: waivers.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from policy_tests.manifests import ManifestError, mapping
from policy_tests.reader import read_yaml

FILE = Path(__file__).with_name("waivers.yaml")
FIELDS = {"rule", "object", "reason", "expires"}


@dataclass(frozen=True)
class Waiver:
    """`object` is a pattern for ENVIRONMENT/KIND/NAME, such as `*/StatefulSet/mysql`."""

    rule: str
    object: str
    reason: str
    expires: date

    def covers(self, rule: str, object: str) -> bool:
        return rule == self.rule and fnmatchcase(object, self.object)


def read_waivers(file: Path = FILE) -> tuple[Waiver, ...]:
    """Every waiver in the file; raises ManifestError for one that lacks a field."""
    entries = [mapping(entry) for document in read_yaml(file.read_text(), file.name) for entry in document]
    for entry in entries:
        if entry.keys() != FIELDS or not all(entry.values()):
            raise ManifestError(f"{file.name}: {entry}: a waiver has exactly {', '.join(sorted(FIELDS))}")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", entry["expires"]):
            raise ManifestError(f"{file.name}: {entry}: expires is a date, YEAR-MONTH-DAY")
    return tuple(
        Waiver(entry["rule"], entry["object"], entry["reason"], date.fromisoformat(entry["expires"]))
        for entry in entries
    )


def waived(waivers: Iterable[Waiver], rule: str, object: str) -> bool:
    return any(waiver.covers(rule, object) for waiver in waivers)

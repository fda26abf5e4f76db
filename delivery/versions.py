"""Versions by semantic versioning 2: https://semver.org."""

from __future__ import annotations

import re
from typing import Any

NUMBER = r"(0|[1-9]\d*)"
PART = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
# Build metadata is left out: the tag of an image can hold no `+`.
VERSION = re.compile(rf"v{NUMBER}\.{NUMBER}\.{NUMBER}(?:-({PART}(?:\.{PART})*))?", re.ASCII)


def precedence(tag: str) -> tuple[Any, ...] | None:
    """What orders versions such as v1.2.3 and v1.3.0-rc.1; None for a tag that is none."""
    match = VERSION.fullmatch(tag)
    if not match:
        return None
    *numbers, before = match.groups()
    # Numbers are smaller than words, and whatever comes before a release is smaller than that.
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split(".")] if before else []
    return (*map(int, numbers), not parts, parts)

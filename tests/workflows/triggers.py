"""Which events start a workflow: `on:` with its filters, as far as the workflows here use them.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#on
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """An event, and for a push what was pushed: refs/heads/... or refs/tags/..."""

    name: str
    ref: str = ""


def starts(on: Mapping[str, Mapping[str, Any] | None], event: Event) -> bool:
    """Whether a workflow with this `on:` runs.

    Raises:
        ValueError: `on:` has a filter that this function does not know.
    """
    if event.name not in on:
        return False
    filters = on[event.name] or {}
    if event.name != "push":
        if event.name == "pull_request" and filters:
            raise ValueError(f"unknown filters of {event.name}: {', '.join(filters)}")
        return True
    if unknown := filters.keys() - {"branches", "tags"}:
        raise ValueError(f"unknown filters of push: {', '.join(unknown)}")
    if not filters:
        return True
    # With one of the two alone, a push of the other kind starts nothing.
    kind, _, name = event.ref.removeprefix("refs/").partition("/")
    return matches(filters.get({"heads": "branches", "tags": "tags"}[kind], ()), name)


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether the last pattern that fits does not begin with `!`; `*` stops at a slash, `**` does not.

    Raises:
        ValueError: a pattern has another special character.
    """
    matched = False
    for pattern in patterns:
        if re.search(r"[?+\[\]\\]", pattern):
            raise ValueError(f"unknown special character in {pattern!r}")
        parts = re.split(r"(\*\*|\*)", pattern.removeprefix("!"))
        expression = "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
        if re.fullmatch(expression, name):
            matched = not pattern.startswith("!")
    return matched

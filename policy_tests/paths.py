"""Changes to a manifest at the path that a finding prints: `spec.template.spec.containers[web].image`.

A bracket holds the name or the index of a list's item, `+` for a new one, or a key that has dots in it.
"""

from __future__ import annotations

import marshal
import re
from typing import Any

from policy_tests.manifests import Body, mapping


def copied(value: Any) -> Any:
    """A deep copy of plain data, ten times as fast as copy.deepcopy, which took most of the suite's time."""
    return marshal.loads(marshal.dumps(value))  # noqa: S302 (it has just been made here)


def steps(path: str) -> list[str]:
    """The keys, names and indices of a path."""
    return re.findall(r"(?<=\[)[^\]]+(?=\])|[^.\[\]]+", path)


def at(body: Body, path: str) -> Any:
    """What stands at the path; raises KeyError."""
    here: Any = body
    for step in steps(path):
        here = here[_index(here, step)]
    return here


def put(body: Body, path: str, value: object) -> None:
    """Sets what stands at the path, or removes it when the value is None."""
    *way, last = steps(path)
    here: Any = body
    for step in way:
        here = here[_index(here, step)] if isinstance(here, list) else here.setdefault(step, {})
    if isinstance(here, list) and last == "+":
        here.append(value)
    elif value is None:
        del here[_index(here, last)]
    elif last == "+":
        raise KeyError(f"{path}: there is no list to add to")
    else:
        here[_index(here, last)] = value


def _index(here: object, step: str) -> Any:
    if not isinstance(here, list):
        return step
    named = [index for index, item in enumerate(here) if step in (mapping(item).get("name"), str(index))]
    if not named:
        raise KeyError(f"no item {step}")
    return named[0]

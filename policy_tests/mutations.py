"""Changes to manifests, written as `PATH: VALUE`, and the examples that prove each rule with them: examples/*.yaml.

A path is what a finding prints: `spec.template.spec.containers[web].image`. A bracket holds the name or the index of a
list's item, `+` for a new one, or a key that has dots in it. A value of null removes what is there.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from policy_tests.manifests import Body, Manifest, ManifestSet, mapping
from policy_tests.reader import read_yaml
from policy_tests.rules.environments import HASH

FOLDER = Path(__file__).with_name("examples")
Changes = Mapping[str, Body | None]


@dataclass(frozen=True)
class Example:
    """Changes that `rule` must report (a fault) or must not (a near miss), seen in `environment`.

    Changes are made in base, that is in every environment, unless `only_there`. A fault may rightly be reported by the
    rules in `also` too, and by no others.
    """

    rule: str
    fault: bool
    changes: Changes = field(repr=False)
    environment: str = "prod"
    only_there: bool = False
    also: frozenset[str] = frozenset()


@cache
def read_examples() -> tuple[Example, ...]:
    """Every example, in the order of the files."""
    return tuple(
        _example(rule, kind == "faults", dict(entry))
        for file in sorted(FOLDER.glob("*.yaml"))
        for rule, kinds in read_yaml(file.read_text(), file.name)[0].items()
        for kind in ("faults", "near misses")
        for entry in kinds[kind]
    )


def _example(rule: str, fault: bool, entry: Body) -> Example:
    also, seen_in, only_in = entry.pop("also", []), entry.pop("seen in", None), entry.pop("only in", None)
    return Example(rule, fault, entry, seen_in or only_in or "prod", only_in is not None, frozenset(also))


def apply(example: Example, environments: Mapping[str, ManifestSet]) -> ManifestSet:
    """The example's environment after its changes; the given sets stay as they are."""
    return Changed(example, environments)[example.environment]


class Changed(Mapping[str, ManifestSet]):
    """The environments after an example's changes, each made when a rule asks for it: most ask for one alone."""

    def __init__(self, example: Example, environments: Mapping[str, ManifestSet]) -> None:
        self.example, self.before = example, environments
        self.made: dict[str, ManifestSet] = {}

    def __getitem__(self, name: str) -> ManifestSet:
        if name not in self.made:
            manifests = self.before[name]
            touched = name == self.example.environment or not self.example.only_there
            objects = _changed(manifests, self.example.changes) if touched else manifests.manifests
            self.made[name] = replace(manifests, manifests=objects, environments=self)
        return self.made[name]

    def __contains__(self, name: object) -> bool:
        return name in self.before

    def __iter__(self) -> Iterator[str]:
        return iter(self.before)

    def __len__(self) -> int:
        return len(self.before)


@lru_cache(maxsize=1024)
def _identity(manifest: Manifest) -> str:
    return f"{manifest.kind}/{HASH.sub('', manifest.name)}"


def _changed(manifests: ManifestSet, changes: Changes) -> tuple[Manifest, ...]:
    objects = {_identity(each): each for each in manifests.manifests}
    namespace = next(each for each in manifests.manifests if each.kind == "Namespace")
    for identity, edits in changes.items():
        if edits is None:
            del objects[identity]
            continue
        kind, _, name = identity.partition("/")
        metadata = {"name": name, "namespace": namespace.name, "labels": dict(namespace.labels)}
        existing = objects.get(identity)
        body = copied(existing.body if existing else {"kind": kind, "metadata": metadata})
        for path, value in edits.items():
            put(body, path, copied(value))
        objects[identity] = Manifest(body)
    return tuple(objects.values())


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

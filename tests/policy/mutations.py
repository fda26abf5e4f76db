"""The examples that prove each rule, and their environments: examples/*.yaml, changes as `PATH: VALUE`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

from policy_tests.manifests import Body, Manifest, ManifestSet
from policy_tests.paths import copied, put
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

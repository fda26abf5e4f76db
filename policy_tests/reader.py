"""YAML as Kubernetes reads it, and the objects in it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from policy_tests.manifests import Manifest, ManifestError, dig, mapping


class _Loader(yaml.CSafeLoader):
    """PyYAML's C loader, which refuses a key given twice and leaves dates as text, as Kubernetes does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


# Kubernetes reads 0o440 as a number, and neither 2026-02-03 as a date nor 22:30 as a number to the base of 60.
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _INTEGER if tag == "tag:yaml.org,2002:int" else pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
# A bare `=` is a type of its own in YAML 1.1, text for Kubernetes (https://github.com/yaml/pyyaml/issues/89).
_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def read_documents(text: str, source: str) -> Iterator[tuple[Any, int, list[int]]]:
    """(document, line, lines of a List's items) of each document that is not empty; raises ManifestError."""
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            if (document := loader.construct_document(node)) is not None:
                yield document, node.start_mark.line + 1, _item_lines(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # The line that fails, and the one on which what fails begins.
        marks = [mark.line for mark in (error.problem_mark, error.context_mark) if mark]
        failing = "\n".join(each for number, each in enumerate(text.splitlines()) if number in marks)
        template = "; render it first, as this looks like a template" if re.search(r"\{\{.*\}\}", failing) else ""
        raise ManifestError(f"{source}:{line}: not valid YAML: {error.problem}{template}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"{source}:1: not valid YAML: {error}") from None


def _item_lines(node: yaml.Node) -> list[int]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    lists = [value for key, value in pairs if key.value == "items" and isinstance(value, yaml.SequenceNode)]
    return [item.start_mark.line + 1 for value in lists for item in value.value]


def read_yaml(text: str, source: str) -> list[Any]:
    """The documents of a YAML text without the empty ones; raises ManifestError."""
    return [document for document, _, _ in read_documents(text, source)]


def read_manifests(text: str, source: str) -> tuple[Manifest, ...]:
    """The Kubernetes objects of a multi-document YAML text, Lists taken apart; raises ManifestError."""
    found: list[Manifest] = []
    for document, line, item_lines in read_documents(text, source):
        listed = mapping(document)
        if str(listed.get("kind", "")).endswith("List") and isinstance(listed.get("items"), list):
            pending = list(zip(listed["items"], item_lines, strict=True))
        else:
            pending = [(document, line)]
        found += [_manifest(body, source, at) for body, at in pending]
    if not found:
        raise ManifestError(f"{source}: nothing to check; give it rendered Kubernetes manifests")
    return tuple(found)


def _manifest(body: object, source: str, line: int) -> Manifest:
    if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in ("apiVersion", "kind")):
        template = "; render it first, as this looks like a template" if "{{" in str(body) else ""
        raise ManifestError(f"{source}:{line}: no Kubernetes object, which has apiVersion, kind and metadata{template}")
    names = [dig(body, f"metadata.{key}") for key in ("name", "generateName")]
    if not any(name and isinstance(name, str) for name in names):
        raise ManifestError(f"{source}:{line}: the {body['kind']} has no name; give it metadata.name")
    return Manifest(body, source, line)

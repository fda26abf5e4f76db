"""GitHub's own description of its REST API, cut to what is asked here: python -m tests.repository.description.

https://github.com/octokit/openapi (MIT), which republishes https://github.com/github/rest-api-description.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

PACKAGE = "@octokit/openapi@23.0.2"
INTEGRITY = "sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg=="
MEMBER = "package/generated/api.github.com.json"
FILE = Path(__file__).with_name("description.json")
ENVIRONMENT = "/repos/{owner}/{repo}/environments/{environment_name}"
OPERATIONS = (
    ("get", "/user"),
    ("get", "/users/{username}"),
    ("get", "/users/{username}/packages/{package_type}/{package_name}"),
    ("get", "/orgs/{org}/packages/{package_type}/{package_name}"),
    ("get", "/orgs/{org}/teams/{team_slug}"),
    ("get", "/repos/{owner}/{repo}"),
    ("get", "/repos/{owner}/{repo}/actions/organization-secrets"),
    ("get", "/repos/{owner}/{repo}/actions/organization-variables"),
    ("get", "/repos/{owner}/{repo}/actions/permissions"),
    ("put", "/repos/{owner}/{repo}/actions/permissions"),
    ("get", "/repos/{owner}/{repo}/actions/permissions/workflow"),
    ("put", "/repos/{owner}/{repo}/actions/permissions/workflow"),
    ("get", "/repos/{owner}/{repo}/actions/runs/{run_id}/approvals"),
    ("get", "/repos/{owner}/{repo}/actions/secrets"),
    ("get", "/repos/{owner}/{repo}/actions/variables"),
    ("get", "/repos/{owner}/{repo}/environments"),
    ("get", ENVIRONMENT),
    ("put", ENVIRONMENT),
    ("get", f"{ENVIRONMENT}/deployment-branch-policies"),
    ("post", f"{ENVIRONMENT}/deployment-branch-policies"),
    ("delete", f"{ENVIRONMENT}/deployment-branch-policies/{{branch_policy_id}}"),
    ("get", f"{ENVIRONMENT}/secrets"),
    ("get", f"{ENVIRONMENT}/variables"),
    ("get", "/repos/{owner}/{repo}/rulesets"),
    ("post", "/repos/{owner}/{repo}/rulesets"),
    ("get", "/repos/{owner}/{repo}/rulesets/{ruleset_id}"),
    ("put", "/repos/{owner}/{repo}/rulesets/{ruleset_id}"),
)
# What is for people, and what is said of headers and of GitHub's products.
LEFT_OUT = {
    "description",
    "example",
    "examples",
    "externalDocs",
    "headers",
    "summary",
    "tags",
    "title",
    "x-github",
}


class ViolationError(Exception):
    """A request or an answer that GitHub's description does not allow."""


def cut(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The operations, and what they refer to."""
    paths: dict[str, Any] = {}
    for method, path in OPERATIONS:
        paths.setdefault(path, {})[method] = _bare(whole["paths"][path][method])
    small: dict[str, Any] = {
        "openapi": whole["openapi"],
        "package": PACKAGE,
        "integrity": INTEGRITY,
        "paths": paths,
    }
    # Any answer may be an error.
    waiting = {"#/components/schemas/basic-error", *_references(paths)}
    known: set[str] = set()
    while waiting := waiting - known:
        known |= waiting
        for reference in tuple(waiting):
            _, kinds, kind, name = reference.split("/")
            part = _bare(whole[kinds][kind][name])
            small.setdefault(kinds, {}).setdefault(kind, {})[name] = part
            waiting |= _references(part)
    return small


def _bare(node: Any, *, names: bool = False) -> Any:
    """A part of the description without LEFT_OUT; `names`: its keys are names of properties."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if names or key not in LEFT_OUT}
        return {key: _bare(value, names=not names and key == "properties") for key, value in kept.items()}
    return [_bare(item) for item in node] if isinstance(node, list) else node


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()


@cache
def description() -> dict[str, Any]:
    """The cut description."""
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read


def resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference refers to."""
    while "$ref" in node:
        _, kinds, kind, name = node["$ref"].split("/")
        node = description()[kinds][kind][name]
    return node


def find(method: str, path: str) -> tuple[Mapping[str, Any], dict[str, str], str]:
    """The operation of a request, the values of its path's parameters, and the path as the description has it.

    Raises:
        ViolationError: the description has no such operation.
    """
    found: list[tuple[int, str, dict[str, str]]] = []
    for template, operations in description()["paths"].items():
        expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
        if method.lower() in operations and (match := re.fullmatch(expression, path)):
            values = {name: unquote(value) for name, value in match.groupdict().items()}
            found.append((len(values), template, values))
    if not found:
        raise ViolationError(f"there is no {method} {path}")
    _, template, values = min(found, key=lambda candidate: candidate[:2])
    return description()["paths"][template][method.lower()], values, template


def check_request(method: str, url: str, body: Any) -> None:
    """Whether GitHub's description allows a request; `body` is None for none.

    Raises:
        ViolationError: it does not.
    """
    parts = urlsplit(url)
    operation, values, _ = find(method, parts.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for parameter in map(resolve, operation.get("parameters", [])):
        given = values if parameter["in"] == "path" else query
        if parameter["name"] in given:
            validate(
                _typed(given.pop(parameter["name"]), resolve(parameter["schema"])),
                parameter["schema"],
            )
        elif parameter.get("required"):
            raise ViolationError(f"{method} {url} lacks {parameter['name']}")
    if query or values:
        raise ViolationError(f"{method} {url} has unknown parameters: {', '.join([*query, *values])}")
    if "requestBody" not in operation:
        if body is not None:
            raise ViolationError(f"{method} {url} has a body")
        return
    schema = resolve(operation["requestBody"])["content"]["application/json"]["schema"]
    validate(body, schema)
    # GitHub ignores what it does not know, which would set nothing.
    if unknown := set(body) - resolve(schema)["properties"].keys():
        raise ViolationError(f"{method} {url} sends unknown {', '.join(unknown)}")


def check_answer(method: str, path: str, status: int, body: Any) -> None:
    """Whether the description allows an answer; a refusal that it does not list has to be its common error.

    Raises:
        ViolationError: it does not.
    """
    operation, _, _ = find(method, path)
    if (schema := answer_schema(operation, status)) is not None:
        validate(body, schema)
    elif str(status) in operation["responses"]:
        if body is not None and status < 300:
            raise ViolationError(f"{method} {path} is answered with a body")
    elif status >= 400:
        validate(body, {"$ref": "#/components/schemas/basic-error"})
    else:
        raise ViolationError(f"{method} {path} is never answered {status}")


def answer_schema(operation: Mapping[str, Any], status: int) -> Mapping[str, Any] | None:
    """What the body of an answer has to be; None for nothing."""
    answer = resolve(operation["responses"].get(str(status), {}))
    content: Mapping[str, Any] | None = answer.get("content", {}).get("application/json", {}).get("schema")
    return content


def validate(value: Any, schema: Mapping[str, Any]) -> None:
    """Whether a value is as a schema of the description says.

    Raises:
        ViolationError: it is not.
    """
    validator = _validator(json.dumps(schema, sort_keys=True))
    for error in validator.iter_errors(value):
        raise ViolationError(f"{error.json_path}: {error.message[:300]}")


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"allOf": [_translated(json.loads(schema))], "components": _components()})


@cache
def _components() -> Any:
    return _translated(description()["components"])


def _translated(node: Any) -> Any:
    """A part of OpenAPI 3.0 as JSON Schema, which has no `nullable`."""
    if isinstance(node, list):
        return [_translated(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _translated(value) for key, value in node.items() if key != "nullable" or value is not True}
    return {"anyOf": [schema, {"type": "null"}]} if node.get("nullable") is True else schema


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of a parameter, which arrives as text."""
    if schema["type"] == "integer" and re.fullmatch("-?[0-9]+", text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if schema["type"] == "boolean" else text


def specimen(schema: Mapping[str, Any]) -> Any:
    """The smallest value that a schema allows, but for lengths and patterns."""
    schema = resolve(schema)
    if schema.get("nullable"):
        return None
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return specimen(schema[several][0])
    if "allOf" in schema:
        return {name: value for part in schema["allOf"] for name, value in specimen(part).items()}
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: specimen(schema["properties"][name]) for name in schema.get("required", [])}
        case "array":
            return []
        case kind:
            return {"integer": 0, "number": 0, "boolean": False}.get(str(kind), "2026-01-01T00:00:00Z")


def _downloaded(folder: Path) -> bytes:
    """The whole description, in JSON."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    (archive,) = folder.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise SystemExit(f"{PACKAGE} is sha512-{digest}, which is not what was looked at")
    with tarfile.open(archive) as package:
        member = package.extractfile(MEMBER)
        assert member
        return member.read()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = json.loads(_downloaded(Path(folder)))
    FILE.write_text(json.dumps(cut(whole), sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

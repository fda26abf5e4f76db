"""What act leaves out of GitHub: which refs an environment admits, and where secrets and variables are found.

https://docs.github.com/en/actions/reference/workflows-and-actions/deployments-and-environments
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from policy_tests.environment import read_list
from repository.wanted import REPOSITORY, Environment, Wanted
from tests.workflows.triggers import matches

# What a `*` of a trigger's pattern stands for here; the rest of a ref is as the pattern has it.
WILD = ("1.2.3", "x-y", "")
MAIN = "refs/heads/main"
# What a job is before it has an environment, and what it has nothing to do with.
BEFORE = (
    "name",
    "if",
    "needs",
    "runs-on",
    "environment",
    "concurrency",
    "strategy",
    "timeout-minutes",
    "permissions",
)

STATUS = re.compile(r"\b(always|cancelled|failure)\(\)")


class UnknownError(Exception):
    """An expression that this model does not understand, which is refused rather than guessed."""


class _Unknown:
    """A value that only a run has."""


UNKNOWN = _Unknown()
TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[\w.*-]+)|(?P<sign>==|!=|&&|\|\||[!()<>,\[\]]=?))")


@dataclass
class Expression:
    """An expression of GitHub Actions, as far as it is known before the run.

    Attributes:
        known: values by their whole names, such as github.ref, or those of a whole context, such as inputs.*; all
            others are unknown.
        read: the names whose values were wanted; what `&&` and `||` leave out is not among them.
    """

    text: str
    known: Mapping[str, Any]
    read: set[str] = field(default_factory=set)

    def value(self) -> Any:
        """The value, or UNKNOWN.

        Raises:
            UnknownError: the expression has something that this model does not know.
        """
        self._tokens, position = [], 0
        text = self.text.strip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if not match:
                raise UnknownError(f"{text[position:]!r} in {self.text!r}")
            self._tokens.append(match[0].strip())
            position = match.end()
        value = self._either()()
        if self._tokens:
            raise UnknownError(f"{self._tokens[0]!r} in {self.text!r}")
        return value

    # Each level reads its tokens first and is evaluated later: only so is left out what && and || leave out.

    def _either(self) -> Callable[[], Any]:
        return self._chain("||", self._both, goes_on=lambda value: not truth(value))

    def _both(self) -> Callable[[], Any]:
        return self._chain("&&", self._equal, goes_on=truth)

    def _chain(
        self, sign: str, part: Callable[[], Callable[[], Any]], goes_on: Callable[[Any], bool]
    ) -> Callable[[], Any]:
        parts = [part()]
        while self._tokens[:1] == [sign]:
            self._tokens.pop(0)
            parts.append(part())

        def value() -> Any:
            result, uncertain = parts[0](), False
            for following in parts[1:]:
                if result is UNKNOWN:
                    uncertain, result = True, following()
                elif goes_on(result):
                    result = following()
            if not uncertain:
                return result
            # False on one side of && is enough; what is unknown on one side of || may be the value.
            return False if sign == "&&" and result is not UNKNOWN and not truth(result) else UNKNOWN

        return value

    def _equal(self) -> Callable[[], Any]:
        left = self._single()
        if self._tokens[:1] not in (["=="], ["!="]):
            return left
        sign, right = self._tokens.pop(0), self._single()

        def value() -> Any:
            sides = [side.lower() if isinstance(side, str) else side for side in (left(), right())]
            return UNKNOWN if UNKNOWN in sides else (sides[0] == sides[1]) is (sign == "==")

        return value

    def _single(self) -> Callable[[], Any]:
        token = self._tokens.pop(0) if self._tokens else ""
        if token == "!":
            inner = self._single()
            return lambda: UNKNOWN if (value := inner()) is UNKNOWN else not truth(value)
        if token == "(":
            inner = self._either()
            self._expect(")")
            return inner
        if token.startswith("'"):
            return lambda: token[1:-1].replace("''", "'")
        if token in ("true", "false"):
            return lambda: token == "true"
        if re.fullmatch(r"\d+", token):
            return lambda: int(token)
        if not re.fullmatch(r"[A-Za-z_][\w.*-]*", token):
            raise UnknownError(f"{token!r} in {self.text!r}")
        if self._tokens[:1] == ["("]:
            return self._call(token)
        if self._tokens[:1] == ["["]:
            raise UnknownError(f"an index of {token} in {self.text!r}")
        return lambda: self._context(token)

    def _call(self, name: str) -> Callable[[], Any]:
        self._tokens.pop(0)
        arguments = []
        while self._tokens[:1] != [")"]:
            arguments.append(self._either())
            if self._tokens[:1] == [","]:
                self._tokens.pop(0)
        self._expect(")")

        def value() -> Any:
            for argument in arguments:
                argument()
            return True if name == "always" else UNKNOWN

        return value

    def _context(self, name: str) -> Any:
        self.read.add(name)
        return self.known.get(name, self.known.get(f"{name.partition('.')[0]}.*", UNKNOWN))

    def _expect(self, sign: str) -> None:
        if self._tokens[:1] != [sign]:
            raise UnknownError(f"{sign!r} is missing in {self.text!r}")
        self._tokens.pop(0)


def truth(value: Any) -> bool:
    """Whether GitHub takes a value for true."""
    return value not in (False, 0, "", None)


@dataclass(frozen=True)
class Start:
    """Something that starts a workflow: the event, the ref that its run has, and the inputs of whoever starts it."""

    event: str
    ref: str
    inputs: tuple[tuple[str, str], ...] = ()

    def known(self) -> dict[str, Any]:
        """The values of contexts that it decides."""
        kind, _, name = self.ref.removeprefix("refs/").partition("/")
        contexts = {
            "github.event_name": self.event,
            "github.ref": self.ref,
            "github.ref_name": name,
            "github.ref_type": "tag" if kind == "tags" else "branch",
        }
        if self.event != "workflow_dispatch":
            # Nobody was asked.
            return contexts | {"inputs.*": ""}
        return contexts | {f"inputs.{key}": value for key, value in self.inputs}

    def __str__(self) -> str:
        chosen = "".join(f" with {value}" for _, value in self.inputs)
        return f"{self.event} on {self.ref}{chosen}"


def read(root: Path) -> dict[str, Any]:
    """The workflows by the names of their files."""
    return {file.stem: yaml.safe_load(file.read_text()) for file in sorted(root.glob(".github/workflows/*.yml"))}


def starts(workflow: Mapping[Any, Any]) -> Iterator[Start]:
    """What starts a workflow: refs of every kind that its filters let through, and each environment for its input."""
    # The key `on` is true to YAML 1.1.
    for event, filters in workflow[True].items():
        filters = filters or {}
        match event:
            case "push":
                for kind, folder in (("branches", "heads"), ("tags", "tags")):
                    for pattern in filters.get(kind, ()):
                        for part in WILD if "*" in pattern else WILD[:1]:
                            if not (name := pattern.replace("*", part)).endswith("/"):
                                yield Start(event, f"refs/{folder}/{name}")
            case "pull_request":
                yield Start(event, "refs/pull/1/merge")
            case "merge_group":
                yield Start(event, "refs/heads/gh-readonly-queue/main/pr-1-0")
            case "schedule":
                yield Start(event, MAIN)
            case "workflow_dispatch":
                choices = [
                    [(key, name) for name in environments()]
                    for key, declared in (filters.get("inputs") or {}).items()
                    if declared.get("type") == "environment"
                ]
                for chosen in choices[0] if choices else [None]:
                    yield Start(event, MAIN, (chosen,) if chosen else ())
            case _:
                raise UnknownError(f"event {event}")


def environments() -> list[str]:
    """The names on GitHub of the environments that are delivered to."""
    return ["production" if name == "prod" else name for name in read_list()]


def admits(environment: Environment, ref: str) -> bool:
    """Whether the policies of an environment admit a ref: as in Ruby's File.fnmatch, `*` stops at a slash."""
    kind, _, name = ref.removeprefix("refs/").partition("/")
    patterns = {"heads": environment.branches, "tags": environment.tags}.get(kind, [])
    return any(matches([pattern], name) for pattern in patterns)


def findings(workflows: Mapping[str, Any], wanted: Wanted) -> set[str]:
    """What GitHub would refuse, or leave empty, in some run of some workflow."""
    found: set[str] = set()
    for file, workflow in workflows.items():
        own = {key: workflow[key] for key in ("env", "concurrency", "run-name") if key in workflow}
        for start in starts(workflow):
            texts = _lost(own, start, None, wanted)
            for job in workflow["jobs"]:
                if runs(job, workflow, start):
                    texts |= {f"{job}: {text}" for text in _job(job, workflow, start, wanted)}
            found |= {f"{file}: {text}" for text in texts}
    return found


def runs(job: str, workflow: Mapping[str, Any], start: Start) -> bool:
    """Whether a job may run: what needs a skipped job is skipped, unless its `if` asks how that ended."""
    definition = workflow["jobs"][job]
    if "uses" in definition:
        raise UnknownError(f"job {job} is a called workflow")
    condition = str(definition.get("if", ""))
    if condition and not truth(_value(condition, start.known())):
        return False
    return bool(STATUS.search(condition)) or all(runs(other, workflow, start) for other in _needs(definition))


def _needs(definition: Mapping[str, Any]) -> list[str]:
    needs = definition.get("needs", [])
    return [needs] if isinstance(needs, str) else needs


def _job(job: str, workflow: Mapping[str, Any], start: Start, wanted: Wanted) -> set[str]:
    """What a job lacks in a run."""
    definition = workflow["jobs"][job]
    name = _environment(definition, start.known())
    found = set()
    if name and name not in wanted.environments:
        found.add(f"environment {name} is not listed")
    elif name and not admits(wanted.environments[name], start.ref):
        found.add(f"environment {name} does not admit {start}")
    elif name and wanted.environments[name].gate:
        if start.event == "schedule":
            found.add(f"environment {name} waits for reviewers by the clock")
        elif start.event == "push" and not _asked(job, name, workflow):
            found.add(f"nobody asks the gate of {name}")
    early = {key: definition[key] for key in BEFORE if key in definition}
    late = {key: value for key, value in definition.items() if key not in BEFORE}
    return found | _lost(early, start, None, wanted) | _lost(late, start, name, wanted)


def _environment(definition: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    """The name of a job's environment."""
    environment = definition.get("environment")
    text = environment["name"] if isinstance(environment, dict) else environment
    if text is None:
        return None
    name = _value(text, known) if "${{" in text else text
    if not isinstance(name, str):
        raise UnknownError(f"the environment {text!r}")
    return name


def _value(text: str, known: Mapping[str, Any]) -> Any:
    """The value of a whole expression, with or without its braces."""
    match = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.DOTALL)
    return Expression(match[1] if match else text, known).value()


def _asked(job: str, environment: str, workflow: Mapping[str, Any]) -> bool:
    """Whether the job, or one that waits for it, asks who approved, and may."""
    for name, definition in workflow["jobs"].items():
        if name == job or job in _needs(definition):
            permitted = (definition.get("permissions") or {}).get("actions") in ("read", "write")
            steps = [step.get("run", "") for step in definition["steps"]]
            if permitted and any(re.search(rf"\bgate GATE={environment}(\s|$)", step) for step in steps):
                return True
    return False


def _kept(node: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The secrets and variables that a part of a workflow wants: `secrets` or `vars`, and the name."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "if" and isinstance(value, str):
                value = value if "${{" in value else f"${{{{ {value} }}}}"
            yield from _kept(value, known)
    elif isinstance(node, list):
        for value in node:
            yield from _kept(value, known)
    elif isinstance(node, str):
        for text in re.findall(r"\$\{\{(.*?)\}\}", node, re.DOTALL):
            expression = Expression(text, known)
            # The rest of the language is of no interest here, unless it hides a secret.
            if re.search(r"\b(secrets|vars)\b", text):
                expression.value()
            for name in expression.read:
                context, _, kept = name.partition(".")
                if context in ("secrets", "vars") and kept != "GITHUB_TOKEN":
                    yield context, kept


def _lost(part: Any, start: Start, place: str | None, wanted: Wanted) -> set[str]:
    """Why secrets and variables would not be found by a part of a workflow, in an environment or in none."""
    found = set()
    for context, name in _kept(part, start.known()):
        listed = {kept.name: kept.places for kept in (wanted.secrets if context == "secrets" else wanted.variables)}
        homes = set(listed.get(name, ()))
        if not homes:
            found.add(f"{context}.{name} is not listed")
        elif place is None and homes != {REPOSITORY}:
            found.add(f"{context}.{name} is read where there is no environment, and may be one's")
        elif place is not None and not homes & {REPOSITORY, place}:
            found.add(f"{context}.{name} is not kept in {place}")
    return found


def unread(workflows: Mapping[str, Any], wanted: Wanted) -> set[str]:
    """The secrets and variables that are listed, and that no workflow reads."""
    text = str(workflows)
    names = [f"secrets.{kept.name}" for kept in wanted.secrets]
    names += [f"vars.{kept.name}" for kept in wanted.variables]
    return {name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)}


def unreported(workflows: Mapping[str, Any], wanted: Wanted) -> set[str]:
    """Required checks that an event which a rule waits for does not report."""
    events = {"pull_request": {"pull_request"}, "merge_queue": {"merge_group"}}
    rules = [rule for ruleset in wanted.rulesets for rule in ruleset.rules]
    awaited = set().union(*(events.get(rule.type, set()) for rule in rules))
    checks = {
        check["context"]
        for rule in rules
        if rule.type == "required_status_checks"
        for check in rule.parameters["required_status_checks"]
    }
    found = set()
    for event in sorted(awaited):
        reported = {
            str(definition.get("name", job))
            for workflow in workflows.values()
            if event in workflow[True]
            for job, definition in workflow["jobs"].items()
        }
        found |= {f"check {check} is not reported for {event}" for check in checks - reported}
    return found

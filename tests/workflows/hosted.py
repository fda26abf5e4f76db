"""What GitHub does and act does not, as far as the parsed workflows show it."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from delivery import limits
from delivery.__main__ import parser
from tests.workflows.act import ROOT, definitions

OURS = "$/.github/actions/"
# Outputs that are no part of what went in, whatever that was: digests, and words of ours.
CLEAN = {
    ("docker/build-push-action", "digest"),
    ("pipeline newest", "newest"),
    ("pipeline prepare", "ready"),
    ("pipeline provenance", "way"),
}
DIGEST = "-m delivery digest "
# Environments whose reviewers a job waits for.
APPROVED = ("preprod-approval", "production")
COMMAND = re.compile(r"-m delivery (?P<words>[^>|\n]+)")

Sources = frozenset[str]
Job = Mapping[str, Any]
NOTHING: Sources = frozenset()


def texts() -> dict[str, str]:
    """The workflows and actions by their path below .github."""
    return {str(file.relative_to(ROOT / ".github")): file.read_text() for file in definitions()}


@dataclass(frozen=True)
class Model:
    """The definitions, parsed: by their path below .github."""

    files: Mapping[str, Any]

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Model:
        return cls({path: yaml.safe_load(text) for path, text in texts.items()})

    def workflows(self) -> Iterator[tuple[str, Any]]:
        """Name and definition of each workflow."""
        for path, body in self.files.items():
            if path.startswith("workflows/"):
                yield path.removeprefix("workflows/").removesuffix(".yml"), body

    def jobs(self) -> Iterator[tuple[str, Job]]:
        """WORKFLOW/JOB with the definition."""
        for name, body in self.workflows():
            for identity, job in body["jobs"].items():
                yield f"{name}/{identity}", job

    def action(self, step: Job) -> Any:
        """The definition of this repository's action that a step uses; None for any other step."""
        uses = step.get("uses", "")
        return self.files[f"actions/{uses.removeprefix(OURS)}/action.yml"] if uses.startswith(OURS) else None

    def dropped(self) -> dict[str, Sources]:
        """The outputs of jobs that GitHub drops, as they may contain a secret, with where that comes from.

        https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/pass-job-outputs
        """
        found = {}
        for name, job in self.jobs():
            scope = _Scope(self, job["steps"], {}, job.get("env", {}))
            for output, value in job.get("outputs", {}).items():
                if sources := scope.of(value):
                    found[f"{name}: {output}"] = sources
        return found

    def scripts(self, job: Job) -> Iterator[str]:
        """The scripts of a job, those of its actions among them."""
        for step in job["steps"]:
            yield step.get("run", "")
            if action := self.action(step):
                yield from self.scripts(action["runs"])

    def late(self) -> dict[str, float]:
        """The jobs whose own limit comes before those of what they run, with the seconds that they need."""
        found = {}
        for name, job in self.jobs():
            seconds = sum(map(_limit, job["steps"]))
            if seconds and not seconds + limits.AROUND <= 60 * job["timeout-minutes"] <= limits.GITHUB:
                found[name] = seconds + limits.AROUND
        return found

    def deaf(self) -> list[str]:
        """The steps whose command gets no signal: GitHub sends it to the step's own process alone."""
        return [
            f"{name}: {step['name']}"
            for name, job in self.jobs()
            for step in job["steps"]
            if COMMAND.search(step.get("run", "")) and not re.search(r"^exec [^|]*$", step["run"], re.M)
        ]

    def inner(self) -> list[str]:
        """The actions that change a cluster: a composite's steps are not reliably told of a cancellation.

        https://github.com/actions/runner/pull/2638
        """
        actions = (path for path in self.files if path.startswith("actions/"))
        words = r"-m delivery (?!digest|status)"
        return [
            path for path in actions if any(re.search(words, text) for text in self.scripts(self.files[path]["runs"]))
        ]

    def groups(self) -> Iterator[str]:
        """What is wrong with the groups in which jobs wait for one another."""
        for name, body in self.workflows():
            if "concurrency" in body and name != "ci-cd":
                yield f"{name} holds all its jobs in one group"
        for name, job in self.jobs():
            group, environment = job.get("concurrency", {}).get("group"), _environment(job)
            if environment in APPROVED and group:
                yield f"{name} waits for its approval in {group}"
            delivers = any(command.command == "deploy" for command in _commands(job))
            if delivers and environment not in APPROVED and group != f"deploy-{environment}":
                yield f"{name} is not in deploy-{environment}"

    def rights(self) -> Iterator[str]:
        """What jobs may do and should not, or have to and may not."""
        for name, job in self.jobs():
            permissions = job["permissions"] or {}
            if any("trivy-action" in step.get("uses", "") for step in job["steps"]) and "write" in permissions.values():
                yield f"{name} scans, and may write"
            pushed = any(step.get("with", {}).get("pushed") == "true" for step in job["steps"])
            asks = any(re.search(r"make .*gate|-m pipeline newest", step.get("run", "")) for step in job["steps"])
            if (pushed or asks) and permissions.get("actions") != "read":
                yield f"{name} asks about runs, and may not"
            setup = any(step.get("uses") == f"{OURS}setup" for step in job["steps"])
            if setup and "contents" not in permissions:
                yield f"{name} checks out, and may not"


@dataclass(frozen=True)
class _Scope:
    """Where an expression stands: the steps beside it, and what comes from the secrets in its inputs and variables."""

    model: Model
    steps: Iterable[Job]
    inputs: Mapping[str, Sources]
    env: Mapping[str, Any]

    def of(self, text: object) -> Sources:
        """The secrets of which a text with expressions may contain something."""
        found = set()
        for expression in re.findall(r"\$\{\{(.*?)\}\}", str(text), re.S):
            found |= {f"secrets.{name}" for name in re.findall(r"secrets\.(\w+)", expression)}
            found |= {"github.token"} if "github.token" in expression else set()
            for name in re.findall(r"inputs\.([\w-]+)", expression):
                found |= self.inputs.get(name, NOTHING)
            for name in re.findall(r"env\.(\w+)", expression):
                found |= self.of(self.env.get(name, ""))
            for identity, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", expression):
                found |= self._output(next(step for step in self.steps if step.get("id") == identity), output)
        return frozenset(found)

    def _output(self, step: Job, output: str) -> Sources:
        given = {name: self.of(value) for name, value in {**step.get("with", {}), **step.get("env", {})}.items()}
        if action := self.model.action(step):
            scope = _Scope(self.model, action["runs"]["steps"], given, {})
            return scope.of(action["outputs"][output]["value"])
        command = re.search(r"-m (pipeline \w+)", step.get("run", ""))
        who = command[1] if command else step.get("uses", "").partition("@")[0]
        if (who, output) in CLEAN:
            return NOTHING
        if written := re.search(rf'^ *echo "{output}=(.*)" >>"\$GITHUB_OUTPUT"$', step.get("run", ""), re.M):
            return self._written(written[1], step["run"], given)
        return frozenset().union(*given.values())

    def _written(self, text: str, script: str, given: Mapping[str, Sources]) -> Sources:
        """What a script writes: its variables, and those of the commands by which it sets others."""
        found = set(NOTHING)
        for name in re.findall(r"\$\{?(\w+)", text):
            command = re.search(rf"^ *{name}=\$\((.*)\)$", script, re.M)
            if command and DIGEST not in command[1]:
                found |= self._written(command[1], script, given)
            found |= given.get(name, NOTHING)
        return frozenset(found)


def _environment(job: Job) -> str:
    named = job.get("environment", "")
    return str(named["name"] if isinstance(named, dict) else named)


def _commands(job: Job) -> Iterator[argparse.Namespace]:
    """The commands of delivery in a job's own steps, but what takes back."""
    for step in job["steps"]:
        if (found := COMMAND.search(step.get("run", ""))) and not step.get("if", "").startswith("cancelled()"):
            yield _parsed(found["words"])


def _parsed(words: str) -> argparse.Namespace:
    """A command of delivery, whatever its variables are."""
    known = {'"$ENVIRONMENT"': "prod", '"${options[@]}"': "", '${RELEASE:+--to "$RELEASE"}': ""}
    for variable, value in known.items():
        words = words.replace(variable, value)
    return parser().parse_args(shlex.split(words))


def _limit(step: Job) -> float:
    """The seconds that a step may take by limits of what it runs; none where that has no limits."""
    own = sum(map(limits.of, _commands({"steps": [step]})))
    return own + limits.LOAD if step.get("run", "").startswith("make load ") else own

"""What the repository should be: .github/repository.yaml, read strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from delivery.shell import ROOT

FILE = ROOT / ".github" / "repository.yaml"
# Where a secret or variable is that belongs to no environment.
REPOSITORY = "repository"
# The roles of the REST API's RepositoryRole.
ROLES = {"maintain": 2, "admin": 5}


class RepositoryError(Exception):
    """Something that stops a command; its text is one message for the person at the terminal."""


def _plain(pattern: str) -> str:
    """A pattern that GitHub and the tests here understand alike: `*` stops at a slash, and nothing else is special."""
    if not re.fullmatch(r"[\w./-]+(\*[\w./-]+)*\*?", pattern):
        raise ValueError("a pattern of refs has no special character but single *")
    return pattern


Pattern = Annotated[str, AfterValidator(_plain)]
Name = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Environment(_Strict):
    """An environment, with the refs whose jobs it admits, and whether reviewers have to approve them."""

    branches: list[Pattern] = []
    tags: list[Pattern] = []
    gate: bool = False
    prevent_self_review: bool = False
    wait_timer: Annotated[int, Field(ge=0, le=43_200)] = 0

    @property
    def refs(self) -> frozenset[tuple[str, str]]:
        """Kind (branch or tag) and pattern of each policy."""
        branches = {("branch", pattern) for pattern in self.branches}
        return frozenset(branches | {("tag", pattern) for pattern in self.tags})


class Rule(_Strict):
    """One rule, as the REST API writes it."""

    type: str
    parameters: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        """What is sent; a rule without parameters has no such key."""
        return {"type": self.type, **({"parameters": self.parameters} if self.parameters else {})}


class Ruleset(_Strict):
    """Rules for some refs; those who have a role in `bypass` need not keep them."""

    name: str
    target: Literal["branch", "tag"]
    include: Annotated[list[str], Field(min_length=1)]
    rules: Annotated[list[Rule], Field(min_length=1)]
    bypass: list[Literal["maintain", "admin"]] = []
    organization: bool = False

    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {
            "name": self.name,
            "target": self.target,
            "enforcement": "active",
            "bypass_actors": [
                {"actor_type": "RepositoryRole", "actor_id": ROLES[role], "bypass_mode": "always"}
                for role in self.bypass
            ],
            "conditions": {"ref_name": {"include": self.include, "exclude": []}},
            "rules": [rule.body() for rule in self.rules],
        }


class Actions(_Strict):
    """What GitHub Actions may do in the repository."""

    default_workflow_permissions: Literal["read", "write"]
    can_approve_pull_request_reviews: bool
    sha_pinning_required: bool


class Variable(_Strict):
    """A variable, and where it may be kept: environments, or REPOSITORY."""

    name: Name
    places: Annotated[list[str], Field(alias="in", min_length=1)]


class Secret(Variable):
    """A secret; `needed` are the environments that lack it without it, or without one that goes before it."""

    needed: list[str] = []
    before: Name | None = None


class Wanted(_Strict):
    """The whole file."""

    environments: Annotated[dict[str, Environment], Field(min_length=1)]
    rulesets: list[Ruleset]
    actions: Actions
    secrets: list[Secret]
    variables: list[Variable]

    @model_validator(mode="after")
    def _hangs_together(self) -> Wanted:
        if REPOSITORY in self.environments:
            raise ValueError(f"no environment is called {REPOSITORY}: that is where a secret of none is kept")
        for name, environment in self.environments.items():
            if not environment.refs:
                raise ValueError(f"environment {name} admits no ref; list branches or tags")
        for kind, names in (
            ("ruleset", [ruleset.name for ruleset in self.rulesets]),
            ("secret", [secret.name for secret in self.secrets]),
            ("variable", [variable.name for variable in self.variables]),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{kind} {min(twice)} is there twice")
        places = {REPOSITORY, *self.environments}
        for kept in (*self.secrets, *self.variables):
            if unknown := set(kept.places) - places:
                raise ValueError(f"{kept.name} is kept in {min(unknown)}, which is no environment here")
        names = [secret.name for secret in self.secrets]
        for secret in self.secrets:
            if unknown := set(secret.needed) - set(secret.places):
                raise ValueError(f"{secret.name} is needed in {min(unknown)}, where it is not kept")
            if secret.before and secret.before not in names:
                raise ValueError(f"{secret.name} goes before {secret.before}, which is no secret here")
        return self


def read(file: Path = FILE) -> Wanted:
    """Reads the file.

    Raises:
        RepositoryError: it is not YAML, or says something that has no meaning.
    """
    try:
        return Wanted.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RepositoryError(f"{file.name}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RepositoryError(f"{file.name}: {where}: {first['msg']}") from None

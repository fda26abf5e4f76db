"""How the repository differs from what it should be, and what mends that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from urllib.parse import quote

from repository.github import GitHub, RefusalError
from repository.wanted import REPOSITORY, Environment, RepositoryError, Ruleset, Wanted

# What GitHub answers where a private repository's plan lacks something. Free has no environments, Pro and Team have
# them without reviewers and wait timers.
NO_ENVIRONMENTS = "the plan has no environments for a private repository: no gates, and no secrets but the repository's"
NO_REVIEWERS = (
    "the plan has no reviewers for a private repository: GitHub asks nobody before a delivery, and the gates refuse "
    "unless APPROVERS names who may start one (docs/github.md)"
)
NO_RULESETS = "the plan has no rulesets for a private repository: anybody who may write may push to main and move tags"
TOO_MANY = 6


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be.

    Attributes:
        text: one line.
        mend: sets it as it should be, twice as once; None for what is left to a person.
    """

    text: str
    mend: Callable[[], None] | None = None


@dataclass
class Look:
    """What was seen: what differs, and what is only to be known."""

    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Reviewer = tuple[str, int]


class Repository:
    """A repository on GitHub beside what it should be.

    Attributes:
        reviewers: logins and ORGANIZATION/TEAM who have to be the gates' reviewers; none for those who are, or for
            whoever runs this where nobody is.
    """

    def __init__(self, github: GitHub, wanted: Wanted, reviewers: tuple[str, ...] = ()) -> None:
        if len(reviewers) > TOO_MANY:
            raise RepositoryError(f"an environment has {TOO_MANY} reviewers at most; name a team")
        self.github, self.wanted = github, wanted
        self.about = github.get("{repo}")
        self._named = [self._find(name) for name in dict.fromkeys(reviewers)]

    @property
    def administrator(self) -> bool:
        """Whether this token may change what a repository is; GitHub says so of people alone."""
        return bool((self.about.get("permissions") or {}).get("admin", True))

    def look(self) -> Look:
        """Compares everything.

        Raises:
            RepositoryError: GitHub does not answer, or not with what it should.
        """
        look = Look()
        for part in (self._environments, self._rulesets, self._actions, self._kept, self._package):
            try:
                part(look)
            except (KeyError, TypeError, AttributeError) as error:
                raise RepositoryError(f"GitHub's answer is not what it should be: {error!r}") from None
        return look

    # Environments

    def _environments(self, look: Look) -> None:
        try:
            known = {entry["name"]: entry for entry in self.github.pages("{repo}/environments", "environments")}
        except RefusalError as error:
            look.differences.append(Difference(f"environments: {error}{self._plan(error, NO_ENVIRONMENTS)}"))
            return
        for name, wanted in self.wanted.environments.items():
            if reasons := list(self._environment(name, wanted, known.get(name))):
                text = f"environment {name}: {'; '.join(reasons)}"
                look.differences.append(Difference(text, partial(self._make, name, wanted)))
        for name in sorted(known.keys() - self.wanted.environments.keys()):
            look.notes.append(f"environment {name} is not listed, and is left as it is")

    def _environment(self, name: str, wanted: Environment, entry: Mapping[str, Any] | None) -> Iterator[str]:
        """What is wrong with an environment."""
        if entry is None:
            yield "is missing"
            return
        rules = {rule["type"]: rule for rule in entry.get("protection_rules", [])}
        required = rules.get("required_reviewers", {})
        people = _people(entry)
        if set(people) != set(expected := self._expected(wanted, people)):
            yield (
                f"{len(people)} reviewers instead of {len(expected)}"
                if len(people) != len(expected)
                else ("other reviewers than it should have")
            )
        if required and required.get("prevent_self_review", False) != wanted.prevent_self_review:
            yield f"who starts a run may {'' if wanted.prevent_self_review else 'not '}approve it"
        if (timer := rules.get("wait_timer", {}).get("wait_timer", 0)) != wanted.wait_timer:
            yield f"waits {timer} minutes instead of {wanted.wait_timer}"
        if not custom(entry):
            yield "has no policy of refs"
        elif (refs := {*self._policies(name)}) != wanted.refs:
            yield f"admits {_refs(refs)} instead of {_refs(wanted.refs)}"

    def _make(self, name: str, wanted: Environment) -> None:
        """Sets an environment. What the plan lacks keeps nothing else from being set."""
        path = _path(name)
        try:
            people = _people(self.github.get(path))
        except RefusalError as error:
            if error.status != 404:
                raise
            people = []
        policy = {
            "deployment_branch_policy": {
                "protected_branches": False,
                "custom_branch_policies": True,
            }
        }
        protection = {
            "wait_timer": wanted.wait_timer,
            "prevent_self_review": wanted.prevent_self_review and wanted.gate,
            "reviewers": [{"type": kind, "id": number} for kind, number in self._expected(wanted, people)],
        }
        lacking: RefusalError | None = None
        try:
            self.github.put(path, protection | policy)
        except RefusalError as error:
            if error.status == 404 and self.about["private"]:
                raise RefusalError(404, f"{error}{self._plan(error, NO_ENVIRONMENTS)}") from None
            if error.status != 422 or not self.about["private"]:
                raise
            # https://github.com/google/go-github/blob/master/github/repos_environments.go sends the same.
            self.github.put(path, policy)
            lacking = error
        known = self._policies(name)
        for kind, pattern in sorted(wanted.refs - known.keys()):
            self.github.post(f"{path}/deployment-branch-policies", {"name": pattern, "type": kind})
        for ref in sorted(known.keys() - wanted.refs):
            self.github.delete(f"{path}/deployment-branch-policies/{known[ref]}")
        if lacking and (wanted.gate or wanted.wait_timer):
            raise RefusalError(422, f"{lacking}: {NO_REVIEWERS}")

    def _policies(self, name: str) -> dict[tuple[str, str], int]:
        """The number of each policy of refs, by kind and pattern."""
        entries = self.github.pages(f"{_path(name)}/deployment-branch-policies", "branch_policies")
        return {(entry.get("type", "branch"), entry["name"]): entry["id"] for entry in entries}

    def _expected(self, wanted: Environment, people: list[Reviewer]) -> list[Reviewer]:
        """Who should be the reviewers where these are."""
        if not wanted.gate:
            return []
        return self._named or people or [self._myself]

    def _find(self, name: str) -> Reviewer:
        organization, _, team = name.rpartition("/")
        path = f"/orgs/{quote(organization)}/teams/{quote(team)}" if organization else f"/users/{quote(name)}"
        try:
            return ("Team" if organization else "User", self.github.get(path)["id"])
        except RefusalError as error:
            raise RepositoryError(f"{name} cannot be a reviewer: {error}") from None

    @cached_property
    def _myself(self) -> Reviewer:
        try:
            return ("User", self.github.get("/user")["id"])
        except RefusalError:
            # An App's token belongs to nobody; it cannot apply anything either.
            return ("User", 0)

    def _plan(self, error: RefusalError, meaning: str) -> str:
        return f"; {meaning}" if self.about["private"] and error.status in (403, 404, 422) else ""

    # Rulesets

    def _rulesets(self, look: Look) -> None:
        try:
            entries = self.github.pages("{repo}/rulesets", includes_parents="false")
        except RefusalError as error:
            look.differences.append(Difference(f"rulesets: {error}{self._plan(error, NO_RULESETS)}"))
            return
        known = {entry["name"]: entry["id"] for entry in entries}
        for wanted in self.wanted.rulesets:
            if wanted.organization and self.about["owner"]["type"] != "Organization":
                look.notes.append(f"ruleset {wanted.name} is left out: GitHub has it for organizations' repositories")
                continue
            number = known.get(wanted.name)
            entry = number and self.github.get(f"{{repo}}/rulesets/{number}", includes_parents="false")
            if entry and "bypass_actors" not in entry:
                look.notes.append(f"ruleset {wanted.name}: this token may not see who goes past it")
            if reasons := list(_unlike(wanted, entry)):
                text = f"ruleset {wanted.name}: {'; '.join(reasons)}"
                look.differences.append(Difference(text, partial(self._rule, wanted)))
        for name in sorted(known.keys() - {wanted.name for wanted in self.wanted.rulesets}):
            look.notes.append(f"ruleset {name} is not listed, and is left as it is")

    def _rule(self, wanted: Ruleset) -> None:
        # Looked for again: an attempt of which no answer came back may have made it.
        entries = self.github.pages("{repo}/rulesets", includes_parents="false")
        known = {entry["name"]: entry["id"] for entry in entries}
        if wanted.name in known:
            self.github.put(f"{{repo}}/rulesets/{known[wanted.name]}", wanted.body())
        else:
            self.github.post("{repo}/rulesets", wanted.body())

    # GitHub Actions

    def _actions(self, look: Look) -> None:
        wanted = self.wanted.actions
        token = {
            "default_workflow_permissions": wanted.default_workflow_permissions,
            "can_approve_pull_request_reviews": wanted.can_approve_pull_request_reviews,
        }
        pins = {"enabled": True, "sha_pinning_required": wanted.sha_pinning_required}
        for path, settings in (
            ("{repo}/actions/permissions/workflow", token),
            ("{repo}/actions/permissions", pins),
        ):
            try:
                known = self.github.get(path)
            except RefusalError as error:
                look.differences.append(Difference(f"actions: {error}"))
                continue
            if "sha_pinning_required" in settings and "sha_pinning_required" not in known:
                look.notes.append("actions: this GitHub cannot ask for actions that are pinned by commit")
                settings = {"enabled": True}
            reasons = [f"{key} is {known.get(key)!r}" for key, value in settings.items() if known.get(key) != value]
            if reasons:
                # Which actions are allowed stays as somebody chose it.
                body = settings | {key: known[key] for key in ("allowed_actions",) if key in known}
                text = f"actions: {'; '.join(reasons)}"
                look.differences.append(Difference(text, partial(self.github.put, path, body)))

    # Secrets and variables

    def _kept(self, look: Look) -> None:
        """What is kept where; values of secrets are never read or written, and no GitHub tells them."""
        secrets, variables = self._names("secrets", look), self._names("variables", look)
        if secrets is not None:
            look.differences += self._missing(secrets)
        for kind, known, listed in (
            ("secret", secrets, self.wanted.secrets),
            ("variable", variables, self.wanted.variables),
        ):
            for place, names in (known or {}).items():
                strangers = names - {kept.name for kept in listed if place in kept.places}
                for name in sorted(strangers):
                    look.notes.append(f"{kind} {name} is not listed for {_place(place)}, and is left as it is")
        if variables is not None:
            present = set().union(*variables.values())
            if unset := [kept.name for kept in self.wanted.variables if kept.name not in present]:
                look.notes.append(f"variables that may be set and are not: {', '.join(unset)}")

    def _missing(self, known: Mapping[str, set[str]]) -> Iterator[Difference]:
        """The secrets that an environment needs and has not, nor one that goes before them."""
        for secret in self.wanted.secrets:
            for place in secret.needed:
                instead = {
                    other.name for other in self.wanted.secrets if other.before == secret.name and place in other.places
                }
                reachable = known.get(place, set()) | known[REPOSITORY]
                if secret.name not in known.get(place, set()) and not instead & reachable:
                    command = f"gh secret set {secret.name} --env {place} --repo {self.github.repository}"
                    yield Difference(f"secret {secret.name} of environment {place} is missing: {command}")

    def _names(self, kind: str, look: Look) -> dict[str, set[str]] | None:
        """The names of secrets or variables by place; None where this token may not see them."""
        known: dict[str, set[str]] = {REPOSITORY: set()}
        paths = [(REPOSITORY, f"{{repo}}/actions/{kind}")]
        if self.about["owner"]["type"] == "Organization":
            paths.append((REPOSITORY, f"{{repo}}/actions/organization-{kind}"))
        paths += [(name, f"{_path(name)}/{kind}") for name in self.wanted.environments]
        for place, path in paths:
            try:
                entries = self.github.pages(path, kind)
            except RefusalError as error:
                # An environment that is missing has been told of.
                if error.status == 404 and place != REPOSITORY:
                    continue
                text = f"{kind} cannot be seen: {error}"
                if kind == "secrets":
                    look.differences.append(Difference(text))
                else:
                    look.notes.append(text)
                return None
            known.setdefault(place, set()).update(entry["name"] for entry in entries)
        return known

    # The package of the image

    def _package(self, look: Look) -> None:
        """What ghcr.io says of the image; the API changes neither its visibility nor its link."""
        owner, _, name = self.github.repository.lower().partition("/")
        kind = "orgs" if self.about["owner"]["type"] == "Organization" else "users"
        try:
            package = self.github.get(f"/{kind}/{owner}/packages/container/{quote(name, safe='')}")
        except RefusalError as error:
            if error.status == 404:
                look.notes.append(f"ghcr.io/{owner}/{name}: no image was pushed yet, or this token may not see it")
            elif error.status in (401, 403):
                look.notes.append(f"ghcr.io/{owner}/{name}: this token may not see packages (scope read:packages)")
            else:
                raise
            return
        linked = (package.get("repository") or {}).get("full_name", "")
        if linked.lower() != self.github.repository.lower():
            look.differences.append(
                Difference(
                    f"ghcr.io/{owner}/{name} belongs to {linked or 'no repository'}: an image with the label "
                    f"org.opencontainers.image.source=https://github.com/{self.github.repository} links it, "
                    f"or its settings do: {package['html_url']}"
                )
            )
        if package["visibility"] != "public":
            look.notes.append(
                f"ghcr.io/{owner}/{name} is {package['visibility']}: clusters need an imagePullSecret, "
                f"or its settings make it public: {package['html_url']}"
            )


def custom(environment: Mapping[str, Any]) -> bool:
    """Whether an environment admits only the refs of its own policies."""
    return bool((environment.get("deployment_branch_policy") or {}).get("custom_branch_policies"))


def _people(environment: Mapping[str, Any]) -> list[Reviewer]:
    """Kind (User or Team) and number of the reviewers."""
    rules = [rule for rule in environment.get("protection_rules", []) if rule["type"] == "required_reviewers"]
    return [(entry["type"], entry["reviewer"]["id"]) for rule in rules for entry in rule.get("reviewers", [])]


def _unlike(wanted: Ruleset, entry: Mapping[str, Any] | None) -> Iterator[str]:
    """In what a ruleset is not the wanted one. Parameters that the file does not give are GitHub's to choose."""
    if not entry:
        yield "is missing"
        return
    body = wanted.body()
    for key in ("target", "enforcement"):
        if entry.get(key) != body[key]:
            yield f"{key} is {entry.get(key)}"
    refs = (entry.get("conditions") or {}).get("ref_name") or {}
    if set(refs.get("include", [])) != set(wanted.include) or refs.get("exclude"):
        yield "is for other refs"
    if "bypass_actors" in entry:
        actors = [body["bypass_actors"], entry["bypass_actors"]]
        keys = ("actor_type", "actor_id", "bypass_mode")
        ours, theirs = ({tuple(actor.get(key) for key in keys) for actor in some} for some in actors)
        if ours != theirs:
            yield "others go past it"
    known = {rule["type"]: rule.get("parameters") or {} for rule in entry.get("rules", [])}
    expected = {rule.type: rule.parameters for rule in wanted.rules}
    if known.keys() != expected.keys():
        yield f"its rules are {', '.join(sorted(known)) or 'none'}"
    for kind in known.keys() & expected.keys():
        if wrong := [key for key, value in expected[kind].items() if known[kind].get(key) != value]:
            yield f"{kind} has another {', '.join(wrong)}"


def _path(environment: str) -> str:
    return f"{{repo}}/environments/{quote(environment, safe='')}"


def _refs(refs: set[tuple[str, str]] | frozenset[tuple[str, str]]) -> str:
    return ", ".join(f"{kind} {pattern}" for kind, pattern in sorted(refs)) or "nothing"


def _place(place: str) -> str:
    return "the repository" if place == REPOSITORY else f"environment {place}"

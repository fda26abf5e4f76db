"""A small GitHub that remembers: every request and answer is held against GitHub's own description."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.repository.description import (
    ViolationError,
    answer_schema,
    check_answer,
    check_request,
    find,
    resolve,
    specimen,
)

TOKEN = "ghp_" + "0123456789abcdef"
OWNER, NAME = "escola", "school-scheduler"
REPOSITORY = f"{OWNER}/{NAME}"
USERS = {"ana": 1, "ben": 2, "eva": 3}
TEAMS = {"releases": 11}
NOT_FOUND = {
    "message": "Not Found",
    "documentation_url": "https://docs.github.com/rest",
    "status": "404",
}
Answer = tuple[int, Any]


def environment(**settings: Any) -> dict[str, Any]:
    """An environment as somebody makes it who says nothing more."""
    nothing = {"reviewers": [], "prevent_self_review": False, "wait_timer": 0, "policy": None}
    return nothing | {"refs": [], "secrets": [], "variables": []} | settings


class Fake(ThreadingHTTPServer):
    """One repository.

    Attributes:
        state: all that the repository is; a plain object, to be compared with a copy.
        private, organization: the repository's visibility, and who owns it.
        plan: `free` or `team`, which lack something for private repositories, or `enterprise`.
        faults: what happens at the request of that number, from 0: a status, `slow`, `garbage`, `cut`,
            `lost` (done, but answered with 502) or `limit` (403 with Retry-After: `pause`).
        requests: what was asked, with the body of what was sent.
        violations: what GitHub's description does not allow.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.private, self.organization, self.plan, self.login = False, False, "free", "ana"
        self.administrator, self.sees_bypass, self.sees_pins = True, True, True
        self.hidden: set[str] = set()
        self.faults: dict[int, int | str] = {}
        self.garbage, self.pause = "<html>", 1
        self.requests: list[tuple[str, str, Any]] = []
        self.violations: list[str] = []
        self._numbers = iter(range(100, 10**6))
        self.state: dict[str, Any] = {
            "environments": {},
            "rulesets": {},
            "permissions": {
                "enabled": True,
                "allowed_actions": "all",
                "sha_pinning_required": False,
            },
            "workflow": {
                "default_workflow_permissions": "write",
                "can_approve_pull_request_reviews": True,
            },
            "secrets": [],
            "variables": [],
            "organization-secrets": [],
            "organization-variables": [],
            "package": None,
            "approvals": [],
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        """The requests that are no questions."""
        return [request for request in self.requests if request[0] != "GET"]

    def number(self) -> int:
        """A number that nothing else has."""
        return next(self._numbers)

    def snapshot(self) -> dict[str, Any]:
        """What the repository is now."""
        return deepcopy(self.state)

    def add_ruleset(self, body: dict[str, Any]) -> int:
        """Makes a ruleset, and returns its number."""
        number = self.number()
        self.state["rulesets"][number] = deepcopy(body)
        return number

    def answer(self, method: str, template: str, values: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        """Status and body of the answer to a request that the description allows."""
        tail = template.removeprefix("/repos/{owner}/{repo}")
        if tail != template and f"{values['owner']}/{values['repo']}".lower() != REPOSITORY:
            return 404, NOT_FOUND
        if any(part in template for part in self.hidden):
            return 403, {
                **NOT_FOUND,
                "message": "Resource not accessible by integration",
                "status": "403",
            }
        if tail.startswith("/environments"):
            return self._environments(method, tail, values, query, body)
        if tail.startswith("/rulesets"):
            return self._rulesets(method, values, query, body)
        if tail.startswith("/actions/permissions"):
            key = "workflow" if tail.endswith("/workflow") else "permissions"
            if method == "PUT":
                self.state[key] = deepcopy(body)
                return 204, None
            known = dict(self.state[key])
            if not self.sees_pins:
                known.pop("sha_pinning_required", None)
            return 200, known
        if tail.startswith("/actions/runs"):
            return 200, [self._approval(*approval) for approval in self.state["approvals"]]
        if tail.startswith("/actions/"):
            return 200, _kept(tail.rpartition("-")[2].rpartition("/")[2], self.state[tail.split("/")[2]], query)
        return self._about(template, values)

    def _about(self, template: str, values: dict[str, str]) -> Answer:
        if template == "/repos/{owner}/{repo}":
            owner = _user(OWNER) | {"type": "Organization" if self.organization else "User"}
            roles = {"admin": self.administrator, "pull": True, "push": True}
            about = {
                "owner": owner,
                "full_name": REPOSITORY,
                "private": self.private,
                "permissions": roles,
            }
            return 200, _like("GET", "/repos/a/b", about)
        if template.endswith("/packages/{package_type}/{package_name}"):
            kind = "orgs" if self.organization else "users"
            package = self.state["package"]
            if not template.startswith(f"/{kind}/") or package is None or values["package_name"] != NAME:
                return 404, NOT_FOUND
            page = f"https://github.com/{kind}/{OWNER}/packages/container/{NAME}/settings"
            linked = _like("GET", "/repos/a/b", {"full_name": package["repository"]})
            minimal = {name: linked[name] for name in _minimal()} if package["repository"] else None
            own = {"visibility": package["visibility"], "html_url": page} | ({"repository": minimal} if minimal else {})
            return 200, _like("GET", f"/orgs/{OWNER}/packages/container/{NAME}", own)
        if template.startswith("/orgs/"):
            slug = values["team_slug"]
            if not self.organization or values["org"] != OWNER or slug not in TEAMS:
                return 404, NOT_FOUND
            return 200, _like("GET", "/orgs/a/teams/b", {"id": TEAMS[slug], "slug": slug})
        login = values.get("username", self.login)
        if login not in USERS:
            return 404, NOT_FOUND
        # The second kind of the description is what everybody may see.
        operation, _, _ = find("GET", "/user")
        schema = answer_schema(operation, 200)
        assert schema
        return 200, specimen(resolve(schema)["oneOf"][1]) | {
            "login": login,
            "id": USERS[login],
            "type": "User",
        }

    def _environments(self, method: str, tail: str, values: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        known, free = self.state["environments"], self.private and self.plan == "free"
        if tail == "/environments":
            shown = [self._shown(name) for name in known]
            return 200, {"total_count": len(shown), "environments": _page(shown, query)}
        name = values["environment_name"]
        if free:
            return 404, NOT_FOUND
        if method == "PUT" and tail.endswith("}") and "branch" not in tail:
            return self._make(name, body)
        if name not in known:
            return 404, NOT_FOUND
        entry = known[name]
        if tail.endswith(("/secrets", "/variables")):
            kind = tail.rpartition("/")[2]
            return 200, _kept(kind, entry[kind], query)
        if "deployment-branch-policies" not in tail:
            return 200, self._shown(name)
        if method == "GET":
            refs = [{"id": number, "node_id": "", "name": ref, "type": kind} for number, kind, ref in entry["refs"]]
            return 200, {"total_count": len(refs), "branch_policies": _page(refs, query)}
        if method == "DELETE":
            number = int(values["branch_policy_id"])
            left = [ref for ref in entry["refs"] if ref[0] != number]
            gone = len(left) < len(entry["refs"])
            entry["refs"] = left
            return (204, None) if gone else (404, NOT_FOUND)
        if entry["policy"] != "custom":
            return 404, NOT_FOUND
        kind, ref = body.get("type", "branch"), body["name"]
        if [kind, ref] in [known[1:] for known in entry["refs"]]:
            return 303, None
        entry["refs"].append([self.number(), kind, ref])
        return 200, {"id": entry["refs"][-1][0], "node_id": "", "name": ref, "type": kind}

    def _make(self, name: str, body: Any) -> Answer:
        body = body or {}
        if self.private and self.plan == "team" and body.keys() - {"deployment_branch_policy"}:
            message = "Failed to create the environment protection rule. Please ensure the billing plan supports it."
            return 422, {"message": message, "documentation_url": "https://docs.github.com/rest"}
        reviewers = [[reviewer["type"], reviewer["id"]] for reviewer in body.get("reviewers") or []]
        people = {("User", number) for number in USERS.values()} | {("Team", number) for number in TEAMS.values()}
        if len(reviewers) > 6 or {(kind, number) for kind, number in reviewers} - people:
            return 422, {
                "message": "Validation Failed",
                "documentation_url": "https://docs.github.com/rest",
            }
        policy = body.get("deployment_branch_policy")
        if policy and policy["protected_branches"] == policy["custom_branch_policies"]:
            return 422, {
                "message": "Validation Failed",
                "documentation_url": "https://docs.github.com/rest",
            }
        entry = self.state["environments"].setdefault(name, environment())
        # What is not sent goes back to what it is by itself.
        entry["reviewers"] = reviewers
        entry["prevent_self_review"] = bool(body.get("prevent_self_review"))
        entry["wait_timer"] = body.get("wait_timer", 0)
        entry["policy"] = policy and ("custom" if policy["custom_branch_policies"] else "protected")
        if entry["policy"] != "custom":
            entry["refs"] = []
        return 200, self._shown(name)

    def _shown(self, name: str) -> dict[str, Any]:
        """An environment as GitHub shows it."""
        entry = self.state["environments"][name]
        rules: list[dict[str, Any]] = []
        if entry["wait_timer"]:
            rules.append({"id": 1, "node_id": "", "type": "wait_timer", "wait_timer": entry["wait_timer"]})
        if entry["reviewers"]:
            reviewers = [
                {
                    "type": kind,
                    "reviewer": _user(login_of(number), number) if kind == "User" else _team(number),
                }
                for kind, number in entry["reviewers"]
            ]
            rule = {"id": 2, "node_id": "", "type": "required_reviewers", "reviewers": reviewers}
            rules.append({**rule, "prevent_self_review": entry["prevent_self_review"]})
        policy = entry["policy"] and {
            "protected_branches": entry["policy"] == "protected",
            "custom_branch_policies": entry["policy"] == "custom",
        }
        if policy:
            rules.append({"id": 3, "node_id": "", "type": "branch_policy"})
        own = {"name": name, "protection_rules": rules, "deployment_branch_policy": policy}
        return _like("GET", "/repos/a/b/environments/c", own)

    def _rulesets(self, method: str, values: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        if self.private and self.plan == "free":
            message = "Upgrade to GitHub Pro or make this repository public to enable this feature."
            return 403, {**NOT_FOUND, "message": message, "status": "403"}
        known = self.state["rulesets"]
        if "ruleset_id" not in values:
            if method == "GET":
                listed = [self._ruleset(number, whole=False) for number in known]
                return 200, _page(listed, query)
            number = self.number()
        elif (number := int(values["ruleset_id"])) not in known:
            return 404, NOT_FOUND
        if method == "GET":
            return 200, self._ruleset(number)
        kinds = {rule["type"] for rule in body["rules"]}
        taken = any(other["name"] == body["name"] for key, other in known.items() if key != number)
        if taken or ("merge_queue" in kinds and not self.organization):
            message = "Name must be unique" if taken else "Invalid rules: 'Merge queue'"
            return 422, {
                "message": f"Validation Failed: {message}",
                "documentation_url": "https://docs.github.com/rest",
            }
        known[number] = deepcopy(body)
        return 201 if method == "POST" else 200, self._ruleset(number)

    def _ruleset(self, number: int, *, whole: bool = True) -> dict[str, Any]:
        own = deepcopy(self.state["rulesets"][number]) | {"id": number, "source": REPOSITORY}
        hidden = {"rules", "conditions", "bypass_actors"} if not whole else set()
        if not self.sees_bypass:
            hidden.add("bypass_actors")
        for rule in own["rules"]:
            if rule["type"] == "pull_request":
                # GitHub shows also what nobody has chosen.
                rule["parameters"] |= {"allowed_merge_methods": ["merge", "squash", "rebase"]}
        return {key: value for key, value in own.items() if key not in hidden}

    def _approval(self, state: str, login: str, environments: list[str], comment: str) -> dict[str, Any]:
        named = [{"id": 1, "name": name} for name in environments]
        return {
            "state": state,
            "user": _user(login, USERS[login]),
            "environments": named,
            "comment": comment,
        }


def login_of(number: int) -> str:
    """Whose number it is."""
    return next(login for login, known in USERS.items() if known == number)


def _like(method: str, path: str, own: dict[str, Any]) -> dict[str, Any]:
    """The smallest answer to a request, with what is known of it."""
    operation, _, _ = find(method, path)
    schema = answer_schema(operation, 200)
    assert schema
    return {**specimen(schema), **own}


def _minimal() -> list[str]:
    operation, _, _ = find("GET", f"/orgs/{OWNER}/packages/container/{NAME}")
    schema = answer_schema(operation, 200)
    assert schema
    linked = resolve(resolve(schema)["properties"]["repository"])
    return list(linked["required"])


def _user(login: str, number: int = 0) -> dict[str, Any]:
    simple: dict[str, Any] = specimen({"$ref": "#/components/schemas/simple-user"})
    return simple | {"login": login, "id": number, "type": "User"}


def _team(number: int) -> dict[str, Any]:
    team: dict[str, Any] = specimen({"$ref": "#/components/schemas/team"})
    return team | {"id": number}


def _page(entries: list[Any], query: dict[str, str]) -> list[Any]:
    size = min(int(query.get("per_page", 30)), 100)
    first = (int(query.get("page", 1)) - 1) * size
    return entries[first : first + size]


def _kept(kind: str, names: list[str], query: dict[str, str]) -> dict[str, Any]:
    at = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    value = {"value": "any"} if kind == "variables" else {}
    entries = [{"name": name, **value, **at} for name in names]
    return {"total_count": len(entries), kind: _page(entries, query)}


class Handler(BaseHTTPRequestHandler):
    server: Fake
    protocol_version = "HTTP/1.1"
    # One packet for an answer: the second would wait for the first one's acknowledgement.
    wbufsize = -1

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        fake = self.server
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        fault = fake.faults.get(len(fake.requests))
        fake.requests.append((self.command, self.path, body))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {**NOT_FOUND, "message": "Bad credentials", "status": "401"})
        if fault == "slow":
            time.sleep(1.5)
        if fault == "cut":
            self.close_connection = True
            return None
        if fault == "garbage":
            return self._send(200, fake.garbage)
        if fault == "limit":
            limit = {
                **NOT_FOUND,
                "message": "You have exceeded a secondary rate limit.",
                "status": "403",
            }
            return self._send(403, limit, {"Retry-After": str(fake.pause)})
        if isinstance(fault, int):
            return self._send(fault, {"message": "Server Error"}, {"Location": f"{fake.url}/user"})
        path = urlsplit(self.path)
        try:
            check_request(self.command, self.path, body)
            _, values, template = find(self.command, path.path)
            status, answer = fake.answer(self.command, template, values, dict(parse_qsl(path.query)), body)
            check_answer(self.command, path.path, status, answer)
        except ViolationError as violation:
            fake.violations.append(f"{self.command} {self.path}: {violation}")
            return self._send(400, {"message": str(violation)})
        if fault == "lost":
            return self._send(502, {"message": "Bad Gateway"})
        self._send(status, answer)

    do_PUT = do_POST = do_DELETE = do_GET

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else b""
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status != 204:
                self.wfile.write(content)
        except OSError:
            """Whoever asked has gone."""


@contextmanager
def running(change: Callable[[Fake], None] = lambda fake: None) -> Iterator[Fake]:
    """A GitHub that answers; what its description does not allow is an error at the end."""
    with Fake() as fake:
        change(fake)
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            fake.shutdown()
            thread.join()
    assert fake.violations == []

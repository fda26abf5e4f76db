"""Workflows on this machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy_tests.environment import read_list
from tests.workflows.act import REPOSITORY, ROOT, Act, Run, definitions

BUILT, PROVEN = ("sha256:" + digit * 64 for digit in "bf")
ENVIRONMENTS = tuple(read_list())


def own(name: str, suffix: str = "") -> dict[str, str]:
    """The secrets of an environment: the kubeconfig and the private key say whose they are."""
    kubeconfig = base64.b64encode(name.encode()).decode()
    return {f"KUBECONFIG{suffix}": kubeconfig, f"SOPS_AGE_KEY{suffix}": f"key-of-{name}"}


# What a repository has whose secrets are not kept by environment.
SECRETS: dict[str, str] = {}
for name in ENVIRONMENTS:
    SECRETS |= own(name, f"_{name.upper()}")

Start = Callable[..., Run]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--registry` asks for the runs that deploy."""
    parser.getgroup("workflows").addoption("--registry", help="host:port that docker and the cluster reach")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    deploys = collection_path.name == "test_cluster.py"
    return True if deploys and not config.getoption("--registry", default=None) else None


@pytest.fixture(scope="session")
def act(tmp_path_factory: pytest.TempPathFactory) -> Act:
    """Runs in which all programs but ours of pipeline/ only note how they were called."""
    programs = ("cosign", "docker", "gh", "helm", "kind", "make", "python")
    act = Act(tmp_path_factory.mktemp("act"), programs, {"BUILT": BUILT, "PROVEN": PROVEN})
    # What pipeline/ needs of the rest: act copies all of it for each job.
    ours = [ROOT / "delivery" / f"{name}.py" for name in ("__init__", "image", "shell", "versions")]
    act.commit([*definitions(), *ours, *(ROOT / "pipeline").glob("*.py"), ROOT / ".ci" / "kind"])
    return act


@pytest.fixture(scope="session")
def start(act: Act) -> Start:
    """A run for an event. One that another test has asked for already is not run again."""
    done: dict[str, Run] = {}

    def start(workflow: str, event: str, payload: dict[str, Any], **options: Any) -> Run:
        key = json.dumps([workflow, event, payload, options])
        if key not in done:
            done[key] = act.run(workflow, event, payload, **{"secrets": SECRETS, **options})
        return done[key]

    return start


@pytest.fixture
def push(start: Start) -> Start:
    """A push to a ref, such as refs/heads/main."""
    repository = {"full_name": REPOSITORY, "visibility": "public"}

    def push(workflow: str, ref: str, **options: Any) -> Run:
        # What preprod has proved is there when a release comes.
        options = {"THERE": "*:sha-*", **options} if workflow == "ci-prod" else options
        return start(workflow, "push", {"ref": ref, "repository": repository}, **options)

    return push


@pytest.fixture
def pull_request(start: Start) -> Start:
    """A pull request to this repository, which is public, from it or from a fork."""

    def pull_request(workflow: str, head: str = REPOSITORY) -> Run:
        request = {"number": 1, "head": {"ref": "change", "repo": {"full_name": head}}, "base": {"ref": "develop"}}
        repository = {"full_name": REPOSITORY, "visibility": "public"}
        payload = {"number": 1, "pull_request": request, "repository": repository}
        return start(workflow, "pull_request", payload, secrets={} if head != REPOSITORY else SECRETS)

    return pull_request


@pytest.fixture
def by_hand(start: Start) -> Start:
    """A run started by hand in an environment, whose name is production on GitHub for prod."""

    def by_hand(workflow: str, environment: str, **options: Any) -> Run:
        secrets = options.pop("secrets", SECRETS | own(environment))
        name = "production" if environment == "prod" else environment
        payload = {"ref": "refs/heads/main", "inputs": {"environment": name, **options}}
        return start(workflow, "workflow_dispatch", payload, secrets=secrets)

    return by_hand

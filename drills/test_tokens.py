"""A delivery by what a job of GitHub Actions is, and by no credential that lasts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from delivery.kubectl import kubectl
from delivery.shell import ROOT
from drills.conftest import Stage
from drills.issuer import CERTIFICATE, SECRET, URL, Issuer, flags, serving
from drills.watching import until

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "github.md").read_text()
JOB = "repo:OWNER/REPOSITORY:environment"


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    variables = {"URL": f"{URL}/token", "TOKEN": SECRET}
    for name, value in variables.items():
        monkeypatch.setenv(f"ACTIONS_ID_TOKEN_REQUEST_{name}", value)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving() as issuer:
        yield issuer


@pytest.fixture
def kubeconfig(stage: Stage, issuer: Issuer, tmp_path: Path) -> Iterator[Path]:
    """What docs/github.md has an administrator give to GitHub, made by its very lines."""
    (lines,) = re.findall(r"^```sh\n(namespace=\S+\nkubectl -n \S+ create rolebinding.*?)^```", GUIDE, re.M | re.S)
    gh = tmp_path / "gh"
    gh.write_text(f"#!/bin/sh\nbase64 --decode >'{tmp_path}/kubeconfig'\n")
    gh.chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    typed = lines.replace("homolog", stage.environment.name)
    subprocess.run(["bash", "-euo", "pipefail", "-c", typed], cwd=tmp_path, env=path, check=True)
    yield tmp_path / "kubeconfig"
    stage.cluster.delete("rolebinding/deployer-github")


def asked(kubeconfig: Path) -> str:
    """What the API server says to that kubeconfig."""
    command = ("kubectl", "--kubeconfig", kubeconfig, "get", "deployments", "-o", "name")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def trusted(stage: Stage, issuer: Issuer, kubeconfig: Path) -> Path:
    issuer.subject = f"{JOB}:{stage.environment.name}"
    # An API server asks again every ten seconds for an issuer that was not there.
    try:
        until(lambda: "Unauthorized" not in asked(kubeconfig), seconds=30)
    except AssertionError:
        pytest.skip(f"the API server does not trust {URL}; it does by {flags()}")
    return kubeconfig


def test_a_job_of_the_environment_delivers_by_tokens_that_end_meanwhile(
    stage: Stage, issuer: Issuer, trusted: Path
) -> None:
    users = yaml.safe_load(trusted.read_text())["users"]
    assert [[*user["user"]] for user in users] == [["exec"]]
    issuer.life, before = 50, issuer.given
    command = [sys.executable, "-m", "delivery", "deploy", stage.environment.name, "--single-node"]
    command += [f"--image={stage.good}", f"--ingress={stage.ingress}"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "KUBECONFIG": str(trusted)}, check=True)
    assert issuer.given > before + 1
    assert stage.releases()[0].phase == "good"


@pytest.mark.parametrize(
    "subject",
    [
        f"{JOB}:another",
        f"{JOB}:",
        "repo:OWNER/REPOSITORY:ref:refs/heads/main",
        "repo:OWNER/REPOSITORY:pull_request",
        "repo:another/REPOSITORY:environment:{environment}",
        "system:serviceaccount:{namespace}:deployer",
    ],
)
def test_any_other_job_is_refused(stage: Stage, issuer: Issuer, trusted: Path, subject: str) -> None:
    issuer.subject = subject.format(environment=stage.environment.name, namespace=stage.namespace)
    assert "Forbidden" in asked(trusted)


def test_a_token_that_has_ended_or_is_for_another_audience_is_refused(issuer: Issuer, trusted: Path) -> None:
    issuer.life = -60
    assert "Unauthorized" in asked(trusted)
    issuer.life = 300
    trusted.write_text(trusted.read_text().replace("- school-scheduler\n", "- another\n"))
    assert "Unauthorized" in asked(trusted)


def test_the_administrator_s_own_credentials_do_not_go_along(trusted: Path) -> None:
    own = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))["users"][0]["user"]
    assert not {str(value) for value in own.values() if len(str(value)) > 40} & {*trusted.read_text().split()}

"""CONTRIBUTING.md's commands, as typed, make an environment and leave nothing to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.shell import program
from policy_tests import checkov
from tests.conftest import ROOT
from tests.suites.stranger import clone

# The guide's own example may have been followed here already.
NAME = "trial"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
WORKFLOW = f".github/workflows/ci-{NAME}.yml"
COMMANDS = {
    "the policy suite": (*PYTEST, "policy_tests", f"--env={NAME}"),
    "the list": (*PYTEST, "tests/policy/test_environment.py"),
    "what watches": (*PYTEST, "tests/observability/test_manifests.py", "-k=reaches_every"),
    "the workflows": (*PYTEST, "tests/workflows/test_definitions.py"),
    "what GitHub admits": (*PYTEST, "tests/workflows/test_environments.py", f"-k=ci-{NAME}"),
    "the workflows by hand": (*PYTEST, "tests/workflows/test_runs.py", f"-k={NAME}"),
    "actionlint": (program("actionlint"), WORKFLOW),
    "zizmor": (program("zizmor"), "--offline", "--persona=auditor", "--quiet", WORKFLOW),
    "yamllint": (program("yamllint"), "--strict", "environments.yaml", "overlays", WORKFLOW),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("contributor") / "school-scheduler")
    guide = (folder / "CONTRIBUTING.md").read_text()
    (commands,) = re.findall(r"(?ms)^## An environment\n.*?^```sh\n(cp .*?)^make test\n", guide)
    subprocess.run(["bash", "-eu", "-c", commands.replace("uat", NAME)], cwd=folder, check=True)
    return folder


def test_an_environment_takes_eight_files_at_most(checkout: Path) -> None:
    files = [file.relative_to(checkout) for file in checkout.rglob("*") if file.is_file()]
    here = {file: (ROOT / file).read_bytes() for file in files if (ROOT / file).exists()}
    changed = [file for file in files if here.get(file) != (checkout / file).read_bytes()]
    assert 0 < len(changed) <= 8, changed


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_knows_the_environments_accepts_it(command: tuple[str, ...], checkout: Path) -> None:
    path = os.pathsep.join((str(checkov.PYTHON.parent), os.environ["PATH"]))
    done = subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

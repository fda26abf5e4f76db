from __future__ import annotations

from pathlib import Path

import pytest

from delivery import audit
from delivery.shell import ROOT

REPORT = {
    "dependencies": [
        {"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"]}]},
        {"name": "jinja2", "version": "3.1.6", "vulns": []},
        {"name": "ours", "skip_reason": "Dependency not found on PyPI"},
    ]
}


def test_a_vulnerability_is_named_with_its_remedy() -> None:
    assert list(audit.found(REPORT)) == ["flask 0.5: PYSEC-2019-179, fixed in 1.0"]


def test_what_the_database_does_not_know_has_not_been_audited() -> None:
    assert audit.unasked(REPORT) == ["ours"]


def test_a_database_out_of_reach_is_said_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho 'connection refused' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(audit, "PIP_AUDIT", program)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert audit.requirements(ROOT / "requirements" / "app.txt")
    assert capsys.readouterr().out == (
        "::warning::AUDIT SKIPPED: requirements/app.txt: pip-audit says connection refused\n"
    )


def test_without_trivy_an_image_is_said_to_be_unscanned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert audit.image("example:1")
    assert capsys.readouterr().out == "AUDIT SKIPPED: example:1: trivy is not installed\n"

from __future__ import annotations

import json
import sys
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


@pytest.fixture
def trivy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trivy that writes down what it was asked, and ends as the files `database` and `image` say."""
    program = tmp_path / "trivy"
    lines = (
        "#!/bin/sh",
        'cd "${0%/*}"',
        'echo "$@" >>asked',
        'case "$*" in *--download-db-only*) exit "$(/bin/cat database)";; esac',
        'exit "$(/bin/cat image)"',
    )
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    for name in ("database", "image"):
        (tmp_path / name).write_text("0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return tmp_path


@pytest.mark.parametrize(("code", "good"), [("0", True), ("1", False)])
def test_an_image_is_good_where_trivy_finds_nothing(trivy: Path, code: str, good: bool) -> None:
    (trivy / "image").write_text(code)
    assert audit.image("example:1") is good
    grave = "--severity=HIGH,CRITICAL --ignore-unfixed --exit-code=1"
    left = f"--ignorefile={ROOT / '.trivyignore.yaml'}"
    assert (trivy / "asked").read_text().splitlines() == [
        "image --download-db-only --quiet",
        f"image --skip-db-update {grave} {left} example:1",
    ]


def test_an_image_is_not_looked_at_without_the_database_of_trivy(
    trivy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trivy / "database").write_text("1")
    (trivy / "image").write_text("1")
    assert audit.image("example:1")
    assert capsys.readouterr().out == "AUDIT SKIPPED: example:1: trivy cannot fetch its database\n"


def test_packages_that_are_all_known_are_counted_and_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = json.dumps({"dependencies": [{"name": "jinja2", "version": "3.1.6"}]})
    monkeypatch.setattr(audit, "PIP_AUDIT", answering(tmp_path / "pip-audit", report))
    assert audit.requirements(ROOT / "requirements" / "app.txt")
    assert capsys.readouterr().out == "requirements/app.txt: 0 known vulnerabilities in 1 packages\n"


def test_pip_audit_s_last_words_say_why_a_file_was_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\nprintf 'asking\\nno route\\n' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(audit, "PIP_AUDIT", program)
    assert audit.requirements(ROOT / "requirements" / "app.txt")
    assert "pip-audit says no route\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bad_file", "bad_image", "code"),
    [("", "", 0), ("a.txt", "", 1), ("b.txt", "", 1), ("", "example:2", 1)],
)
def test_the_audit_fails_where_anything_can_be_mended(
    bad_file: str, bad_image: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def requirements(file: Path) -> bool:
        asked.append(file.name)
        return file.name != bad_file

    def image(reference: str) -> bool:
        asked.append(reference)
        return reference != bad_image

    (tmp_path / "requirements").mkdir()
    for name in ("b.txt", "a.txt", "a.in"):
        (tmp_path / "requirements" / name).write_text("")
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    monkeypatch.setattr(audit, "requirements", requirements)
    monkeypatch.setattr(audit, "image", image)
    monkeypatch.setattr(sys, "argv", ["audit", "example:1", "example:2"])
    assert audit.main() == code
    assert asked == ["a.txt", "b.txt", "example:1", "example:2"]

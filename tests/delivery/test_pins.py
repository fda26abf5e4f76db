from __future__ import annotations

import re
from pathlib import Path

import pytest

from delivery import pins
from delivery.shell import ROOT

KNOWN = pins.images(pins.IMAGES.read_text())


def test_every_public_image_is_the_one_that_dependabot_renews() -> None:
    used = {file: pins.images(file.read_text()) for file in pins.files()}
    assert [file for file, found in used.items() if not found.items() <= KNOWN.items()] == []
    assert {name for found in used.values() for name in found} == KNOWN.keys()
    assert len(KNOWN) > 8


def test_a_renewed_image_comes_where_it_is_used_and_no_other_does() -> None:
    text = (ROOT / "docker-compose.dev.yml").read_text()
    name = "docker.io/library/mysql"
    new = f"{name}:9.7.9@sha256:{'a' * 64}"
    changed = pins.renewed(text, KNOWN | {name: new})
    assert pins.images(changed) == pins.images(text) | {name: new}
    assert changed.replace(new, KNOWN[name]) == text


def test_the_ledger_of_actions_is_what_make_pins_writes() -> None:
    definitions = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]
    assert pins.LEDGER.read_text() == pins.ledger(file.read_text() for file in definitions)


def test_the_image_s_packages_are_those_that_tests_run_with() -> None:
    pinned = [
        set(re.findall(r"^[a-z].*?==[^\\]+", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE))
        for name in ("app", "test")
    ]
    assert pinned[0] and pinned[0] <= pinned[1]


DIGEST = "a" * 64
OLD, NEW = (f"docker.io/library/mysql:9.{number}.0@sha256:{DIGEST}" for number in (1, 2))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which an image and an action were renewed in one place."""
    texts = {
        ".github/images/Dockerfile": f"FROM {NEW}\n",
        ".github/workflows/ci.yml": f"uses: actions/checkout@{'b' * 40} # v6.0.0\n",
        ".github/actions/setup/action.yml": f"uses: actions/cache/save@{'c' * 40} # v5.0.0\n",
        ".github/action-pins.tsv": "action\tversion\tsha\n",
        "base/mysql/statefulset.yaml": f"image: {OLD}\n",
        "docs/backups.md": f"runs {NEW}\n",
        "README.md": f"runs {OLD}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    monkeypatch.setattr(pins, "IMAGES", tmp_path / ".github/images/Dockerfile")
    monkeypatch.setattr(pins, "LEDGER", tmp_path / ".github/action-pins.tsv")
    return tmp_path


def test_what_was_renewed_comes_to_every_place_and_is_said(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pins.main()
    assert (checkout / "base/mysql/statefulset.yaml").read_text() == f"image: {NEW}\n"
    assert (checkout / "README.md").read_text() == f"runs {OLD}\n"
    assert (checkout / ".github/action-pins.tsv").read_text().splitlines() == [
        "action\tversion\tsha",
        f"actions/cache\tv5.0.0\t{'c' * 40}",
        f"actions/checkout\tv6.0.0\t{'b' * 40}",
    ]
    files = ("base/mysql/statefulset.yaml", ".github/action-pins.tsv")
    assert capsys.readouterr().err == "".join(f"delivery: renewed {name}\n" for name in files)


def test_what_is_renewed_already_is_not_written_again(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pins.main()
    capsys.readouterr()
    pins.main()
    assert capsys.readouterr().err == ""


def test_an_image_that_dependabot_does_not_know_stays() -> None:
    assert pins.renewed(OLD, {"docker.io/library/other": NEW}) == OLD

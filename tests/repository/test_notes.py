from __future__ import annotations

import re

import pytest

from delivery.image import Image
from repository.notes import FILE, VERSION, notes, section
from repository.wanted import RepositoryError

IMAGE = Image.parse(f"ghcr.io/escola/horario:v1.2.0@sha256:{'a' * 64}")
CHANGELOG = """# Changelog

Words.

## Unreleased

- What is to come.

## v1.2.0 (2026-12-01)

### Added

- A page.

## v1.1.0

- An older page.

## v1.0.0

## v0.9.0

- Once.

## v0.9.0

- Twice.
"""


def test_the_notes_are_the_version_s_own_section_its_image_and_the_line_that_verifies_it() -> None:
    text = notes(CHANGELOG, "v1.2.0", IMAGE, "escola/horario")
    assert text.startswith("### Added\n\n- A page.\n\n### Image\n")
    assert "older" not in text and "to come" not in text
    assert f"gh attestation verify oci://{IMAGE} --repo escola/horario" in text


@pytest.mark.parametrize("version", ["v1.3.0", "v1.0.0", "v0.9.0"])
def test_a_version_that_the_changelog_does_not_tell_of_is_refused(version: str) -> None:
    with pytest.raises(RepositoryError, match=rf"^CHANGELOG.md has .* `## {version}`"):
        section(CHANGELOG, version)


# The examples of https://semver.org, whose regular expression is another one.
@pytest.mark.parametrize(
    "version",
    ["v0.0.4", "v1.2.3", "v10.20.30", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-0A.is.legal", "v1.2.3---RC-12.9.1"],
)
def test_what_is_a_version(version: str) -> None:
    assert VERSION.fullmatch(version)


@pytest.mark.parametrize(
    "version",
    ["1.2.3", "v1", "v1.2", "v01.2.3", "v1.2.3-01", "v1.2.3+build", "v1.2.3-a..b", "v1.2.3\n", "v1.2.3-é", "v1.2.٣"],
)
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(RepositoryError, match="is no version such as"):
        section(CHANGELOG, version)


def test_this_repository_s_changelog_has_a_section_of_each_version() -> None:
    text = FILE.read_text()
    headings = re.findall(r"^## (\S+)", text, re.M)
    assert headings[0] == "Unreleased"
    assert all(section(text, version) for version in headings[1:])

from __future__ import annotations

import re

import pytest

from delivery.image import Image
from delivery.shell import DeliveryError
from pipeline.notes import FILE, notes, section

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
    text = notes(CHANGELOG, IMAGE, "escola/horario")
    assert text.startswith("### Added\n\n- A page.\n\n### Image\n")
    assert "older" not in text and "to come" not in text
    assert f"gh attestation verify oci://{IMAGE} --repo escola/horario" in text


def test_an_image_that_a_key_has_signed_is_verified_by_that() -> None:
    text = notes(CHANGELOG, IMAGE, "escola/horario", "cosign")
    assert f"cosign verify --key cosign.pub --insecure-ignore-tlog=true {IMAGE}" in text
    assert "attestation" not in text


@pytest.mark.parametrize("version", ["v1.3.0", "v1.0.0", "v0.9.0"])
def test_a_version_that_the_changelog_does_not_tell_of_is_refused(version: str) -> None:
    with pytest.raises(DeliveryError, match=rf"^CHANGELOG.md has .* `## {version}`"):
        section(CHANGELOG, version)


def test_this_repository_s_changelog_has_a_section_of_each_version() -> None:
    text = FILE.read_text()
    headings = re.findall(r"^## (\S+)", text, re.M)
    assert headings[0] == "Unreleased"
    assert all(section(text, version) for version in headings[1:])

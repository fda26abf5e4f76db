from __future__ import annotations

import re

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

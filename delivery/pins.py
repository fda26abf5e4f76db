"""Brings what Dependabot has renewed where it is used: python -m delivery.pins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from delivery.shell import ROOT, say

IMAGES = ROOT / ".github" / "images" / "Dockerfile"
USED = (
    "Dockerfile",
    "docker-compose*.yml",
    "docs/*.md",
    "base/**/*.yaml",
    "components/**/*.yaml",
    "observability/**/*.yaml",
)
LEDGER = ROOT / ".github" / "action-pins.tsv"
IMAGE = re.compile(r"(?P<name>(?:docker\.io|registry\.k8s\.io)/[\w./-]+):[\w.-]+@sha256:[0-9a-f]{64}")
ACTION = re.compile(r"uses: (?P<action>[\w-]+/[\w-]+)[\w/-]*@(?P<sha>\S+) # (?P<version>\S+)$", re.MULTILINE)


def images(text: str) -> dict[str, str]:
    """The pinned public images in a text: NAME:TAG@sha256:DIGEST by NAME."""
    return {match["name"]: match[0] for match in IMAGE.finditer(text)}


def renewed(text: str, known: dict[str, str]) -> str:
    """A text in which every pinned public image is the known one of its name."""
    return IMAGE.sub(lambda match: known.get(match["name"], match[0]), text)


def ledger(texts: Iterable[str]) -> str:
    """The table of the actions that workflows use, with version and commit."""
    used = {(match["action"], match["version"], match["sha"]) for text in texts for match in ACTION.finditer(text)}
    return "".join("\t".join(row) + "\n" for row in [("action", "version", "sha"), *sorted(used)])


def files() -> list[Path]:
    """The files that may hold a public image."""
    return sorted({file for pattern in USED for file in ROOT.glob(pattern)})


def main() -> None:
    known = images(IMAGES.read_text())
    texts = {file: file.read_text() for file in files()}
    wanted = {file: renewed(text, known) for file, text in texts.items()}
    definitions = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]
    texts[LEDGER], wanted[LEDGER] = LEDGER.read_text(), ledger(file.read_text() for file in definitions)
    for file, text in wanted.items():
        if text != texts[file]:
            file.write_text(text)
            say(f"renewed {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""`python -m repository.notes v1.2.3 IMAGE`: the notes of a release on GitHub, from CHANGELOG.md."""

from __future__ import annotations

import re
import sys

from delivery.image import Image
from delivery.shell import ROOT, DeliveryError
from repository.wanted import RepositoryError

FILE = ROOT / "CHANGELOG.md"
# https://semver.org, without build metadata: a tag of an image has no `+`.
NUMBER = r"(0|[1-9][0-9]*)"
WORD = r"(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
VERSION = re.compile(rf"v{NUMBER}\.{NUMBER}\.{NUMBER}(-{WORD}(\.{WORD})*)?")


def section(changelog: str, version: str) -> str:
    """What a changelog says of a version, without the heading.

    Raises:
        RepositoryError: that is no version, or the changelog says nothing of it, or says it twice.
    """
    if not VERSION.fullmatch(version):
        raise RepositoryError(f"{version} is no version such as v1.2.3 or v1.2.3-rc.1")
    parts = re.split(r"^## (\S+).*\n", changelog, flags=re.M)
    found = [text.strip() for heading, text in zip(parts[1::2], parts[2::2], strict=True) if heading == version]
    if len(found) != 1 or not found[0]:
        count = "two headings" if len(found) > 1 else "nothing under a heading"
        raise RepositoryError(f"CHANGELOG.md has {count} `## {version}`, which becomes the notes of the release")
    return found[0]


def notes(changelog: str, version: str, image: Image, repository: str) -> str:
    """The notes of a release: what has changed, its image, and how its origin is verified."""
    workflow = f"{repository}/.github/workflows/ci-preprod.yml"
    verify = f"gh attestation verify oci://{image} --repo {repository} --signer-workflow {workflow}"
    return f"{section(changelog, version)}\n\n### Image\n\n```\n{image}\n```\n\n```sh\n{verify}\n```\n"


def main() -> int:
    """Prints them; an error becomes a line and exit code 1."""
    if len(sys.argv) != 4:
        sys.stderr.write("usage: python -m repository.notes VERSION NAME:TAG@sha256:DIGEST OWNER/REPOSITORY\n")
        return 2
    version, image, repository = sys.argv[1:]
    try:
        sys.stdout.write(notes(FILE.read_text(), version, Image.parse(image), repository))
    except (DeliveryError, RepositoryError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

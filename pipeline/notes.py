"""The notes of a release on GitHub, from CHANGELOG.md."""

from __future__ import annotations

import re

from delivery.image import Image
from delivery.shell import ROOT, DeliveryError

FILE = ROOT / "CHANGELOG.md"
COSIGN = "cosign"


def section(changelog: str, version: str) -> str:
    """What a changelog says of a version, without the heading.

    Raises:
        DeliveryError: it says nothing of it, or says it twice.
    """
    parts = re.split(r"^## (\S+).*\n", changelog, flags=re.M)
    found = [text.strip() for heading, text in zip(parts[1::2], parts[2::2], strict=True) if heading == version]
    if len(found) != 1 or not found[0]:
        count = "two headings" if len(found) > 1 else "nothing under a heading"
        raise DeliveryError(f"CHANGELOG.md has {count} `## {version}`, which becomes the notes of the release")
    return found[0]


def notes(changelog: str, image: Image, repository: str, way: str = "") -> str:
    """The notes of a release: what has changed, its image, and how its origin is verified.

    `way` is how images are signed (PROVENANCE); an attestation by default.
    """
    workflow = f"{repository}/.github/workflows/ci-preprod.yml"
    verify = f"gh attestation verify oci://{image} --repo {repository} --signer-workflow {workflow}"
    if way == COSIGN:
        verify = f"cosign verify --key cosign.pub --insecure-ignore-tlog=true {image}"
    return f"{section(changelog, image.tag)}\n\n### Image\n\n```\n{image}\n```\n\n```sh\n{verify}\n```\n"

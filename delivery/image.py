"""The application's image: built once, then known by its digest only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from delivery.shell import ROOT, DeliveryError, run, say

NAME = "school-scheduler"
REFERENCE = re.compile(r"(?P<name>[^@\s]+):(?P<tag>[\w.-]{1,128})@(?P<digest>sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Image:
    """An image reference `name:tag@sha256:...`: the tag is for people, the digest is what runs."""

    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, reference: str) -> Image:
        match = REFERENCE.fullmatch(reference)
        if not match:
            raise DeliveryError(f"{reference!r} is not a pinned image; give NAME:TAG@sha256:DIGEST")
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}@{self.digest}"


def build_and_push(registry: str) -> Image:
    """Builds the working tree and pushes it to `registry` (host:port), tagged by its content.

    PYTHON_IMAGE in the environment replaces the Dockerfile's base image.
    """
    arguments = ["--build-arg", f"COMMIT={commit()}"]
    if base := os.environ.get("PYTHON_IMAGE"):
        arguments += ["--build-arg", f"PYTHON_IMAGE={base}"]
    say("building the image")
    run("docker", "build", "--quiet", *arguments, "--tag", f"{NAME}:local", ".", timeout=1800)
    identity = run("docker", "image", "inspect", "--format", "{{.Id}}", f"{NAME}:local").strip()
    tag = "local-" + identity.removeprefix("sha256:")[:12]
    name = f"{registry}/{NAME}"
    say(f"pushing {name}:{tag}")
    run("docker", "tag", f"{NAME}:local", f"{name}:{tag}")
    run("docker", "push", "--quiet", f"{name}:{tag}")
    digests = run("docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', f"{name}:{tag}").split()
    digest = next(digest for digest in digests if digest.startswith(f"{name}@"))
    return Image(name, tag, digest.removeprefix(f"{name}@"))


def commit() -> str:
    """The commit of the working tree, with `-dirty` behind it where files differ; `unknown` outside a checkout."""
    if not (ROOT / ".git").exists():
        return "unknown"
    return run("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()

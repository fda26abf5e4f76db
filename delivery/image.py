"""The application's image: built once, then known by its digest only."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """Builds the working tree and pushes it to `registry` (host:port).

    PYTHON_IMAGE in the environment replaces the Dockerfile's base image.
    """
    arguments = [f"COMMIT={commit()}"]
    if base := os.environ.get("PYTHON_IMAGE"):
        arguments.append(f"PYTHON_IMAGE={base}")
    say("building the image")
    return push(build(ROOT, arguments), f"{registry}/{NAME}")


def build(context: Path, arguments: Sequence[str]) -> str:
    """Builds the Dockerfile of a folder with build arguments (NAME=VALUE); returns the image's id."""
    options = [option for argument in arguments for option in ("--build-arg", argument)]
    return run("docker", "build", "--quiet", *options, str(context), timeout=1800).strip()


def push(identity: str, name: str) -> Image:
    """Pushes an image to a repository, tagged by its content."""
    tag = "local-" + identity.removeprefix("sha256:")[:12]
    say(f"pushing {name}:{tag}")
    run("docker", "tag", identity, f"{name}:{tag}")
    run("docker", "push", "--quiet", f"{name}:{tag}")
    digests = run("docker", "image", "inspect", "--format", '{{join .RepoDigests " "}}', f"{name}:{tag}").split()
    digest = next((digest for digest in digests if digest.startswith(f"{name}@")), None)
    if digest is None:
        raise DeliveryError(f"docker knows no digest of {name}, only {' '.join(digests)}; give --registry HOST:PORT")
    return Image(name, tag, digest.removeprefix(f"{name}@"))


def commit() -> str:
    """The commit of the working tree, with `-dirty` behind it where files differ; `unknown` outside a checkout."""
    if not (ROOT / ".git").exists():
        return "unknown"
    return run("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()

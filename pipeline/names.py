"""The images' name, which no output of a job carries: GitHub drops one that contains a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from delivery.image import Image
from delivery.shell import DeliveryError


@dataclass(frozen=True)
class Registry:
    """Where the images are.

    Attributes:
        name: theirs, such as ghcr.io/school-scheduler/school-scheduler.
        user: who logs in.
    """

    name: str
    user: str

    @property
    def host(self) -> str:
        return self.name.partition("/")[0]

    @property
    def subject(self) -> str:
        """The name by which attestations know an image.

        https://github.com/actions/attest#container-image
        """
        return self.name.replace("docker.io/", "index.docker.io/", 1) if self.host == "docker.io" else self.name


def registry(environ: Mapping[str, str]) -> Registry:
    """Docker Hub where DOCKERHUB_USERNAME is set, ghcr.io otherwise; IMAGE_NAME may say more.

    That is a whole name, or what comes behind the owner.
    """
    user, repository = environ.get("DOCKERHUB_USERNAME", ""), environ["GITHUB_REPOSITORY"]
    name = environ.get("IMAGE_NAME") or ("school-scheduler" if user else repository.partition("/")[2])
    first, _, rest = name.partition("/")
    if not rest:
        owner = f"docker.io/{user}" if user else f"ghcr.io/{repository.partition('/')[0]}"
        name = f"{owner}/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    return Registry(name.lower(), user or environ.get("GITHUB_ACTOR", ""))


def login(environ: Mapping[str, str]) -> Registry:
    """The same, for somebody who is about to log in.

    Raises:
        DeliveryError: of DOCKERHUB_USERNAME and DOCKERHUB_TOKEN only one is set.
    """
    pair = ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN")
    missing = [name for name in pair if not environ.get(name)]
    if len(missing) == 1:
        (there,) = set(pair) - {*missing}
        raise DeliveryError(f"{there} is set and {missing[0]} is not; docs/github.md says where both belong")
    return registry(environ)


def reference(environ: Mapping[str, str]) -> Image:
    """The image of TAG and DIGEST, which the job that built it gives.

    Raises:
        DeliveryError: one of them is empty, or none.
    """
    for name in ("TAG", "DIGEST"):
        if not environ.get(name):
            raise DeliveryError(f"the job before gave no {name.lower()} of an image; nothing is delivered")
    return Image.parse(f"{registry(environ).name}:{environ['TAG']}@{environ['DIGEST']}")

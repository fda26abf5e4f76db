"""Tags of an image registry, by the HTTP API V2 that all registries speak.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md; the challenge for a token:
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import hashlib
import os
import re

import requests

from delivery.image import Image
from delivery.shell import DeliveryError

TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LOCAL = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")


def promote(source: str, tag: str, *, move: bool = False) -> Image:
    """Gives the image behind `source` another tag: its manifest is copied, so the digest stays.

    `source` is NAME:TAG@DIGEST, by which the digest counts, or NAME:TAG. REGISTRY_USERNAME and
    REGISTRY_PASSWORD in the environment log in.

    Raises:
        DeliveryError: there is no such image, or the tag is another image's already and not to `move`.
    """
    name, source_tag, digest = _parts(source)
    repository = _Repository(name)
    content = repository.manifest(digest or source_tag)
    if content is None:
        raise DeliveryError(f"there is no image {source}; what gets promoted has passed the environment before")
    image = Image(name, tag, _digest(content[0]))
    if digest and image.digest != digest:
        raise DeliveryError(f"the registry answers {image.digest} for {source}; nothing was promoted")
    existing = repository.manifest(tag)
    if existing is not None and existing[0] != content[0] and not move:
        raise DeliveryError(f"{name}:{tag} is another image's tag and never moves; choose the next one")
    if existing is None or existing[0] != content[0]:
        repository.put(tag, *content)
    return image


def digest_of(source: str) -> str:
    """The digest behind NAME:TAG; empty where there is no such image.

    Raises:
        DeliveryError: it is no image, or the registry does not say.
    """
    name, tag, _ = _parts(source)
    content = _Repository(name).manifest(tag)
    return _digest(content[0]) if content else ""


def _parts(source: str) -> tuple[str, str, str]:
    """Name, tag and digest of NAME:TAG@DIGEST; without a digest it is empty."""
    tagged, _, digest = source.partition("@")
    name, _, tag = tagged.rpartition(":")
    if not name or not tag or "/" in tag:
        raise DeliveryError(f"{source!r} is no image; give NAME:TAG")
    return name, tag, digest


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class _Repository:
    """The manifests of one repository, such as ghcr.io/school-scheduler/school-scheduler."""

    def __init__(self, name: str) -> None:
        host, _, path = name.partition("/")
        if "." not in host and ":" not in host and host != "localhost":
            host, path = "registry-1.docker.io", name
        elif host == "docker.io":
            host = "registry-1.docker.io"
        scheme = "http" if LOCAL.fullmatch(host) else "https"
        self.url = f"{scheme}://{host}/v2/{path}/manifests/"
        self.session = requests.Session()

    def manifest(self, reference: str) -> tuple[bytes, str] | None:
        """The bytes and the media type behind a tag; None if there is no such tag."""
        answer = self._ask("GET", reference, headers={"Accept": ", ".join(TYPES)})
        if answer.status_code == 404:
            return None
        self._expect(answer, 200)
        return answer.content, answer.headers["Content-Type"]

    def put(self, tag: str, content: bytes, media_type: str) -> None:
        """Sets a tag."""
        self._expect(self._ask("PUT", tag, data=content, headers={"Content-Type": media_type}), 201)

    def _ask(self, method: str, reference: str, **options: object) -> requests.Response:
        try:
            answer = self.session.request(method, self.url + reference, timeout=30, **options)  # type: ignore[arg-type]
            if answer.status_code == 401:
                self._log_in(answer.headers.get("WWW-Authenticate", ""))
                answer = self.session.request(method, self.url + reference, timeout=30, **options)  # type: ignore[arg-type]
        except requests.RequestException as error:
            raise DeliveryError(f"the registry does not answer: {error}") from None
        return answer

    def _log_in(self, challenge: str) -> None:
        """Answers a Bearer challenge with a token for what it asks, or a Basic one with the password itself."""
        user, password = os.environ.get("REGISTRY_USERNAME"), os.environ.get("REGISTRY_PASSWORD")
        login = (user, password) if user and password else None
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.startswith("Bearer"):
            self.session.auth = login
            return
        # The scope that is asked for names what this request lacks; writing is asked for from the start.
        scope = re.sub(r":pull$", ":pull,push", fields.get("scope", "")) if login else fields.get("scope", "")
        parameters = {"service": fields.get("service", ""), "scope": scope}
        answer = self.session.get(fields["realm"], params=parameters, auth=login, timeout=30)
        self._expect(answer, 200)
        body = answer.json()
        self.session.headers["Authorization"] = f"Bearer {body.get('token') or body['access_token']}"

    def _expect(self, answer: requests.Response, status: int) -> None:
        if answer.status_code != status:
            raise DeliveryError(f"the registry answers {answer.status_code} for {answer.url}: {answer.text[:200]}")

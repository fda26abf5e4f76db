"""Promotion, at a small registry that speaks what the distribution specification says."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from delivery.registry import TYPES, digest_of, promote
from delivery.shell import DeliveryError

USER, PASSWORD = "promoter", "correct horse"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
MANIFEST = b'{"schemaVersion": 2}'
DIGEST = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()


class Registry(ThreadingHTTPServer):
    """One repository, `school/scheduler`.

    Attributes:
        tags: the manifest behind each tag.
        challenge: `Bearer` or `Basic` where a login is wanted, empty for none.
        refusal: the status of every write, 0 for none.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tags = {"preprod-7": MANIFEST}
        self.challenge, self.refusal, self.written = "", 0, 0

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_port}/school/scheduler"


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/token":
            return self._token(parse_qs(parts.query))
        if not self._allowed("pull"):
            return
        content = self.server.tags.get(parts.path.rpartition("/")[2])
        if content is None or TYPES[1] not in self.headers["Accept"]:
            return self._answer(404)
        self._answer(200, content, TYPES[1])

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._allowed("pull,push"):
            return
        if self.server.refusal or self.headers["Content-Type"] != TYPES[1]:
            return self._answer(self.server.refusal or 415, b"quota exceeded")
        self.server.written += 1
        self.server.tags[self.path.rpartition("/")[2]] = content
        self._answer(201)

    def _token(self, query: dict[str, list[str]]) -> None:
        logged_in = self.headers.get("Authorization") == BASIC
        if self.headers.get("Authorization") and not logged_in:
            return self._answer(401, b"wrong password")
        scope = query["scope"][0]
        assert query["service"] == ["registry"]
        granted = scope if logged_in else scope.replace(",push", "")
        self._answer(200, b'{"token": "%s"}' % granted.encode(), "application/json")

    def _allowed(self, action: str) -> bool:
        given = self.headers.get("Authorization", "")
        scope = "repository:school/scheduler:pull"
        match self.server.challenge:
            case "Bearer":
                wanted = f"Bearer {scope},push" if "push" in action else f"Bearer {scope}"
                allowed = given.startswith(wanted)
                header = f'Bearer realm="http://{self.headers["Host"]}/token",service="registry"'
                header += f',scope="{scope}"'
            case "Basic":
                allowed, header = given == BASIC, 'Basic realm="registry"'
            case _:
                return True
        if not allowed:
            self._answer(401, challenge=header)
        return allowed

    def _answer(self, status: int, content: bytes = b"", kind: str = "text/plain", challenge: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Registry() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("challenge", ["", "Bearer", "Basic"])
def test_an_image_gets_another_tag_and_keeps_its_digest(
    registry: Registry, challenge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", USER)
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    registry.challenge = challenge
    image = promote(f"{registry.name}:preprod-7", "v1.2.3")
    assert str(image) == f"{registry.name}:v1.2.3@{DIGEST}"
    assert registry.tags["v1.2.3"] == MANIFEST


def test_a_promotion_that_is_typed_again_writes_nothing(registry: Registry) -> None:
    for _ in range(2):
        promote(f"{registry.name}:preprod-7", "v1.2.3")
    assert registry.written == 1


def test_a_tag_of_another_image_never_moves(registry: Registry) -> None:
    registry.tags["v1.2.3"] = b"another"
    with pytest.raises(DeliveryError, match=r"v1.2.3 is another image's tag and never moves"):
        promote(f"{registry.name}:preprod-7", "v1.2.3")
    assert registry.tags["v1.2.3"] == b"another"


def test_an_image_that_is_not_there_is_not_promoted(registry: Registry) -> None:
    with pytest.raises(DeliveryError, match=r"there is no image .*:preprod-8"):
        promote(f"{registry.name}:preprod-8", "v1.2.3")
    assert "v1.2.3" not in registry.tags


@pytest.mark.parametrize("source", ["scheduler", "localhost:5000/scheduler"])
def test_an_image_without_a_tag_is_refused(source: str) -> None:
    with pytest.raises(DeliveryError, match="give NAME:TAG"):
        promote(source, "v1.2.3")


def test_a_wrong_password_is_named_with_what_the_registry_answers(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", USER)
    monkeypatch.setenv("REGISTRY_PASSWORD", "wrong")
    registry.challenge = "Bearer"
    with pytest.raises(DeliveryError, match=r"answers 401 .*wrong password") as error:
        promote(f"{registry.name}:preprod-7", "v1.2.3")
    assert "wrong password" in str(error.value)


def test_without_a_login_an_image_can_be_read_and_not_written(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_USERNAME", raising=False)
    registry.challenge = "Bearer"
    with pytest.raises(DeliveryError, match="the registry answers 401"):
        promote(f"{registry.name}:preprod-7", "v1.2.3")


def test_a_write_that_is_refused_is_an_error(registry: Registry) -> None:
    registry.refusal = 507
    with pytest.raises(DeliveryError, match=r"answers 507 .*quota exceeded"):
        promote(f"{registry.name}:preprod-7", "v1.2.3")


def test_a_registry_that_is_away_is_an_error() -> None:
    with Registry() as closed:
        name = closed.name
    with pytest.raises(DeliveryError, match="the registry does not answer"):
        promote(f"{name}:preprod-7", "v1.2.3")


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("school/scheduler", "https://registry-1.docker.io/v2/school/scheduler/manifests/v1"),
        ("acme/scheduler", "https://registry-1.docker.io/v2/acme/scheduler/manifests/v1"),
        ("docker.io/school/scheduler", "https://registry-1.docker.io/v2/school/scheduler/manifests/v1"),
        ("ghcr.io/school/scheduler", "https://ghcr.io/v2/school/scheduler/manifests/v1"),
        ("localhost/scheduler", "http://localhost/v2/scheduler/manifests/v1"),
        ("localhost:5001/scheduler", "http://localhost:5001/v2/scheduler/manifests/v1"),
        ("registry.example:5000/scheduler", "https://registry.example:5000/v2/scheduler/manifests/v1"),
    ],
)
def test_a_name_says_where_its_registry_is(image: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def request(self: requests.Session, method: str, url: str, **options: object) -> None:
        asked.append(url)
        raise requests.ConnectionError

    monkeypatch.setattr(requests.Session, "request", request)
    with pytest.raises(DeliveryError, match="does not answer"):
        promote(f"{image}:v1", "v2")
    assert asked == [url]


def test_an_image_that_is_named_by_its_digest_is_that_one_whatever_its_tag_means_by_now(registry: Registry) -> None:
    registry.tags[DIGEST] = MANIFEST
    registry.tags["preprod-7"] = b"another"
    image = promote(f"{registry.name}:preprod-7@{DIGEST}", "v1.2.3")
    assert str(image) == f"{registry.name}:v1.2.3@{DIGEST}"
    assert registry.tags["v1.2.3"] == MANIFEST


def test_a_registry_that_answers_with_another_image_is_not_believed(registry: Registry) -> None:
    registry.tags[DIGEST] = b"another"
    with pytest.raises(DeliveryError, match=r"the registry answers sha256:.*; nothing was promoted"):
        promote(f"{registry.name}:preprod-7@{DIGEST}", "v1.2.3")
    assert "v1.2.3" not in registry.tags


def test_a_tag_that_is_to_move_is_taken_from_the_image_that_had_it(registry: Registry) -> None:
    registry.tags["latest-dev"] = b"another"
    promote(f"{registry.name}:preprod-7", "latest-dev", move=True)
    assert registry.tags["latest-dev"] == MANIFEST


@pytest.mark.parametrize(("tag", "digest"), [("preprod-7", DIGEST), ("preprod-8", "")])
def test_a_digest_is_known_where_there_is_such_an_image(registry: Registry, tag: str, digest: str) -> None:
    assert digest_of(f"{registry.name}:{tag}") == digest


def test_a_registry_that_refuses_is_none_without_the_image(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", USER)
    monkeypatch.setenv("REGISTRY_PASSWORD", "wrong")
    registry.challenge = "Bearer"
    with pytest.raises(DeliveryError, match="answers 401"):
        digest_of(f"{registry.name}:preprod-8")

"""What users meet, at a small server on 127.0.0.1."""

from __future__ import annotations

import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from delivery import credentials
from delivery import traffic as asking
from delivery.render import Render
from delivery.shell import DeliveryError
from delivery.site import Site, connect
from delivery.suites import Suites
from delivery.traffic import PATHS, traffic
from tests.delivery.small import HOST, Stage, render


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self.server.hosts.append(self.headers["Host"])
        self.send_response(self.server.status)
        self.send_header("Content-Length", "1000000" if self.server.drips else "0")
        self.end_headers()
        while self.server.drips:
            self.wfile.write(b" ")
            time.sleep(0.01)


class Server(ThreadingHTTPServer):
    """Answers everything with one status, byte by byte without end if it drips, and remembers its hosts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.drips, self.hosts = 200, False, list[str]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server
        server.shutdown()


def encrypt(server: Server, stage: Stage, folder: Path) -> None:
    """Has a server show the certificate of Secret web-tls."""
    certificate = credentials.read(stage.cluster, "web-tls")
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_text(certificate[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_environment_is_asked_by_its_host_at_the_address_of_the_ingress(empty: Stage, server: Server) -> None:
    site = connect(empty.cluster, render("1", hosts=False), server.address)
    assert site.url == f"http://{HOST}"
    assert site.get("/ready").status_code == 200
    assert server.hosts == [HOST]


def test_the_certificate_in_the_secret_is_trusted(empty: Stage, server: Server, tmp_path: Path) -> None:
    credentials.ensure_tls(empty.cluster, [HOST])
    encrypt(server, empty, tmp_path)
    site = connect(empty.cluster, render("1"), server.address)
    assert site.url == f"https://{HOST}"
    assert site.get("/").status_code == 200


def test_without_the_right_to_the_secret_only_public_authorities_are_trusted(
    empty: Stage, server: Server, tmp_path: Path
) -> None:
    credentials.ensure_tls(empty.cluster, [HOST])
    encrypt(server, empty, tmp_path)
    site = connect(empty.cluster, render("1"), server.address, authority=False)
    with pytest.raises(requests.exceptions.SSLError):
        site.get("/")


def test_a_certificate_for_which_there_is_no_room_is_said(empty: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(prefix: str) -> str:
        raise OSError(28, "No space left on device")

    credentials.ensure_tls(empty.cluster, [HOST])
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(DeliveryError, match=r"certificate cannot be kept: .*No space left"):
        connect(empty.cluster, render("1"))


def test_without_an_ingress_nobody_knows_the_host(empty: Stage) -> None:
    with pytest.raises(DeliveryError, match="0 of kind Ingress where an environment has exactly one"):
        connect(empty.cluster, Render(""))


def test_requests_go_on_while_the_environment_is_watched(empty: Stage, server: Server) -> None:
    plain = render("1", hosts=False)
    with Suites(server.address).traffic(empty.cluster, plain) as answers:
        eventually(lambda: len(answers) > 4)
        server.status = 503
        eventually(lambda: any(answer.error for answer in answers))
    assert (answers[0].path, answers[0].error) == (PATHS[0], None)
    assert answers[-1].error == "status 503"
    assert all(answer.seconds > 0 for answer in answers)
    count = len(answers)
    time.sleep(0.3)
    assert len(answers) == count


def test_an_answer_without_an_end_does_not_hold_a_delivery(
    empty: Stage, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LAST", 0.1)
    server.drips = True
    with traffic(connect(empty.cluster, render("1", hosts=False), server.address)) as answers:
        eventually(lambda: bool(server.hosts))
    assert answers == []
    server.drips = False


def test_a_server_that_is_away_is_an_answer_too(empty: Stage, server: Server) -> None:
    server.shutdown()
    server.server_close()
    with traffic(connect(empty.cluster, render("1", hosts=False), server.address)) as answers:
        eventually(lambda: len(answers) > 1)
    assert answers[0].error == "ConnectionError"


def test_where_dns_knows_the_host_it_is_asked_as_any_browser_asks(empty: Stage) -> None:
    site = connect(empty.cluster, render("1"))
    assert site.session.trust_env
    assert site.session.verify is True
    assert set(site.session.adapters) == {"https://", "http://"}


def test_a_certificate_of_a_public_authority_needs_none_in_the_secret(empty: Stage) -> None:
    content = {"tls.crt": "certificate", "tls.key": "key"}
    empty.cluster.create(credentials.secret(empty.cluster.namespace, "web-tls", content))
    site = connect(empty.cluster, render("1"), "127.0.0.1")
    assert site.session.verify is True
    assert not site.session.trust_env


def test_the_session_is_not_shown() -> None:
    assert repr(Site("http://a.example", requests.Session())) == "Site(url='http://a.example')"

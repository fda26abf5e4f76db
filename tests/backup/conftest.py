"""A real object store: rclone's S3 server, and rclone's remote control in front of it, as base/backup has it."""

from __future__ import annotations

import http.client
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyrage
import pytest

from backup.store import Store

RCLONE = str(Path(sys.executable).with_name("rclone"))
DUMP = b"""-- MySQL dump 10.13  Distrib 9.7.2
/*!40101 SET NAMES utf8mb4 */;
--
-- Table structure for table `alembic_version`
--
CREATE TABLE `alembic_version` (`version_num` varchar(32) NOT NULL);
INSERT INTO `alembic_version` VALUES ('0001');
--
-- Table structure for table `instance`
--
CREATE TABLE `instance` (`id` int NOT NULL);
INSERT INTO `instance` VALUES (1,'-- Table structure for table `x`');
INSERT INTO `instance` VALUES (2,'Escola\\nMunicipal');
--
-- Dumping events for database 'school_schedule'
--
-- Dump completed
"""


@dataclass
class Faults:
    """What goes wrong on the way to the S3 server.

    Attributes:
        refused: answers for some methods.
        lost: bytes that are missing from answers.
        seconds: that an answer takes.
    """

    refused: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    seconds: float = 0


@dataclass(frozen=True)
class Bucket:
    """A bucket as files, the remote that means it, and the faults on the way to it."""

    files: Path
    store: Store
    faults: Faults

    def names(self, folder: str = "prod") -> list[str]:
        return sorted(path.name for path in (self.files / folder).iterdir())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(port: int, *arguments: str | Path) -> Iterator[None]:
    process = subprocess.Popen([RCLONE, *arguments], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def proxy(target: int, faults: Faults) -> ThreadingHTTPServer:
    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(faults.seconds)
            if self.command in faults.refused:
                self.send_response(faults.refused[self.command])
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
                self.end_headers()
                return
            connection = http.client.HTTPConnection("127.0.0.1", target)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content[: len(content) - faults.lost])

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

        def log_message(self, *arguments: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Proxy)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    root, faults = tmp_path_factory.mktemp("s3"), Faults()
    (root / "backups").mkdir()
    s3, control = free_port(), free_port()
    front = proxy(s3, faults)
    configuration = root.parent / "rclone.conf"
    configuration.write_text(
        "[store]\ntype = s3\nprovider = Rclone\nforce_path_style = true\n"
        "access_key_id = key\nsecret_access_key = none\n"
        f"endpoint = http://127.0.0.1:{front.server_port}\n"
    )
    flags = ("--rc-no-auth", "--use-server-modtime", "--low-level-retries", "1", "--config", configuration)
    with ExitStack() as stack:
        stack.enter_context(running(s3, "serve", "s3", root, "--addr", f"127.0.0.1:{s3}", "--auth-key", "key,none"))
        stack.enter_context(running(control, "rcd", "--rc-addr", f"127.0.0.1:{control}", *flags))
        stack.callback(front.server_close)
        stack.callback(front.shutdown)
        threading.Thread(target=front.serve_forever, args=(0.05,), daemon=True).start()
        yield Bucket(root / "backups", Store(f"http://127.0.0.1:{control}", "store:backups", "prod"), faults)


@pytest.fixture
def bucket(server: Bucket) -> Iterator[Bucket]:
    """An empty bucket of the test's own."""
    files = server.files.with_name(f"bucket-{secrets.token_hex(4)}")
    files.mkdir()
    yield Bucket(files, Store(server.store.url, f"store:{files.name}", "prod"), server.faults)
    server.faults.refused, server.faults.lost, server.faults.seconds = {}, 0, 0


@pytest.fixture
def identity() -> str:
    return str(pyrage.x25519.Identity.generate())


@pytest.fixture
def recipient(identity: str) -> str:
    return str(pyrage.x25519.Identity.from_str(identity).to_public())


@pytest.fixture
def dumped(tmp_path: Path) -> Path:
    """What mysqldump has written."""
    file = tmp_path / "work" / "dump.sql"
    file.parent.mkdir()
    file.write_bytes(DUMP)
    return file

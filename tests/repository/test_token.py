from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "secret-of-the-job"


def signed(**claims: object) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims))
    return ".".join((*parts, "signature"))


GOOD = signed(sub="repo:escola/horario:environment:homolog", exp=1_800_000_000)


@contextmanager
def runner(body: str, status: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A runner's token service that gives this answer: its URL, and what was asked for by which authorization."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token?api-version=2.0", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def credentials(url: str, secret: str = SECRET) -> subprocess.CompletedProcess[str]:
    """What kubectl runs: another Python than the one that has the project's packages."""
    variables = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": secret,
        "PATH": os.environ["PATH"],
    }
    command = [
        shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3",
        "-m",
        "repository.token",
        "school-scheduler",
    ]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def test_a_job_s_token_becomes_kubectl_s_credentials_until_shortly_before_its_end() -> None:
    with runner(json.dumps({"value": GOOD})) as (url, asked):
        done = credentials(url)
    assert asked == [("/token?api-version=2.0&audience=school-scheduler", f"Bearer {SECRET}")]
    assert json.loads(done.stdout) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": GOOD, "expirationTimestamp": "2027-01-15T07:59:30Z"},
    }


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("[]", 200, "gives no token"),
        ("{}", 403, "gives no token: HTTP Error 403"),
        (json.dumps({"value": "abc"}), 200, "no token with an end"),
        (json.dumps({"value": signed(exp=1e300)}), 200, "no token with an end"),
        (json.dumps({"value": "x" * (1 << 17)}), 200, "gives no token"),
    ],
)
def test_what_is_no_token_is_said_in_one_line(body: str, status: int, says: str) -> None:
    with runner(body, status) as (url, _):
        done = credentials(url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert says in done.stderr


@pytest.mark.parametrize(
    ("url", "secret", "says"),
    [
        ("", SECRET, "it needs `permissions: id-token: write`"),
        ("https://token.example", "", "it needs `permissions: id-token: write`"),
        ("http://token.example/x", SECRET, "is not sent to http://token.example, which is not https"),
        ("file:///etc/passwd", SECRET, "is not sent to file://"),
        ("http://127.0.0.1:1/x", SECRET, "127.0.0.1:1 gives no token"),
    ],
)
def test_the_job_s_secret_goes_nowhere_else(url: str, secret: str, says: str) -> None:
    done = credentials(url, secret)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert SECRET not in done.stderr

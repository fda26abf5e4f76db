from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from subprocess import PIPE

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from app import generation, instances
from app.logs import JsonFormatter
from app.settings import Settings
from tests.conftest import ROOT, Run, Start, address
from tests.engine.conftest import Archive


@pytest.fixture(scope="module")
def told() -> tuple[list[dict[str, object]], str]:
    """The log, and the metrics, of a server that was asked for a page while its database was away."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"LOG_FORMAT": "json", "DB_HOST": "127.0.0.1", "DB_PORT": "1", "DB_PASSWORD": "x"}
    settings |= {"METRICS_PORT": str(port)}
    command = [sys.executable, "-m", "app.school_schedule", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=PIPE, stderr=PIPE, text=True) as server:
        url, request_id = f"{address(server)}/schools/7", {"X-Request-ID": "from-ingress.1"}
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(urllib.request.Request(url, headers=request_id))  # noqa: S310
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        server.terminate()
        return [json.loads(line) for line in server.communicate()[1].splitlines()], metrics


def test_a_request_is_followed_by_its_id_to_the_error_of_the_database(
    told: tuple[list[dict[str, object]], str],
) -> None:
    error, request = [line for line in told[0] if line.get("request_id") == "from-ingress.1"]
    assert error["level"] == "error" and str(error["message"]).startswith("the database does not answer: (2003, ")
    assert {name: request[name] for name in ("level", "route", "status", "school")} == {
        "level": "info",
        "route": "/schools/{school_id}",
        "status": 503,
        "school": 7,
    }


def test_errors_of_the_log_are_among_the_metrics(told: tuple[list[dict[str, object]], str]) -> None:
    assert 'school_scheduler_log_records_total{level="error"} 1.0' in told[1].splitlines()


def test_neither_log_nor_metrics_have_a_link_or_what_is_typed_into_its_page(
    start: Start, run: Run, engine: Engine, settings: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start("serve", "--port", "0", LOG_FORMAT="json", LOG_LEVEL="DEBUG", METRICS_PORT=str(port))
    url = address(server)
    path = f"/join/{run('account').stdout.rpartition('/')[2].strip()}"
    typed = {"name": "Ana Souza", "email": "ana@example.org", "password": "uma senha longa"}

    def ask(path: str, data: bytes | None = None) -> int:
        # As a browser asks for what belongs to the page of the link.
        request = urllib.request.Request(url + path, data, headers={"Referer": url + path})  # noqa: S310
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    answers = [ask(path), ask(f"{path}/x"), ask(path, b"name=Ana"), ask(path, urllib.parse.urlencode(typed).encode())]
    # The database fails while the link is asked for.
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE invitation RENAME TO other"))
    assert [*answers, ask(path)] == [200, 404, 422, 200, 503]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        output = answer.read().decode()
    server.terminate()
    output += "".join(server.communicate())
    assert 'route="/join/{token}"' in output and "POST /join/{token} 303" in output
    for secret in (path, path.removeprefix("/join/"), *typed.values()):
        assert secret not in output


def test_every_line_of_a_generation_names_its_job_and_school(
    sessions: sessionmaker[Session], settings: Settings, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "tiny.xml").write_bytes(archive())
    with sessions.begin() as session:
        (stored,) = instances.import_files(session, [tmp_path / "tiny.xml"])
        generation.request(session, stored, settings)
    claim = generation.claim(sessions, "worker")
    assert claim
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    generation.log.addHandler(handler)
    generation.log.setLevel("INFO")
    generation.run(sessions, claim, settings, lambda: False, lambda: None)
    generation.log.removeHandler(handler)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["message"].split()[0], line["job_id"], line["school"]) for line in lines] == [
        ("searching", 1, 1),
        ("done", 1, 1),
    ]

from __future__ import annotations

import io
import json
import logging
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app import generation, instances
from app.logs import JsonFormatter
from app.settings import Settings
from tests.conftest import Start, address
from tests.engine.conftest import Archive


def test_a_request_is_followed_by_its_id_to_the_error_of_the_database(start: Start) -> None:
    server = start("serve", "--port", "0", LOG_FORMAT="json", DB_HOST="127.0.0.1", DB_PORT="1")
    asked = urllib.request.Request(f"{address(server)}/schools/7", headers={"X-Request-ID": "from-ingress.1"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(asked)  # noqa: S310
    server.terminate()
    lines = [json.loads(line) for line in server.communicate()[1].splitlines()]
    error, request = [line for line in lines if line.get("request_id") == "from-ingress.1"]
    assert error["level"] == "error" and error["message"].startswith("the database does not answer: (2003, ")
    assert {name: request[name] for name in ("level", "route", "status", "school")} == {
        "level": "info",
        "route": "/schools/{school_id}",
        "status": 503,
        "school": 7,
    }


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

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app import database
from app.metrics import Metrics
from app.settings import Settings
from app.web.application import create
from tests.web.conftest import Stored

# Signed by itself, valid until 2126-11-01 03:53:08 UTC.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUCbb1+9DxlIli08bpmDDhitBSw8QwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGc2Nob29sMCAXDTI2MTEyNTAzNTMwOFoYDzIxMjYxMTAxMDM1
MzA4WjARMQ8wDQYDVQQDDAZzY2hvb2wwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASNxnmy3LQ6CKut8bqMkoARL2A1W8j4DoMSEaQrozeLCwFZOu03noaE/YmyHtnv
nK3hiQm0WM6mHP/PkPfz5LCbo1MwUTAdBgNVHQ4EFgQUODQX0KfaXpOodAVQ7Vdu
ySDod68wHwYDVR0jBBgwFoAUODQX0KfaXpOodAVQ7VduySDod68wDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiA7blpLThumWzxYqO/B325vmzWVIJi8
GS1Xu+433uQzEwIhAPyQkc6puPt80svkiPEGfU9E9hmo+4+uzF/uj4WvSSid
-----END CERTIFICATE-----
"""


@pytest.fixture
def metrics(engine: Engine, settings: Settings) -> Metrics:
    return Metrics(settings, engine)


@pytest.fixture
def client(engine: Engine, settings: Settings, metrics: Metrics) -> Iterator[TestClient]:
    with TestClient(create(engine, settings, metrics), raise_server_exceptions=False) as client:
        yield client


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Value by the values of the labels, in alphabetical order of their names."""
    found = [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == name]
    return {tuple(value for _, value in sorted(each.labels.items())): each.value for each in found}


def test_requests_are_counted_by_route_and_never_by_address(
    client: TestClient, metrics: Metrics, sessions: sessionmaker[Session]
) -> None:
    for path in ("/schools/7", "/schools/8", "/nowhere", "/static/style.css", "/static/nothing"):
        client.get(path)
    assert samples(metrics, "http_requests_total") == {
        ("GET", "/schools/{school_id}", "404"): 2,
        ("GET", "unmatched", "404"): 1,
        ("GET", "/static", "200"): 1,
        ("GET", "/static", "404"): 1,
    }


def test_a_method_that_a_client_made_up_is_no_label(client: TestClient, metrics: Metrics) -> None:
    client.request("MADEUP", "/health")
    assert samples(metrics, "http_requests_total") == {("other", "/health", "405"): 1}


def test_the_pages_port_has_no_metrics(client: TestClient) -> None:
    assert client.get("/metrics").status_code == 404


def test_generations_are_counted_by_state(metrics: Metrics, stored: Stored) -> None:
    stored()
    stored(state="done")
    stored()
    assert samples(metrics, "school_scheduler_generations") == {
        ("queued",): 2,
        ("running",): 0,
        ("done",): 1,
        ("failed",): 0,
    }


@pytest.mark.mysql
def test_the_queue_is_as_old_as_its_oldest_generation(
    metrics: Metrics, stored: Stored, sessions: sessionmaker[Session]
) -> None:
    with sessions() as session:
        now = database.now(session)
    stored(requested_at=now.replace(year=now.year - 1), state="done")
    stored(requested_at=now.replace(year=now.year - 2))
    stored(heartbeat_at=now.replace(year=now.year - 3), state="running")
    years = 365 * 86400
    assert 2 * years <= samples(metrics, "school_scheduler_generation_queue_age_seconds")[()] < 2.1 * years
    assert 3 * years <= samples(metrics, "school_scheduler_generation_silence_seconds")[()] < 3.1 * years


def test_without_a_database_the_other_metrics_are_told(metrics: Metrics) -> None:
    assert samples(metrics, "school_scheduler_generations") == {}
    assert list(samples(metrics, "school_scheduler_build_info").values()) == [1]


def test_when_all_connections_are_taken_the_scrape_does_not_wait_for_one(
    metrics: Metrics, engine: Engine, sessions: sessionmaker[Session]
) -> None:
    with ExitStack() as taken:
        for _ in range(database.CONNECTIONS):
            taken.enter_context(engine.connect()).execute(text("SELECT 1"))
        used = samples(metrics, "school_scheduler_database_connections")
        assert samples(metrics, "school_scheduler_generations") == {}
    assert used == {("idle",): 0, ("limit",): database.CONNECTIONS, ("used",): database.CONNECTIONS}


def test_the_expiry_of_the_certificate_is_told_as_long_as_there_is_one(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "tls.crt"
    metrics = Metrics(settings.model_copy(update={"tls_certificate": file}), engine)
    assert samples(metrics, "school_scheduler_certificate_expiry_timestamp_seconds") == {}
    file.write_text(CERTIFICATE)
    expiry = samples(metrics, "school_scheduler_certificate_expiry_timestamp_seconds")[()]
    assert datetime.fromtimestamp(expiry, UTC).isoformat() == "2126-11-01T03:53:08+00:00"

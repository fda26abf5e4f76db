from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from tests.web.conftest import Stored


def samples(client: TestClient, name: str) -> dict[tuple[str, ...], float]:
    """Value by the values of the labels, in alphabetical order of their names."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(value for _, value in sorted(each.labels.items())): each.value for each in found}


def test_requests_are_counted_by_route_and_never_by_address(
    client: TestClient, sessions: sessionmaker[Session]
) -> None:
    for address in ("/schools/7", "/schools/8", "/nowhere", "/static/style.css", "/static/nothing"):
        client.get(address)
    assert samples(client, "http_requests_total") == {
        ("GET", "/schools/{school_id}", "404"): 2,
        ("GET", "unmatched", "404"): 1,
        ("GET", "/static", "200"): 1,
        ("GET", "/static", "404"): 1,
    }


def test_a_method_that_a_client_made_up_is_no_label(client: TestClient) -> None:
    client.request("MADEUP", "/health")
    assert samples(client, "http_requests_total") == {("other", "/health", "405"): 1}


def test_generations_are_counted_by_state(client: TestClient, stored: Stored) -> None:
    stored()
    stored(state="done")
    stored()
    assert samples(client, "school_scheduler_generations") == {
        ("queued",): 2,
        ("running",): 0,
        ("done",): 1,
        ("failed",): 0,
    }


def test_without_a_database_the_other_metrics_are_told(client: TestClient) -> None:
    assert samples(client, "school_scheduler_generations") == {}
    assert list(samples(client, "school_scheduler_build_info").values()) == [1]

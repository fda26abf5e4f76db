"""Rules and dashboards meet data: what they ask for is served, no panel is empty, and a request is found by its id."""

from __future__ import annotations

import json
import math
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

from bench import observability
from delivery import deploy, rollout
from delivery.kubectl import kubectl
from delivery.observability import LOGS
from delivery.shell import ROOT, DeliveryError
from delivery.site import Site
from drills.conftest import Stage
from drills.drawing import draw
from drills.faults import database_down, request_generation
from drills.watching import PARTS, Watch, until
from observability.dashboards import DASHBOARDS
from observability.expressions import everything, marks, panels, queries, rules, selectors

SERVED = Path("tests/observability/served.json")
# What Prometheus makes of the rules; ALERTS has the labels of what has fired by then.
RECORDED = {"ALERTS"} | {rule["record"] for rule in rules() if "record" in rule}
EVERY = [pytest.param(panel, id=f"{name}-{panel['title']}") for name, panel in panels()]
# Served only once something has failed, where there is TLS, or when Loki has filled a chunk.
SOMETIMES = {
    "kube_job_failed",
    "kube_pod_container_status_waiting_reason",
    "kube_pod_init_container_status_waiting_reason",
    "loki_ingester_chunk_stored_bytes_total",
    "school_scheduler_certificate_expiry_timestamp_seconds",
}


@pytest.fixture(scope="module")
def busy(stage: Stage, watch: Watch) -> None:
    """A minute of visitors, and a timetable."""
    request_generation(stage)
    with stage.traffic():
        time.sleep(60)
        made = f'increase(school_scheduler_generation_soft_cost_count{{namespace="{stage.namespace}"}}[5m]) > 0'
        until(lambda: watch.query(made), seconds=180)


@pytest.fixture(scope="session")
def kept(pytestconfig: pytest.Config) -> Path:
    """Where pictures and what is served are left: in the repository by --record, or else in build/."""
    return ROOT if pytestconfig.getoption("--record") else ROOT / "build"


def test_every_metric_and_label_is_served(stage: Stage, watch: Watch, kept: Path) -> None:
    # What is told of the Jobs of a schedule is not there before the first.
    by_hand = f"backup-{secrets.token_hex(3)}"
    kubectl("-n", stage.namespace, "create", "job", by_hand, "--from=cronjob/backup")
    until(lambda: watch.query(f'kube_cronjob_status_last_successful_time{{namespace="{stage.namespace}"}}'), seconds=90)
    known: dict[str, list[str]] = json.loads((ROOT / SERVED).read_text())
    asked = [each for expression in everything() for each in selectors(expression) if each[0] not in RECORDED]
    seen = {name: {label for each in watch.series(name) for label in each} - {"__name__"} for name, _ in asked}
    names = {name: sorted(labels or known.get(name, [])) for name, labels in sorted(seen.items())}
    _keep(kept / SERVED, json.dumps(names, indent=1) + "\n")
    assert {name for name, labels in seen.items() if not labels} <= SOMETIMES
    assert [(name, labels) for name, labels in asked if seen[name] and not labels <= seen[name]] == []


@pytest.mark.parametrize("panel", EVERY)
def test_panel_has_data(watch: Watch, busy: None, panel: dict[str, Any]) -> None:
    for query in queries(panel):
        asked = watch.of_environment(query)
        if panel["type"] == "logs":
            assert watch.lines(asked), asked
        else:
            # What is divided by the requests of a page has no value where nobody asked for that page.
            values = [float(each["value"][1]) for each in watch.query(asked)]
            assert not all(map(math.isnan, values)), asked


@pytest.mark.slow
def test_a_delivery_and_its_rollback_are_marked(stage: Stage, watch: Watch) -> None:
    stage.deploy(stage.good)
    deploy.rollback(stage.target, None, deploy.Options())
    asked = {watch.of_environment(mark) for mark in marks()}
    until(lambda: all(map(watch.query, asked)), seconds=60)


@pytest.mark.slow
@pytest.mark.parametrize("uid", DASHBOARDS)
def test_dashboard_is_drawn(watch: Watch, busy: None, kept: Path, uid: str) -> None:
    _keep(kept / f"docs/images/dashboard-{uid}.svg", draw(watch, uid))


def test_a_request_through_the_ingress_is_followed_by_its_id(stage: Stage, watch: Watch) -> None:
    request_id, _ = _ask_with_an_id(stage.site())
    (line,) = until(lambda: watch.lines(_followed(stage, request_id)), seconds=60)
    assert json.loads(line)["route"] == "/schools/{school_id}"


@pytest.mark.slow
def test_a_request_is_followed_from_the_ingress_to_the_error_of_the_database(stage: Stage, watch: Watch) -> None:
    site = stage.site()
    with database_down(stage):
        # The ingress soon refuses by itself; then the answer lacks the id that the application gives back.
        request_id = until(lambda: _refused(site), seconds=30)
        lines = until(lambda: watch.lines(_followed(stage, request_id)), seconds=60)
    rollout.wait(stage.cluster, stage.render(stage.good).objects)
    told = [json.loads(line) for line in lines]
    assert any(each["level"] == "error" and "the database does not answer" in each["message"] for each in told)


@pytest.mark.last
def test_nothing_was_missed(watch: Watch) -> None:
    """No rule failed or was late, and nothing that watches was silent at any scrape, since the drills began."""
    since = f"[{time.time() - watch.began:.0f}s]"
    for counter in ("prometheus_rule_evaluation_failures_total", "prometheus_rule_group_iterations_missed_total"):
        assert float(watch.query(f"sum(increase({counter}{since}))")[0]["value"][1]) == 0, counter
    assert watch.query(f"min(min_over_time({PARTS}{since}))")[0]["value"][1] == "1"


@pytest.mark.last
def test_a_collector_that_starts_again_reads_no_line_twice(stage: Stage, watch: Watch) -> None:
    before, _ = _ask_with_an_id(stage.site())
    until(lambda: watch.lines(_followed(stage, before)), seconds=60)
    kubectl("-n", LOGS, "delete", "pod", "--selector=app.kubernetes.io/name=collector")
    kubectl("-n", LOGS, "rollout", "status", "daemonset/collector", "--timeout=2m")
    later, _ = _ask_with_an_id(stage.site())
    until(lambda: watch.lines(_followed(stage, later)), seconds=60)
    assert len(watch.lines(_followed(stage, before))) == 1


@pytest.mark.slow
@pytest.mark.last
def test_all_of_it_costs_little(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    until(_measured, seconds=180)
    with capsys.disabled():
        print()
        assert observability.main() == 0


def _measured() -> bool:
    """Whether metrics-server knows every pod; one that has just begun it does not."""
    try:
        return bool(observability.usage())
    except DeliveryError:
        return False


def _ask_with_an_id(site: Site) -> tuple[str, requests.Response]:
    """Asks for a page, giving the request an id."""
    request_id = f"drill-{uuid.uuid4().hex}"
    return request_id, site.session.get(f"{site.url}/schools/1", headers={"X-Request-ID": request_id}, timeout=30)


def _refused(site: Site) -> str:
    """The id of a request that the application has refused; empty if it was not the application."""
    request_id, answer = _ask_with_an_id(site)
    return request_id if answer.status_code == 503 and "X-Request-ID" in answer.headers else ""


def _followed(stage: Stage, request_id: str) -> str:
    """The query of docs/observability.md."""
    return f'{{namespace="{stage.namespace}"}} | json | request_id="{request_id}"'


def _keep(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)

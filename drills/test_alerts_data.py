"""Rules and dashboards meet data: what they ask for is served, panels are not empty, and all of it costs little."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from delivery import rollout
from delivery.observability import LOGS
from delivery.shell import ROOT, kubectl
from delivery.site import connect
from drills.conftest import Stage
from drills.watching import Watch, until
from observability.expressions import everything, panels, queries, rules, selectors

RECORDED = {rule["record"] for rule in rules() if "record" in rule}
EVERY = [pytest.param(panel, id=f"{name}-{panel['title']}") for name, panel in panels()]
# Counted only once something has failed, or a CronJob has succeeded, so a drill without that does not see them.
SOMETIMES = {
    "kube_cronjob_status_last_successful_time",
    "kube_job_failed",
    "kube_job_owner",
    "kube_pod_container_status_waiting_reason",
}


@pytest.fixture(scope="module")
def busy(stage: Stage, watch: Watch) -> None:
    """A minute of visitors."""
    with stage.traffic():
        time.sleep(60)


def test_every_metric_is_served(watch: Watch) -> None:
    """What was seen is left in build/, from where it is copied to tests/observability/served.json."""
    names = sorted({name for expression in everything() for name, _ in selectors(expression)} - RECORDED)
    seen = {name: sorted({label for each in watch.series(name) for label in each} - {"__name__"}) for name in names}
    (ROOT / "build" / "served.json").write_text(json.dumps(seen, indent=1) + "\n")
    assert {name for name, labels in seen.items() if not labels} <= SOMETIMES


@pytest.mark.parametrize("panel", EVERY)
def test_panel_has_data(stage: Stage, watch: Watch, busy: None, panel: dict[str, Any]) -> None:
    for query in queries(panel):
        asked = query.replace("$namespace", stage.namespace)
        assert watch.lines(asked) if panel["type"] == "logs" else watch.query(asked), asked


def test_a_request_through_the_ingress_is_followed_by_its_id(stage: Stage, watch: Watch) -> None:
    request_id = _ask_with_an_id(stage)
    query = f'{{namespace="{stage.namespace}"}} | json | request_id="{request_id}"'
    (line,) = until(lambda: watch.lines(query), seconds=60)
    assert json.loads(line)["route"] == "/schools/{school_id}"


def test_a_collector_that_starts_again_reads_no_line_twice(stage: Stage, watch: Watch) -> None:
    request_id = _ask_with_an_id(stage)
    query = f'{{namespace="{stage.namespace}"}} | json | request_id="{request_id}"'
    until(lambda: watch.lines(query), seconds=60)
    kubectl("-n", LOGS, "delete", "pod", "--selector=app.kubernetes.io/name=collector")
    kubectl("-n", LOGS, "rollout", "status", "daemonset/collector", "--timeout=2m")
    later = _ask_with_an_id(stage)
    until(lambda: watch.lines(query.replace(request_id, later)), seconds=60)
    assert len(watch.lines(query)) == 1


def test_nothing_was_missed(watch: Watch) -> None:
    """Of the scrapes and evaluations since the drills began."""
    assert watch.query("sum(prometheus_rule_evaluation_failures_total)")[0]["value"][1] == "0"
    assert watch.query("sum(prometheus_rule_group_iterations_missed_total)")[0]["value"][1] == "0"
    # The collector was ended by a drill above.
    parts, since = 'up{job=~"kube-state-metrics|observability"}', int(time.time() - watch.began)
    assert watch.query(f"min(min_over_time({parts}[{since}s]))")[0]["value"][1] == "1"


def test_all_of_it_costs_little(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    # At rest: metrics-server tells the mean of some seconds, and the drills before this one kept all of it busy.
    time.sleep(60)
    cores, memory = watch.usage()
    with capsys.disabled():
        print(f"\nobservability at rest: {cores:.3f} cores, {memory:.0f} MiB")
    assert cores < 0.3 and memory < 1024


def _ask_with_an_id(stage: Stage) -> str:
    """Asks for a page through the ingress, and returns the id that the request was given."""
    manifests = rollout.read(stage.render(stage.good).read_text())
    site = connect(stage.namespace, manifests, stage.options.ingress)
    request_id = f"drill-{uuid.uuid4().hex}"
    site.session.get(f"{site.url}/schools/1", headers={"X-Request-ID": request_id}, timeout=10)
    return request_id

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.__main__ import made
from observability.dashboards import DASHBOARDS, dashboard
from observability.expressions import HERE, panels, queries
from tests.observability.test_rules import needs_promtool, promtool

Json = dict[str, Any]
EVERY = [pytest.param(panel, id=f"{name}-{panel['title']}") for name, panel in panels()]


@pytest.mark.parametrize("file", made(), ids=lambda file: file.name)
def test_what_is_made_of_something_else_is_up_to_date(file: Any) -> None:
    assert file.read_text() == made()[file], "run python -m observability"


@pytest.mark.parametrize("panel", EVERY)
def test_panel_asks_a_data_source_that_is_provisioned(panel: Json) -> None:
    sources = yaml.safe_load((HERE / "grafana" / "datasources.yaml").read_text())["datasources"]
    known = {(source["type"], source["uid"]) for source in sources}
    assert {(each["datasource"]["type"], each["datasource"]["uid"]) for each in [panel, *panel["targets"]]} <= known


@pytest.mark.parametrize("panel", EVERY)
def test_panel_shows_the_chosen_environment_alone(panel: Json) -> None:
    assert all(query.count("{") == query.count('namespace="$namespace"') for query in queries(panel))


@pytest.mark.parametrize("panel", EVERY)
def test_panel_says_what_it_tells(panel: Json) -> None:
    assert panel["description"].endswith(".") and panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_do_not_overlap(uid: str) -> None:
    places = [each["gridPos"] for each in dashboard(uid)["panels"]]
    cells = [(p["x"] + x, p["y"] + y) for p in places for x in range(p["w"]) for y in range(p["h"])]
    assert len(cells) == len(set(cells)) and all(x < 24 for x, _ in cells)


def test_every_dashboard_is_delivered() -> None:
    _, delivered = yaml.safe_load((HERE / "grafana" / "kustomization.yaml").read_text())["configMapGenerator"]
    assert delivered["files"] == sorted(f"dashboards/{uid}.json" for uid in DASHBOARDS)


@needs_promtool
def test_a_release_that_has_two_phases_for_a_while_is_listed(tmp_path: Path) -> None:
    (asked,) = [query for name, panel in panels() if panel["title"] == "Releases" for query in queries(panel)]
    place = 'namespace="prod", job="kube-state-metrics", configmap="release-2"'
    series = [
        {"series": f"kube_configmap_created{{{place}}}", "values": "7"},
        {"series": f'kube_configmap_labels{{{place}, label_phase="pending"}}', "values": "1"},
        {"series": f'kube_configmap_labels{{{place}, label_phase="good"}}', "values": "1"},
    ]
    rows = [
        {"labels": f'{{configmap="release-2", label_phase="{phase}"}}', "value": 7000} for phase in ("good", "pending")
    ]
    case = {"expr": asked.replace("$namespace", "prod"), "eval_time": "0", "exp_samples": rows}
    test = {"tests": [{"input_series": series, "promql_expr_test": [case]}]}
    (tmp_path / "releases.yaml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "releases.yaml")

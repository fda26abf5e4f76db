from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery.observability import targets
from observability.expressions import RULES, rules
from tests.conftest import ROOT

TESTS = RULES.parent / "tests"
RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
# About all that is watched.
WITHOUT_PLACE = {"Watchdog", "LogVolumeFillsSoon", "MetricsNotStored", "MetricsVolumeNearlyFull"}
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="RULES NOT TESTED: there is no promtool; install Debian's package prometheus"
)


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def cases() -> list[tuple[str, bool]]:
    """(alert, whether it fires) of every case."""
    files = [yaml.safe_load(file.read_text()) for file in TESTS.glob("*.yaml")]
    found = [each for file in files for test in file["tests"] for each in test["alert_rule_test"]]
    return [(each["alertname"], bool(each["exp_alerts"])) for each in found]


@needs_promtool
@pytest.mark.parametrize("name", sorted(file.name for file in RULES.glob("*.yaml")))
def test_alerts_fire_and_stay_silent_as_their_cases_say(name: str) -> None:
    promtool("test", "rules", TESTS / name)


@needs_promtool
def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    text = (RULES.parent / "prometheus.yaml").read_text().replace("/etc/prometheus/rules", str(RULES))
    (tmp_path / "prometheus.yaml").write_text(targets(text, ["one", "another"]))
    promtool("check", "config", tmp_path / "prometheus.yaml")


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    wanted = {(alert, fires) for alert in ALERTS for fires in (True, False)}
    assert wanted <= set(cases())


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_what_is_wrong_and_where_it_is_and_where_to_read_on(name: str) -> None:
    labels, notes = ALERTS[name]["labels"], ALERTS[name]["annotations"]
    assert labels["severity"] in ("critical", "warning", "none")
    assert re.fullmatch(r"[A-Z].*\.", notes["summary"])
    assert "{{ $labels." in notes["description"] or name in WITHOUT_PLACE
    assert notes["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


def test_no_number_of_an_alert_stands_without_its_unit() -> None:
    files = [yaml.safe_load(file.read_text()) for file in TESTS.glob("*.yaml")]
    checks = [each for file in files for test in file["tests"] for each in test["alert_rule_test"]]
    texts = {alert["exp_annotations"]["description"] for each in checks for alert in each["exp_alerts"]}
    assert [text for text in texts if re.search(r"(?<![\w-])\d[\d.]*+\s*([);,]|$)", text)] == []
    assert [text for text in texts if re.search(r"\s-\d", text)] == []


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    titles = {file.stem: file.read_text().splitlines()[0] for file in RUNBOOKS.glob("*.md")}
    assert titles == {name: f"# {name}" for name in ALERTS}


@pytest.mark.parametrize("file", sorted(RUNBOOKS.glob("*.md")), ids=lambda file: file.stem)
def test_runbook_leads_only_to_what_exists(file: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", file.read_text())
    assert [link for link in links if not (file.parent / link.partition("#")[0]).exists()] == []


CONFIGURATION = yaml.safe_load((RULES.parents[1] / "alertmanager" / "alertmanager.yaml").read_text())
UNITS = {"s": 1, "m": 60, "h": 3600}


def named(matchers: list[str]) -> set[str]:
    """The alerts that matchers choose; each name of theirs stands for at least one."""
    (pattern,) = [found[1] for each in matchers if (found := re.fullmatch(r'alertname=~?"(.+)"', each))]
    chosen = [{name for name in ALERTS if re.fullmatch(part, name)} for part in pattern.split("|")]
    assert all(chosen), pattern
    return set().union(*chosen)


def waits(name: str) -> int:
    """The seconds that an alert is pending."""
    text: str = ALERTS[name].get("for", "0s")
    return int(text[:-1]) * UNITS[text[-1]]


IN_ONE_ENVIRONMENT = [rule for rule in CONFIGURATION["inhibit_rules"] if "namespace" in rule.get("equal", [])]


def test_only_what_watches_silences_what_is_of_another_environment() -> None:
    wide = [rule["source_matchers"][0] for rule in CONFIGURATION["inhibit_rules"] if rule not in IN_ONE_ENVIRONMENT]
    assert wide == ['alertname="MetricsNotStored"', 'alertname="ObservabilityTargetDown"']


@pytest.mark.parametrize("rule", IN_ONE_ENVIRONMENT, ids=lambda rule: rule["source_matchers"])
def test_a_cause_is_told_before_what_follows_from_it_and_in_its_place(rule: dict[str, Any]) -> None:
    causes, effects = named(rule["source_matchers"]), named(rule["target_matchers"])
    assert not causes & effects
    assert max(map(waits, causes)) < min(map(waits, effects))

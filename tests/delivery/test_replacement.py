"""What becomes of the database's pod when a release changes it: said before, noticed early, and taken back."""

from __future__ import annotations

import copy
import random
from contextlib import suppress
from typing import Any

import pytest

from delivery import deploy, release
from delivery.deploy import Options, ReleaseError
from delivery.render import COMPONENT, Render
from delivery.replacement import GONE, PLACED
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster, Killed
from tests.delivery.faults import COMMON, drawn, mended
from tests.delivery.small import Stage, heard, render

NEW = "mysql:new"
LINE = "this restarts statefulset/mysql, for about 25 s without it: spec.template.spec.containers.mysql"


def changed(version: str, **container: Any) -> Render:
    """A release whose database's container is another one."""
    objects = copy.deepcopy(render(version).objects)
    (database,) = (body for body in objects if body["kind"] == "StatefulSet")
    database["spec"]["template"]["spec"]["containers"][0] |= {"image": NEW, **container}
    return Render.of(objects)


def deliver(stage: Stage, wanted: Render) -> None:
    deploy.deploy(stage.target, wanted, Options())


def uids(stage: Stage, component: str) -> list[str]:
    return [pod["metadata"]["uid"] for pod in stage.cluster.list("Pod", selector=f"{COMPONENT}={component}")]


def image(stage: Stage) -> str:
    """That of the database's pod, which is ready."""
    (pod,) = stage.cluster.list("Pod", selector=f"{COMPONENT}=database")
    assert pod["status"]["containerStatuses"][0]["ready"]
    return str(pod["spec"]["containers"][0]["image"])


def test_what_restarts_the_database_is_said_before_it_does(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def unchanged() -> bool:
        assert uids(stage, "database") == before
        return LINE not in err()

    def err() -> str:
        lines.append(capsys.readouterr().err)
        return "".join(lines)

    lines: list[str] = []
    before = uids(stage, "database")
    with stage.cluster.every(0.01, unchanged):
        deliver(stage, changed("2"))
    assert f"{LINE}.image changed" in err()
    assert uids(stage, "database") != before
    stage.type_in("rollback", "prod")
    assert f"{LINE}.image changed" in capsys.readouterr().err
    assert image(stage) == "mysql"


def test_what_changes_is_counted_and_the_first_is_named(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(stage, changed("2", env=[{"name": "A"}], args=["--verbose"]))
    assert f"{LINE}.args and 2 more changed" in capsys.readouterr().err


def test_nothing_is_said_of_a_database_that_stays_or_is_new(empty: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    empty.deploy("1")
    before = uids(empty, "database")
    empty.deploy("2")
    assert uids(empty, "database") == before
    assert "restarts" not in capsys.readouterr().err


def crowd(stage: Stage, **hard: str) -> None:
    """A quota as its controller shows it, all of which but 500m or 500Mi is in use."""
    used = {"requests.cpu": "1500m", "limits.memory": "1548Mi"}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}
    stage.cluster.server.write({**body, "metadata": {"name": "small", "namespace": stage.cluster.namespace}})


ROOM = {"requests.cpu": "2", "limits.memory": "2Gi", "pods": "24"}


@pytest.mark.parametrize(
    ("kind", "resource", "value", "more"),
    [("requests", "cpu", "501m", "0.501"), ("limits", "memory", "501Mi", "525336576")],
)
def test_a_database_for_which_a_quota_has_no_room_is_not_begun(
    stage: Stage, kind: str, resource: str, value: str, more: str
) -> None:
    crowd(stage, **ROOM)
    before = release.read(stage.cluster), uids(stage, "database")
    words = f"would ask for {more} more of {kind}.{resource}, and quota small gives .*; nothing was applied"
    with pytest.raises(DeliveryError, match=words):
        deliver(stage, changed("2", resources={kind: {resource: value}}))
    assert (release.read(stage.cluster), uids(stage, "database")) == before


def test_a_database_for_which_there_is_just_room_is_delivered(stage: Stage) -> None:
    crowd(stage, **ROOM)
    for version, cpu, memory in (("2", "500m", "500Mi"), ("3", "1", "1000Mi")):
        deliver(stage, changed(version, resources={"requests": {"cpu": cpu}, "limits": {"memory": memory}}))
    assert image(stage) == NEW


def test_a_quota_that_is_exceeded_already_stops_no_database_that_asks_for_no_more(stage: Stage) -> None:
    crowd(stage, **{"requests.cpu": "1"})
    deliver(stage, changed("2"))
    assert image(stage) == NEW


def test_a_quota_that_may_not_count_the_pod_is_left_to_the_api_server(stage: Stage) -> None:
    crowd(stage, **ROOM)
    stage.cluster.by_hand("resourcequota/small", {"spec": {"scopes": ["Terminating"]}})
    deliver(stage, changed("2", resources={"requests": {"cpu": "9"}}))
    assert image(stage) == NEW


def test_whoever_may_not_read_a_quota_tries(stage: Stage) -> None:
    crowd(stage, **ROOM)
    stage.cluster.forbidden.add(("list", "ResourceQuota"))
    deliver(stage, changed("2", resources={"requests": {"cpu": "9"}}))
    assert image(stage) == NEW


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_database_that_no_node_takes_is_noticed_early_and_the_one_before_returns(
    stage: Stage, seconds: float
) -> None:
    stage.cluster.server.grace = seconds
    stage.cluster.server.ill = {NEW: "FailedScheduling"}
    began, web = stage.cluster.now(), uids(stage, "web")
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again") as error:
        deliver(stage, changed("2"))
    assert "no node takes pod/mysql-0: 0/1 nodes are available: 1 Insufficient memory." in str(error.value.__cause__)
    assert error.value.noticed - began < PLACED + seconds + 20
    assert error.value.ended - error.value.noticed < seconds + 40
    assert image(stage) == "mysql"
    assert uids(stage, "web") == web


ILLNESSES = ("CrashLoopBackOff", "FailedCreate", "FailedScheduling", "ImagePullBackOff", "unready", "unstarted")


@pytest.mark.parametrize("illness", ILLNESSES)
def test_a_database_that_does_not_get_ready_gives_way_to_the_one_before(
    stage: Stage, illness: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.server.ill = {NEW: illness}
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again"):
        deliver(stage, changed("2"))
    assert image(stage) == "mysql"
    anew = "pod/mysql-0 is of an older template and does not get ready: it is made anew"
    assert heard(capsys).count(anew) == (illness != "FailedCreate")


@pytest.mark.parametrize("illness", ["FailedScheduling", "unready"])
def test_what_a_delivery_that_was_killed_left_is_in_nobody_s_way(stage: Stage, illness: str) -> None:
    def killed(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("apply", "deployment/web"):
            raise Killed

    stage.cluster.server.ill = {NEW: illness}
    stage.cluster.faults.before = killed
    with pytest.raises((Killed, ReleaseError)):
        deliver(stage, changed("2"))
    mended(stage.cluster)
    stage.cluster.pause(60)
    stage.deploy("3")
    assert (image(stage), stage.serving) == ("mysql", {"3"})


def test_a_delivery_that_is_killed_while_it_takes_a_pod_away_is_finished_by_the_next(stage: Stage) -> None:
    def killed(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.server.objects["StatefulSet", cluster.namespace, "mysql"]["spec"]["replicas"] == 0:
            raise Killed

    stage.cluster.server.ill = {NEW: "unready"}
    stage.cluster.faults.after = killed
    with pytest.raises(Killed):
        deliver(stage, changed("2"))
    mended(stage.cluster)
    stage.cluster.pause(40)
    assert uids(stage, "database") == []
    stage.type_in("rollback", "prod", "--to", "1")
    assert image(stage) == "mysql"


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(8))
def test_whatever_interrupts_a_replacement_the_next_delivery_brings_the_database(stage: Stage, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    stage.cluster.server.ill = {NEW: draw.choice(["", *ILLNESSES])}
    drawn(stage.cluster, draw, COMMON, 60)
    with suppress(DeliveryError, KeyboardInterrupt, Killed):
        deliver(stage, changed("2"))
    mended(stage.cluster)
    stage.cluster.pause(40)
    stage.deploy("3")
    assert (image(stage), stage.serving) == ("mysql", {"3"})


def test_a_database_that_is_starting_may_end_that_before_it_is_replaced(stage: Stage) -> None:
    stage.cluster.server.ready_after = PLACED - 10
    stage.cluster.remove_by_hand("pod/mysql-0")
    stage.cluster.pause(5)
    (before,) = uids(stage, "database")
    ready = []

    def watched() -> bool:
        for pod in stage.cluster.server.of("Pod"):
            if pod["metadata"]["uid"] == before and pod["status"]["containerStatuses"][0]["ready"]:
                ready.append(stage.cluster.now())
        return True

    with stage.cluster.every(1, watched):
        deliver(stage, changed("2"))
    assert ready
    assert image(stage) == NEW


def test_the_first_database_may_wait_for_its_node_longer(empty: Stage) -> None:
    def placed() -> bool:
        if empty.cluster.now() > 2 * PLACED:
            empty.cluster.server.ill = {}
        return True

    empty.cluster.server.ill = {"mysql": "FailedScheduling"}
    with empty.cluster.every(1, placed):
        empty.deploy("1")
    assert release.running(empty.cluster).number == 1


def test_an_old_pod_that_does_not_go_is_left_to_the_wait_for_the_rollout(stage: Stage) -> None:
    stage.cluster.server.grace = 10 * GONE
    with pytest.raises(ReleaseError) as error:
        deliver(stage, changed("2"))
    assert "statefulset/mysql did not come up within 300 s" in str(error.value.__cause__)

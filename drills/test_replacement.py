"""A release that replaces the database's pod, or that leaves every pod alone."""

from __future__ import annotations

import copy

import pytest

from delivery import deploy
from delivery.cluster import Manifest
from delivery.deploy import ReleaseError
from delivery.kubectl import kubectl
from delivery.release import last_good
from delivery.render import Render
from delivery.shell import DeliveryError, clock
from drills.conftest import FAULTS, Fault, Stage
from drills.database import query
from drills.watching import until
from tests.delivery.objects import merged

# What is wrong with the database's new container, what is said to change about it, and what is said of its pod. It asks
# for the whole of the drills' node, some of which others have.
FAULTY: dict[str, tuple[Manifest, str, str]] = {
    "no node takes a release's database": (
        {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}},
        "resources.requests.cpu changed",
        "no node takes pod/mysql-0: 0/1 nodes are available: 1 Insufficient cpu",
    ),
    "a release's database crashes": ({"command": ["false"]}, "command changed", "mysql-0/mysql: CrashLoopBackOff"),
}


def with_database(stage: Stage, change: Manifest) -> Render:
    """The release that runs, whose database's container is another one."""
    objects: tuple[Manifest, ...] = copy.deepcopy(stage.render(stage.good).objects)
    (database,) = (body for body in objects if (body["kind"], body["metadata"]["name"]) == ("StatefulSet", "mysql"))
    (container,) = database["spec"]["template"]["spec"]["containers"]
    container |= merged(container, change)
    return Render.of(objects)


def uids(stage: Stage) -> dict[str, str]:
    """The pods that no Job has made."""
    pods = stage.cluster.list("Pod", selector="!batch.kubernetes.io/job-name")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}


def test_the_same_release_once_more_touches_no_pod(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    before = uids(stage)
    stage.deploy(stage.good)
    assert uids(stage) == before
    assert "nothing changes\n" in capsys.readouterr().out


def test_a_database_for_which_a_quota_has_no_room_is_not_begun(stage: Stage) -> None:
    before = uids(stage), len(stage.releases())
    kubectl("-n", stage.namespace, "create", "quota", "small", "--hard=requests.cpu=1m")
    try:
        until(lambda: stage.find("resourcequota/small").get("status", {}).get("used"), seconds=30)
        with pytest.raises(DeliveryError, match=r"and quota small gives 1m, .*; nothing was applied"):
            more = {"resources": {"requests": {"cpu": "100m"}}}
            deploy.deploy(stage.target, with_database(stage, more), deploy.Options())
    finally:
        kubectl("-n", stage.namespace, "delete", "resourcequota/small")
    assert (uids(stage), len(stage.releases())) == before


@pytest.mark.slow
@pytest.mark.parametrize(("change", "changes", "reason"), FAULTY.values(), ids=FAULTY)
def test_a_database_that_does_not_come_gives_way_to_the_one_before(
    stage: Stage,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    change: Manifest,
    changes: str,
    reason: str,
) -> None:
    good, before, began = last_good(stage.releases()), uids(stage), clock()
    assert good
    with (
        stage.traffic() as answers,
        stage.as_deployer(),
        pytest.raises(ReleaseError, match=f"and release {good.number} runs again") as failure,
    ):
        deploy.deploy(stage.target, with_database(stage, change), deploy.Options())
    assert reason in str(failure.value.__cause__)
    line = "this restarts statefulset/mysql, for about 25 s without it: spec.template.spec.containers.mysql"
    assert f"{line}.{changes}" in capsys.readouterr().err
    after = uids(stage)
    assert {name for name in before if after.get(name) != before[name]} == {"mysql-0"}
    assert query(stage, "SELECT COUNT(*) FROM alembic_version") == "1\n"
    failed = [answer.at for answer in answers if answer.error]
    seen = f"{len(failed)} of {len(answers)} requests failed, for {failed[-1] - failed[0]:.0f} s"
    row = Fault(request.node.callspec.id, seen, "nothing", failure.value.ended - began)
    request.config.stash[FAULTS].append(row)
    assert failed[-1] - failed[0] < 120

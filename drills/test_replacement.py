"""A release that replaces the database's pod, or that leaves every pod alone."""

from __future__ import annotations

import copy
import time

import pytest

from delivery import deploy
from delivery.cluster import Manifest
from delivery.deploy import ReleaseError
from delivery.release import last_good
from delivery.render import Render
from drills.conftest import Stage
from drills.faults import query


def with_database(stage: Stage, cpu: str) -> Render:
    """The release that runs, whose database asks for so much of a node."""
    objects: tuple[Manifest, ...] = copy.deepcopy(stage.render(stage.good).objects)
    database = next(body for body in objects if body["metadata"]["name"] == "mysql" and body["kind"] == "StatefulSet")
    database["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
    return Render.of(objects)


def uids(stage: Stage) -> dict[str, str]:
    """The pods that no Job has made."""
    metadata = (pod["metadata"] for pod in stage.cluster.list("Pod", selector="!batch.kubernetes.io/job-name"))
    return {each["name"]: each["uid"] for each in metadata}


def test_the_same_release_once_more_touches_no_pod(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    before = uids(stage)
    stage.deploy(stage.good)
    assert uids(stage) == before
    assert "nothing changes\n" in capsys.readouterr().out


def test_a_database_that_no_node_takes_is_noticed_early_and_the_one_before_returns(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    good, before, began = last_good(stage.releases()), uids(stage), time.monotonic()
    assert good
    # All of the drills' node, some of which others have.
    with stage.as_deployer(), pytest.raises(ReleaseError, match=f"and release {good.number} runs again") as failure:
        deploy.deploy(stage.target, with_database(stage, "2"), deploy.Options())
    assert "no node takes pod/mysql-0: 0/1 nodes are available: 1 Insufficient cpu" in str(failure.value.__cause__)
    assert failure.value.noticed - began < 90
    said = capsys.readouterr().err
    line = "this restarts statefulset/mysql, for about 25 s without it: "
    assert f"{line}spec.template.spec.containers.mysql.resources.requests.cpu changed" in said
    after = uids(stage)
    assert {name for name in before if after.get(name) != before[name]} == {"mysql-0"}
    assert query(stage, "SELECT COUNT(*) FROM alembic_version") == "1\n"

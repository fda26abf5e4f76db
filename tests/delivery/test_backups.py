"""A backup is made, or one line says that it is not: by hand, and before a release changes the schema."""

from __future__ import annotations

import pytest

from delivery import database, job
from delivery.backup import make
from delivery.cluster import Manifest
from delivery.shell import DeliveryError
from tests.delivery.database import BACKUP, BEFORE
from tests.delivery.fake import FakeCluster
from tests.delivery.faults import nothing
from tests.delivery.small import Stage, render


def jobs(stage: Stage) -> list[Manifest]:
    return stage.cluster.list("Job", selector="app.kubernetes.io/component=backup")


def deleted(cluster: FakeCluster, operation: str, name: str) -> None:
    """The Job goes before anybody has looked at it."""
    if operation == "apply" and name.startswith("job/backup-"):
        cluster.remove_by_hand(name)
        cluster.server.control(cluster.server)
        cluster.faults.after = nothing


def test_a_job_that_went_before_it_was_seen_has_made_no_backup_whatever_older_ones_there_are(stage: Stage) -> None:
    stage.cluster.faults.after = deleted
    with pytest.raises(DeliveryError, match="was deleted before its end was seen"):
        make(stage.cluster)
    assert list(stage.database.store) == [f"{stage.cluster.namespace}/{BACKUP}"]


def test_a_backup_whose_name_nobody_can_read_is_told_of(stage: Stage) -> None:
    stage.cluster.forbidden.add(("get", "pods/log"))
    with pytest.raises(DeliveryError, match="the backup is made, and its name cannot be read; `make backups` lists it"):
        make(stage.cluster)
    assert BEFORE in stage.database.store.values()


def test_the_store_is_listed_by_a_release_whose_job_has_one_container_only(stage: Stage) -> None:
    template = stage.cluster.get("cronjob/restore") or {}
    pod = template["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"] = [pod["initContainers"][0]]
    del pod["initContainers"]
    stage.cluster.replace(template)
    assert job.run(stage.cluster, "restore", only="fetch", arguments=("list",)).startswith("{")
    with pytest.raises(DeliveryError, match="has no container load"):
        job.run(stage.cluster, "restore", only="load")


@pytest.mark.parametrize("event", [{"involvedObject": {}}, {"type": "Warning", "involvedObject": {"kind": "Job"}}])
def test_an_event_that_says_little_disturbs_nobody(stage: Stage, event: Manifest) -> None:
    metadata = {"name": "some", "namespace": stage.cluster.namespace}
    stage.cluster.create({"apiVersion": "v1", "kind": "Event", "metadata": metadata, **event})
    make(stage.cluster)
    stage.cluster.server.ill = {render("2").image: "CrashLoopBackOff"}
    with pytest.raises(DeliveryError, match="release 1 runs again"):
        stage.deploy("2")


@pytest.mark.parametrize("answer", ["", "5\t0\n", "5\t0\t1\tNULL\n   Avail\n100\n", "<html>"])
def test_what_is_no_state_of_a_database_is_told_in_one_line(stage: Stage, answer: str) -> None:
    stage.cluster.server.programs["mysql"] = lambda pod, command: answer
    with pytest.raises(DeliveryError, match="the database's pod says what is no state of it") as error:
        database.read(stage.cluster)
    assert len(str(error.value).splitlines()) == 1


def test_a_store_that_is_slow_is_told_of_every_five_minutes(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.server.step_seconds = 800
    make(stage.cluster)
    told = capsys.readouterr().err
    assert told.count("has not ended after") == 5
    assert BEFORE in stage.database.store.values()


def test_a_store_that_is_slower_than_a_backup_may_take_is_given_up_and_nothing_is_left_at_work(stage: Stage) -> None:
    stage.cluster.server.step_seconds = 7200
    with pytest.raises(DeliveryError, match="did not end within 3600 s"):
        make(stage.cluster)
    assert jobs(stage) == []
    stage.cluster.server.step_seconds = 2
    make(stage.cluster)


@pytest.mark.parametrize(
    ("illness", "reason"),
    [("FailedCreate", "exceeded quota"), ("FailedMount", "secret not found"), ("ImagePullBackOff", "Back-off pulling")],
)
def test_a_release_that_changes_the_schema_is_not_begun_without_a_backup(
    stage: Stage, illness: str, reason: str
) -> None:
    stage.cluster.server.ill = {"dump": illness}
    with pytest.raises(
        DeliveryError, match=f"no backup from before the schema changes .*nothing was applied: .*{reason}"
    ):
        stage.deploy("2", "0002")
    assert stage.serving == {"1"}
    assert jobs(stage) == []
    stage.cluster.server.ill = {}
    stage.deploy("2", "0002")
    assert BEFORE in stage.database.store.values()


def test_a_release_that_changes_the_schema_waits_for_the_hourly_backup_and_makes_its_own(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.server.step_seconds = 60
    stage.cluster.create(job.from_template(stage.cluster.get("cronjob/backup") or {}))
    stage.deploy("2", "0002")
    assert list(stage.database.store.values()).count(BEFORE) == 2
    assert "is running; waiting for its end" in capsys.readouterr().err


def test_a_backup_that_is_asked_for_during_a_migrating_delivery_says_whom_it_waits_for(stage: Stage) -> None:
    refused: list[str] = []

    def meanwhile(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("apply", "deployment/web"):
            cluster.faults.before = nothing
            with pytest.raises(DeliveryError) as error:
                make(cluster)
            refused.append(str(error.value))

    stage.cluster.faults.before = meanwhile
    stage.deploy("2", "0002")
    assert "is in use: delivery by" in refused[0]
    assert stage.serving == {"2"}
    assert list(stage.database.store.values()).count(BEFORE) == 1

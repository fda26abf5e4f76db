"""Backups are made one at a time, and one that was made counts, whatever became of its Job."""

from __future__ import annotations

import pytest

from delivery import backup, database, job, lease, release
from delivery.backup import make
from delivery.cluster import Manifest
from delivery.job import JobError, VanishedError
from delivery.render import Render
from delivery.shell import DeliveryError
from policy_tests.environment import find
from tests.delivery import server
from tests.delivery.database import BACKUP, BEFORE
from tests.delivery.fake import FakeCluster
from tests.delivery.faults import nothing, typed
from tests.delivery.server import Container
from tests.delivery.small import PROD, Stage, render

OLD = f'{{"backup": "{PROD.namespace}/{BACKUP}", "bytes": 10}}\n'


@pytest.fixture
def jobs(empty: Stage) -> Stage:
    """The CronJobs and a database, and nothing else of a release."""
    kept = ("CronJob", "StatefulSet")
    empty.cluster.apply(render("1").kind(*kept))
    empty.cluster.pause(10)
    return empty


@pytest.fixture
def idle(jobs: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Controllers that seldom look once all is there, so that hours pass quickly."""
    monkeypatch.setattr(server, "TURN", 30.0)


def vanishes(stage: Stage, step: str) -> None:
    """Somebody deletes the Job while a container works."""
    work = stage.cluster.server.steps[step]

    def run(container: Container) -> str:
        printed = work(container)
        for body in stage.cluster.server.of("Job"):
            stage.cluster.remove_by_hand(f"job/{body['metadata']['name']}")
        return printed

    stage.cluster.server.steps[step] = run


def test_a_backup_says_where_it_is(jobs: Stage) -> None:
    printed = backup.make(jobs.cluster)
    assert jobs.database.store[f"{PROD.namespace}/{backup.name(printed)}"] == BEFORE
    assert backup.listing(jobs.cluster) == printed + OLD


@pytest.mark.usefixtures("idle")
def test_a_backup_waits_half_an_hour_for_whoever_works(jobs: Stage) -> None:
    with lease.held(jobs.cluster, work="restore"):
        before = jobs.cluster.now()
        with pytest.raises(DeliveryError, match="is in use: restore by"):
            backup.make(jobs.cluster)
        assert 1800 < jobs.cluster.now() - before < 1803


def test_others_see_that_a_backup_is_made(jobs: Stage) -> None:
    holders: list[str] = []

    def look(container: Container) -> str:
        body = jobs.cluster.server.objects["Lease", PROD.namespace, "delivery"]
        holders.append(body["spec"]["holderIdentity"])
        return ""

    jobs.cluster.server.steps["dump"] = look
    with pytest.raises(KeyError):
        backup.make(jobs.cluster)
    assert holders[0].startswith("backup by ")


def test_a_backup_waits_for_the_one_of_the_schedule(jobs: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    jobs.cluster.create(job.from_template(jobs.cluster.get("cronjob/backup") or {}))
    backup.now(jobs.cluster)
    assert "is running; waiting for its end" in capsys.readouterr().err
    assert len(jobs.database.store) == 3


@pytest.mark.parametrize(("prune", "kept"), [(True, 1), (False, 2)])
def test_older_backups_go_unless_one_is_to_come_back(jobs: Stage, prune: bool, kept: int) -> None:
    jobs.database.kept = 1
    backup.now(jobs.cluster, prune=prune)
    assert len(jobs.database.store) == kept


def test_backups_are_pruned_by_default(jobs: Stage) -> None:
    jobs.database.kept = 1
    backup.now(jobs.cluster)
    assert len(jobs.database.store) == 1


def test_a_backup_that_was_stored_counts_though_its_job_was_deleted(jobs: Stage) -> None:
    vanishes(jobs, "save")
    printed = backup.now(jobs.cluster)
    assert len(printed.splitlines()) == 1
    assert jobs.database.store[f"{PROD.namespace}/{backup.name(printed)}"] == BEFORE


@pytest.mark.parametrize("store", [{}, {f"{PROD.namespace}/{BACKUP}": "old"}])
def test_an_older_backup_is_none_of_a_job_that_was_deleted(jobs: Stage, store: dict[str, str]) -> None:
    jobs.database.store = store
    vanishes(jobs, "dump")
    with pytest.raises(VanishedError):
        backup.now(jobs.cluster)


def test_a_backup_of_the_very_second_in_which_the_job_began_is_its_own(jobs: Stage) -> None:
    jobs.cluster.server.steps["dump"] = lambda container: ""

    def save(container: Container) -> str:
        (body,) = jobs.cluster.server.of("Job")
        name = body["metadata"]["creationTimestamp"].replace("-", "").replace(":", "")
        jobs.database.store[f"{PROD.namespace}/{name}"] = BEFORE
        return ""

    jobs.cluster.server.steps["save"] = save
    vanishes(jobs, "save")
    assert "backup" in backup.now(jobs.cluster)


def test_a_backup_whose_words_are_lost_is_found_in_the_list(jobs: Stage) -> None:
    def logs_of_backup_lost(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "logs" and name.startswith("backup"):
            raise DeliveryError("the container's log is gone")

    jobs.cluster.faults.before = logs_of_backup_lost
    printed = backup.now(jobs.cluster)
    assert len(printed.splitlines()) == 1
    assert backup.name(printed) > BACKUP


def test_a_backup_that_nobody_can_name_is_an_error(jobs: Stage) -> None:
    jobs.cluster.forbidden.add(("get", "pods/log"))
    with pytest.raises(DeliveryError, match="the backup is made, and its name cannot be read"):
        backup.now(jobs.cluster)


def test_a_backup_that_fails_is_an_error(jobs: Stage) -> None:
    jobs.database.broken = {"save": "the store answers 503"}
    with pytest.raises(JobError, match="the store answers 503"):
        backup.now(jobs.cluster)


def test_the_name_is_that_of_the_first_line_that_has_one() -> None:
    printed = 'begun\n[]\n7\n{"level": "INFO"}\n{"backup": "prod/b"}\n{"backup": "prod/a"}\n'
    assert backup.name(printed) == "b"


def test_where_no_backup_is_named_the_words_are_shown() -> None:
    with pytest.raises(DeliveryError, match="no backup is named in: nothing"):
        backup.name("nothing\n")


def test_what_is_typed_to_restore_names_another_environment_only() -> None:
    own = "make restore ENV=prod OPTIONS='--backup b --overwrite --confirm prod'"
    assert backup.restoring(PROD, "b") == backup.restoring(PROD, "b", PROD) == own
    other = "make restore ENV=prod OPTIONS='--backup b --of dev --overwrite --confirm prod'"
    assert backup.restoring(PROD, "b", find("dev")) == other


def test_a_note_lasts_until_the_restore_has_ended(jobs: Stage) -> None:
    assert backup.before_restore(jobs.cluster) is None
    for safety in ("", "20261101T000000Z"):
        backup.note(jobs.cluster, safety)
        assert backup.before_restore(jobs.cluster) == safety
    backup.note(jobs.cluster, None)
    assert backup.before_restore(jobs.cluster) is None


def test_without_a_cronjob_no_restore_is_under_way(empty: Stage) -> None:
    assert backup.before_restore(empty.cluster) is None


@pytest.mark.parametrize(
    ("partial", "data", "noted", "refused"),
    [
        (False, BEFORE, BACKUP, False),
        (True, "", None, True),
        (False, "", BACKUP, True),
        (False, "", "", True),
        (False, "", None, False),
    ],
)
def test_only_a_database_with_a_part_of_a_backup_is_refused(
    jobs: Stage, partial: bool, data: str, noted: str | None, refused: bool
) -> None:
    jobs.database.partial, jobs.database.data = partial, data
    backup.note(jobs.cluster, noted)
    if refused:
        with pytest.raises(DeliveryError, match=r"nothing was changed\. Type it again") as error:
            backup.refuse_partial(PROD, jobs.cluster)
        named = f"; what was there before: `{backup.restoring(PROD, BACKUP)}`"
        assert str(error.value).endswith(named) == bool(noted)
    else:
        backup.refuse_partial(PROD, jobs.cluster)


def test_without_a_database_nothing_is_refused(empty: Stage) -> None:
    backup.refuse_partial(PROD, empty.cluster)


def recorded(stage: Stage, earlier: Render, phase: str = "good") -> None:
    new = release.record(stage.cluster, earlier, commit="", by="")
    release.mark(stage.cluster, new, phase)


def before_migration(stage: Stage, new: Render) -> int:
    """How many backups were made."""
    count = len(stage.database.store)
    backup.before_migration(PROD, stage.cluster, new, release.read(stage.cluster))
    return len(stage.database.store) - count


def test_a_backup_is_made_before_the_schema_changes(jobs: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(jobs, render("1", "0001"))
    recorded(jobs, render("2", "0002"), "failed")
    assert before_migration(jobs, render("3", "0002")) == 1
    assert "backing up before the schema changes from 0001 to 0002\n" in capsys.readouterr().err


def test_no_backup_is_made_where_the_schema_stays(jobs: Stage) -> None:
    recorded(jobs, render("1", "0001"))
    assert before_migration(jobs, render("2", "0001")) == 0


def test_no_backup_is_made_where_nothing_good_ran(jobs: Stage) -> None:
    recorded(jobs, render("1", "0001"), "failed")
    assert before_migration(jobs, render("2", "0002")) == 0


def test_no_backup_is_made_by_a_release_that_makes_none(jobs: Stage) -> None:
    objects = [body for body in render("1", "0001").objects if body["metadata"]["name"] != "backup"]
    recorded(jobs, Render.of(objects))
    assert before_migration(jobs, render("2", "0002")) == 0


@pytest.mark.usefixtures("idle")
def test_a_backup_before_a_migration_may_take_half_an_hour(jobs: Stage) -> None:
    recorded(jobs, render("1", "0001"))
    jobs.cluster.server.step_seconds, jobs.cluster.faults.latency = 1200, 4
    with pytest.raises(DeliveryError, match="did not end within 1800 s"):
        before_migration(jobs, render("2", "0002"))


@pytest.mark.usefixtures("idle")
def test_a_backup_may_take_an_hour(jobs: Stage) -> None:
    jobs.cluster.server.step_seconds, jobs.cluster.faults.latency = 2000, 4
    with pytest.raises(JobError, match="did not end within 3600 s"):
        backup.now(jobs.cluster)


def backup_jobs(stage: Stage) -> list[Manifest]:
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
    assert backup_jobs(stage) == []
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
        DeliveryError, match=f"no backup from before the schema changes .*nothing was applied.*{reason}"
    ):
        stage.deploy("2", "0002")
    assert stage.serving == {"1"}
    assert backup_jobs(stage) == []
    stage.cluster.server.ill = {}
    stage.deploy("2", "0002")
    assert BEFORE in stage.database.store.values()


def test_a_database_that_does_not_run_comes_back_by_the_command_that_the_delivery_names(stage: Stage) -> None:
    stage.cluster.by_hand("statefulset/mysql", {"spec": {"replicas": 0}})
    stage.cluster.pause(5)
    with pytest.raises(DeliveryError, match="nothing was applied; where the database does not run") as error:
        stage.deploy("2", "0002")
    stage.type_in(*typed(str(error.value)))
    stage.deploy("2", "0002")
    assert stage.serving == {"2"}
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

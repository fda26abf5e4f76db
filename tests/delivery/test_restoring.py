"""A restore that is refused, fails or is interrupted: the application runs on whole data, or a command is named."""

from __future__ import annotations

import random
import re

import pytest

from delivery import backup, job, rollout
from delivery.cluster import Manifest
from delivery.deploy import Options, deploy
from delivery.render import Render
from delivery.shell import DeliveryError
from tests.delivery.database import BACKUP, BEFORE, NAMESPACE
from tests.delivery.fake import FakeCluster, Killed
from tests.delivery.faults import (
    COMMON,
    Fault,
    drawn,
    mended,
    typed,
)
from tests.delivery.server import Container, StepError
from tests.delivery.small import RESTORE, Stage, body, heard, render

COMMAND = ("restore", "prod", "--backup", BACKUP, "--overwrite", "--confirm", "prod")
RESTORED = "of the backup"


def runs_on(stage: Stage) -> str:
    """The data that the application runs on, empty where it does not run."""
    return stage.database.data if stage.serving == {"1"} and stage.database.whole else ""


def jobs(stage: Stage) -> list[str]:
    return [job["metadata"]["name"] for job in stage.cluster.list("Job")]


def fails(stage: Stage, step: str, words: str, after: int = 0) -> None:
    """Has the container of a Job fail once, when it has run `after` times."""
    steps = stage.cluster.server.steps
    runs, good = iter(range(after + 1)), steps[step]

    def run(container: Container) -> str:
        if next(runs, None) == after:
            raise StepError(words)
        return good(container)

    steps[step] = run


def test_a_restore_replaces_the_data_and_keeps_a_backup_of_it(stage: Stage) -> None:
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED
    assert backup.before_restore(stage.cluster) is None
    assert BEFORE in stage.database.store.values()


STOPPING = "stopping prod; should this command be killed, type it again, or"
WAITING = "waiting for deployment/web, deployment/worker, job/accounts, statefulset/mysql"


def test_whoever_restores_reads_what_is_done_and_how_to_undo_it(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    heard(capsys)
    stage.type_in(*COMMAND)
    lines = heard(capsys)
    undo = back_to(stage, BEFORE)
    looked = [f"looking at backup {BACKUP}", "waiting for job/restore"]
    backed_up = ["backing up what prod has now", "waiting for job/backup"]
    stopped = [f"{STOPPING} `{undo}`", "waiting for statefulset/mysql", "waiting for job/accounts"]
    loaded = ["waiting for job/restore", WAITING, "prod runs release 1 on the restored data"]
    assert lines == [*looked, *backed_up, *stopped, *loaded]
    assert stage.proofs.smoked == [render("1").image] * 2


def test_nobody_writes_while_the_data_is_replaced(stage: Stage) -> None:
    def look(container: Container) -> str:
        assert stage.cluster.pods("app.kubernetes.io/component in (web,worker)") == ()
        return load(container)

    load = stage.cluster.server.steps["load"]
    stage.cluster.server.steps["load"] = look
    stage.cluster.server.grace = 60
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED


def test_whoever_restores_reads_why_it_is_undone(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    fails(stage, "compare", "other rows")
    heard(capsys)
    with pytest.raises(DeliveryError):
        stage.type_in(*COMMAND)
    lines = heard(capsys)
    undo = back_to(stage, BEFORE)
    (safety,) = re.findall(r"\d+T\d+Z", undo)
    assert lines[-4:] == [
        f"job/restore failed: compare: other rows; bringing prod back; should that be killed too: `{undo}`",
        f"loading {safety}, the backup of what was there before",
        "waiting for job/restore",
        WAITING,
    ]


def back_to(stage: Stage, data: str) -> str:
    """The command that restores the backup of that data."""
    (safety,) = [name.rpartition("/")[2] for name, kept in stage.database.store.items() if kept == data]
    return f"make restore ENV=prod OPTIONS='--backup {safety} --overwrite --confirm prod'"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--backup", "2026", "--overwrite", "--confirm", "prod"], "no backup 2026; nothing was"),
        (["--backup", BACKUP, "--overwrite", "--confirm", "homolog"], "say both"),
        (["--backup", BACKUP, "--overwrite"], "say both"),
        (["--backup", BACKUP, "--confirm", "prod"], "say both"),
        (["--backup", BACKUP], "5 tables; nothing was changed"),
        (["--overwrite", "--confirm", "prod"], "name a backup"),
    ],
)
def test_what_cannot_succeed_is_refused_before_anything_stops(stage: Stage, arguments: list[str], reason: str) -> None:
    pods = stage.cluster.pods("app.kubernetes.io/component in (web,worker,database)")
    with pytest.raises(DeliveryError, match=reason) as error:
        stage.type_in("restore", "prod", *arguments)
    assert len(str(error.value).splitlines()) == 1
    assert stage.cluster.pods("app.kubernetes.io/component in (web,worker,database)") == pods
    assert runs_on(stage) == BEFORE
    assert list(stage.database.store.values()) == [RESTORED]


def test_a_backup_that_the_volume_has_no_room_for_is_refused(stage: Stage) -> None:
    stage.cluster.server.steps["fetch"] = lambda container: '{"bytes": 333667}\n'
    with pytest.raises(DeliveryError, match="a dump of 333667 bytes may take 3 times that"):
        stage.type_in(*COMMAND)
    assert runs_on(stage) == BEFORE


def test_a_backup_that_just_fits_is_restored(stage: Stage) -> None:
    fetch = stage.cluster.server.steps["fetch"]

    def large(container: Container) -> str:
        return fetch(container) and '{"bytes": 333666}\n'

    stage.cluster.server.steps["fetch"] = large
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED


@pytest.mark.parametrize(("revision", "good"), [("0001", True), ("0002", True), ("0003", False)])
def test_a_backup_of_a_schema_that_no_release_knows_is_refused(stage: Stage, revision: str, good: bool) -> None:
    stage.deploy("2", "0002")
    stage.deploy("1")
    fetch = stage.cluster.server.steps["fetch"]
    stage.cluster.server.steps["fetch"] = lambda container: (
        fetch(container) and f'{{"bytes": 1, "revision": "{revision}"}}\n'
    )
    if good:
        stage.type_in(*COMMAND)
    else:
        with pytest.raises(DeliveryError, match="schema 0003, newer than any release here knows"):
            stage.type_in(*COMMAND)
    assert runs_on(stage) == (RESTORED if good else BEFORE)


def test_a_release_whose_backups_print_nothing_is_restored_all_the_same(stage: Stage) -> None:
    fetch = stage.cluster.server.steps["fetch"]
    stage.cluster.server.steps["fetch"] = lambda container: fetch(container) and ""
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED


@pytest.mark.parametrize("step", RESTORE)
def test_a_job_that_fails_after_the_stop_costs_no_data_and_leaves_the_application_running(
    stage: Stage, step: str
) -> None:
    fails(stage, step, "disk full", after=1 if step == "fetch" else 0)
    with pytest.raises(DeliveryError, match=r"prod runs on the data from before: .*disk full"):
        stage.type_in(*COMMAND)
    assert runs_on(stage) == BEFORE
    assert backup.before_restore(stage.cluster) is None


def test_a_job_that_was_deleted_after_its_work_is_a_success(stage: Stage) -> None:
    compare = stage.cluster.server.steps["compare"]

    def compare_and_vanish(container: Container) -> str:
        compare(container)
        for name in jobs(stage):
            stage.cluster.remove_by_hand(f"job/{name}")
        return ""

    stage.cluster.server.steps["compare"] = compare_and_vanish
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED


def without_database(stage: Stage) -> None:
    """Somebody has scaled it to nothing; the volume is there."""
    stage.cluster.by_hand("statefulset/mysql", {"spec": {"replicas": 0}})
    stage.cluster.pause(5)
    assert stage.cluster.pods("app.kubernetes.io/component=database") == ()


@pytest.mark.parametrize("more", [(), ("--overwrite", "--confirm", "prod")])
def test_a_database_that_only_did_not_run_is_not_replaced(stage: Stage, more: tuple[str, ...]) -> None:
    without_database(stage)
    with pytest.raises(DeliveryError, match="after all"):
        stage.type_in("restore", "prod", "--backup", BACKUP, *more)
    assert runs_on(stage) == BEFORE


def test_a_database_that_was_destroyed_is_made_anew_from_the_newest_backup(stage: Stage) -> None:
    without_database(stage)
    stage.cluster.remove_by_hand("statefulset/mysql")
    stage.database.data = ""
    stage.type_in("restore", "prod")
    assert runs_on(stage) == RESTORED


def test_what_an_interrupted_restore_has_left_at_work_is_ended_first(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.server.step_seconds = 600
    stage.cluster.create(job.from_template(stage.cluster.get("cronjob/restore") or {}))
    (left,) = stage.cluster.list("Job", selector="app.kubernetes.io/component=restore")
    stage.cluster.pause(5)
    stage.cluster.server.step_seconds = 2
    stage.type_in(*COMMAND)
    assert stage.cluster.get(rollout.name(left)) is None
    name = left["metadata"]["name"]
    assert f"ending what a restore that was interrupted has left: {name}\n" in capsys.readouterr().err
    assert runs_on(stage) == RESTORED


def test_a_mistake_after_a_restore_that_was_killed_names_the_way_back(stage: Stage) -> None:
    kill_within_the_load(stage)
    with pytest.raises(DeliveryError, match=r"no backup 2026.*before has not ended") as error:
        stage.type_in("restore", "prod", "--backup", "2026", "--overwrite", "--confirm", "prod")
    stage.type_in(*typed(str(error.value)))
    assert runs_on(stage) == BEFORE


def kill_within_the_load(stage: Stage) -> None:
    def partial(cluster: FakeCluster, operation: str, name: str) -> None:
        if stage.database.partial:
            raise Killed

    stage.cluster.faults.before = partial
    with pytest.raises(Killed):
        stage.type_in(*COMMAND)
    mended(stage.cluster)
    stage.cluster.pause(40)


def test_nothing_is_delivered_onto_a_part_of_a_backup(stage: Stage) -> None:
    kill_within_the_load(stage)
    stage.database.partial, stage.database.data = True, ""
    with pytest.raises(DeliveryError, match="has not ended; nothing was changed") as error:
        stage.type_in("rollback", "prod", "--to", "1")
    assert stage.serving == set()
    stage.type_in(*typed(str(error.value)))
    assert runs_on(stage) == BEFORE


def test_what_somebody_has_written_into_the_annotation_gets_into_no_command(stage: Stage) -> None:
    stage.cluster.by_hand(backup.CRONJOB, {"metadata": {"annotations": {backup.RECORD: "$(rm -rf .)"}}})
    stage.database.data, stage.database.partial = "", True
    with pytest.raises(DeliveryError, match=r"nothing was changed. Type it again$"):
        stage.deploy("2")


def test_a_partial_database_without_a_backup_of_before_names_the_command_to_repeat(
    stage: Stage,
) -> None:
    stage.database.data, stage.database.partial = "", True
    with pytest.raises(DeliveryError, match=r"nothing was changed. Type it again$"):
        stage.deploy("2")


def test_a_database_that_does_not_answer_keeps_nobody_from_delivering(stage: Stage) -> None:
    stage.deploy("2")
    stage.database.partial = True
    stage.cluster.server.programs["mysql"] = no_answer
    stage.type_in("rollback", "prod", "--to", "1")
    assert stage.serving == {"1"}


def no_answer(pod: Manifest, command: tuple[str, ...]) -> str:
    raise DeliveryError("ERROR 2003: cannot connect")


def test_a_database_that_never_answers_is_named_with_the_way_to_give_it_up(stage: Stage) -> None:
    stage.cluster.server.programs["mysql"] = no_answer
    # So that it asks every two seconds.
    stage.cluster.faults.latency = 0
    before = stage.cluster.now()
    with pytest.raises(DeliveryError, match=r"does not answer \(ERROR 2003.*deleting its StatefulSet"):
        stage.type_in(*COMMAND)
    assert 60 < stage.cluster.now() - before < 63
    assert stage.serving == {"1"}


def job_deleted(cluster: FakeCluster, operation: str, name: str) -> None:
    for there in cluster.server.of("Job", NAMESPACE):
        cluster.remove_by_hand(rollout.name(there))


def evicted(cluster: FakeCluster, operation: str, name: str) -> None:
    for pod in cluster.pods("batch.kubernetes.io/job-name"):
        cluster.evict(pod)


def breaks(stage: Stage, step: str, words: str) -> Fault:
    def begin(cluster: FakeCluster, operation: str, name: str) -> None:
        stage.database.broken[step] = words

    return begin


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(50))
def test_any_two_faults_leave_a_running_application_or_the_command_that_brings_it_back(stage: Stage, seed: int) -> None:
    faults = {
        **COMMON,
        "Job deleted": job_deleted,
        "pod evicted": evicted,
        "store answers 503": breaks(stage, "fetch", "the store store: status 503"),
        "wrong key": breaks(stage, "fetch", "cannot be opened: No matching keys found"),
        "truncated dump": breaks(stage, "save", "the dump is not whole"),
        "disk full": breaks(stage, "load", "ERROR 1114: the table is full"),
        "other rows": breaks(stage, "compare", "the restored database differs"),
    }
    drawn(stage.cluster, random.Random(seed), faults, 100)  # noqa: S311 (nothing secret is drawn)
    again: tuple[str, ...] | list[str] = ()
    failure = ""
    try:
        stage.type_in(*COMMAND)
        assert runs_on(stage) == RESTORED
    except DeliveryError as error:
        failure = str(error)
        again = typed(failure) if not runs_on(stage) else ()
    except (Killed, KeyboardInterrupt):
        again = COMMAND if not runs_on(stage) else ()
    if "runs on the data from before" in failure:
        assert runs_on(stage) == BEFORE
    mended(stage.cluster)
    stage.database.broken = {}
    assert BEFORE in (stage.database.data, *stage.database.store.values())
    if again:
        stage.cluster.pause(40)
        stage.type_in(*again)
    assert runs_on(stage)
    assert BEFORE in (stage.database.data, *stage.database.store.values())


def test_the_backup_that_is_named_is_the_one_of_before_the_first_try(stage: Stage) -> None:
    kill_within_the_load(stage)
    stage.database.data, stage.database.partial = "", True
    (safety,) = [name for name, data in stage.database.store.items() if data == BEFORE]
    stage.database.broken = {"load": "the table is full"}
    back = rf"this brings it back: `make restore .*--backup {safety.rpartition('/')[2]} "
    with pytest.raises(DeliveryError, match=back):
        stage.type_in(*COMMAND)


def test_a_release_without_a_job_for_accounts_is_restored(stage: Stage) -> None:
    objects = [body for body in render("2").objects if body["kind"] != "Job"]
    deploy(stage.target, Render.of(objects), Options())
    stage.type_in(*COMMAND)
    assert stage.database.data == RESTORED
    assert stage.serving == {"2"}


def test_without_a_backup_of_before_the_same_command_is_named(stage: Stage) -> None:
    stage.database.data, stage.database.partial = "", True
    stage.database.broken = {"load": "the table is full"}
    with pytest.raises(DeliveryError, match="prod has no whole data to run on") as error:
        stage.type_in(*COMMAND)
    assert typed(str(error.value)) == list(COMMAND)
    stage.database.broken = {}
    stage.cluster.pause(40)
    stage.type_in(*typed(str(error.value)))
    assert runs_on(stage) == RESTORED


def test_a_pod_of_no_workload_that_may_write_is_named_before_anything_stops(stage: Stage) -> None:
    spec = {"containers": [{"name": "shell", "image": "shell:1"}]}
    stage.cluster.create(body("v1", "Pod", "shell", "worker", spec=spec))
    stage.cluster.pause(5)
    began = stage.cluster.now()
    line = f"`kubectl -n {NAMESPACE} delete pod/shell`, then the same command again"
    with pytest.raises(DeliveryError, match=f"nothing was changed: {line}"):
        stage.type_in(*COMMAND)
    assert stage.cluster.now() < began + 10
    assert runs_on(stage) == BEFORE
    stage.cluster.delete("pod/shell")
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED


@pytest.mark.parametrize(("step", "data"), [("accounts", BEFORE), ("load", RESTORED)])
def test_whoever_starts_the_application_during_a_restore_is_told_of(stage: Stage, step: str, data: str) -> None:
    def started(container: Container) -> str:
        if stage.cluster.get("deployment/web") is None:
            stage.cluster.create(render("1").web)
        return work(container)

    work = stage.cluster.server.steps[step]
    stage.cluster.server.steps[step] = started
    with pytest.raises(DeliveryError, match=r"somebody has started pod/web-.* suspend what does so"):
        stage.type_in(*COMMAND)
    assert runs_on(stage) == data
    stage.cluster.server.steps[step] = work
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED


def test_a_controller_that_makes_the_application_again_at_once_is_told_of(stage: Stage) -> None:
    def happens() -> bool:
        if stage.cluster.get("deployment/web") is None:
            stage.cluster.create(render("1").web)
        return True

    line = "somebody makes deployment/web again that was deleted: suspend what does so"
    with stage.cluster.every(1, happens), pytest.raises(DeliveryError, match=line):
        stage.type_in(*COMMAND)
    assert runs_on(stage) == BEFORE
    stage.type_in(*COMMAND)
    assert runs_on(stage) == RESTORED

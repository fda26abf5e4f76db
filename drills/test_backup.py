"""A database that is destroyed comes back from its backup, every row equal, and damage to a backup is noticed."""

from __future__ import annotations

import json
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from delivery import backup, job, restore
from delivery.kubectl import kubectl
from delivery.restore import Options
from delivery.shell import ROOT as REPOSITORY
from delivery.shell import DeliveryError
from drills.conftest import FAULTS, Fault, Stage
from drills.database import ROOT, query
from drills.faults import database_down
from drills.watching import until

# A thousand more timetables, and nothing that a worker would go on with.
FILL = """
UPDATE generation SET state = 'done' WHERE state IN ('queued', 'running');
INSERT INTO generation (instance_id, state, seconds, seed, attempts, requested_at, error)
  WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000)
  SELECT (SELECT MIN(id) FROM instance), 'failed', 1, n, 1, UTC_TIMESTAMP(6), CONCAT(REPEAT('não cabe ', 40), n)
  FROM number;
"""
# One more, after a backup.
LATER = """
INSERT INTO generation (instance_id, state, seconds, seed, attempts, requested_at, error)
  SELECT MIN(id), 'failed', 1, 1, 1, UTC_TIMESTAMP(6), 'later' FROM instance
"""
# The object store, from its own pod.
STORE = (
    ":s3,provider=Rclone,endpoint='http://127.0.0.1:9000',force_path_style=true,access_key_id=any,secret_access_key=any"
)
# Every row as text, as a dump has it: a FLOAT has six digits there, so its seventh does not come back.
ROWS = "SELECT * FROM alembic_version; SELECT * FROM instance ORDER BY id; SELECT * FROM generation ORDER BY id;"


def in_store(stage: Stage, *arguments: str, stdin: bytes = b"") -> bytes:
    """What rclone says in the pod of the object store."""
    program = Path(sys.executable).with_name("kubectl")
    command = [str(program), "-n", stage.namespace, "exec", "-i", "backup-store-0", "--", "rclone", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def newest(stage: Stage) -> str:
    """The newest backup's name."""
    return backup.name(backup.listing(stage.cluster))


def options(stage: Stage, name: str = "newest", confirm: str | None = None) -> Options:
    return Options(name, stage.environment, confirm is not None, confirm)


def confirmed(stage: Stage, name: str) -> Options:
    """Of a restore that replaces what there is."""
    return options(stage, name, confirm=stage.environment.name)


@pytest.fixture(scope="module")
def saved(stage: Stage) -> str:
    """The rows of a database that has been filled and backed up, and that nobody writes to."""
    query(stage, FILL)
    before = query(stage, ROWS)
    job.run(stage.cluster, "backup")
    assert query(stage, ROWS) == before
    return before


def test_a_database_that_was_destroyed_with_its_claim_comes_back_every_row_equal(
    stage: Stage, saved: str, request: pytest.FixtureRequest
) -> None:
    kubectl("-n", stage.namespace, "delete", "statefulset/mysql", "--wait")
    kubectl("-n", stage.namespace, "delete", "pvc/data-mysql-0", "--wait")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as thread:
        restored = thread.submit(restore.restore, stage.target, options(stage))
        # Jobs beside it, of the same CronJob.
        while not restored.done():
            assert newest(stage)
            time.sleep(5)
        restored.result()
    took = time.monotonic() - began
    assert query(stage, ROWS) == saved
    lost = f"none of {len(saved.splitlines())} rows in the backup"
    fault = Fault("the database and its claim destroyed", "no page until it was back", lost, took)
    request.config.stash[FAULTS].append(fault)


def test_a_live_database_is_left_alone_unless_that_is_said_twice(stage: Stage, saved: str) -> None:
    pods = stage.pods()
    for refused in (options(stage), options(stage, confirm="another")):
        with pytest.raises(DeliveryError, match="nothing was changed"):
            restore.restore(stage.target, refused)
    assert (query(stage, ROWS), stage.pods()) == (saved, pods)


def test_the_restore_job_itself_leaves_a_live_database_alone(stage: Stage, saved: str) -> None:
    with pytest.raises(DeliveryError, match="tables; nothing was changed"):
        job.run(stage.cluster, "restore")
    assert query(stage, ROWS) == saved


def test_a_backup_that_is_not_there_is_refused_without_a_lost_request(stage: Stage, saved: str) -> None:
    pods, name = stage.pods(), newest(stage)
    with stage.traffic() as answers, pytest.raises(DeliveryError, match=f"names most like it: {name}"):
        restore.restore(stage.target, confirmed(stage, name[:-2] + "Z"))
    assert len(answers) > 20
    assert [answer for answer in answers if answer.error] == []
    assert (query(stage, ROWS), stage.pods()) == (saved, pods)


@pytest.mark.slow
def test_two_backups_at_once_both_succeed_and_none_is_the_cronjobs(stage: Stage, saved: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        names = set(map(backup.name, threads.map(backup.make, [stage.cluster] * 2)))
    assert len(names) == 2
    listed = backup.listing(stage.cluster).splitlines()
    assert names <= {line.rpartition("/")[2].rstrip('"}') for line in listed}
    jobs = stage.cluster.list("Job", selector=job.LABEL)
    assert len(jobs) > 2
    assert [body for body in jobs if "ownerReferences" in body["metadata"]] == []
    assert {body["spec"]["ttlSecondsAfterFinished"] for body in jobs} == {job.KEPT}


@pytest.mark.slow
def test_a_restore_that_fails_in_the_middle_brings_back_what_was_there(
    stage: Stage, saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = newest(stage)
    query(stage, LATER)
    before = query(stage, ROWS)
    # Of the statements that load the backup some are let through; those of the way back all are.
    limit = "ALTER USER 'migration'@'%' WITH MAX_QUERIES_PER_HOUR {}"
    way_back = restore._of_safety

    def unlimited(plan: restore.Plan) -> dict[str, str]:
        query(stage, limit.format(0), client=ROOT)
        return way_back(plan)

    monkeypatch.setattr(restore, "_of_safety", unlimited)
    query(stage, limit.format(300), client=ROOT)
    with stage.as_deployer(), pytest.raises(DeliveryError, match="runs on the data from before") as error:
        restore.restore(stage.target, confirmed(stage, name))
    assert "load: ERROR 1226" in str(error.value)
    assert query(stage, ROWS) == before
    query(stage, "DELETE FROM generation WHERE error = 'later'")


@contextmanager
def restoring(stage: Stage, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, when its Job has just begun."""
    environment = stage.environment.name
    command = [sys.executable, "-m", "delivery", "restore", environment, f"--backup={name}"]
    command += ["--overwrite", f"--confirm={environment}", f"--ingress={stage.ingress}"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr
        for marker in (b"stopping", b"waiting for job/restore"):
            while marker not in process.stderr.readline():
                assert process.poll() is None
        # The backup is fetched, loaded or dumped again.
        time.sleep(random.uniform(0, 12))  # noqa: S311
        yield process


@pytest.mark.slow
def test_a_restore_that_is_cancelled_brings_the_application_back(stage: Stage, saved: str) -> None:
    name = newest(stage)
    with restoring(stage, name) as process:
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate()
    assert process.returncode == 1
    assert re.search(rf"runs on the data (from before|of {name})", words.decode())
    assert (query(stage, ROWS), len(stage.pods())) == (saved, 2)


@pytest.mark.slow
def test_a_restore_that_is_killed_is_finished_by_the_same_command(stage: Stage, saved: str) -> None:
    name = newest(stage)
    query(stage, "DELETE FROM generation WHERE id > 1")
    with restoring(stage, name) as process:
        process.kill()
    restore.restore(stage.target, confirmed(stage, name))
    assert (query(stage, ROWS), len(stage.pods())) == (saved, 2)


@pytest.mark.slow
def test_a_restore_whose_job_somebody_deletes_leaves_whole_data(stage: Stage, saved: str) -> None:
    name = newest(stage)
    with restoring(stage, name) as process:
        kubectl("-n", stage.namespace, "delete", "jobs", "-l", "app.kubernetes.io/component=restore")
        _, words = process.communicate()
    assert process.returncode == 0 or b"runs on the data from before" in words
    assert (query(stage, ROWS), len(stage.pods())) == (saved, 2)


@pytest.mark.slow
def test_a_quota_that_leaves_no_room_is_told_and_the_job_ends(
    stage: Stage, saved: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kubectl("-n", stage.namespace, "create", "quota", "none", "--hard=pods=0")
    try:
        with pytest.raises(DeliveryError, match="exceeded quota: none") as error:
            job.run(stage.cluster, "backup")
    finally:
        kubectl("-n", stage.namespace, "delete", "quota", "none")
    assert "has not begun" in capfd.readouterr().err
    name = str(error.value).split()[0].removeprefix("job/")
    assert name not in job.unfinished(stage.cluster, "backup")


@pytest.mark.slow
def test_a_live_database_is_replaced_where_that_is_said_twice(stage: Stage, saved: str) -> None:
    name = newest(stage)
    query(stage, "DELETE FROM generation WHERE id > 1")
    restore.restore(stage.target, confirmed(stage, name))
    assert query(stage, ROWS) == saved
    assert newest(stage) > name


def test_the_weekly_drill_restores_the_newest_backup(stage: Stage, saved: str) -> None:
    report = json.loads(job.run(stage.cluster, "restore-drill").splitlines()[-1])
    assert report["tables"] >= 3
    assert report["rows"] > 0
    assert report["age"] >= 0
    assert 0 < report["seconds"] < 600


def cut(sealed: bytes) -> bytes:
    return sealed[:-1]


def emptied(sealed: bytes) -> bytes:
    return b""


def flipped(sealed: bytes) -> bytes:
    return sealed[:-40] + bytes([sealed[-40] ^ 1]) + sealed[-39:]


@pytest.mark.parametrize(
    "damage", [cut, pytest.param(emptied, marks=pytest.mark.slow), pytest.param(flipped, marks=pytest.mark.slow)]
)
def test_the_drill_notices_damage(stage: Stage, saved: str, damage: Callable[[bytes], bytes]) -> None:
    path = f"{STORE}:school-scheduler-backups/{stage.namespace}/{newest(stage)}.sql.gz.age"
    sealed = in_store(stage, "cat", path)
    in_store(stage, "rcat", path, stdin=damage(sealed))
    try:
        with pytest.raises(DeliveryError, match=r"is not what was saved|has 0 bytes"):
            job.run(stage.cluster, "restore-drill")
    finally:
        in_store(stage, "rcat", path, stdin=sealed)


@pytest.mark.slow
def test_a_store_that_is_away_costs_no_backup_and_the_job_fails(stage: Stage, saved: str) -> None:
    before = backup.listing(stage.cluster)
    kubectl("-n", stage.namespace, "scale", "statefulset/backup-store", "--replicas=0")
    try:
        with pytest.raises(DeliveryError, match="the store store:"):
            job.run(stage.cluster, "backup")
    finally:
        kubectl("-n", stage.namespace, "scale", "statefulset/backup-store", "--replicas=1")
        kubectl("-n", stage.namespace, "rollout", "status", "statefulset/backup-store", "--timeout=120s")
    assert backup.listing(stage.cluster) == before


@pytest.mark.slow
def test_a_scheduled_backup_is_tried_again_when_the_database_is_back(stage: Stage, saved: str) -> None:
    before, made = newest(stage), f"job/backup-{secrets.token_hex(3)}"
    with database_down(stage):
        kubectl("-n", stage.namespace, "wait", "pod/mysql-0", "--for=delete", "--timeout=60s")
        kubectl("-n", stage.namespace, "create", *made.split("/"), "--from=cronjob/backup")
        until(lambda: stage.find(made)["status"].get("failed"), seconds=60)
    kubectl("-n", stage.namespace, "wait", made, "--for=condition=Complete", "--timeout=5m")
    assert newest(stage) > before


@pytest.mark.slow
def test_an_emptied_store_fails_the_next_backup_which_is_stored(stage: Stage, saved: str) -> None:
    in_store(stage, "delete", f"{STORE}:school-scheduler-backups/{stage.namespace}")
    manifest = job.from_template(stage.find("cronjob/backup"))
    containers = manifest["spec"]["template"]["spec"]["initContainers"]
    (dump,) = [each for each in containers if each["name"] == "dump"]
    # The tables of a drill are young.
    dump["command"] = ["sh", "-c", "sh /opt/backup/dump.sh /scratch/dump.sql && echo 0 >/scratch/since"]
    with pytest.raises(DeliveryError, match="the store was emptied, or is another one"):
        job.follow(stage.cluster, manifest, 600)
    assert backup.listing(stage.cluster)


@pytest.mark.slow
def test_a_dump_that_cannot_log_in_stores_nothing_and_the_job_fails(stage: Stage, saved: str) -> None:
    before = backup.listing(stage.cluster)
    query(stage, "ALTER USER 'backup'@'%' ACCOUNT LOCK")
    try:
        with pytest.raises(DeliveryError, match="mysqldump: Got error"):
            job.run(stage.cluster, "backup")
    finally:
        query(stage, "ALTER USER 'backup'@'%' ACCOUNT UNLOCK")
    assert backup.listing(stage.cluster) == before

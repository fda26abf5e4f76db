"""A database that is destroyed comes back from its backup, every row equal, and damage to a backup is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from delivery import backup, job, restore
from delivery.restore import Options
from delivery.shell import DeliveryError, kubectl
from drills.conftest import FAULTS, Fault, Stage
from drills.faults import query

# A thousand more timetables, and nothing that a worker would go on with.
FILL = """
UPDATE generation SET state = 'done' WHERE state IN ('queued', 'running');
INSERT INTO generation (instance_id, state, seconds, seed, attempts, requested_at, error)
  WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000)
  SELECT (SELECT MIN(id) FROM instance), 'failed', 1, n, 1, UTC_TIMESTAMP(6), CONCAT(REPEAT('não cabe ', 40), n)
  FROM number;
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
    return str(json.loads(backup.listing(stage.environment).splitlines()[0])["backup"]).rpartition("/")[2]


def options(stage: Stage, name: str = "newest", confirm: str | None = None) -> Options:
    return Options(name, stage.environment, confirm is not None, confirm, stage.options.ingress)


@pytest.fixture(scope="module")
def saved(stage: Stage) -> str:
    """The rows of a database that has been filled and backed up, and that nobody writes to."""
    query(stage, FILL)
    before = query(stage, ROWS)
    job.run(stage.namespace, "backup")
    assert query(stage, ROWS) == before
    return before


def test_a_database_that_was_destroyed_with_its_claim_comes_back_every_row_equal(
    stage: Stage, saved: str, request: pytest.FixtureRequest
) -> None:
    kubectl("-n", stage.namespace, "delete", "statefulset/mysql", "--wait")
    kubectl("-n", stage.namespace, "delete", "pvc/data-mysql-0", "--wait")
    began = time.monotonic()
    restore.restore(stage.environment, options(stage))
    took = time.monotonic() - began
    assert query(stage, ROWS) == saved
    lost = f"none of {len(saved.splitlines())} rows in the backup"
    fault = Fault("the database and its claim destroyed", "no page until it was back", lost, took)
    request.config.stash[FAULTS].append(fault)


def test_a_live_database_is_left_alone_unless_that_is_said_twice(stage: Stage, saved: str) -> None:
    pods = stage.pods()
    for told in (options(stage), options(stage, confirm="another")):
        with pytest.raises(DeliveryError, match="tables; nothing was changed"):
            restore.restore(stage.environment, told)
    assert (query(stage, ROWS), stage.pods()) == (saved, pods)


def test_the_restore_job_itself_leaves_a_live_database_alone(stage: Stage, saved: str) -> None:
    with pytest.raises(DeliveryError, match="tables; nothing was changed"):
        job.run(stage.namespace, "restore")
    assert query(stage, ROWS) == saved


@pytest.mark.slow
def test_a_live_database_is_replaced_where_that_is_said_twice(stage: Stage, saved: str) -> None:
    name = newest(stage)
    query(stage, "DELETE FROM generation WHERE id > 1")
    restore.restore(stage.environment, options(stage, name, confirm=stage.environment))
    assert query(stage, ROWS) == saved
    assert newest(stage) > name


def test_the_weekly_drill_restores_the_newest_backup(stage: Stage, saved: str) -> None:
    report = json.loads(job.run(stage.namespace, "restore-drill").splitlines()[-1])
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
            job.run(stage.namespace, "restore-drill")
    finally:
        in_store(stage, "rcat", path, stdin=sealed)


@pytest.mark.slow
def test_a_store_that_is_away_costs_no_backup_and_the_job_fails(stage: Stage, saved: str) -> None:
    before = backup.listing(stage.environment)
    kubectl("-n", stage.namespace, "scale", "statefulset/backup-store", "--replicas=0")
    try:
        with pytest.raises(DeliveryError, match="the store store:"):
            job.run(stage.namespace, "backup")
    finally:
        kubectl("-n", stage.namespace, "scale", "statefulset/backup-store", "--replicas=1")
        kubectl("-n", stage.namespace, "rollout", "status", "statefulset/backup-store", "--timeout=120s")
    assert backup.listing(stage.environment) == before


@pytest.mark.slow
def test_a_dump_that_cannot_log_in_stores_nothing_and_the_job_fails(stage: Stage, saved: str) -> None:
    before = backup.listing(stage.environment)
    query(stage, "ALTER USER 'backup'@'%' ACCOUNT LOCK")
    try:
        with pytest.raises(DeliveryError, match="mysqldump: Got error"):
            job.run(stage.namespace, "backup")
    finally:
        query(stage, "ALTER USER 'backup'@'%' ACCOUNT UNLOCK")
    assert backup.listing(stage.environment) == before

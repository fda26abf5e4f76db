"""The database's memory: more data than its pool holds, every connection busy, and nothing is killed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from delivery import backup, job, restore
from delivery.restore import Options
from drills.conftest import Stage
from drills.database import query
from drills.faults import settle
from drills.saves import program

# The cost of a timetable without a lesson, and the id of the instance.
COST = """
from sqlalchemy import select
from sqlalchemy.orm import Session
from app import database, instances, settings
from app.engine.cost import evaluate
from app.engine.timetable import Timetable
from app.models import StoredInstance

with Session(database.connect(settings.load())) as session:
    stored = session.scalars(select(StoredInstance).order_by(StoredInstance.id)).first()
    cost = evaluate(instances.load(stored), Timetable.from_json("[]"))
    print(stored.id, cost.hard, cost.soft)
"""
# Timetables without a lesson, of {rows} rows and {size} bytes each: a restore reads all of them.
FILL = """SET cte_max_recursion_depth = {rows};
INSERT INTO generation (instance_id, state, seconds, seed, attempts, requested_at, worker, error,
    hard, soft, timetable)
  WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {rows})
  SELECT {instance}, 'failed', 1, n, 1, UTC_TIMESTAMP(6), '{worker}', HEX(RANDOM_BYTES(200)),
    {hard}, {soft}, RPAD('[]', {size}, ' ') FROM number;
"""
# Opens connections, and has them all do the same at a time: sort, make temporary tables, read rows
# of 5 MB. Says how many statements were done, and how many were refused because all connections
# together had no more memory.
LOAD = """
import json, sys, threading, time
from collections import Counter
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from app import database, settings

REFUSED = 4081
STATEMENTS = (
    "SELECT error FROM (SELECT id, error FROM generation LIMIT 3000) AS few ORDER BY error LIMIT 2900, 5",
    "SELECT COUNT(*) FROM (SELECT DISTINCT error, requested_at FROM generation WHERE id % 13 = 1) AS few",
    "SELECT timetable FROM generation WHERE id = (SELECT MIN(id) FROM generation WHERE worker = 'large')",
)
outcomes = Counter()
began = time.monotonic()

def work():
    engine = database.connect(settings.load())
    while (elapsed := time.monotonic() - began) < float(sys.argv[2]):
        statement = STATEMENTS[int(elapsed / 15) % len(STATEMENTS)]
        try:
            with engine.connect() as connection:
                connection.execute(text(statement)).all()
            outcomes["done"] += 1
        except OperationalError as error:
            code = error.orig.args[0]
            outcomes["refused" if code == REFUSED else str(error.orig)] += 1

threads = [threading.Thread(target=work) for _ in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(outcomes))
"""
MIB = 2**20
# Filling and emptying the tables takes some minutes.
pytestmark = pytest.mark.slow


@dataclass
class Server:
    """What the database's process has used at most, and how often its container was restarted.

    `most` leaves out the pages of files: the kernel takes these back where memory is short.
    """

    limit: int
    pool: int
    most: int
    restarts: int

    @classmethod
    def read(cls, stage: Stage) -> Server:
        (state,) = stage.find("pod/mysql-0")["status"]["containerStatuses"]
        command = ("sh", "-c", "echo $MEMORY_LIMIT; grep -E 'VmHWM|RssFile' /proc/1/status")
        limit, _, peak, _, _, files, _ = stage.cluster.exec("mysql-0", "mysql", *command).split()
        pool = query(stage, "SELECT @@innodb_buffer_pool_size")
        return cls(int(limit), int(pool), (int(peak) - int(files)) * 1024, state["restartCount"])


@pytest.fixture(scope="module")
def filled(stage: Stage) -> Iterator[Server]:
    """The server once the application's schema has a GiB, several times what its buffer pool holds."""
    before = Server.read(stage)
    cost = program(stage, f"cost-{secrets.token_hex(4)}", COST)
    instance, hard, soft = job.follow(stage.cluster, cost, 300).split()
    about = {"instance": instance, "hard": hard, "soft": soft}
    # Forty times a thousand of 26 kB are a GiB.
    for _ in range(40):
        query(stage, FILL.format(rows=1000, size=26_000, worker="fill", **about))
    # As large as the largest file that a visitor may send.
    query(stage, FILL.format(rows=1, size=5_000_000, worker="large", **about))
    data = query(stage, "SELECT SUM(data_length) FROM information_schema.tables WHERE table_schema = 'school_schedule'")
    assert int(data) > 2 * before.pool
    yield before
    settle(stage)
    query(stage, "DELETE FROM generation WHERE worker IN ('fill', 'large')")
    query(stage, "ALTER TABLE generation FORCE")


def kept(stage: Stage, before: Server, what: str) -> None:
    """Asserts that nothing was killed and that a sixth of the limit was never used; says what was."""
    after = Server.read(stage)
    print(f"{what}: at most {after.most / MIB:.0f} of {after.limit / MIB:.0f} MiB, pool {after.pool / MIB:.0f} MiB")
    assert after.restarts == before.restarts
    assert after.most < after.limit * 5 / 6


def test_a_warm_database_with_every_connection_busy_keeps_within_its_memory(stage: Stage, filled: Server) -> None:
    query(stage, "SELECT SUM(LENGTH(timetable)) FROM generation")
    load = program(stage, f"load-{secrets.token_hex(4)}", LOAD, "80", "60")
    print(printed := job.follow(stage.cluster, load, 300))
    kept(stage, filled, "load")
    assert json.loads(printed.splitlines()[-1])["done"] > 80


def test_a_database_larger_than_its_pool_is_migrated_backed_up_and_restored(stage: Stage, filled: Server) -> None:
    query(stage, "ALTER TABLE generation FORCE, ALGORITHM = COPY")
    kept(stage, filled, "migration")
    counting = "SELECT COUNT(*), SUM(CRC32(timetable)) FROM generation"
    before = query(stage, counting)
    job.run(stage.cluster, "backup")
    kept(stage, filled, "backup")
    report = json.loads(job.run(stage.cluster, "restore-drill").splitlines()[-1])
    assert report["rows"] > 40_000
    name = backup.name(backup.listing(stage.cluster))
    query(stage, "DELETE FROM generation WHERE worker = 'large'")
    restore.restore(stage.target, Options(name, stage.environment, True, stage.environment.name))
    assert query(stage, counting) == before
    kept(stage, filled, "restore")

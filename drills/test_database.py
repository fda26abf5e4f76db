"""What happens to the data when the database, the network or the pods fail: nothing that was acknowledged is lost."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from delivery import rollout
from delivery.shell import kubectl
from drills.conftest import FAULTS, Fault, Stage
from drills.test_backup import query
from smoke_tests.test_cluster import probe

# Stores rows, one a transaction, as the application does, and says the id of each that the database has acknowledged.
WRITER = """
import sys, time
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from app import database, settings
from app.models import Generation, StoredInstance

engine = database.connect(settings.load())
with Session(engine) as session:
    school = session.scalar(select(StoredInstance.id).limit(1))
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        with Session(engine) as session:
            row = Generation(instance_id=school, state="failed", seconds=1, seed=1, attempts=1,
                             requested_at=database.now(session), error=sys.argv[1])
            session.add(row)
            session.commit()
            print(row.id, flush=True)
    except DBAPIError:
        time.sleep(0.2)
    time.sleep(0.01)
"""


def crash(stage: Stage) -> None:
    """Ends mysqld on the spot, with nothing written back. As the first process of its container it ignores signal 9."""
    kubectl("-n", stage.namespace, "exec", "mysql-0", "-c", "mysql", "--", "sh", "-c", "kill -ABRT 1")


def delete_database_pod(stage: Stage) -> None:
    kubectl("-n", stage.namespace, "delete", "pod/mysql-0", "--wait=false")


def delete_all_pods(stage: Stage) -> None:
    pods = "app.kubernetes.io/component in (web, database)"
    kubectl("-n", stage.namespace, "delete", "pods", "-l", pods, "--wait=false")


@contextmanager
def writing(stage: Stage, seconds: float) -> Iterator[list[str]]:
    """Writes from a worker's pod for so long; at the end the list has the ids of the rows that were acknowledged."""
    marker, acknowledged = secrets.token_hex(4), list[str]()
    program = Path(sys.executable).with_name("kubectl")
    inside = ["exec", "deployment/worker", "--", "python", "-c", WRITER, marker, str(seconds)]
    with subprocess.Popen([str(program), "-n", stage.namespace, *inside], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        acknowledged.append(writer.stdout.readline().strip())
        yield acknowledged
        acknowledged += writer.stdout.read().split()


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        pytest.param(crash, 45, id="the database crashes"),
        pytest.param(delete_database_pod, 60, id="the database's pod is deleted", marks=pytest.mark.slow),
        pytest.param(delete_all_pods, 60, id="web and database restart at once", marks=pytest.mark.slow),
    ],
)
def test_no_acknowledged_row_is_lost(
    stage: Stage, request: pytest.FixtureRequest, fault: Callable[[Stage], None], seconds: float
) -> None:
    began = time.monotonic()
    with stage.traffic() as answers, writing(stage, seconds) as acknowledged:
        time.sleep(3)
        fault(stage)
        # Until the controllers have seen it.
        time.sleep(2)
        rollout.wait(stage.namespace, rollout.read(stage.render(stage.good).read_text()))
        recovered = time.monotonic()
    there = set(query(stage, "SELECT id FROM generation").split())
    lost = [each for each in acknowledged if each not in there]
    errors = sum(1 for answer in answers if answer.error)
    seen = f"{errors} of {len(answers)} requests failed"
    row = Fault(request.node.callspec.id, seen, f"{len(lost)} of {len(acknowledged)} rows", recovered - began - 3)
    request.config.stash[FAULTS].append(row)
    assert len(acknowledged) > 100
    assert lost == []


def test_3306_is_closed_to_a_pod_that_does_not_need_it(stage: Stage) -> None:
    assert probe(stage.namespace, str(stage.good), "mysql:3306") == "closed mysql:3306\n"

"""What happens to the data when the database, the network or the pods fail: nothing that was acknowledged is lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest

from delivery.kubectl import kubectl
from drills import faults
from drills.conftest import FAULTS, Stage
from drills.database import ROOT, query
from drills.faults import settle, small_disk
from drills.saves import writing
from drills.watching import until
from smoke_tests.test_cluster import probe

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        pytest.param(faults.database_crashes, 45, id="the database crashes"),
        pytest.param(faults.database_deleted, 60, id="the database's pod is deleted", marks=SLOW),
        pytest.param(faults.everything_deleted, 75, id="everything restarts at once", marks=SLOW),
        pytest.param(faults.web_killed, 30, id="a web pod is killed", marks=SLOW),
        pytest.param(faults.network_cut, 90, id="no network to the database for a minute", marks=SLOW),
        pytest.param(faults.disk_stalls, 50, id="the disk stalls for half a minute", marks=SLOW),
    ],
)
def test_no_acknowledged_row_is_lost(
    stage: Stage, request: pytest.FixtureRequest, fault: Callable[[Stage], None], seconds: float
) -> None:
    with stage.traffic() as answers, writing(stage, seconds) as saves:
        time.sleep(3)
        began = time.monotonic()
        fault(stage)
        settle(stage)
        recovered = time.monotonic()
    there = set(query(stage, "SELECT id FROM generation").split())
    errors = sum(1 for answer in answers if answer.error)
    row = saves.row(request.node.callspec.id, len(answers), errors, there, recovered - began)
    request.config.stash[FAULTS].append(row)
    assert len(saves.acknowledged) > 100
    assert set(saves.acknowledged) <= there


@pytest.mark.slow
def test_a_full_disk_loses_no_acknowledged_row_and_goes_on_when_there_is_room(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    def shell(command: str) -> str:
        return stage.cluster.exec(pod, "mysql", "sh", "-c", command)

    with small_disk(stage) as pod, stage.traffic() as answers:
        with writing(stage, 75) as saves:
            time.sleep(3)
            began = time.monotonic()
            shell("cat /dev/zero >/var/lib/mysql/filler 2>/dev/null || true")
            full = int(shell("df --output=avail /var/lib/mysql | tail -1"))
            before = int(query(stage, "SELECT COUNT(*) FROM generation", pod=pod))
            time.sleep(20)
            during = int(query(stage, "SELECT COUNT(*) FROM generation", pod=pod))
            shell("rm /var/lib/mysql/filler")
            until(lambda: int(query(stage, "SELECT COUNT(*) FROM generation", pod=pod)) > during, seconds=90)
            recovered = time.monotonic()
        there = set(query(stage, "SELECT id FROM generation", pod=pod).split())
    errors = sum(1 for answer in answers if answer.error)
    row = saves.row("the disk is full for 20 s", len(answers), errors, there, recovered - began)
    request.config.stash[FAULTS].append(row)
    assert (full, during - before) == (0, 0)
    assert len(saves.acknowledged) > 100
    assert set(saves.acknowledged) <= there


@pytest.mark.slow
def test_the_database_stops_within_its_grace_period_and_a_crash_alone_needs_recovery(stage: Stage) -> None:
    def recovered() -> bool:
        settle(stage)
        return "Starting XA crash recovery" in stage.cluster.logs("mysql-0", "mysql")

    faults.database_crashes(stage)
    assert recovered()
    began = time.monotonic()
    kubectl("-n", stage.namespace, "delete", "pod/mysql-0", "--wait")
    assert time.monotonic() - began < 120
    assert not recovered()


def test_every_account_needs_tls_and_root_is_local(stage: Stage) -> None:
    logins = "SELECT user, host, plugin, ssl_type FROM mysql.user WHERE account_locked = 'N'"
    found = {user: rest for user, *rest in map(str.split, query(stage, logins, client=ROOT).splitlines())}
    assert found.pop("root") == ["localhost", "caching_sha2_password"]
    assert found.keys() == {"school_schedule", "migration", "backup", "exporter", "accounts"}
    assert all(rest == ["%", "caching_sha2_password", "ANY"] for rest in found.values())


def test_a_namespace_that_takes_no_pod_to_look_in_from_fails_no_release(stage: Stage) -> None:
    namespace = f"full-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    try:
        kubectl("-n", namespace, "create", "quota", "full", "--hard=pods=0")
        with pytest.raises(pytest.skip.Exception, match=r"takes no pod to look in from: .*exceeded quota: full"):
            probe(namespace, str(stage.good), "mysql:3306")
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def test_3306_is_closed_to_a_pod_that_does_not_need_it(stage: Stage) -> None:
    assert probe(stage.namespace, str(stage.good), "mysql:3306") == "closed mysql:3306\n"

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from delivery import lease
from delivery.cluster import Cluster, ConflictError, Manifest, UnavailableError
from delivery.lease import SECONDS, TakenError, held
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster, Killed, LostError
from tests.delivery.small import Stage


def holder(cluster: FakeCluster) -> str:
    found = cluster.get("lease/delivery") or {}
    return str(found["spec"]["holderIdentity"])


def given_to(cluster: FakeCluster, name: str) -> None:
    cluster.by_hand("lease/delivery", {"spec": {"holderIdentity": name}})


def test_whoever_waits_learns_for_whom_and_for_what(empty: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    with held(empty.cluster, work="restore"):
        other = holder(empty.cluster)
        with (
            pytest.raises(DeliveryError, match=f"is in use: {other}; try again"),
            held(empty.cluster, wait=2 * SECONDS),
        ):
            pass
    assert other.startswith(f"restore by {lease.who()}")
    assert capsys.readouterr().err.count(f"waiting for the {other}") == 1


def test_whoever_has_no_name_on_this_machine_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("GITHUB_ACTOR", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)
    assert lease.who().startswith(f"user {os.getuid()}@")


def test_the_lease_is_given_back_and_can_be_taken_again(empty: Stage) -> None:
    for _ in range(2):
        before = empty.cluster.now()
        with held(empty.cluster):
            assert holder(empty.cluster)
        assert holder(empty.cluster) == ""
        assert empty.cluster.now() - before < 2


def test_a_lease_is_given_back_whatever_happens_in_between(empty: Stage) -> None:
    with pytest.raises(KeyboardInterrupt), held(empty.cluster):
        raise KeyboardInterrupt
    assert holder(empty.cluster) == ""


def test_a_lease_lasts_as_long_as_its_holder_lives(empty: Stage) -> None:
    with held(empty.cluster):
        own = holder(empty.cluster)
        empty.cluster.pause(20 * SECONDS)
        with pytest.raises(DeliveryError, match="is in use"), held(empty.cluster, wait=3 * SECONDS):
            pass
        assert holder(empty.cluster) == own


def test_a_lease_is_renewed_no_more_after_its_end(empty: Stage) -> None:
    with held(empty.cluster):
        pass
    calls = empty.cluster.faults.calls
    empty.cluster.pause(10 * SECONDS)
    assert empty.cluster.faults.calls == calls


def test_a_lease_whose_holder_was_killed_is_taken_over_when_its_time_is_up(empty: Stage) -> None:
    with pytest.raises(Killed), held(empty.cluster):
        empty.cluster.faults.dead = True
        raise Killed
    empty.cluster.faults.dead = False
    # So that it looks every second.
    empty.cluster.faults.latency = 0
    before = empty.cluster.now()
    with held(empty.cluster):
        assert 30 < empty.cluster.now() - before < 32


@pytest.mark.parametrize(("name", "words"), [("somebody else", "has gone to somebody else"), ("", "was taken away")])
def test_whoever_has_lost_the_lease_changes_nothing_more(
    empty: Stage, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = empty.cluster.get("secret/db-credentials") or {}
    changes: dict[str, Callable[[Cluster], object]] = {
        "apply": lambda cluster: cluster.apply([secret]),
        "create": lambda cluster: cluster.create(secret),
        "replace": lambda cluster: cluster.replace(secret),
        "patch": lambda cluster: cluster.patch("secret/db-credentials", {"data": {}}),
        "delete": lambda cluster: cluster.delete("secret/db-credentials"),
        "exec": lambda cluster: cluster.exec("mysql-0", "mysql", "true"),
    }
    with held(empty.cluster) as cluster:
        given_to(empty.cluster, name)
        cluster.pause(SECONDS)
        for change in changes.values():
            with pytest.raises(TakenError, match=f"the lease of {cluster.namespace} {words}; nothing more was changed"):
                change(cluster)
        assert cluster.get("secret/db-credentials") == secret
    assert holder(empty.cluster) == name
    assert "could not be renewed" not in capsys.readouterr().err


def test_a_lease_that_goes_while_its_holder_sleeps_is_noticed_before_the_next_change(empty: Stage) -> None:
    with held(empty.cluster) as cluster:
        empty.cluster.server.repeated.clear()
        cluster.pause(SECONDS + 5)
        given_to(empty.cluster, "somebody else")
        with pytest.raises(TakenError, match="somebody else"):
            cluster.delete("secret/db-credentials")


def test_a_lease_that_nobody_took_is_renewed_however_late(empty: Stage) -> None:
    with held(empty.cluster) as cluster:
        own = holder(empty.cluster)
        empty.cluster.server.repeated.clear()
        cluster.pause(10 * SECONDS)
        cluster.delete("secret/none")
        assert holder(empty.cluster) == own


@pytest.mark.parametrize("seconds", [60, 120, 180])
def test_a_pause_of_the_api_server_takes_the_lease_from_nobody(empty: Stage, seconds: float) -> None:
    with held(empty.cluster) as cluster:
        own = holder(empty.cluster)
        with (
            cluster.every(*pause(empty, seconds)),
            pytest.raises(DeliveryError, match="is in use"),
            held(empty.cluster, wait=3 * SECONDS),
        ):
            pass
        cluster.delete("secret/none")
        assert holder(empty.cluster) == own


def pause(stage: Stage, seconds: float) -> tuple[float, Callable[[], bool]]:
    def begin() -> bool:
        stage.cluster.away(seconds)
        return False

    return 10, begin


def test_what_was_done_counts_where_the_lease_cannot_be_given_back(
    empty: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(empty.cluster):
        empty.cluster.away(600)
    assert f"the lease ends by itself in {SECONDS} s" in capsys.readouterr().err


def test_an_api_server_that_is_away_for_a_moment_costs_no_lease(
    empty: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(empty.cluster):
        own = holder(empty.cluster)
        empty.cluster.away(85)
        empty.cluster.pause(100)
        assert "the lease could not be renewed" in capsys.readouterr().err
        empty.cluster.pause(30)
        assert holder(empty.cluster) == own
        empty.cluster.pause(SECONDS)
    assert holder(empty.cluster) == ""


def test_an_answer_that_was_lost_does_not_keep_its_owner_out(empty: Stage) -> None:
    operations = ["create", "replace"]

    def lost(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation in operations:
            operations.remove(operation)
            raise LostError("connection reset by peer")

    empty.cluster.faults.after = lost
    with held(empty.cluster, wait=0):
        assert holder(empty.cluster)
    assert operations == []


def test_somebody_who_was_faster_is_waited_for(empty: Stage) -> None:
    with held(empty.cluster):
        pass

    def faster(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "replace":
            cluster.faults.before = lambda *arguments: None
            given_to(cluster, "somebody faster")
            raise ConflictError("the object has been modified")

    empty.cluster.faults.before = faster
    with pytest.raises(DeliveryError, match="in use: somebody faster"), held(empty.cluster, wait=5):
        pass


def test_a_lease_that_was_deleted_is_a_failure_that_names_it(empty: Stage) -> None:
    with held(empty.cluster):
        pass

    def deleted(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "get":
            cluster.remove_by_hand("lease/delivery")

    empty.cluster.faults.before = deleted
    with pytest.raises(DeliveryError, match="somebody deleted lease/delivery"), held(empty.cluster):
        pass


def test_an_api_server_that_is_away_for_long_stops_the_work_before_it_begins(empty: Stage) -> None:
    empty.cluster.away(600)
    with pytest.raises(UnavailableError), held(empty.cluster):
        pytest.fail("nobody has the lease")


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"GITHUB_ACTOR": "ana", "GITHUB_RUN_ID": "7"}, "ana, run 7"),
        ({"GITHUB_ACTOR": "ana"}, "ana, run unknown"),
    ],
)
def test_a_holder_in_a_pipeline_is_the_actor_of_its_run(
    variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_RUN_ID", raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert lease.who() == name


@pytest.mark.parametrize("spec", [{}, {"spec": {}}, {"spec": {"leaseDurationSeconds": 30}}, {"spec": None}])
def test_a_lease_that_somebody_made_without_a_holder_is_free(empty: Stage, spec: Manifest) -> None:
    metadata = {"name": "delivery", "namespace": empty.cluster.namespace}
    empty.cluster.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, **spec})
    with held(empty.cluster, wait=0):
        assert holder(empty.cluster)


@pytest.mark.parametrize("seed", range(6))
def test_a_lease_that_somebody_has_written_by_hand_is_waited_for_no_longer_than_one_that_nobody_renews(
    empty: Stage, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    # Other types, and a length that is not positive, an API server refuses.
    moments = ("2099-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.000000Z", None)
    spec = {
        "holderIdentity": draw.choice(("", "somebody", None, "a" * 5000)),
        "leaseDurationSeconds": draw.choice((1, 2**31 - 1, None)),
        "acquireTime": draw.choice(moments),
        "renewTime": draw.choice(moments),
        "leaseTransitions": draw.choice((0, 2**31 - 1, None)),
    }
    with held(empty.cluster):
        pass
    empty.cluster.by_hand("lease/delivery", {"spec": draw.choice((spec, spec, None))})
    before = empty.cluster.now()
    with held(empty.cluster) as cluster:
        assert empty.cluster.now() < before + SECONDS + 5
        cluster.delete("secret/none")
    assert holder(empty.cluster) == ""


def test_a_lease_whose_holder_somebody_has_taken_away_is_lost(empty: Stage) -> None:
    with held(empty.cluster) as cluster:
        empty.cluster.by_hand("lease/delivery", {"spec": None})
        cluster.pause(SECONDS)
        with pytest.raises(TakenError, match="was taken away"):
            cluster.delete("secret/none")


def test_a_lease_that_somebody_deleted_is_made_again(empty: Stage) -> None:
    with held(empty.cluster) as cluster:
        own = holder(empty.cluster)
        empty.cluster.remove_by_hand("lease/delivery")
        cluster.pause(SECONDS)
        assert holder(empty.cluster) == own
        cluster.delete("secret/none")


SLOW = pytest.raises(UnavailableError, match="answers too slowly to keep the lease")


@pytest.mark.parametrize(("latency", "ends"), [(20, nullcontext()), (40, SLOW)])
def test_an_api_server_that_is_slow_ends_a_command_or_lets_it_go_on(
    empty: Stage, latency: float, ends: AbstractContextManager[object]
) -> None:
    with held(empty.cluster) as cluster:
        empty.cluster.faults.latency = latency
        cluster.pause(2 * SECONDS)
        with ends:
            cluster.delete("secret/none")
        assert empty.cluster.now() < 600
        empty.cluster.faults.latency = 0.05

"""A restore that is refused, fails or is interrupted: the application runs on whole data, or a command is named."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from delivery import __main__
from delivery.shell import DeliveryError
from tests.delivery.scripted import BACKUP, BEFORE, Cluster, Killed, typed

COMMAND = ["restore", "prod", "--backup", BACKUP, "--overwrite", "--confirm", "prod"]


def type_in(arguments: list[str]) -> None:
    """As a person does."""
    __main__.run(__main__.parser().parse_args(arguments))


def test_a_restore_replaces_the_data_and_keeps_a_backup_of_it(cluster: Cluster) -> None:
    type_in(COMMAND)
    assert (cluster.data, cluster.running, cluster.note) == (cluster.store[BACKUP], True, None)
    assert BEFORE in cluster.store.values()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--backup", "20261101T000001Z", "--overwrite", "--confirm", "prod"], "no backup 20261101T000001Z"),
        (["--backup", BACKUP, "--overwrite", "--confirm", "homolog"], "say both"),
        (["--backup", BACKUP, "--overwrite"], "say both"),
        (["--backup", BACKUP], "5 tables; nothing was changed"),
        (["--overwrite", "--confirm", "prod"], "name a backup"),
    ],
)
def test_what_cannot_succeed_is_refused_before_anything_stops(
    cluster: Cluster, arguments: list[str], reason: str
) -> None:
    def never_stopped(there: Cluster) -> None:
        assert there.running

    cluster.fault = never_stopped
    with pytest.raises(DeliveryError, match=reason) as error:
        type_in(["restore", "prod", *arguments])
    assert len(str(error.value).splitlines()) == 1
    assert cluster.data == BEFORE
    assert set(cluster.store) == {BACKUP}


@pytest.mark.parametrize("step", ["fetch", "load", "redump", "compare"])
def test_a_job_that_fails_after_the_stop_costs_no_data_and_leaves_the_application_running(
    cluster: Cluster, step: str
) -> None:
    def begins(there: Cluster) -> None:
        there.broken = {} if there.running or there.store[BACKUP] == there.data else {step: "disk full"}
        # The backup of what was there comes back all the same.
        if any(work.variable("BACKUP_NAME") != BACKUP for work in there.jobs.values() if step in work.steps):
            there.broken = {}

    cluster.fault = begins
    with pytest.raises(DeliveryError, match="prod runs on the data from before"):
        type_in(COMMAND)
    assert (cluster.data, cluster.running, cluster.partial) == (BEFORE, True, False)


def test_a_job_that_was_deleted_after_its_work_is_a_success(cluster: Cluster) -> None:
    def deleted(there: Cluster) -> None:
        if there.data == there.store[BACKUP]:
            there.jobs = {name: work for name, work in there.jobs.items() if "load" not in work.steps}

    cluster.fault = deleted
    type_in(COMMAND)
    assert (cluster.data, cluster.running) == (cluster.store[BACKUP], True)


@pytest.mark.parametrize("more", [[], ["--overwrite", "--confirm", "prod"]])
def test_a_database_that_only_did_not_run_is_not_replaced(cluster: Cluster, more: list[str]) -> None:
    cluster.scaled_away = True
    with pytest.raises(DeliveryError, match="after all"):
        type_in(["restore", "prod", "--backup", BACKUP, *more])
    assert (cluster.data, cluster.running) == (BEFORE, True)


def test_a_mistake_after_a_restore_that_was_killed_names_the_way_back(cluster: Cluster) -> None:
    cluster.fault = lambda there: killed(there) if there.partial else None
    with pytest.raises(Killed):
        type_in(COMMAND)
    cluster.fault = lambda there: None
    with pytest.raises(DeliveryError, match="no backup 2026") as error:
        type_in(["restore", "prod", "--backup", "2026"])
    type_in(typed(str(error.value)))
    assert (cluster.data, cluster.running) == (BEFORE, True)


def test_nothing_is_delivered_onto_a_part_of_a_backup(cluster: Cluster) -> None:
    cluster.store["20261102T000000Z"] = BEFORE
    cluster.data, cluster.partial, cluster.running, cluster.note = "", True, False, "20261102T000000Z"
    with pytest.raises(DeliveryError, match="has not ended; nothing was changed") as error:
        type_in(["rollback", "prod", "--to", "1"])
    assert not cluster.running
    type_in(typed(str(error.value)))
    assert (cluster.data, cluster.running) == (BEFORE, True)


def interrupted(there: Cluster) -> None:
    raise KeyboardInterrupt


def killed(there: Cluster) -> None:
    there.fault = killed
    raise Killed


def away(seconds: float) -> Callable[[Cluster], None]:
    def begin(there: Cluster) -> None:
        there.away_until = there.clock + seconds

    return begin


def job_deleted(there: Cluster) -> None:
    there.jobs.clear()


def evicted(there: Cluster) -> None:
    for work in there.jobs.values():
        if not work.ended:
            work.failed = "Evicted"


def breaks(step: str, words: str) -> Callable[[Cluster], None]:
    def begin(there: Cluster) -> None:
        there.broken[step] = words

    return begin


FAULTS = {
    "interrupted": interrupted,
    "killed": killed,
    "API away for a moment": away(20),
    "API away for long": away(400),
    "Job deleted": job_deleted,
    "pod evicted": evicted,
    "store answers 503": breaks("fetch", "the store store: status 503"),
    "wrong key": breaks("fetch", "cannot be opened: No matching keys found"),
    "truncated dump": breaks("save", "the dump is not whole"),
    "disk full": breaks("load", "ERROR 1114: the table is full"),
    "other rows": breaks("compare", "the restored database differs"),
}


@pytest.mark.parametrize("seed", range(60))
def test_any_two_faults_leave_a_running_application_or_the_command_that_brings_it_back(
    cluster: Cluster, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    chosen = [FAULTS[name] for name in draw.choices(sorted(FAULTS), k=draw.choice((1, 1, 2)))]
    moments = dict(zip((draw.randrange(1, 60) for _ in chosen), chosen, strict=True))

    def fault(there: Cluster) -> None:
        if there.calls in moments:
            moments[there.calls](there)

    cluster.fault = fault
    command, failure = COMMAND, ""
    try:
        type_in(COMMAND)
    except DeliveryError as error:
        failure = str(error)
        command = typed(failure) if not cluster.running else []
    except (Killed, KeyboardInterrupt):
        command = COMMAND if not cluster.running else []
    else:
        assert (cluster.data, cluster.running) == (cluster.store[BACKUP], True)
        command = []
    if "runs on the data from before" in failure:
        assert (cluster.data, cluster.running) == (BEFORE, True)
    cluster.fault, cluster.broken, cluster.away_until = lambda there: None, {}, 0
    assert BEFORE in (cluster.data, *cluster.store.values())
    if command:
        type_in(command)
    assert cluster.running
    assert cluster.whole
    assert BEFORE in (cluster.data, *cluster.store.values())


def test_the_backup_that_is_named_is_the_one_of_before_the_first_try(cluster: Cluster) -> None:
    cluster.fault = lambda there: killed(there) if there.partial else None
    with pytest.raises(Killed):
        type_in(COMMAND)
    (safety,) = [name for name, data in cluster.store.items() if data == BEFORE]
    cluster.fault, cluster.broken = lambda there: None, {"load": "the table is full"}
    with pytest.raises(DeliveryError, match=rf"this brings it back: `make restore .*--backup {safety} "):
        type_in(COMMAND)

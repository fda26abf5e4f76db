"""New passwords, whatever happens meanwhile: the application and the server always share one."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from delivery import credentials, rotation
from delivery.credentials import DATABASE
from delivery.render import Render
from delivery.rotation import ROTATED, STATE
from delivery.shell import DeliveryError
from tests.delivery.fake import Killed
from tests.delivery.faults import away, drawn, interrupted, killed, lost, mended
from tests.delivery.small import Stage, render

SECRET = f"secret/{DATABASE}"


def passwords(stage: Stage) -> dict[str, str]:
    found = credentials.read(stage.cluster, DATABASE)
    return {key: found[key] for key in ROTATED}


def begun(stage: Stage) -> bool:
    found = stage.cluster.get(SECRET) or {}
    return STATE in found["metadata"].get("annotations", {})


def test_every_account_has_a_new_password_and_the_old_one_is_refused(stage: Stage) -> None:
    before, pods = passwords(stage), set(stage.cluster.pods("track=stable"))
    stage.type_in("rotate", "prod")
    after = passwords(stage)
    assert not set(before.values()) & set(after.values())
    assert stage.database.passwords == {key: [after[key]] for key in ROTATED}
    assert not pods & set(stage.cluster.pods("track=stable"))
    assert not begun(stage)


def test_the_accounts_that_start_with_the_database_keep_their_passwords(stage: Stage) -> None:
    before = credentials.read(stage.cluster, DATABASE)
    stage.type_in("rotate", "prod")
    after = credentials.read(stage.cluster, DATABASE)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {*ROTATED, *changed.intersection({"password"})}


def test_pods_that_do_not_come_back_leave_the_old_passwords_valid(stage: Stage) -> None:
    stage.type_in("rotate", "prod")
    old = passwords(stage)
    stage.cluster.server.ill = {"worker": "CrashLoopBackOff"}
    with pytest.raises(DeliveryError, match="CrashLoopBackOff"):
        stage.type_in("rotate", "prod")
    assert stage.database.passwords == {key: [old[key], passwords(stage)[key]] for key in ROTATED}
    assert begun(stage)
    stage.cluster.server.ill = {}
    stage.type_in("rotate", "prod")
    assert stage.database.passwords == {key: [passwords(stage)[key]] for key in ROTATED}


def test_a_secret_of_a_controller_is_taken_up_as_it_is(stage: Stage) -> None:
    maker = stage.cluster.get("deployment/worker") or {}
    owner = {"kind": "Deployment", "name": "worker", "uid": maker["metadata"]["uid"]}
    stage.cluster.by_hand(SECRET, {"metadata": {"ownerReferences": [owner]}})
    before = passwords(stage)
    stage.type_in("rotate", "prod")
    assert passwords(stage) == before
    assert stage.database.passwords == {key: [before[key]] for key in ROTATED}


def test_a_key_that_the_secret_lacks_is_added_before_anything_changes(stage: Stage) -> None:
    stage.cluster.by_hand(SECRET, {"data": {"exporter-password": None}})
    stage.type_in("rotate", "prod")
    assert passwords(stage)["exporter-password"]


def test_a_release_without_the_job_is_an_error_that_says_so(stage: Stage) -> None:
    older = Render.of(body for body in render("1").objects if body["kind"] != "Job")
    with pytest.raises(DeliveryError, match="the release has no Job accounts"):
        rotation.accounts(stage.cluster, older, "--forget")


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_a_password_of_the_secret_is_valid_and_the_next_run_ends_the_rotation(
    stage: Stage, seed: int
) -> None:
    stage.type_in("rotate", "prod")
    old = passwords(stage)
    faults = {
        "interrupted": interrupted,
        "killed": killed,
        "answer lost": lost,
        "API away for a moment": away(20),
        "API away for long": away(400),
    }
    drawn(stage.cluster, random.Random(seed), faults, 60)  # noqa: S311 (nothing secret is drawn)
    with suppress(DeliveryError, KeyboardInterrupt, Killed):
        stage.type_in("rotate", "prod")
    mended(stage.cluster)
    now, valid = passwords(stage), stage.database.passwords
    assert all(old[key] in valid[key] or now[key] in valid[key] for key in ROTATED)
    stage.cluster.pause(40)
    stage.type_in("rotate", "prod")
    assert stage.database.passwords == {key: [passwords(stage)[key]] for key in ROTATED}
    assert not begun(stage)
    assert stage.serving == {"1"}

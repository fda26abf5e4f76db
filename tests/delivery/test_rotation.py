"""New passwords, whatever happens meanwhile: the application and the server always share one."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from app.credentials import CERTIFICATE, PASSWORDS
from delivery import credentials, rotation, server
from delivery.credentials import DATABASE, STATE
from delivery.render import Render
from delivery.shell import DeliveryError
from tests.delivery.database import ROTATED, mounted_of
from tests.delivery.fake import Killed
from tests.delivery.faults import COMMON, drawn, mended, typed
from tests.delivery.small import PROD, Stage, heard, render

SECRET = f"secret/{DATABASE}"


def passwords(stage: Stage) -> dict[str, str]:
    found = credentials.read(stage.cluster, DATABASE)
    return {key: found[key] for key in ROTATED}


def shared(stage: Stage) -> bool:
    """Whether the server goes by the Secret in all that its pod alone needs."""
    return stage.database.known == mounted_of(stage.cluster.server, stage.cluster.namespace)


def begun(stage: Stage) -> bool:
    found = stage.cluster.get(SECRET) or {}
    return STATE in found["metadata"].get("annotations", {})


def test_every_account_has_a_new_password_and_the_old_one_is_refused(stage: Stage) -> None:
    before, pods = passwords(stage), set(stage.cluster.pods("track=stable"))
    rotation.rotate(stage.target)
    after = passwords(stage)
    assert not set(before.values()) & set(after.values())
    assert stage.database.passwords == {key: [after[key]] for key in ROTATED}
    assert not pods & set(stage.cluster.pods("track=stable"))
    assert not begun(stage)


def changed(stage: Stage, *arguments: str) -> set[str]:
    """The keys of the Secret that a rotation has changed."""
    before = credentials.read(stage.cluster, DATABASE)
    stage.type_in("rotate", "prod", *arguments)
    after = credentials.read(stage.cluster, DATABASE)
    return {key for key in after if before[key] != after[key]}


def told(keys: set[str], what: str) -> list[str]:
    """What whoever rotates reads first and last."""
    first = f"set {', '.join(sorted(keys))} of Secret {PROD.namespace}/{DATABASE}"
    learned = "the database takes up passwords of the Secret"
    return [first, learned, f"the {what} of prod are new, and the old ones are refused"]


def test_every_password_is_rotated_and_the_database_s_pod_stays(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = stage.cluster.pods("app.kubernetes.io/component=database")
    heard(capsys)
    assert changed(stage) == set(PASSWORDS)
    first, learned, *_, last = heard(capsys)
    assert [first, learned, last] == told(set(PASSWORDS), "passwords")
    assert shared(stage)
    assert stage.cluster.pods("app.kubernetes.io/component=database") == pods


def test_with_its_option_the_certificate_is_rotated_too_and_trusted_before_it_is_used(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    # As an editor may leave it, without the line's end.
    old, trusted = stage.database.known["tls.crt"].strip(), []
    stage.cluster.by_hand(SECRET, {"stringData": {"tls.crt": old, "ca.crt": old}})

    def look(cluster: object, operation: str, name: str) -> None:
        if operation == "exec":
            authorities = credentials.read(stage.cluster, DATABASE)["ca.crt"]
            trusted.append(stage.database.known["tls.crt"].strip() in authorities)
            trusted.append("----------" not in authorities)

    stage.cluster.faults.after = look
    heard(capsys)
    assert changed(stage, "--certificate") == {*PASSWORDS, *CERTIFICATE}
    first, learned, *_, last = heard(capsys)
    assert [first, learned, last] == told({*PASSWORDS, "ca.crt"}, "passwords and the certificate")
    assert shared(stage)
    assert all(trusted)
    assert old not in credentials.read(stage.cluster, DATABASE)["ca.crt"]


def test_a_certificate_of_another_authority_is_not_made_here(stage: Stage) -> None:
    stage.cluster.by_hand(SECRET, {"stringData": {"ca.crt": "another authority"}})
    before = credentials.read(stage.cluster, DATABASE)
    with pytest.raises(DeliveryError, match="is not signed by itself"):
        stage.type_in("rotate", "prod", "--certificate")
    assert credentials.read(stage.cluster, DATABASE) == before


@pytest.mark.parametrize("key", PASSWORDS)
def test_a_password_that_somebody_typed_is_taken_up_as_it_is(
    stage: Stage, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated = {"metadata": {"annotations": {STATE: "begun"}}}
    stage.cluster.by_hand(SECRET, {"stringData": {key: "typed"}, **annotated})
    before = credentials.read(stage.cluster, DATABASE)
    heard(capsys)
    stage.type_in("rotate", "prod", "--by-hand")
    taken = f"taking up what somebody put into Secret {stage.cluster.namespace}/{DATABASE}"
    assert taken in heard(capsys)
    assert credentials.read(stage.cluster, DATABASE) == before
    assert not begun(stage)
    assert shared(stage)
    assert stage.database.passwords == {role: [before[role]] for role in ROTATED}


@pytest.mark.parametrize("key", server.PASSWORDS)
def test_a_delivery_takes_up_what_somebody_typed(stage: Stage, key: str) -> None:
    stage.cluster.by_hand(SECRET, {"stringData": {key: "typed"}})
    stage.deploy("2")
    assert shared(stage)
    assert stage.serving == {"2"}


def test_a_server_that_cannot_learn_keeps_what_it_starts_with(stage: Stage) -> None:
    stage.database.keeps = False
    before = credentials.read(stage.cluster, DATABASE)
    stage.type_in("rotate", "prod")
    after = credentials.read(stage.cluster, DATABASE)
    assert {key for key in after if before[key] != after[key]} == set(ROTATED)
    with pytest.raises(DeliveryError, match="can take up a certificate"):
        stage.type_in("rotate", "prod", "--certificate")


def test_a_secret_that_does_not_reach_the_pod_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.cluster.by_hand(SECRET, {"stringData": {"accounts-password": "typed"}})
    monkeypatch.setattr(server, "MOUNTED", server.KNOWN)
    # So that it looks every two seconds.
    stage.cluster.faults.latency = 0
    before = stage.cluster.now()
    with pytest.raises(DeliveryError, match="mysql-0 has not got the Secret as it is now within 180 s"):
        stage.deploy("2")
    assert 179.9 < stage.cluster.now() - before < 182.1
    assert stage.serving == {"1"}


def test_a_deleted_secret_comes_back_by_two_commands(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The server goes by what it knows, and every pod lets go of its password only when it has another."""
    known = dict(stage.database.known)
    stage.cluster.delete(SECRET)
    with pytest.raises(DeliveryError) as refused:
        stage.deploy("2")
    heard(capsys)
    stage.type_in(*typed(str(refused.value)))
    kept = ", ".join(sorted({*server.PASSWORDS, *server.CERTIFICATE}))
    assert f"{kept} are the running database's; the others are new" in heard(capsys)
    assert begun(stage)
    assert stage.database.known == known
    assert shared(stage)
    held = {key: list(valid) for key, valid in stage.database.passwords.items()}
    began = stage.cluster.now()
    stage.type_in("rotate", "prod")
    assert heard(capsys)[0] == "finishing the rotation before"
    assert stage.cluster.now() - began < 120
    assert stage.database.passwords == {key: [passwords(stage)[key]] for key in ROTATED}
    assert not {password for valid in held.values() for password in valid} & set(passwords(stage).values())
    assert shared(stage)
    stage.deploy("2")
    assert stage.serving == {"2"}


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


def test_a_secret_that_nobody_may_complete_is_an_error_before_anything_changes(stage: Stage) -> None:
    stage.cluster.by_hand(SECRET, {"data": {"exporter-password": None}})
    stage.cluster.forbidden.add(("patch", "Secret"))
    with pytest.raises(DeliveryError, match="lacks exporter-password"):
        rotation.rotate(stage.target)
    assert not begun(stage)


def test_a_release_without_the_job_is_an_error_that_says_so(stage: Stage) -> None:
    older = Render.of(body for body in render("1").objects if body["kind"] != "Job")
    with pytest.raises(DeliveryError, match="the release has no Job accounts"):
        rotation.accounts(stage.cluster, older, "--forget")


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_a_password_of_the_secret_is_valid_and_the_next_run_ends_the_rotation(
    stage: Stage, seed: int
) -> None:
    stage.type_in("rotate", "prod")
    old = passwords(stage)
    drawn(stage.cluster, random.Random(seed), COMMON, 60)  # noqa: S311 (nothing secret is drawn)
    options = random.Random(seed).choice(([], ["--certificate"]))  # noqa: S311 (nor this)
    with suppress(DeliveryError, KeyboardInterrupt, Killed):
        stage.type_in("rotate", "prod", *options)
    mended(stage.cluster)
    now, valid = passwords(stage), stage.database.passwords
    assert all(old[key] in valid[key] or now[key] in valid[key] for key in ROTATED)
    stage.cluster.pause(40)
    stage.type_in("rotate", "prod")
    assert stage.database.passwords == {key: [passwords(stage)[key]] for key in ROTATED}
    assert shared(stage)
    assert not begun(stage)
    assert stage.serving == {"1"}


def test_an_answer_of_the_database_that_is_cut_off_stops_a_command_in_one_line(stage: Stage) -> None:
    whole = stage.cluster.server.programs["mysql"]
    stage.cluster.server.programs["mysql"] = lambda pod, command: whole(pod, command)[:-3]
    with pytest.raises(DeliveryError, match="the answer of mysql-0 was cut off; type the same command"):
        stage.type_in("rotate", "prod")
    stage.cluster.server.programs["mysql"] = whole
    stage.type_in("rotate", "prod")


def test_passwords_that_a_database_on_its_way_would_not_learn_are_not_rotated(stage: Stage) -> None:
    before = credentials.read(stage.cluster, DATABASE)
    stage.cluster.delete("pod/mysql-0")
    with pytest.raises(DeliveryError, match="`make status ENV=prod` shows its pod"):
        stage.type_in("rotate", "prod")
    assert credentials.read(stage.cluster, DATABASE) == before
    stage.cluster.pause(20)
    stage.type_in("rotate", "prod")
    assert credentials.read(stage.cluster, DATABASE)["rootpassword"] != before["rootpassword"]

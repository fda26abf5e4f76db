from __future__ import annotations

import base64

import pytest

from app import credentials as keys
from delivery import credentials
from delivery.cluster import ConflictError
from delivery.credentials import DATABASE, ensure_backup, ensure_database, read, require_database
from delivery.shell import DeliveryError
from tests.delivery.small import PROD, Stage

SECRET = f"secret/{DATABASE}"


def test_a_namespace_without_the_secret_gets_one_that_lacks_nothing(empty: Stage) -> None:
    empty.cluster.delete(SECRET)
    ensure_database(empty.cluster)
    assert keys.missing(read(empty.cluster, DATABASE)) == set()


def test_what_is_there_is_not_changed(empty: Stage) -> None:
    before = empty.cluster.get(SECRET)
    ensure_database(empty.cluster)
    assert empty.cluster.get(SECRET) == before


def test_the_two_keys_of_the_document_get_what_they_lack(empty: Stage) -> None:
    empty.cluster.delete(SECRET)
    typed = {"user": "root", "rootpassword": "of the document"}
    empty.cluster.create(credentials.secret(PROD.namespace, DATABASE, typed))
    require_database(PROD, empty.cluster)
    found = read(empty.cluster, DATABASE)
    assert {key: found[key] for key in typed} == typed
    assert keys.missing(found) == set()


def test_a_secret_that_somebody_changes_meanwhile_is_not_overwritten(empty: Stage) -> None:
    key = "app-password"
    empty.cluster.by_hand(SECRET, {"data": {key: None}})

    def faster(cluster: object, operation: str, name: str) -> None:
        if operation == "patch":
            empty.cluster.by_hand(SECRET, {"stringData": {key: "somebody's own"}})

    empty.cluster.faults.before = faster
    with pytest.raises(ConflictError):
        ensure_database(empty.cluster)
    assert read(empty.cluster, DATABASE)[key] == "somebody's own"


def test_whoever_lacks_the_right_to_add_a_key_learns_who_has_it(empty: Stage) -> None:
    empty.cluster.by_hand(SECRET, {"data": {"app-password": None}})
    empty.cluster.forbidden.add(("patch", "Secret"))
    with pytest.raises(DeliveryError, match=r"lacks app-password; an administrator's `make credentials"):
        require_database(PROD, empty.cluster)


def test_a_key_that_a_controller_has_to_add_is_named_with_it(empty: Stage) -> None:
    owner = {"kind": "ExternalSecret", "name": "db", "apiVersion": "v1", "uid": "1"}
    empty.cluster.by_hand(SECRET, {"data": {"app-password": None}, "metadata": {"ownerReferences": [owner]}})
    empty.cluster.forbidden.add(("patch", "Secret"))
    with pytest.raises(DeliveryError, match="lacks app-password; it comes from ExternalSecret"):
        require_database(PROD, empty.cluster)


def test_a_secret_that_no_server_can_use_is_an_error_that_names_it(empty: Stage) -> None:
    empty.cluster.by_hand(SECRET, {"stringData": {"user": "admin"}})
    with pytest.raises(DeliveryError, match=f"Secret {PROD.namespace}/{DATABASE}: user is 'admin'"):
        ensure_database(empty.cluster)


def test_the_backup_key_is_made_once(empty: Stage) -> None:
    ensure_backup(empty.cluster)
    first = read(empty.cluster, "backup")
    ensure_backup(empty.cluster)
    assert read(empty.cluster, "backup") == first
    assert first["identity"].startswith("AGE-SECRET-KEY-")
    assert first["recipients"].startswith("age1")


def test_no_value_is_printed(empty: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    empty.cluster.delete(SECRET)
    ensure_database(empty.cluster)
    ensure_backup(empty.cluster)
    text = "".join(capsys.readouterr())
    values = [*read(empty.cluster, DATABASE).values(), *read(empty.cluster, "backup").values()]
    assert not [value for value in values if len(value) > 15 and value in text]


def test_a_value_that_is_no_text_is_named_with_its_secret(stage: Stage) -> None:
    stage.cluster.by_hand(f"secret/{DATABASE}", {"data": {"app-password": base64.b64encode(b"\xff").decode()}})
    for command in ("deploy", "rotate"):
        with pytest.raises(DeliveryError, match="/db-credentials: the value of app-password is no text"):
            stage.deploy("2") if command == "deploy" else stage.type_in(command, "prod")
    assert stage.serving == {"1"}

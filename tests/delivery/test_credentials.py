from __future__ import annotations

import base64
import re

import pytest

from app import credentials as keys
from delivery import credentials
from delivery.cluster import ConflictError
from delivery.credentials import DATABASE, ensure_backup, ensure_database, read, require_database
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster
from tests.delivery.faults import refused, typed
from tests.delivery.small import HOST, PROD, Stage, heard

SECRET = f"secret/{DATABASE}"


def test_a_namespace_without_the_secret_gets_one_that_lacks_nothing(
    empty: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    empty.cluster.delete(SECRET)
    heard(capsys)
    ensure_database(empty.cluster)
    assert heard(capsys) == [f"created Secret {PROD.namespace}/{DATABASE}"]
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


def site(stage: Stage, *hosts: str, authority: str = "", **annotations: str) -> None:
    """A certificate for some hosts in Secret `web-tls`."""
    key, certificate = keys.self_signed(list(hosts), days=1)
    content = {"tls.crt": certificate, "tls.key": key, "ca.crt": authority or certificate}
    body = credentials.secret(PROD.namespace, "web-tls", content, "kubernetes.io/tls")
    body["metadata"]["annotations"] = annotations
    stage.cluster.create(body)


def test_a_certificate_for_another_host_stops_a_delivery_which_says_how_to_get_one(stage: Stage) -> None:
    site(stage, "other.example")
    with pytest.raises(
        DeliveryError, match=f"^Secret {PROD.namespace}/web-tls: tls.crt is not for {HOST}; "
    ) as refused:
        stage.deploy("2")
    assert stage.serving == {"1"}
    assert "\n" not in str(refused.value)
    (away, again) = re.findall("`(.*?)`", str(refused.value))
    assert away == f"kubectl -n {PROD.namespace} delete secret web-tls"
    stage.cluster.delete("secret/web-tls")
    stage.type_in(*typed(f"`{again}`"))
    stage.deploy("2")
    assert stage.serving == {"2"}
    assert keys.fault(*(read(stage.cluster, "web-tls")[key] for key in ("tls.crt", "tls.key")), HOST) == ""


def test_a_certificate_of_some_authority_is_not_to_be_made_here(stage: Stage) -> None:
    site(stage, "other.example", authority="of somebody")
    with pytest.raises(DeliveryError, match=r"docs/secrets\.md .* has the way back"):
        stage.deploy("2")


@pytest.mark.parametrize("name", ["web-tls", DATABASE])
@pytest.mark.parametrize("damage", ["kaos{0}", "{1}"], ids=["no certificate", "of another"])
def test_an_authority_that_did_not_sign_stops_a_delivery(stage: Stage, name: str, damage: str) -> None:
    site(stage, HOST)
    _, another = keys.self_signed(["another.example"], days=1)
    authority = damage.format(read(stage.cluster, name)["ca.crt"], another)
    stage.cluster.by_hand(f"secret/{name}", {"stringData": {"ca.crt": authority}})
    refused = f"/{name}: ca.crt is not the authority that signed tls.crt; docs/secrets.md"
    with pytest.raises(DeliveryError, match=refused):
        stage.deploy("2")
    assert stage.serving == {"1"}


def test_a_certificate_that_cert_manager_renews_stops_no_delivery(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    site(stage, "other.example", **{"cert-manager.io/certificate-name": "web-tls"})
    stage.deploy("2")
    assert f"is not for {HOST}; cert-manager has to make another" in capsys.readouterr().err
    assert stage.serving == {"2"}


@pytest.mark.parametrize("there", [False, True, None], ids=["none", "there", "unknown"])
def test_a_certificate_is_made_here_where_no_cert_manager_would_make_it(stage: Stage, there: bool | None) -> None:
    def unknown(cluster: FakeCluster, operation: str, name: str) -> None:
        if name.startswith("apiservice/"):
            refused(cluster, operation, name)

    stage.cluster.by_hand("ingress/web", {"metadata": {"annotations": {"cert-manager.io/cluster-issuer": "x"}}})
    if there is None:
        stage.cluster.faults.before = unknown
    elif there:
        service = {"name": "v1.cert-manager.io"}
        stage.cluster.create({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": service})
    stage.type_in("credentials", "prod")
    assert bool(read(stage.cluster, "web-tls")) is (there is False)


def test_a_database_s_certificate_with_another_key_stops_a_delivery(stage: Stage) -> None:
    key, _ = keys.self_signed(["mysql"], days=1)
    stage.cluster.by_hand(SECRET, {"stringData": {"tls.key": key}})
    with pytest.raises(DeliveryError, match=f"{DATABASE}: tls.key is not the key of tls.crt; docs/secrets"):
        stage.deploy("2")
    assert stage.serving == {"1"}
    # What the runbook says: the running server still has it.
    stage.cluster.by_hand(SECRET, {"data": dict.fromkeys(keys.CERTIFICATE)})
    stage.type_in("credentials", "prod")
    stage.deploy("2")
    assert stage.serving == {"2"}


def test_a_database_s_certificate_that_expired_is_made_anew_and_taken_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = stage.database.known["tls.crt"]
    expired = "tls.crt expired on some day"
    fault = keys.fault
    monkeypatch.setattr(keys, "fault", lambda text, *more: expired if text == old else fault(text, *more))
    with pytest.raises(DeliveryError, match=expired):
        stage.deploy("2")
    stage.cluster.by_hand(SECRET, {"data": dict.fromkeys(keys.CERTIFICATE)})
    heard(capsys)
    stage.type_in("credentials", "prod")
    assert heard(capsys)[0] == f"set {', '.join(sorted(keys.CERTIFICATE))} of Secret {PROD.namespace}/{DATABASE}"
    stage.type_in("rotate", "prod", "--by-hand")
    assert stage.database.known["tls.crt"] == read(stage.cluster, DATABASE)["tls.crt"] != old
    stage.deploy("2")
    assert stage.serving == {"2"}


def test_without_openssl_a_delivery_says_that_it_did_not_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    keys._read.cache_clear()
    stage.deploy("2")
    assert "the certificates were not looked at: openssl cannot be run" in capsys.readouterr().err

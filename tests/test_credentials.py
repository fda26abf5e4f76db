from __future__ import annotations

import socket
import ssl
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
import yaml

from app import credentials
from app.credentials import CERTIFICATE, PASSWORDS, USERS, CredentialsError, additions, followed, missing

EXAMPLE = Path(__file__).parent.parent / "base" / "mysql" / "secret-example.yaml"
TYPED = {"user": "root", "rootpassword": "XXX"}
# As `make up` and SOPS files of v0.1.0 have it.
OLD = (
    {"user": "school_schedule", "password": "of the application"}
    | {
        f"{role}-{part}": f"{role} {part}"
        for role in ("migration", "backup", "exporter", "accounts")
        for part in ("user", "password")
    }
    | {"rootpassword": "XXX", "ca.crt": "a", "tls.crt": "a", "tls.key": "b"}
)


def test_the_document_s_line_becomes_all_that_the_example_lists() -> None:
    complete = TYPED | additions(TYPED, "namespace")
    assert complete.keys() == yaml.safe_load(EXAMPLE.read_text())["stringData"].keys()
    assert missing(complete) == set()
    assert complete["user"] == "root" and complete["rootpassword"] == "XXX"


def test_no_account_is_root_and_no_two_passwords_are_equal() -> None:
    complete = TYPED | additions(TYPED, "namespace")
    assert "root" not in [complete[key] for key in USERS if key != "user"]
    assert len({complete[key] for key in PASSWORDS}) == len(PASSWORDS)
    assert min(len(complete[key]) for key in PASSWORDS if key != "rootpassword") > 40


@pytest.mark.parametrize("blank", ["", "\n", "\n\n"])
def test_an_empty_value_is_a_missing_one(blank: str) -> None:
    complete = TYPED | additions(TYPED, "namespace")
    more = additions(complete | {"backup-password": blank}, "namespace")
    assert more.keys() == {"backup-password"}
    assert more["backup-password"] not in ("", complete["backup-password"])


def test_what_is_complete_gets_nothing() -> None:
    assert additions(TYPED | additions(TYPED, "namespace"), "namespace") == {}


def test_the_application_keeps_the_account_of_the_release_before() -> None:
    assert additions(OLD, "namespace") == {"app-user": "school_schedule", "app-password": "of the application"}


def test_a_password_of_root_s_never_becomes_the_application_s() -> None:
    more = additions(OLD | {"user": "root"}, "namespace")
    assert more["app-user"] == "school_schedule"
    assert more["app-password"] != OLD["password"]


def test_a_rotation_reaches_a_release_that_may_come_back() -> None:
    complete = OLD | additions(OLD, "namespace")
    assert followed(complete, {"app-password": "new"}) == {"password": "new"}
    assert followed(complete, {"backup-password": "new"}) == {}
    assert followed(TYPED | additions(TYPED, "namespace"), {"app-password": "new"}) == {}


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (TYPED | {"user": "admin"}, "user is 'admin': the database's image makes no administrator but root"),
        (TYPED | {"app-user": "root"}, "none is root"),
        (TYPED | {"app-user": "accounts"}, "have five names"),
        (OLD | {"user": "backup user"}, "have five names"),
        (TYPED | {"tls.crt": "a"}, "there is tls.crt without ca.crt, tls.key"),
        (OLD | {"tls.key": ""}, "there is ca.crt, tls.crt without tls.key"),
    ],
)
def test_what_adding_cannot_mend_is_refused_with_its_reason(there: dict[str, str], reason: str) -> None:
    with pytest.raises(CredentialsError, match=reason) as refused:
        additions(there, "namespace")
    assert "XXX" not in str(refused.value)


def test_a_provider_s_authority_stays() -> None:
    assert not set(CERTIFICATE) & additions(TYPED | {"ca.crt": "the provider's"}, "namespace").keys()


def test_the_certificate_is_the_server_s_whom_clients_know_as_mysql(tmp_path: Path) -> None:
    made = additions(TYPED, "school")
    for name in CERTIFICATE:
        (tmp_path / name).write_text(made[name])
    ours, theirs = socket.socketpair()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=tmp_path / "ca.crt")
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    for end in (ours, theirs):
        end.setblocking(False)
    ends = [
        server.wrap_socket(ours, server_side=True, do_handshake_on_connect=False),
        client.wrap_socket(theirs, server_hostname="mysql.school.svc", do_handshake_on_connect=False),
    ]
    done: set[ssl.SSLSocket] = set()
    for _ in range(10):
        for side in ends:
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    assert done == set(ends)
    for side in ends:
        side.close()


def test_without_openssl_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CredentialsError, match="openssl cannot be run"):
        credentials.self_signed(["mysql"], 1)


def certificate() -> tuple[str, str]:
    """One for two hosts, and its key."""
    key, certificate = credentials.self_signed(["a.example", "*.b.example"], days=3)
    return certificate, key


def test_a_certificate_for_its_hosts_has_no_fault() -> None:
    assert credentials.fault(*certificate(), "a.example", "any.b.example") == ""


def test_what_is_wrong_with_a_certificate_is_said() -> None:
    good, key = certificate()
    other, _ = certificate()
    wrong = credentials.fault(good, key, "a.example", "c.example", "d.example")
    assert wrong == "tls.crt is not for c.example, d.example"
    assert credentials.fault(other, key, "a.example") == "tls.key is not the key of tls.crt"
    for texts in (("", ""), ("x", key), (good, ""), (good, good)):
        assert "are not a certificate and a key" in credentials.fault(*texts, "a.example")


@pytest.mark.parametrize(("year", "fault"), [(2020, "tls.crt is not valid before "), (2100, "tls.crt expired on ")])
def test_a_certificate_at_another_time_is_a_fault(monkeypatch: pytest.MonkeyPatch, year: int, fault: str) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls(year, 1, 1, tzinfo=tz)

    monkeypatch.setattr(credentials, "datetime", Clock)
    assert credentials.fault(*certificate(), "a.example").startswith(fault)

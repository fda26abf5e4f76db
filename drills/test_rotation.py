"""Passwords and certificates change under traffic, by command and by hand: no request is lost, the old ones end."""

from __future__ import annotations

import secrets
import time

import pytest

from app import credentials as keys
from delivery import credentials, rotation, server
from delivery.kubectl import kubectl
from delivery.shell import HEIGHT, DeliveryError
from drills.conftest import Stage
from drills.watching import Watch, until
from smoke_tests.environment import Environment
from smoke_tests.test_accounts import test_no_account_of_the_database_is_without_a_password as nobody_without_a_password

# Whether the application's account may log in with the password on standard input.
LOGIN = """
import sys
from sqlalchemy.exc import OperationalError
from app import database, settings
variables = settings.load().model_copy(update={"db_password": settings.SecretStr(sys.stdin.read())})
try:
    database.connect(variables).connect().close()
    print("accepted")
except OperationalError as error:
    print(error.orig.args[0])
"""


def login(stage: Stage, password: str) -> str:
    command = ("exec", "-i", "deployment/school-scheduler", "-c", "school-scheduler", "--", "python", "-c", LOGIN)
    return kubectl("-n", stage.namespace, *command, stdin=password).strip()


def database(stage: Stage) -> tuple[str, int, bool]:
    """Which pod the database is, how often it was restarted, and whether it is ready."""
    pod = stage.find("pod/mysql-0")
    (status,) = pod["status"].get("containerStatuses", [{"restartCount": 0, "ready": False}])
    return pod["metadata"]["uid"], status["restartCount"], status["ready"]


def by_hand(stage: Stage, values: dict[str, str]) -> None:
    """As `kubectl edit` leaves it."""
    stage.cluster.patch("secret/db-credentials", {"stringData": values})


def test_a_rotation_loses_no_request_and_ends_the_old_passwords(stage: Stage, watch: Watch) -> None:
    before, pod = credentials.read(stage.cluster, "db-credentials"), database(stage)
    with stage.traffic() as answers:
        rotation.rotate(stage.target)
    after = credentials.read(stage.cluster, "db-credentials")
    up = f'mysql_up{{namespace="{stage.namespace}"}}'
    seen = f"{up} == 1 and timestamp({up}) > {time.time():.0f}"
    until(lambda: watch.query(seen), seconds=60)
    assert [answer for answer in answers if answer.error] == []
    assert len(answers) > 100
    followers = keys.followed(before, after)
    assert {key for key in before if before[key] != after[key]} == {*keys.PASSWORDS, *followers}
    assert followers.items() <= after.items()
    assert [login(stage, secret["app-password"]) for secret in (before, after)] == ["1045", "accepted"]
    assert database(stage) == pod
    nobody_without_a_password(Environment(stage.namespace, stage.render(stage.good), version="", source=""))


@pytest.mark.slow
def test_a_rotation_of_the_certificate_loses_no_request(stage: Stage) -> None:
    before, pod = credentials.read(stage.cluster, "db-credentials"), database(stage)
    with stage.traffic() as answers:
        rotation.rotate(stage.target, certificate=True)
    after = credentials.read(stage.cluster, "db-credentials")
    assert [answer for answer in answers if answer.error] == []
    assert {key for key in keys.CERTIFICATE if before[key] != after[key]} == set(keys.CERTIFICATE)
    assert server.known(stage.cluster)["tls.crt"] == after["tls.crt"] == after["ca.crt"]
    assert database(stage) == pod
    stage.target.proofs.smoke(stage.environment, stage.render(stage.good))


@pytest.mark.slow
def test_every_password_can_be_typed_and_the_database_stays_ready_meanwhile(stage: Stage) -> None:
    pod = database(stage)
    typed = {key: secrets.token_urlsafe(16) for key in keys.PASSWORDS}
    with stage.traffic() as answers:
        by_hand(stage, typed)
        ended = time.monotonic() + 100
        while time.monotonic() < ended:
            # By then the pod has the Secret, and its server not yet.
            assert database(stage) == pod
            time.sleep(2)
        rotation.rotate(stage.target, by_hand=True)
    assert [answer for answer in answers if answer.error] == []
    assert typed.items() <= credentials.read(stage.cluster, "db-credentials").items()
    assert login(stage, typed["app-password"]) == "accepted"
    assert database(stage) == pod
    stage.deploy(stage.good)


@pytest.mark.slow
def test_a_certificate_can_be_brought_by_hand_in_three_steps(stage: Stage) -> None:
    before = credentials.read(stage.cluster, "db-credentials")
    key, certificate = keys.self_signed(["mysql"], days=30)
    steps = (
        {"ca.crt": before["ca.crt"] + certificate},
        {"tls.crt": certificate, "tls.key": key},
        {"ca.crt": certificate},
    )
    with stage.traffic() as answers:
        for step in steps:
            by_hand(stage, step)
            rotation.rotate(stage.target, by_hand=True)
    assert [answer for answer in answers if answer.error] == []
    assert server.known(stage.cluster)["tls.crt"].strip() == certificate.strip()
    stage.target.proofs.smoke(stage.environment, stage.render(stage.good))


@pytest.mark.slow
def test_a_deleted_secret_comes_back_by_two_commands_and_no_request_is_lost(stage: Stage) -> None:
    before = credentials.read(stage.cluster, "db-credentials")
    with stage.traffic() as answers:
        stage.cluster.delete("secret/db-credentials")
        with pytest.raises(DeliveryError, match=f"`make credentials ENV={stage.environment.name}` makes it"):
            stage.deploy(stage.good)
        # Until the kubelet has taken the files from the pods, at its slowest.
        time.sleep(100)
        began = time.monotonic()
        credentials.ensure_database(stage.cluster)
        rotation.rotate(stage.target)
    print(f"{time.monotonic() - began:.0f} s from the command until every pod goes by the new Secret")
    assert [answer for answer in answers if answer.error] == []
    after = credentials.read(stage.cluster, "db-credentials")
    assert [after[key] for key in keys.CERTIFICATE] == [before[key] for key in keys.CERTIFICATE]
    assert [login(stage, secret["app-password"]) for secret in (before, after)] == ["1045", "accepted"]
    stage.deploy(stage.good)


@pytest.mark.slow
def test_a_secret_that_is_deleted_while_the_database_restarts_comes_back_by_the_same(stage: Stage) -> None:
    stage.cluster.delete("secret/db-credentials", "pod/mysql-0")
    began = time.monotonic()
    credentials.ensure_database(stage.cluster)
    until(lambda: database(stage)[2], seconds=300)
    rotation.rotate(stage.target, by_hand=True)
    print(f"{time.monotonic() - began:.0f} s from the command until every pod goes by the new Secret")
    stage.deploy(stage.good)


def test_a_wrong_certificate_of_the_site_stops_a_delivery_in_one_line(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    if not stage.render(stage.good).tls_hosts:
        pytest.skip("this environment has no TLS")
    before, pods = stage.find("secret/web-tls")["data"], set(stage.pods())
    key, certificate = keys.self_signed(["other.example"], days=1)
    stage.cluster.patch(
        "secret/web-tls", {"stringData": {"tls.key": key, "tls.crt": certificate, "ca.crt": certificate}}
    )
    capfd.readouterr()
    began = time.monotonic()
    try:
        with pytest.raises(DeliveryError, match=r"web-tls: tls\.crt is not for .*; `kubectl .* delete secret web-tls`"):
            stage.deploy(stage.good)
    finally:
        stage.cluster.patch("secret/web-tls", {"data": before})
    print(f"{time.monotonic() - began:.0f} s")
    assert len("".join(capfd.readouterr()).splitlines()) <= HEIGHT
    assert set(stage.pods()) == pods

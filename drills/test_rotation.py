"""Passwords change under traffic: no request is lost, the database stays watched, and the old ones are refused."""

from __future__ import annotations

import time

from app import credentials as keys
from delivery import credentials, rotation
from delivery.kubectl import kubectl
from drills.conftest import Stage
from drills.watching import Watch, until

# Whether the application's account may log in with the password on standard input.
LOGIN = """
import sys
from app import database, settings
variables = settings.load().model_copy(update={"db_password": settings.SecretStr(sys.stdin.read())})
try:
    database.connect(variables).connect().close()
    print("accepted")
except database.OperationalError as error:
    print(error.orig.args[0])
"""


def login(stage: Stage, password: str) -> str:
    command = ("exec", "-i", "deployment/school-scheduler", "-c", "school-scheduler", "--", "python", "-c", LOGIN)
    return kubectl("-n", stage.namespace, *command, stdin=password).strip()


def test_a_rotation_loses_no_request_and_ends_the_old_passwords(stage: Stage, watch: Watch) -> None:
    before = credentials.read(stage.cluster, "db-credentials")
    with stage.traffic() as answers:
        rotation.rotate(stage.target)
    after = credentials.read(stage.cluster, "db-credentials")
    up = f'mysql_up{{namespace="{stage.namespace}"}}'
    seen = f"{up} == 1 and timestamp({up}) > {time.time():.0f}"
    until(lambda: watch.query(seen), seconds=60)
    assert [answer for answer in answers if answer.error] == []
    assert len(answers) > 100
    followers = keys.followed(before, after)
    assert {key for key in before if before[key] != after[key]} == {*rotation.ROTATED, *followers}
    assert followers.items() <= after.items()
    assert [login(stage, secret["app-password"]) for secret in (before, after)] == ["1045", "accepted"]

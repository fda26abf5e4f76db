"""Two keys of a person's become an environment that serves, and what adds the others may do this alone."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from app import credentials as keys
from app.cluster import Cluster
from delivery import credentials
from delivery.kubectl import Kubectl, kubectl
from delivery.render import Render
from delivery.shell import DeliveryError
from drills.conftest import Stage
from drills.test_rights import may
from smoke_tests.environment import Environment
from smoke_tests.test_accounts import test_no_account_of_the_database_is_without_a_password as nobody_without_a_password

PASSWORD = "it's \"a\\ #1; é"
# Everything that the account may, and some that it may not.
ALLOWED = """
get secrets/db-credentials, patch secrets/db-credentials, get secrets/web-tls, create secrets/web-tls,
patch secrets/web-tls, get ingresses.networking.k8s.io/web
"""
DENIED = """
create secrets, create secrets/db-credentials, list secrets, delete secrets/db-credentials, get secrets/backup,
update secrets/db-credentials, patch secrets/backup, create secrets/backup, get configmaps, create pods, get pods,
patch ingresses.networking.k8s.io/web, create rolebindings.rbac.authorization.k8s.io, create serviceaccounts/token
"""


@pytest.fixture(scope="module")
def typed(stage: Stage) -> Iterator[str]:
    """A namespace in which a person has typed what the document says, without any Secret but this one."""
    name = f"drill-credentials-{secrets.token_hex(3)}"
    render = stage.render(stage.good)
    text = render.text.replace(stage.namespace, name)
    for rule in render.ingress["spec"]["rules"]:
        text = text.replace(rule["host"], f"{name}.example.org")
    kubectl("create", "namespace", name)
    try:
        values = ("--from-literal=user=root", f"--from-literal=rootpassword={PASSWORD}")
        kubectl("-n", name, "create", "secret", "generic", "db-credentials", *values)
        kubectl("apply", "-f", "-", stdin=text)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def decoded(typed: str, name: str) -> dict[str, str]:
    """The data of a Secret, none where there is none."""
    return credentials.read(Kubectl(typed), name)


@pytest.fixture
def account(typed: str, tmp_path: Path) -> Cluster:
    """The API server, as the Job asks it."""
    view = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))["clusters"][0]["cluster"]
    (tmp_path / "token").write_text(kubectl("-n", typed, "create", "token", "credentials").strip())
    authority = base64.b64decode(view["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return Cluster(view["server"], typed, tmp_path, context)


def test_it_serves_with_two_keys_typed(stage: Stage, typed: str) -> None:
    began = time.monotonic()
    kubectl("-n", typed, "wait", "deployment", "--all", "--for=condition=Available", "--timeout=600s")
    print(f"{time.monotonic() - began:.0f} s from the apply until it serves")
    there = decoded(typed, "db-credentials")
    assert (there["user"], there["rootpassword"]) == ("root", PASSWORD)
    assert keys.missing(there) == set()
    tls = bool(kubectl("-n", typed, "get", "ingress", "web", "-o", "jsonpath={.spec.tls}"))
    assert bool(decoded(typed, "web-tls")) == tls


def test_nobody_gets_in_without_a_password(typed: str) -> None:
    nobody_without_a_password(Environment(typed, Render(""), version="", source=""))


def test_what_the_job_says_has_no_value(typed: str) -> None:
    there = decoded(typed, "db-credentials")
    said = kubectl("-n", typed, "logs", "--all-containers", "--ignore-errors", "--tail=-1", "-l", "environment")
    assert [key for key in keys.PASSWORDS if there[key] in said] == []


def test_the_account_may_do_this_and_nothing_else(typed: str) -> None:
    def allowed(text: str) -> list[str]:
        listed = (each.strip() for each in text.split(","))
        return [each for each in listed if may(f"{typed}:credentials", each, "-n", typed)]

    assert allowed(ALLOWED) == [each.strip() for each in ALLOWED.split(",")]
    assert allowed(DENIED) == []


def test_a_secret_that_was_edited_meanwhile_is_not_overwritten(typed: str, account: Cluster) -> None:
    found = account.get(account.path("v1", "secrets", "db-credentials"))
    assert found
    kubectl("-n", typed, "annotate", "secret", "db-credentials", f"edited={time.time()}", "--overwrite")
    before = decoded(typed, "db-credentials")
    assert not account.change("db-credentials", {"app-password": "another"}, found["metadata"]["resourceVersion"])
    assert decoded(typed, "db-credentials") == before


def test_a_certificate_that_somebody_made_stays(typed: str, account: Cluster) -> None:
    content = {"tls.crt": "a", "tls.key": "b"}
    if not decoded(typed, "web-tls"):
        body = credentials.secret(typed, "web-tls", content, "kubernetes.io/tls")
        kubectl("-n", typed, "create", "-f", "-", stdin=json.dumps(body))
    before = decoded(typed, "web-tls")
    assert not account.create("web-tls", {"tls.crt": "c", "tls.key": "d"}, "kubernetes.io/tls")
    assert decoded(typed, "web-tls") == before


def test_a_backup_without_its_secret_says_which_command_makes_it(typed: str) -> None:
    kubectl("-n", typed, "create", "job", "--from=cronjob/backup", "backup-without")
    line, said = f"kubectl -n {typed} create secret generic backup", ""
    deadline = time.monotonic() + 180
    # An attempt may fail before, as long as the database has only just started.
    while line not in said and time.monotonic() < deadline:
        time.sleep(1)
        for pod in Kubectl(typed).list("Pod", selector="batch.kubernetes.io/job-name=backup-without"):
            with suppress(DeliveryError):
                said += Kubectl(typed).logs(pod["metadata"]["name"], "save")
    assert line in said
    assert not decoded(typed, "backup")


def test_a_missing_key_is_named_by_a_pod_that_lacks_it(typed: str) -> None:
    patch = json.dumps([{"op": "remove", "path": "/data/app-password"}])
    kubectl("-n", typed, "patch", "secret", "db-credentials", "--type=json", f"--patch={patch}")
    kubectl("-n", typed, "delete", "pod", "-l", "app.kubernetes.io/component=worker")
    deadline = time.monotonic() + 60
    said = ""
    while "has no app-password" not in said and time.monotonic() < deadline:
        try:
            said = kubectl("-n", typed, "logs", "-l", "app.kubernetes.io/component=worker")
        except DeliveryError as error:
            said = str(error)
        time.sleep(1)
    assert "Secret db-credentials has no app-password; Job credentials or `make credentials ENV=...` adds it" in said

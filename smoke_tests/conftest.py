"""Options and fixtures: one deployed environment, seen from outside and from inside."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_tests.packages import remedy

try:
    import pymysql
    import requests
    import testinfra
    from testinfra.host import Host

    from delivery import credentials
    from delivery.shell import DeliveryError
    from delivery.site import Site, connect
    from smoke_tests.environment import (
        CERTIFICATE,
        CREDENTIALS,
        EXEC,
        PORT_FORWARD,
        Environment,
        account,
        find,
    )
except ModuleNotFoundError as error:
    # Whatever else is raised here, pytest shows with its traceback.
    sys.exit(remedy(error))

HERE = Path(__file__).parent
# Seconds for the ingress, and for DNS, to answer.
ANSWER = 5
ENVIRONMENT = pytest.StashKey[Environment]()
SITE = pytest.StashKey[Site]()


def pytest_configure() -> None:
    # testinfra and the port-forward call kubectl by name: the one of this environment goes first.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--env` says what to test; the others, how the deployed environment differs from its overlay."""
    group = parser.getgroup("smoke tests")
    group.addoption("--env", help="the deployed environment, by its name in environments.yaml")
    recorded = "(default: what its newest good release recorded, else overlays/ENV with the images that run)"
    group.addoption("--manifests", type=Path, help=f"the file that was deployed {recorded}")
    resolved = "address of the ingress controller (default: $INGRESS; without it the host's own, by DNS)"
    group.addoption("--ingress", default=os.environ.get("INGRESS"), help=resolved)
    group.addoption("--delete-neighbour", metavar="ENV", help="delete that environment; --env must not notice")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    destructive = collection_path.name == "test_isolation.py"
    return True if destructive and not config.getoption("--delete-neighbour") else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Says in one line what is there to be tested, or ends in one line because it is not."""
    config, here = session.config, any(HERE in item.path.parents for item in session.items)
    if config.getoption("--collect-only") or not here:
        return
    try:
        environment = find(config.getoption("--env"), config.getoption("--manifests"))
        config.stash[ENVIRONMENT] = environment
        config.stash[SITE], notes = _site(environment, config.getoption("--ingress"))
    except DeliveryError as error:
        raise pytest.UsageError(" ".join(str(error).split())) from None
    reporter = config.pluginmanager.getplugin("terminalreporter")
    wanted = f"{environment.namespace} is to run {environment.image('web')}, by {environment.source}"
    for line in (wanted, *environment.notes, *notes):
        reporter.write_line(f"smoke_tests: {line}")


def _site(environment: Environment, address: str | None) -> tuple[Site, list[str]]:
    """The site and notes about it; a DeliveryError where nothing answers."""
    trusted = environment.may(*CERTIFICATE)
    notes = [] if trusted else ["these credentials may not get Secret web-tls, so that public authorities are trusted"]
    site = connect(environment.cluster, environment.render, address, authority=trusted)
    answers: list[str] = []

    def ask() -> None:
        try:
            site.get("/health", timeout=ANSWER)
            answers.append("")
        except (requests.RequestException, OSError) as error:
            answers.append(str(error))

    # Nothing bounds the time that DNS takes: whoever waits for it must be able to end.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER)
    reason = answers[0] if answers else f"nothing came within {ANSWER} s"
    where = [] if address else ["--ingress=ADDRESS or the variable INGRESS says where the ingress controller is"]
    if "Failed to resolve" in reason:
        raise DeliveryError("; ".join([f"DNS does not know the host of {site.url}", *where]))
    if reason:
        place = f" at {address}" if address else ""
        raise DeliveryError("; ".join([f"{site.url} does not answer{place}: {reason}", *where, *notes]))
    return site, notes


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Environment:
    return pytestconfig.stash[ENVIRONMENT]


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config) -> Site:
    return pytestconfig.stash[SITE]


@pytest.fixture(scope="session")
def web_pod(environment: Environment) -> Host:
    """Inside a web pod, by testinfra over kubectl exec."""
    environment.need(*EXEC)
    pod, where = environment.pods("web")[0], f"namespace={environment.namespace}&container={environment.container}"
    return testinfra.get_host(f"kubectl://{pod}?{where}")


@pytest.fixture(scope="session")
def database(environment: Environment) -> Iterator[pymysql.Connection[Any]]:
    """A connection as the application's own user, through a port-forward to the database's pod."""
    environment.need(*PORT_FORWARD)
    environment.need(*CREDENTIALS)
    try:
        user, password = account(credentials.read(environment.cluster, "db-credentials"))
    except DeliveryError as error:
        pytest.fail(str(error), pytrace=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pod = environment.pods("database")[0]
    forward = subprocess.Popen(
        ["kubectl", "-n", environment.namespace, "port-forward", f"pod/{pod}", f"{port}:3306"],
        stdout=subprocess.DEVNULL,
    )
    try:
        connection = _connect(port, user, password)
        yield connection
        connection.close()
    finally:
        forward.terminate()
        forward.wait(timeout=10)


def _connect(port: int, user: str, password: str) -> pymysql.Connection[Any]:
    # MySQL signs its certificate itself, so there is no authority to verify it by.
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + 20
    while True:
        try:
            return pymysql.Connection(
                host="127.0.0.1",
                port=port,
                user=user,
                password=password,
                database="school_schedule",
                ssl=tls,
                # Whoever saves to a full disk is kept waiting.
                read_timeout=30,
            )
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)

"""Runs a command with a throw-away MySQL: python -m tests.mysql COMMAND...

The server is the image MYSQL_IMAGE, by default the one that base/mysql runs, in a container that goes when the command
has ended. The command finds it by DB_HOST, DB_PORT, DB_USER and DB_PASSWORD.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import OperationalError

from app import database
from app.settings import Settings

STATEFUL_SET = Path(__file__).resolve().parent.parent / "base" / "mysql" / "statefulset.yaml"
SECONDS = 180


def main(command: list[str]) -> int:
    """The exit code of `command`."""
    if not command:
        sys.exit("tests.mysql: give a command: python -m tests.mysql COMMAND...")
    if shutil.which("docker") is None:
        sys.exit("tests.mysql: there is no docker; install it, or set DB_HOST and run pytest tests -m mysql")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with server(os.environ.get("MYSQL_IMAGE") or pinned_image()) as variables:
        return subprocess.run(command, env=os.environ | variables, check=False).returncode


def pinned_image() -> str:
    """The image that the StatefulSet runs."""
    (image,) = set(re.findall(r"image: (?:&image )?(\S+/mysql:\S+)", STATEFUL_SET.read_text()))
    return str(image)


@contextmanager
def server(image: str, name: str = "", size: str = "50%") -> Iterator[Mapping[str, str]]:
    """A server that answers, as the environment variables of whoever uses it; its data has `size` of memory at most."""
    name, password = name or f"school-scheduler-test-{os.getpid()}", secrets.token_urlsafe(24)
    # By the environment: whatever is on the command line, everybody on the machine can read.
    given = {"MYSQL_RANDOM_ROOT_PASSWORD": "yes", "MYSQL_DATABASE": "school_schedule"}
    given |= {"MYSQL_USER": "school_schedule", "MYSQL_PASSWORD": password}
    names = [argument for each in given for argument in ("--env", each)]
    # In memory, as its data goes with it: most of the tests make and drop tables.
    options = ["--detach", "--name", name, "--publish", "127.0.0.1::3306", "--tmpfs", f"/var/lib/mysql:size={size}"]
    try:
        docker("run", *options, *names, image, "mysqld", "--require-secure-transport=ON", variables=given)
        port = docker("port", name, "3306/tcp").split()[0].rpartition(":")[2]
        wait(name, Settings(db_host="127.0.0.1", db_port=int(port), db_user="school_schedule", db_password=password))
        yield {"DB_HOST": "127.0.0.1", "DB_PORT": port, "DB_USER": "school_schedule", "DB_PASSWORD": password}
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


def docker(*arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """What docker answers; its complaint ends this process."""
    environment = os.environ | (variables or {})
    done = subprocess.run(["docker", *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"tests.mysql: docker {arguments[0]} failed with code {done.returncode}; docker says above why")
    return done.stdout.strip()


def wait(name: str, settings: Settings) -> None:
    """Until the server answers over TCP: the one that the image initialises its data with does not."""
    engine = database.connect(settings)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            engine.connect().close()
            break
        except OperationalError as error:
            if docker("inspect", "--format", "{{.State.Running}}", name) != "true" or time.monotonic() > deadline:
                subprocess.run(["docker", "logs", "--tail", "20", name], check=False)
                sys.exit(f"tests.mysql: MySQL does not answer ({error.orig}); its log is above")
            time.sleep(0.5)
    engine.dispose()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

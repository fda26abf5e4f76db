"""What base/mysql does before each start of a real server: make test-mysql."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app import database
from app.credentials import CERTIFICATE, additions
from app.settings import Settings
from tests.conftest import needs_mysql
from tests.mysql import docker, pinned_image

pytestmark = [pytest.mark.mysql, needs_mysql]
MYSQL = Path(__file__).parent.parent / "base" / "mysql"
NAMED = "SELECT user, host, authentication_string = '', account_locked FROM mysql.user WHERE user NOT LIKE 'mysql.%'"
OURS = {("root", "localhost", 0, "N"), ("accounts", "%", 0, "N")}


class Server:
    """The pod `mysql-0` without a cluster: its init container, then its server, over the same folders."""

    def __init__(self, folder: Path, keys: dict[str, str]) -> None:
        self.name, self.folder, self.keys = f"school-scheduler-start-{secrets.token_hex(3)}", folder, keys
        self.image = os.environ.get("MYSQL_IMAGE") or pinned_image()
        for part in ("secret", "accounts", "data"):
            (folder / part).mkdir()
            (folder / part).chmod(0o777)
        for key, content in keys.items():
            (folder / "secret" / key).write_text(content)

    def options(self) -> list[str]:
        volumes = {
            "secret": "/run/secrets/db-credentials:ro",
            "accounts": "/run/accounts",
            "data": "/var/lib/mysql",
        }
        mounts = [f"--volume={self.folder / part}:{path}" for part, path in volumes.items()]
        temporary = ["--tmpfs=/tmp:mode=1777", "--tmpfs=/var/run/mysqld:mode=1777"]
        configuration = f"--volume={MYSQL}:/etc/mysql/conf.d:ro"
        return [
            "--user=999:999",
            "--read-only",
            "--env=MYSQL_DATABASE=school_schedule",
            *mounts,
            *temporary,
            configuration,
        ]

    def prepare(self, *, killed: bool = False) -> None:
        """The init container, to its end or `killed` while it makes the data."""
        container = f"{self.name}-init"
        command = ["docker", "run", "--rm", "--name", container, *self.options(), self.image]
        running = subprocess.Popen([*command, "sh", "/etc/mysql/conf.d/accounts.sh"], stderr=subprocess.PIPE, text=True)
        if killed:
            while not (self.folder / "data" / "new").exists():
                assert running.poll() is None, "it ended before it made anything"
                time.sleep(0.01)
            docker("kill", container)
        _, complaints = running.communicate(timeout=300)
        assert killed or running.returncode == 0, complaints

    def start(self) -> None:
        self.prepare()
        docker(
            "run", "--detach", "--name", self.name, *self.options(), "--publish=127.0.0.1::3306", self.image, "mysqld"
        )
        self.await_answer()

    def await_answer(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                self.client("--defaults-file=/run/accounts/client.cnf", "SELECT 1")
                return
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline, docker("logs", self.name)
                time.sleep(1)

    def replace(self, keys: dict[str, str]) -> None:
        """Changes the Secret, as an editor leaves it."""
        self.keys |= keys
        for key, content in keys.items():
            (self.folder / "secret" / key).write_text(content + "\n")

    def learn(self, what: str) -> None:
        docker("exec", self.name, "sh", "/etc/mysql/conf.d/accounts.sh", what)

    def ping(self) -> int:
        """The exit code of the probes."""
        pod = yaml.safe_load((MYSQL / "statefulset.yaml").read_text())["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        command = ["docker", "exec", self.name, *container["readinessProbe"]["exec"]["command"]]
        return subprocess.run(command, capture_output=True, check=False).returncode

    def stop(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True, check=False)

    def client(self, login: str, statements: str, password: str = "") -> str:
        program = ["mysql", login, "--batch", "--skip-column-names"]
        command = ["docker", "exec", "--interactive", "--env=MYSQL_PWD", self.name, *program]
        done = subprocess.run(
            command,
            input=statements,
            env=os.environ | {"MYSQL_PWD": password},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def root(self, statements: str) -> str:
        return self.client("--user=root", statements, self.keys["rootpassword"])

    def accounts(self) -> set[tuple[str, str, int, str]]:
        rows = (line.split("\t") for line in self.root(NAMED).splitlines())
        return {(user, host, int(empty), locked) for user, host, empty, locked in rows}

    def login(self) -> None:
        """As the program's own driver does it."""
        port = int(docker("port", self.name, "3306/tcp").split()[0].rpartition(":")[2])
        user, password = (self.keys[f"accounts-{part}"] for part in ("user", "password"))
        settings = Settings(db_host="127.0.0.1", db_port=port, db_name="", db_user=user, db_password=password)
        engine = database.connect(settings)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT CURRENT_USER()")) == f"{user}@%"
        engine.dispose()


def drawn(seed: int) -> str:
    """A password of everything that a shell, SQL or an option file might take for something else."""
    letters = list("'\"\\`$#;%_ \n\r\t(){}*?~!&|<>-é€😀aZ09") * 2
    random.Random(seed).shuffle(letters)  # noqa: S311 -- the same at each run
    return "x" + "".join(letters)[:30] + "x"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    typed = {"user": "root", "rootpassword": drawn(1), "accounts-password": drawn(2)}
    server = Server(tmp_path, typed | additions(typed, "test"))
    yield server
    server.stop()
    docker("run", "--rm", f"--volume={tmp_path}:/all", "--entrypoint=sh", server.image, "-c", "rm -rf /all/data/*")


def test_a_first_start_has_two_accounts_and_the_schema_and_any_password_is_kept(server: Server) -> None:
    server.start()
    assert server.accounts() == OURS
    assert "school_schedule" in server.root("SHOW DATABASES").split()
    server.login()
    with pytest.raises(subprocess.CalledProcessError):
        server.client("--user=root", "SELECT 1")


def test_a_start_ends_accounts_that_need_no_password(server: Server) -> None:
    server.start()
    # What releases up to v0.1.0 made of a Secret without keys, and relatives of it.
    for statement in (
        "CREATE USER ''@'%' REQUIRE SSL; GRANT CREATE USER ON *.* TO ''@'%' WITH GRANT OPTION",
        "CREATE USER ''@'localhost'; CREATE USER 'it\\'s \"o\\\\pen'@'10.%'",
        "CREATE USER 'kept'@'%' IDENTIFIED BY 'x'; CREATE ROLE role",
        "CREATE USER 'locked'@'%' IDENTIFIED BY 'x' ACCOUNT LOCK; ALTER USER 'root'@'localhost' IDENTIFIED BY ''",
    ):
        server.root(statement)
    server.stop()
    server.start()
    kept = {("kept", "%", 0, "N"), ("locked", "%", 0, "Y"), ("role", "%", 1, "Y")}
    assert server.accounts() == OURS | kept
    server.login()


def test_a_first_start_that_is_killed_begins_anew(server: Server) -> None:
    server.prepare(killed=True)
    assert not (server.folder / "data" / "data").exists()
    server.start()
    assert server.accounts() == OURS


def test_a_new_password_in_the_secret_holds_from_the_next_start(server: Server) -> None:
    server.start()
    server.stop()
    server.replace({"rootpassword": drawn(3), "accounts-password": drawn(4)})
    server.start()
    server.login()
    assert server.accounts() == OURS


def test_a_running_server_learns_the_passwords_and_goes_by_them_when_it_is_killed(server: Server) -> None:
    server.start()
    server.replace({"rootpassword": drawn(5), "accounts-password": drawn(6)})
    assert server.ping() == 0
    with pytest.raises(OperationalError):
        server.login()
    for _ in range(2):
        server.learn("passwords")
        server.login()
        assert server.accounts() == OURS
    docker("restart", "--time=0", server.name)
    server.await_answer()
    server.login()


def test_a_run_that_was_interrupted_after_the_server_had_learnt_goes_on(server: Server) -> None:
    server.start()
    before = (server.folder / "accounts" / "root.cnf").read_text()
    server.replace({"rootpassword": drawn(7)})
    server.learn("passwords")
    (server.folder / "accounts" / "root.cnf").write_text(before)
    server.learn("passwords")
    assert server.accounts() == OURS


def test_a_running_server_learns_a_certificate_and_keeps_its_own_where_that_is_none(server: Server) -> None:
    def shown() -> str:
        return server.root("SHOW STATUS LIKE 'Ssl_server_not_after'")

    server.start()
    before = shown()
    others = {key: text for key, text in server.keys.items() if key not in CERTIFICATE}
    new = additions(others, "test")
    server.replace(new | {"tls.key": server.keys["tls.key"]})
    with pytest.raises(SystemExit):
        server.learn("certificate")
    assert shown() == before
    server.replace(new)
    server.learn("certificate")
    assert shown() != before
    server.login()


def test_the_probes_need_neither_a_password_nor_a_free_connection(server: Server) -> None:
    server.start()
    server.root("SET GLOBAL max_connections = 1")
    held = subprocess.Popen(
        ["docker", "exec", server.name, "mysql", "--defaults-file=/run/accounts/client.cnf", "-e", "DO SLEEP(30)"]
    )
    try:
        while "SLEEP" not in server.root("SELECT info FROM information_schema.processlist WHERE user = 'accounts'"):
            assert held.poll() is None
            time.sleep(0.2)
        assert server.ping() == 0
    finally:
        held.kill()
        held.wait()
    server.root("SHUTDOWN")
    assert server.ping() != 0

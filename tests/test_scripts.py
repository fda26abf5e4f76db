"""The shell scripts of the pods, by a real sh: a key without a value stops them with one line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.credentials import PASSWORDS, USERS

ROOT = Path(__file__).parent.parent
KEYS = {key: f"value of {key}\n" for key in (*USERS, *PASSWORDS, "ca.crt", "tls.crt", "tls.key")}
LOGIN = {"db_user": "backup\n", "db_password": "of backup\n", "ca.crt": "authority\n"}
EXPORTER = "observability/mysqld-exporter/deployment.yaml"


class Pod:
    """A folder that stands for a pod's file system; scripts run with its paths in place of the root's."""

    def __init__(self, folder: Path, keys: dict[str, str]) -> None:
        self.folder = folder
        for path in (
            "run/secrets/db-credentials",
            "run/accounts",
            "run/exporter",
            "var/lib/mysql/data/mysql",
            "scratch",
            "bin",
        ):
            (folder / path).mkdir(parents=True)
        for key, text in keys.items():
            self.key(key).write_text(text)

    def key(self, name: str) -> Path:
        return self.folder / "run/secrets/db-credentials" / name

    def moved(self, script: str) -> str:
        for path in ("/run/", "/var/lib/mysql", "/scratch"):
            script = script.replace(path, f"{self.folder}{path}")
        return script

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        scripts = ROOT / "base/backup"
        for each in scripts.glob("*.sh"):
            (self.folder / each.name).write_text(self.moved(each.read_text()))
        (self.folder / "script.sh").write_text(self.moved(script))
        given = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "MYSQL_DATABASE": "school_schedule", **variables}
        return subprocess.run(
            ["sh", str(self.folder / "script.sh"), str(self.folder / "dump.sql")],
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def written(self) -> list[str]:
        return [
            each.name for part in ("run/accounts", "run/exporter", "scratch") for each in (self.folder / part).iterdir()
        ]


def option_file() -> str:
    manifest: dict[str, Any] = yaml.safe_load((ROOT / EXPORTER).read_text())
    sh, options, script = manifest["spec"]["template"]["spec"]["initContainers"][0]["command"]
    assert (sh, options) == ("sh", "-euc")
    return f"set -eu\n{script}"


SERVER = {"DB_HOST": "mysql", "DB_NAME": "school_schedule", "DB_TLS_CA": "/run/secrets/db-credentials/ca.crt"}
# Script, keys that are there, variables, and the keys that it cannot do without.
SCRIPTS = {
    "accounts.sh": (
        (ROOT / "base/mysql/accounts.sh").read_text(),
        KEYS,
        {},
        ("rootpassword", "accounts-user", "accounts-password", "ca.crt", "tls.crt", "tls.key"),
    ),
    "dump.sh": ((ROOT / "base/backup/dump.sh").read_text(), LOGIN, SERVER, tuple(LOGIN)),
    "load.sh": ((ROOT / "base/backup/load.sh").read_text(), LOGIN, {**SERVER, "NAMESPACE": "n"}, tuple(LOGIN)),
    "option-file": (option_file(), KEYS, {}, ("exporter-user", "exporter-password", "ca.crt")),
}


@pytest.mark.parametrize("state", ["missing", "empty", "newline", "unreadable"])
@pytest.mark.parametrize(("name", "key"), [(name, key) for name, parts in SCRIPTS.items() for key in parts[3]])
def test_a_key_without_a_value_stops_a_script(tmp_path: Path, name: str, key: str, state: str) -> None:
    script, keys, variables, _ = SCRIPTS[name]
    pod = Pod(tmp_path, keys)
    for program in ("mysql", "mysqldump", "mysqld"):
        # What no script may come to.
        (tmp_path / "bin" / program).symlink_to("/bin/true")
    match state:
        case "missing":
            pod.key(key).unlink()
        case "empty" | "newline":
            pod.key(key).write_text("" if state == "empty" else "\n")
        case _:
            # root reads every file, and no folder.
            pod.key(key).unlink()
            pod.key(key).mkdir()
    ended = pod.run(script, **variables)
    assert ended.returncode == 1, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert key in line and "make credentials ENV=" in line
    assert pod.written() == []


def test_with_every_key_the_statements_are_written_one_a_line(tmp_path: Path) -> None:
    pod = Pod(tmp_path, KEYS | {"accounts-password": "it's a \"\\\n;#\n", "accounts-user": "accounts\n"})
    ended = pod.run(SCRIPTS["accounts.sh"][0])
    assert (ended.returncode, ended.stderr) == (0, "")
    statements = (tmp_path / "run/accounts/accounts.sql").read_text()
    assert all(line.endswith(";") for line in statements.splitlines())
    assert r"""'accounts'@'%' IDENTIFIED BY 'it\'s a \"\\\n;#' REQUIRE SSL;""" in statements
    assert ((tmp_path / "run/accounts/accounts.sql").stat().st_mode & 0o77) == 0


def test_a_data_folder_that_is_none_is_not_touched(tmp_path: Path) -> None:
    pod = Pod(tmp_path, KEYS)
    data = tmp_path / "var/lib/mysql/data"
    (data / "mysql").rename(data / "of-somebody")
    (tmp_path / "bin/mysqld").write_text(f"#!/bin/sh\nmkdir -p {tmp_path}/var/lib/mysql/new/mysql\n")
    (tmp_path / "bin/mysqld").chmod(0o755)
    assert pod.run(SCRIPTS["accounts.sh"][0]).returncode != 0
    assert [each.name for each in data.iterdir()] == ["of-somebody"]


@pytest.mark.parametrize("password", ["a`b", "two\nlines"])
def test_what_the_exporter_could_not_read_is_refused(tmp_path: Path, password: str) -> None:
    pod = Pod(tmp_path, KEYS | {"exporter-password": password})
    ended = pod.run(option_file())
    assert ended.returncode == 1 and "exporter-password" in ended.stderr
    assert pod.written() == []


def test_an_exporter_s_password_is_written_as_it_is(tmp_path: Path) -> None:
    pod = Pod(tmp_path, KEYS | {"exporter-password": "#;'\"\\$(x)\n"})
    assert pod.run(option_file()).returncode == 0
    assert "password=`#;'\"\\$(x)`\n" in (tmp_path / "run/exporter/my.cnf").read_text()

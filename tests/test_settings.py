from __future__ import annotations

from pathlib import Path

import pytest

from app import database, settings
from app.database import DatabaseError
from app.grants import ACCOUNTS, Login
from app.settings import Settings
from tests.conftest import Run

REMEDY = "Job credentials or `make credentials ENV=...` adds it"


def of_a_pod(secret: Path) -> dict[str, str]:
    """The variables of a pod that migrates, with a mounted Secret."""
    return {"DB_HOST": "127.0.0.1", "SECRETS_DIR": str(secret), "DB_ACCOUNT": "migration"}


def folder(path: Path, **files: str) -> Path:
    """A mounted Secret."""
    for name, content in files.items():
        (path / name).write_text(content)
    return path


def test_the_end_of_a_line_is_no_part_of_a_value_and_all_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(folder(tmp_path, db_user="app\n", db_password=" a\nb \n")))
    loaded = settings.load()
    assert (loaded.db_user, loaded.db_password.get_secret_value()) == ("app", " a\nb ")


@pytest.mark.parametrize("state", ["missing", "empty", "newline", "unreadable"])
@pytest.mark.parametrize("part", ["user", "password"])
def test_a_key_that_a_pod_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, state: str
) -> None:
    file = folder(tmp_path, db_user="migration", db_password="x") / f"db_{part}"
    file.unlink()
    if state == "unreadable":
        # root reads every file, and no folder.
        file.mkdir()
    elif state != "missing":
        file.write_text("\n" if state == "newline" else "")
    for name, value in of_a_pod(tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DatabaseError) as raised:
        database.connect(settings.load())
    assert str(raised.value) == f"Secret db-credentials has no migration-{part}; {REMEDY}"


def test_a_pod_without_a_key_ends_with_one_line(tmp_path: Path, run: Run) -> None:
    ended = run("migrate", "--wait", "60", **of_a_pod(tmp_path))
    line = f"school_schedule: Secret db-credentials has no migration-user; {REMEDY}\n"
    assert (ended.returncode, ended.stderr) == (1, line)


@pytest.mark.parametrize("variable", ["DB_USER", "DB_PASSWORD"])
def test_an_empty_variable_is_none(run: Run, variable: str) -> None:
    ended = run("migrate", **({"DB_HOST": "127.0.0.1", "DB_USER": "u", "DB_PASSWORD": "p"} | {variable: ""}))
    assert (ended.returncode, ended.stderr) == (
        1,
        f"school_schedule: {variable} is empty; 127.0.0.1 lets nobody in without\n",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), ("", "it holds no certificate")],
    ids=["missing", "empty"],
)
def test_without_its_authority_a_server_is_not_trusted(tmp_path: Path, content: str | None, reason: str) -> None:
    authority = tmp_path / "ca.crt"
    if content is not None:
        authority.write_text(content)
    variables = Settings(db_host="127.0.0.1", db_user="u", db_password="p", db_tls_ca=authority)
    with pytest.raises(DatabaseError, match=f"{reason}; it is ca.crt of Secret db-credentials"):
        database.connect(variables)


@pytest.mark.parametrize("content", [None, "", "\n"])
@pytest.mark.parametrize("role", [account.role for account in ACCOUNTS])
@pytest.mark.parametrize("part", ["user", "password"])
def test_no_account_is_made_of_an_empty_value(tmp_path: Path, role: str, part: str, content: str | None) -> None:
    (tmp_path / f"{role}-user").write_text("name")
    (tmp_path / f"{role}-password").write_text("password")
    (tmp_path / f"{role}-{part}").unlink()
    if content is not None:
        (tmp_path / f"{role}-{part}").write_text(content)
    with pytest.raises(DatabaseError, match=f"has no {role}-{part}"):
        Login.read(tmp_path, role)


def test_no_account_is_the_server_s_own(tmp_path: Path) -> None:
    (tmp_path / "app-user").write_text("root\n")
    (tmp_path / "app-password").write_text("x")
    with pytest.raises(DatabaseError, match="app-user of Secret db-credentials is root"):
        Login.read(tmp_path, "app")


def test_outside_a_cluster_the_command_of_the_job_says_so(run: Run) -> None:
    ended = run("credentials")
    assert ended.returncode == 1
    assert ended.stderr.endswith("the Job credentials runs this, in a cluster\n")
    assert len(ended.stderr.splitlines()) == 1

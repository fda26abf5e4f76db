from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest
import yaml

from app.credentials import PASSWORDS
from delivery import credentials, sops
from delivery.cluster import Manifest, RefusedError
from delivery.shell import ROOT, DeliveryError, program
from policy_tests.environment import find
from tests.delivery.fake import FakeCluster
from tests.delivery.small import heard

PROD = find("prod")
KEYS = set(yaml.safe_load((ROOT / "base/mysql/secret-example.yaml").read_text())["stringData"])

GITLEAKS = (program("gitleaks"), "--no-banner", "--config", str(ROOT / ".gitleaks.toml"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of prod, made by this repository's .sops.yaml with a recipient, and that one's `key`."""
    folder, key = tmp_path_factory.mktemp("sops"), pyrage.x25519.Identity.generate()
    (folder / "key").write_text(str(key))
    (folder / ".sops.yaml").write_text((ROOT / ".sops.yaml").read_text().replace("REPLACE_ME", str(key.to_public())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sops, "FOLDER", folder / "secrets")
        sops.make(PROD)
    return folder


@pytest.fixture
def file(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of prod, with the private key at hand."""
    folder = Path(shutil.copytree(ready, tmp_path / "repository"))
    monkeypatch.setattr(sops, "FOLDER", folder / "secrets")
    monkeypatch.setenv("SOPS_AGE_KEY", (folder / "key").read_text())
    (folder / "key").unlink()
    return sops.path(PROD)


def values() -> dict[str, str]:
    return sops.database(sops.read(PROD))


def test_a_new_file_has_every_key_and_shows_no_value(file: Path) -> None:
    assert values().keys() == KEYS
    long = [line for value in values().values() for line in value.splitlines() if len(line) > 20]
    assert len(long) > len(PASSWORDS)
    assert not [line for line in long if line in file.read_text()]
    assert list(file.parent.iterdir()) == [file]


def test_what_is_in_the_file_stays_and_what_it_lacks_is_added(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secrets, before = sops.read(PROD), values()
    del sops.database(secrets)["exporter-password"]
    backup = {"kind": "Secret", "metadata": {"name": "backup"}, "stringData": {"identity": "x"}}
    sops.write(PROD, [*secrets, backup])
    sops.make(PROD)
    after = values()
    assert {key for key in after if after[key] != before[key]} == {"exporter-password"}
    assert [each["metadata"]["name"] for each in sops.read(PROD)] == ["db-credentials", "backup"]
    text = file.read_text()
    sops.make(PROD)
    assert file.read_text() == text
    wrote = f"wrote {file.parent.name}/{file.name}: commit it"
    assert heard(capsys) == [wrote, wrote, f"{file.name} lacks nothing"]


def test_nobody_else_s_key_opens_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY", str(pyrage.x25519.Identity.generate()))
    with pytest.raises(DeliveryError, match=r"Failed to get the data key(?s:.*)docs/secrets.md"):
        sops.read(PROD)


def test_a_change_by_hand_is_noticed(file: Path) -> None:
    file.write_text(file.read_text().replace("name: db-credentials", "name: backup"))
    with pytest.raises(DeliveryError, match="MAC mismatch"):
        sops.read(PROD)


def test_without_a_recipient_nothing_is_written(file: Path) -> None:
    (file.parent.parent / ".sops.yaml").write_text((ROOT / ".sops.yaml").read_text())
    file.unlink()
    with pytest.raises(DeliveryError, match="REPLACE_ME"):
        sops.make(PROD)
    assert not file.exists()


def test_nothing_but_secrets_comes_out_of_the_file(file: Path) -> None:
    other = {"kind": "Secret", "metadata": {"name": "backup"}, "stringData": {"port": 3306}}
    sops.write(PROD, [other])
    with pytest.raises(DeliveryError, match="may hold Secrets with a name and texts"):
        sops.read(PROD)


def test_a_rotation_begins_with_new_passwords_in_the_file(file: Path) -> None:
    current = values()
    assert sops.rotated(PROD, current, {"app-password": "new"}) == {"app-password": "new"}
    assert values() == current | {"app-password": "new"}


def test_a_rotation_ends_what_one_before_has_left_in_the_file(file: Path) -> None:
    assert sops.rotated(PROD, {"app-password": "old"}, {"app-password": "new"}) == {
        "app-password": values()["app-password"]
    }


def test_a_delivery_leaves_passwords_to_the_rotation(file: Path) -> None:
    there = values()
    sops.check(PROD, there, there)
    with pytest.raises(DeliveryError, match=r"differ in app-password: `make rotate ENV=prod`"):
        sops.check(PROD, there, there | {"app-password": "another"})


def test_a_file_of_an_earlier_release_is_refused_with_what_it_lacks(file: Path) -> None:
    secrets = sops.read(PROD)
    del sops.database(secrets)["app-password"]
    sops.write(PROD, secrets)
    for use in (
        lambda: sops.apply(PROD, FakeCluster(PROD.namespace)),
        lambda: sops.rotated(PROD, {}, {"app-password": "new"}),
    ):
        with pytest.raises(DeliveryError, match=r"prod.enc.yaml lacks app-password; `make secrets ENV=prod` adds them"):
            use()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> list[Manifest]:
    """What the file of prod holds once it is decrypted."""
    values = credentials.additions({}, PROD.namespace)
    secrets = [credentials.secret(PROD.namespace, sops.DATABASE, values)]
    monkeypatch.setattr(sops, "read", lambda environment: secrets)
    return secrets


def test_the_secrets_of_the_file_come_into_the_cluster(file: Path, cluster: FakeCluster) -> None:
    sops.apply(PROD, cluster)
    assert credentials.read(cluster, sops.DATABASE) == values()


def test_every_secret_comes_with_its_own_type_and_is_said(
    plain: list[Manifest], cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    tls = {"tls.crt": "certificate", "tls.key": "key"}
    plain.append(credentials.secret("another", "web-tls", tls, "kubernetes.io/tls"))
    plain.append({"kind": "Secret", "metadata": {"name": "own"}, "stringData": {"a": "b"}})
    sops.apply(PROD, cluster)
    assert credentials.read(cluster, "web-tls") == tls
    types = {body["metadata"]["name"]: body["type"] for body in cluster.list("Secret")}
    assert types == {"db-credentials": "Opaque", "own": "Opaque", "web-tls": "kubernetes.io/tls"}
    said = [f"applied Secret {PROD.namespace}/{name} of prod.enc.yaml" for name in ("db-credentials", "web-tls", "own")]
    assert capsys.readouterr().err.splitlines() == [f"delivery: {line}" for line in said]


def test_a_key_that_the_file_no_longer_has_goes_and_those_of_others_stay(
    plain: list[Manifest], cluster: FakeCluster
) -> None:
    plain.append(credentials.secret(PROD.namespace, "own", {"a": "1", "b": "2"}))
    sops.apply(PROD, cluster)
    cluster.by_hand("secret/own", {"data": {"theirs": "Yw=="}})
    del plain[1]["stringData"]["b"]
    sops.apply(PROD, cluster)
    assert credentials.read(cluster, "own") == {"a": "1", "theirs": "c"}


def test_without_a_file_the_cluster_keeps_its_secrets(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sops, "FOLDER", tmp_path)
    sops.apply(PROD, cluster)
    assert cluster.list("Secret") == []
    assert sops.rotated(PROD, {}, {"app-password": "new"}) == {"app-password": "new"}


def test_a_file_with_another_password_is_not_brought_into_the_cluster(
    plain: list[Manifest], cluster: FakeCluster
) -> None:
    credentials.ensure_database(cluster)
    before = cluster.list("Secret")
    with pytest.raises(DeliveryError, match=r"`make rotate ENV=prod` brings the file's there, `make secrets "):
        sops.apply(PROD, cluster)
    assert cluster.list("Secret") == before


def test_a_secret_that_is_refused_shows_none_of_its_values(plain: list[Manifest], cluster: FakeCluster) -> None:
    texts = plain[0]["stringData"].values()
    coded = [base64.b64encode(text.encode()).decode() for text in texts]

    def refuse(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "apply":
            raise RefusedError("\n".join(["invalid", *texts, *coded]))

    cluster.faults.before = refuse
    with pytest.raises(RefusedError, match="invalid") as error:
        sops.apply(PROD, cluster)
    long = [text for text in (*texts, *coded) if len(text) > 15]
    assert not [text for text in long if text in str(error.value)]
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_the_file_may_take_over_what_the_cluster_has(
    plain: list[Manifest], cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Manifest] = []
    monkeypatch.setattr(sops, "write", lambda environment, secrets: written.extend(secrets))
    plain.append(credentials.secret(PROD.namespace, "own", {"a": "1"}))
    credentials.ensure_database(cluster)
    sops.make(PROD, cluster)
    assert sops.database(written) == credentials.read(cluster, sops.DATABASE)
    assert written[1:] == plain[1:]


def test_a_file_that_lacks_nothing_is_left_as_it_is(plain: list[Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    sops.make(PROD)
    assert capsys.readouterr().err == "delivery: prod.enc.yaml lacks nothing\n"


@pytest.mark.parametrize(
    "secret",
    [
        {"kind": "ConfigMap", "metadata": {"name": "a"}, "stringData": {}},
        {"kind": "Secret", "metadata": {}, "stringData": {}},
        {"kind": "Secret", "metadata": {"name": 1}, "stringData": {}},
        {"kind": "Secret", "metadata": {"name": "a"}},
        {"kind": "Secret", "metadata": {"name": "a"}, "stringData": {"a": "b", "c": 1}},
        "text",
    ],
)
def test_only_secrets_with_a_name_and_texts_are_read(
    secret: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sops, "FOLDER", tmp_path)
    sops.path(PROD).write_text("")
    good = {"kind": "Secret", "metadata": {"name": "a"}, "stringData": {"a": "b"}}
    decrypted = [yaml.safe_dump_all([None, good])]
    monkeypatch.setattr(sops, "_sops", lambda *arguments: decrypted[0])
    assert sops.read(PROD) == [good]
    decrypted[0] = yaml.safe_dump_all([good, secret])
    with pytest.raises(DeliveryError, match=r"prod\.enc\.yaml may hold Secrets with a name and texts"):
        sops.read(PROD)


@pytest.mark.parametrize(("length", "shown"), [(15, True), (16, False)])
def test_names_of_accounts_are_shown(length: int, shown: bool) -> None:
    value = "x" * length
    assert (value in sops.without([f"{value}\nb"], f"refused: {value} b")) == shown


def test_what_the_api_server_says_of_a_secret_is_passed_on_without_its_values() -> None:
    message = "Secret is invalid: data[password]: c2VjcmV0LW9mLXRoZS1kYXRhYmFzZQ=="
    hidden = sops.without(["c2VjcmV0LW9mLXRoZS1kYXRhYmFzZQ==", "data"], message)
    assert hidden == "Secret is invalid: data[password]: (not shown)"


def test_the_file_passes_the_checks_of_what_is_in_git(file: Path) -> None:
    for name in (".yamllint.yaml", ".gitignore"):
        shutil.copy(ROOT / name, file.parent.parent)
    for command in ((program("yamllint"), "--strict", "."), (*GITLEAKS, "dir", ".")):
        done = subprocess.run(command, cwd=file.parent.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_key_in_the_history_is_found_after_it_was_removed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    git("init", "--quiet", "--template=")
    for content in (f"key: {pyrage.x25519.Identity.generate()}", "key: none"):
        (tmp_path / "file.yaml").write_text(content)
        git("add", ".")
        git("commit", "--quiet", "--message", "commit")
    done = subprocess.run([*GITLEAKS, "git", "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "leaks found: 1" in done.stderr

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from backup import manifest, store
from backup.manifest import MANIFEST, SUFFIX
from backup.restore import NEWEST, compare, fetch
from backup.retention import Retention
from backup.save import save
from backup.store import BackupError
from tests.backup.conftest import DUMP, Bucket


@pytest.fixture
def saved(bucket: Bucket, dumped: Path, recipient: str) -> str:
    """The name of the one backup that there is."""
    at = datetime.now(UTC)
    save(dumped, at, bucket.store, [recipient], Retention.parse("7d"))
    return manifest.name(at)


def test_what_was_saved_comes_back(bucket: Bucket, saved: str, identity: str, tmp_path: Path) -> None:
    fetch(bucket.store, NEWEST, tmp_path, [identity])
    assert (tmp_path / "dump.sql").read_bytes() == DUMP


def test_an_older_backup_comes_back_by_its_name(bucket: Bucket, saved: str, identity: str, tmp_path: Path) -> None:
    for suffix in (MANIFEST, SUFFIX):
        (bucket.files / "prod" / f"29990101T000000Z{suffix}").write_text("newer, and damaged")
    fetch(bucket.store, saved, tmp_path, [identity])
    assert (tmp_path / "dump.sql").read_bytes() == DUMP


def test_an_object_without_a_manifest_is_no_backup(bucket: Bucket, saved: str, identity: str, tmp_path: Path) -> None:
    (bucket.files / "prod" / f"29990101T000000Z{SUFFIX}").write_text("an upload that never ended")
    fetch(bucket.store, NEWEST, tmp_path, [identity])
    assert (tmp_path / "dump.sql").read_bytes() == DUMP


def test_no_backup_at_all_is_a_failure(bucket: Bucket, identity: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="has no backup"):
        fetch(bucket.store, NEWEST, tmp_path, [identity])


@pytest.mark.parametrize("name", ["20261301T000000Z", "", "../homolog/20261101T000000Z", "x" * 300])
def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    bucket: Bucket, saved: str, identity: str, tmp_path: Path, name: str
) -> None:
    with pytest.raises(BackupError, match=rf"prod has no backup {re.escape(name)}; .*{saved}; `make backups") as error:
        fetch(bucket.store, name, tmp_path, [identity])
    assert len(str(error.value).splitlines()) == 1


def test_the_size_and_the_schema_of_what_was_fetched_are_told(
    bucket: Bucket, saved: str, identity: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fetch(bucket.store, NEWEST, tmp_path, [identity])
    told = vars(caplog.records[-1])
    assert (told["bytes"], told["revision"]) == (len(DUMP), "0001")


def test_a_backup_that_is_too_old_is_a_failure(bucket: Bucket, saved: str, identity: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="hours old"):
        fetch(bucket.store, NEWEST, tmp_path, [identity], oldest=timedelta(0))


def test_another_key_does_not_open_a_backup(bucket: Bucket, saved: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=rf"prod/{saved}: it cannot be opened: No matching keys.*has 1 private keys"):
        fetch(bucket.store, NEWEST, tmp_path, [str(pyrage.x25519.Identity.generate())])


def test_a_backup_for_an_older_key_is_opened_as_long_as_that_key_is_one_of_several(
    bucket: Bucket, saved: str, identity: str, tmp_path: Path
) -> None:
    fetch(bucket.store, saved, tmp_path, [str(pyrage.x25519.Identity.generate()), identity])
    assert (tmp_path / "dump.sql").read_bytes() == DUMP


def test_a_store_that_is_too_slow_is_named_rather_than_its_neighbour(
    bucket: Bucket, saved: str, identity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LONGEST", 0.2)
    bucket.faults.seconds = 1
    with pytest.raises(BackupError, match=r"the store store:.* has not done operations/list within 0.2 s"):
        fetch(bucket.store, NEWEST, tmp_path, [identity])


def cut(sealed: Path, described: Path) -> None:
    sealed.write_bytes(sealed.read_bytes()[:-1])


def emptied(sealed: Path, described: Path) -> None:
    sealed.write_bytes(b"")


def flipped(sealed: Path, described: Path) -> None:
    content = bytearray(sealed.read_bytes())
    content[-40] ^= 1
    sealed.write_bytes(content)


def cut_and_described(sealed: Path, described: Path) -> None:
    """The manifest agrees with the cut object, so that only the encryption itself can tell."""
    cut(sealed, described)
    fields = json.loads(described.read_text())
    fields["size"], fields["sha256"] = sealed.stat().st_size, hashlib.sha256(sealed.read_bytes()).hexdigest()
    described.write_text(json.dumps(fields))


def other_rows(sealed: Path, described: Path) -> None:
    fields = json.loads(described.read_text())
    fields["tables"]["instance"]["rows"] = 3
    described.write_text(json.dumps(fields))


def of_another_environment(sealed: Path, described: Path) -> None:
    described.write_text(described.read_text().replace('"prod"', '"homolog"'))


def no_json(sealed: Path, described: Path) -> None:
    described.write_text("{")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "is not what was saved"),
        (emptied, "has 0 bytes"),
        (flipped, "is not what was saved"),
        (cut_and_described, "cannot be opened"),
        (other_rows, "table instance has 2 rows instead of 3"),
        (of_another_environment, "has the manifest of homolog"),
        (no_json, "the manifest is damaged"),
    ],
)
def test_damage_is_noticed_before_anything_is_restored(
    bucket: Bucket,
    saved: str,
    identity: str,
    tmp_path: Path,
    damage: Callable[[Path, Path], None],
    reason: str,
) -> None:
    folder = bucket.files / "prod"
    damage(folder / f"{saved}{SUFFIX}", folder / f"{saved}{MANIFEST}")
    with pytest.raises(BackupError, match=reason):
        fetch(bucket.store, saved, tmp_path, [identity])


@pytest.fixture
def restored(bucket: Bucket, saved: str, identity: str, tmp_path: Path) -> Path:
    """A folder with a fetched backup, and the dump of a database that it was loaded into."""
    fetch(bucket.store, saved, tmp_path, [identity])
    shutil.copy(tmp_path / "dump.sql", tmp_path / "redump.sql")
    return tmp_path


def test_a_restored_database_is_reported_with_its_rows_and_the_backups_age(restored: Path, saved: str) -> None:
    report = compare(restored)
    assert (report.backup, report.tables, report.rows) == (f"prod/{saved}", 2, 3)
    assert report.age >= 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"INSERT INTO `instance` VALUES (2,'Escola\\nMunicipal');\n", b"", "table instance has 1 rows instead of 2"),
        (b"Municipal", b"municipal", "table instance has other contents in its 2 rows"),
        (b"table `instance`\n", b"table `other`\n", "table instance is missing; table other is one too many"),
        (b"'0001'", b"'0002'", "table alembic_version has other contents"),
    ],
)
def test_a_restored_database_that_differs_is_a_failure(restored: Path, old: bytes, new: bytes, reason: str) -> None:
    (restored / "redump.sql").write_bytes(DUMP.replace(old, new))
    with pytest.raises(BackupError, match=reason):
        compare(restored)

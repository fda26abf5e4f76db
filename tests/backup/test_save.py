from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup import manifest
from backup.retention import Retention
from backup.save import check_earlier, save
from backup.store import BackupError
from tests.backup.conftest import DUMP, Bucket

DAILY = Retention.parse("2d")
OLD = ["20200101T000000Z", "20200102T000000Z", "20200103T000000Z"]


def now() -> datetime:
    return datetime.now(UTC)


def fill(bucket: Bucket, names: list[str], folder: str = "prod") -> list[str]:
    """Backups of earlier days, as far as their names go."""
    (bucket.files / folder).mkdir()
    objects = [name + suffix for name in names for suffix in (manifest.MANIFEST, manifest.SUFFIX)]
    for each in objects:
        (bucket.files / folder / each).write_text("of an earlier day")
    return sorted(objects)


def test_an_older_backup_is_deleted_when_the_new_one_was_read_back(
    bucket: Bucket, dumped: Path, recipient: str
) -> None:
    fill(bucket, OLD)
    at = now()
    assert save(dumped, at, bucket.store, [recipient], DAILY) == OLD[:2]
    assert {name.partition(".")[0] for name in bucket.names()} == {OLD[2], manifest.name(at)}


def test_nothing_but_backups_of_the_own_environment_is_deleted(bucket: Bucket, dumped: Path, recipient: str) -> None:
    others = {folder: fill(bucket, OLD, folder) for folder in ("prod-old", "production", "homolog")}
    fill(bucket, OLD)
    strangers = ["20200101T000000Z.txt", "notes.json", "20200102T000000.json"]
    for name in strangers:
        (bucket.files / "prod" / name).write_text("somebody else's")
    save(dumped, now(), bucket.store, [recipient], Retention.parse("1d"))
    assert {folder: bucket.names(folder) for folder in others} == others
    assert set(strangers) < set(bucket.names())
    assert len(bucket.names()) == len(strangers) + 2


def test_what_a_killed_run_has_left_is_deleted_after_a_day(bucket: Bucket, dumped: Path, recipient: str) -> None:
    fill(bucket, OLD)
    at = now()
    hours = {hour: manifest.name(at - timedelta(hours=hour)) for hour in (23, 25)}
    alone = [hours[23] + manifest.SUFFIX, hours[25] + manifest.SUFFIX, f"20200104T000000Z{manifest.MANIFEST}"]
    for name in alone:
        (bucket.files / "prod" / name).write_text("a half")
    assert save(dumped, at, bucket.store, [recipient], Retention.parse("9d")) == []
    assert set(alone) & set(bucket.names()) == {alone[0]}


def test_without_a_retention_nothing_is_deleted(bucket: Bucket, dumped: Path, recipient: str) -> None:
    before = fill(bucket, OLD)
    assert save(dumped, now(), bucket.store, [recipient], None) == []
    assert set(before) < set(bucket.names())


def test_the_dump_in_plain_text_does_not_outlive_its_encryption(bucket: Bucket, dumped: Path, recipient: str) -> None:
    save(dumped, now(), bucket.store, [recipient], DAILY)
    assert not any(b"INSERT INTO" in file.read_bytes() for file in dumped.parent.iterdir())
    assert not any(b"Escola" in file.read_bytes() for file in (bucket.files / "prod").iterdir())


@pytest.mark.parametrize("end", [0, 200, len(DUMP) - len("-- Dump completed\n"), len(DUMP) - 1])
def test_a_dump_that_died_midway_is_no_backup_and_costs_none(
    bucket: Bucket, dumped: Path, recipient: str, end: int
) -> None:
    before = fill(bucket, OLD)
    dumped.write_bytes(DUMP[:end])
    with pytest.raises(BackupError, match="the dump is not whole"):
        save(dumped, now(), bucket.store, [recipient], DAILY)
    assert bucket.names() == before


def test_a_dump_of_an_empty_schema_is_no_backup(bucket: Bucket, dumped: Path, recipient: str) -> None:
    dumped.write_bytes(b"-- MySQL dump\n\n-- Dump completed\n")
    with pytest.raises(BackupError, match="has no table alembic_version"):
        save(dumped, now(), bucket.store, [recipient], DAILY)


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_store_that_is_unavailable_costs_no_backup(bucket: Bucket, dumped: Path, recipient: str, method: str) -> None:
    before = fill(bucket, OLD)
    bucket.faults.refused = {method: 503}
    with pytest.raises(BackupError, match="the store store:"):
        save(dumped, now(), bucket.store, [recipient], DAILY)
    assert bucket.names() == before


def test_an_upload_that_comes_back_shorter_costs_no_backup(bucket: Bucket, dumped: Path, recipient: str) -> None:
    before = fill(bucket, OLD)
    bucket.faults.lost = 20
    with pytest.raises(BackupError):
        save(dumped, now(), bucket.store, [recipient], DAILY)
    bucket.faults.lost = 0
    assert bucket.names() == before


def test_deletions_that_fail_leave_the_new_backup(bucket: Bucket, dumped: Path, recipient: str) -> None:
    before = fill(bucket, OLD)
    bucket.faults.refused = {"DELETE": 503}
    with pytest.raises(BackupError):
        save(dumped, now(), bucket.store, [recipient], DAILY)
    assert len(bucket.names()) == len(before) + 2


def test_a_clock_that_is_ahead_prunes_nothing(bucket: Bucket, dumped: Path, recipient: str) -> None:
    before = fill(bucket, OLD)
    with pytest.raises(BackupError, match="a clock is wrong; nothing was pruned"):
        save(dumped, now() + timedelta(days=400), bucket.store, [recipient], DAILY)
    assert set(before) < set(bucket.names())


def test_a_clock_that_went_back_prunes_nothing(bucket: Bucket, dumped: Path, recipient: str) -> None:
    before = fill(bucket, [*OLD, "29990101T000000Z"])
    with pytest.raises(BackupError, match="29990101T000000Z is from the future"):
        save(dumped, now(), bucket.store, [recipient], DAILY)
    assert set(before) < set(bucket.names())


def test_two_backups_of_one_second_do_not_mix(bucket: Bucket, dumped: Path, recipient: str) -> None:
    at = now()
    save(dumped, at, bucket.store, [recipient], DAILY)
    before = bucket.names()
    dumped.write_bytes(DUMP)
    with pytest.raises(BackupError, match="began in the same second"):
        save(dumped, at, bucket.store, [recipient], DAILY)
    assert bucket.names() == before


def test_of_two_backups_at_once_both_succeed_and_the_later_one_prunes(
    bucket: Bucket, dumped: Path, recipient: str
) -> None:
    fill(bucket, OLD)
    later = now() - timedelta(seconds=1)
    save(dumped, later, bucket.store, [recipient], None)
    dumped.write_bytes(DUMP)
    earlier = later - timedelta(seconds=30)
    assert save(dumped, earlier, bucket.store, [recipient], DAILY) == []
    dumped.write_bytes(DUMP)
    assert save(dumped, now(), bucket.store, [recipient], DAILY) == OLD[:2]


def test_a_part_of_a_restore_is_no_backup_and_costs_none(bucket: Bucket, dumped: Path, recipient: str) -> None:
    before = fill(bucket, OLD)
    dumped.write_bytes(b"-- Table structure for table `restoring`\n" + DUMP)
    with pytest.raises(BackupError, match="a restore into this database has not ended"):
        save(dumped, now(), bucket.store, [recipient], DAILY)
    assert bucket.names() == before


def test_an_emptied_store_is_told_of_by_every_attempt_and_the_new_backup_stays(
    bucket: Bucket, dumped: Path, recipient: str
) -> None:
    for seconds in (1, 0):
        at = now() - timedelta(seconds=seconds)
        dumped.write_bytes(DUMP)
        save(dumped, at, bucket.store, [recipient], DAILY)
        with pytest.raises(BackupError, match=f"{manifest.name(at)} now and no earlier backup, .* was emptied"):
            check_earlier(bucket.store, at, now() - timedelta(hours=4))
    assert len(bucket.names()) == 4


def test_the_first_backups_of_a_database_have_no_earlier_one(bucket: Bucket, dumped: Path, recipient: str) -> None:
    at = now()
    save(dumped, at, bucket.store, [recipient], DAILY)
    check_earlier(bucket.store, at, at - timedelta(hours=2))


def test_one_earlier_backup_is_enough(bucket: Bucket, dumped: Path, recipient: str) -> None:
    fill(bucket, OLD[:1])
    at = now()
    save(dumped, at, bucket.store, [recipient], DAILY)
    check_earlier(bucket.store, at, at - timedelta(days=4000))


@pytest.mark.parametrize("recipients", [[], ["age1nobody"]])
def test_without_a_good_public_key_nothing_is_stored(bucket: Bucket, dumped: Path, recipients: list[str]) -> None:
    before = fill(bucket, OLD)
    with pytest.raises(BackupError, match="recipient"):
        save(dumped, now(), bucket.store, recipients, DAILY)
    assert bucket.names() == before

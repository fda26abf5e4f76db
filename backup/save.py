"""Making a backup of a dump: seal, upload, read back, and only then delete what the retention has no room for."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup import dump, manifest
from backup.manifest import MANIFEST, SUFFIX, Manifest
from backup.retention import Retention, kept
from backup.seal import seal, sha256
from backup.store import BackupError, Store

log = logging.getLogger(__name__)
# What the clocks of this machine and of the store may differ by.
SKEW = timedelta(minutes=15)
# After which no run is still at work on its backup.
ABANDONED = timedelta(days=1)
# How long all attempts of a Job take at most, and after how long a database has to have a backup.
ATTEMPTS = timedelta(minutes=30)
OVERDUE = timedelta(hours=3)


def save(file: Path, at: datetime, store: Store, recipients: Sequence[str], retention: Retention | None) -> list[str]:
    """Stores the dump that was begun `at`; returns the names of the backups that were deleted.

    `file` is removed as soon as it is encrypted. Without a `retention` nothing is deleted from the store, and with one
    only when the new backup has been read back from it and the clock is beyond doubt. What a run that was killed has
    uploaded does not count as a backup, and is deleted after a day.

    Raises:
        BackupError: the backup was not made, or older ones were not pruned; the text says which.
    """
    started = time.monotonic()
    tables = dump.read(file)
    if dump.RESTORING in tables:
        raise BackupError("a restore into this database has not ended: a part of it would be no backup")
    at = at.replace(microsecond=0)
    stem = manifest.name(at)
    if any(each.startswith(stem) for each in store.names()):
        raise BackupError(f"the store has {store.folder}/{stem} already: another backup began in the same second")
    sealed = file.with_name(stem + SUFFIX)
    seal(file, sealed, recipients)
    file.unlink()
    try:
        _upload(store, sealed)
        took = round(time.monotonic() - started, 1)
        description = Manifest(store.folder, at, sealed.stat().st_size, sha256(sealed), took, tables)
        text = file.with_name(stem + MANIFEST)
        text.write_text(description.to_json())
        _upload(store, text)
    except BackupError:
        # The backup has no manifest that can be trusted, so neither half is of use to anybody.
        for suffix in (MANIFEST, SUFFIX):
            with suppress(BackupError):
                store.delete(stem + suffix)
        raise
    rows = sum(table.rows for table in tables.values())
    about = {"backup": f"{store.folder}/{stem}", "bytes": description.size, "rows": rows, "seconds": took}
    log.info("the backup is stored and was read back", extra=about)
    return _prune(store, at, retention) if retention else []


def check_earlier(store: Store, at: datetime, since: datetime) -> None:
    """Raises BackupError where the store has no backup from before `at`, of a database that has tables `since` long."""
    earlier = [each for each in manifest.complete(store.names()) if each < at - ATTEMPTS]
    if at - since > OVERDUE and not earlier:
        raise BackupError(
            f"{store.remote}/{store.folder} has {manifest.name(at)} now and no earlier backup, though the database is "
            f"from {since:%FT%TZ}: the store was emptied, or is another one"
        )


def _upload(store: Store, file: Path) -> None:
    store.upload(file)
    back = file.with_name("read-back")
    store.download(file.name, back)
    if sha256(back) != sha256(file):
        raise BackupError(f"{file.name} came back from the store as {back.stat().st_size} other bytes")
    back.unlink()


def _prune(store: Store, at: datetime, retention: Retention) -> list[str]:
    names = store.names()
    found = manifest.complete(names)
    if at not in found:
        raise BackupError(f"the store does not list {manifest.name(at)}, which was just uploaded; nothing was pruned")
    if found[-1] > max(at, datetime.now(UTC)):
        raise BackupError(
            f"{manifest.name(found[-1])} is from the future of this backup: a clock has jumped; nothing was pruned"
        )
    if found[-1] > at:
        log.info("%s was begun later and is stored already: it prunes", manifest.name(found[-1]))
        return []
    written = store.modified(manifest.name(at) + MANIFEST)
    if abs(written - at) > SKEW:
        raise BackupError(
            f"the store wrote {manifest.name(at)} at {written:%FT%TZ}: a clock is wrong; nothing was pruned"
        )
    keep = kept(found, retention)
    deleted = [manifest.name(each) for each in found if each not in keep]
    for each in deleted:
        # Without its manifest it no longer counts, so nobody restores half a backup.
        store.delete(each + MANIFEST)
        store.delete(each + SUFFIX)
    if halves := manifest.halves(names, at - ABANDONED):
        for each in halves:
            store.delete(each)
        log.info("what runs that were killed left of their backups is deleted", extra={"objects": len(halves)})
    return deleted

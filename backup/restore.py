"""The way back: fetching a backup, opening it, and proving that a database holds what was saved."""

from __future__ import annotations

import difflib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup import dump, manifest
from backup.manifest import MANIFEST, SUFFIX, Manifest
from backup.seal import sha256, unseal
from backup.store import BackupError, Store

log = logging.getLogger(__name__)
NEWEST = "newest"


def fetch(store: Store, name: str, folder: Path, identities: Sequence[str], oldest: timedelta | None = None) -> None:
    """Puts the backup `name`, or the newest one, into `folder` as dump.sql, and its manifest as manifest.json.

    Raises:
        BackupError: there is none, it is older than `oldest`, it was altered, or the key does not open it.
    """
    (folder / "began").write_text(str(time.time()))
    name = _exact(store, name)
    text = folder / "manifest.json"
    store.download(name + MANIFEST, text)
    description = Manifest.from_json(text.read_text())
    if manifest.name(description.at) != name or description.environment != store.folder:
        raise BackupError(
            f"{store.folder}/{name} has the manifest of {description.environment}/{manifest.name(description.at)}"
        )
    age = datetime.now(UTC) - description.at
    if oldest is not None and age > oldest:
        raise BackupError(f"the newest backup, {name}, is {age.total_seconds() / 3600:.1f} hours old")
    sealed = folder / "backup.age"
    store.download(name + SUFFIX, sealed)
    if (sealed.stat().st_size, sha256(sealed)) != (description.size, description.sha256):
        raise BackupError(
            f"{store.folder}/{name}{SUFFIX} has {sealed.stat().st_size} bytes and is not what was saved as "
            f"{description.size} bytes"
        )
    try:
        unseal(sealed, folder / "dump.sql", identities)
    except BackupError as error:
        known = f"`identity` of Secret backup has {len(identities)} private keys"
        more = "that of an older backup may be a further line"
        raise BackupError(f"{store.folder}/{name}: {error}; {known}, {more}") from None
    sealed.unlink()
    if changed := dump.differences(description.tables, dump.read(folder / "dump.sql")):
        raise BackupError(f"{name} and its manifest disagree: " + "; ".join(changed))
    size = (folder / "dump.sql").stat().st_size
    about = {"backup": f"{store.folder}/{name}", "bytes": size, "revision": dump.revision(folder / "dump.sql")}
    log.info("the backup is fetched and opened", extra=about)


def _exact(store: Store, name: str) -> str:
    """The name of a backup that the store has; the newest one's for `newest`."""
    names = [manifest.name(at) for at in manifest.complete(store.names())]
    if not names:
        raise BackupError(f"{store.remote}/{store.folder} has no backup")
    if name == NEWEST:
        return names[-1]
    if name not in names:
        near = ", ".join(difflib.get_close_matches(name, names, n=3, cutoff=0))
        raise BackupError(
            f"{store.folder} has no backup {name}; the names most like it: {near}; `make backups ENV=...` lists all"
        )
    return name


@dataclass(frozen=True)
class Report:
    """What a restore has proved.

    Attributes:
        backup: which one, ENVIRONMENT/NAME.
        age: seconds from the backup until the restore began: what would have been lost (the recovery point).
        seconds: from then until the data was proved to be there (the recovery time).
    """

    backup: str
    age: float
    seconds: float
    tables: int
    rows: int


def compare(folder: Path) -> Report:
    """Compares redump.sql, a dump of the restored database, with the manifest of what was restored.

    Raises:
        BackupError: a table is missing, or has other rows.
    """
    description = Manifest.from_json((folder / "manifest.json").read_text())
    found = dump.read(folder / "redump.sql")
    if lines := dump.differences(description.tables, found):
        raise BackupError("the restored database differs from what was saved: " + "; ".join(lines))
    began = float((folder / "began").read_text())
    return Report(
        backup=f"{description.environment}/{manifest.name(description.at)}",
        age=round(began - description.at.timestamp()),
        seconds=round(time.time() - began, 1),
        tables=len(found) - 1,
        rows=sum(table.rows for table in found.values()),
    )


def listing(store: Store) -> str:
    """The backups of the store's folder, newest first, one JSON object a line."""
    lines = [{"backup": f"{store.folder}/{manifest.name(at)}"} for at in reversed(manifest.complete(store.names()))]
    return "".join(json.dumps(line) + "\n" for line in lines)

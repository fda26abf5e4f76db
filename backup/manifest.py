"""What a backup is, and what is in it: the small object beside each backup that makes it count."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from backup.dump import Table
from backup.store import BackupError

SUFFIX = ".sql.gz.age"
MANIFEST = ".json"
NAME = re.compile(r"\d{8}T\d{6}Z")
FORM = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Manifest:
    """Written once the backup has been read back, so that what has no manifest is no backup.

    Attributes:
        at: when the dump was begun, the name of both objects.
        size, sha256: of the encrypted object.
        seconds: how long the backup took.
        tables: of the dump, as backup.dump reads it.
    """

    environment: str
    at: datetime
    size: int
    sha256: str
    seconds: float
    tables: dict[str, Table]

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "at": name(self.at)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        try:
            fields = json.loads(text)
            tables = {table: Table(**each) for table, each in fields.pop("tables").items()}
            return cls(**{**fields, "at": moment(fields["at"]), "tables": tables})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupError(f"the manifest is damaged: {error}") from None


def name(at: datetime) -> str:
    """The name that a backup of this moment has, in UTC to the second."""
    return at.astimezone(UTC).strftime(FORM)


def moment(text: str) -> datetime:
    """The inverse of `name`; ValueError where it is none."""
    return datetime.strptime(text, FORM).replace(tzinfo=UTC)


def complete(objects: Iterable[str]) -> list[datetime]:
    """The moments of the backups among the names of objects, oldest first; whatever else is there does not count."""
    names = set(objects)
    stems = (each.removesuffix(MANIFEST) for each in names if each.endswith(MANIFEST))
    return sorted(moment(stem) for stem in stems if NAME.fullmatch(stem) and stem + SUFFIX in names)


def halves(objects: Iterable[str], before: datetime) -> list[str]:
    """Those among the names of objects that are a part of a backup from `before` and have no other part."""
    names, found = set(objects), []
    for other in sorted(names):
        stem, _, _ = other.partition(".")
        parts = {stem + MANIFEST, stem + SUFFIX}
        if NAME.fullmatch(stem) and other in parts and not parts <= names and moment(stem) < before:
            found.append(other)
    return found

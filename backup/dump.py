"""What mysqldump has written, table by table.

The dumps are made with one INSERT a row, in the order of the primary key, and without a date: databases with the same
rows give the same lines.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from backup.store import BackupError

HEADING = re.compile(rb"-- (?:Table structure|Temporary view structure) for (?:table|view) `(.+)`\n")
# What follows the tables: events and routines.
REST = re.compile(rb"-- Dumping (?:events|routines) for database ")
COMPLETED = b"-- Dump completed"
NEEDED = "alembic_version"
REVISION = re.compile(rb"INSERT INTO `alembic_version` VALUES \('([^']+)'\);\n")
# A table that load.sh makes before it loads, and that goes when the whole was compared.
RESTORING = "restoring"


@dataclass(frozen=True)
class Table:
    """How many rows, and the SHA-256 of the lines that make the table and fill it."""

    rows: int
    sha256: str


def read(file: Path) -> dict[str, Table]:
    """The tables of a dump by name; `""` stands for routines and events.

    Raises:
        BackupError: the dump is not whole, or not of this application.
    """
    hashes = {"": hashlib.sha256()}
    rows = {"": 0}
    name, last = "", b""
    with file.open("rb") as lines:
        for line in lines:
            if match := HEADING.fullmatch(line):
                name = match[1].decode()
                hashes[name], rows[name] = hashlib.sha256(), 0
            elif REST.match(line):
                name = ""
            if not line.startswith(b"--"):
                hashes[name].update(line)
                rows[name] += line.startswith(b"INSERT INTO ")
            if line.strip():
                last = line
    if not last.startswith(COMPLETED) or not last.endswith(b"\n"):
        raise BackupError(f"{file}: the dump is not whole: it does not end with {COMPLETED.decode()!r}")
    if NEEDED not in hashes:
        raise BackupError(f"{file}: the dump has no table {NEEDED}: the schema is empty or another's")
    return {name: Table(rows[name], hashes[name].hexdigest()) for name in hashes}


def revision(file: Path) -> str | None:
    """The revision of the schema that the dump is of."""
    with file.open("rb") as lines:
        matches = (REVISION.fullmatch(line) for line in lines)
        return next((match[1].decode() for match in matches if match), None)


def differences(wanted: dict[str, Table], found: dict[str, Table]) -> list[str]:
    """What is not the same, one line for each table."""
    lines = []
    for name in sorted(wanted.keys() | found.keys()):
        label = f"table {name}" if name else "routines and events"
        if name not in found or name not in wanted:
            lines.append(f"{label} is {'missing' if name in wanted else 'one too many'}")
        elif wanted[name].rows != found[name].rows:
            lines.append(f"{label} has {found[name].rows} rows instead of {wanted[name].rows}")
        elif wanted[name] != found[name]:
            lines.append(f"{label} has other contents in its {wanted[name].rows} rows, or another structure")
    return lines

"""The instances in the database: importing them, and reading them back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import database
from app.engine.instance import Instance
from app.engine.xhstt import XhsttError, read_instances
from app.models import StoredInstance
from app.school import lowering
from app.school.model import Placement, School

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# In this order, as the first is what a new installation shows.
EXAMPLE_FILES = (EXAMPLES / "escola-exemplo.xml", EXAMPLES / "BrazilInstance1.xml")


def read(path: Path) -> tuple[bytes, Instance]:
    """The content of an XHSTT file of one instance, and that instance.

    Raises:
        XhsttError: the file cannot be read, or is no such file; the text names it and the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise XhsttError(f"{path}: {error.strerror}") from None
    instances = read_instances(data, str(path))
    if len(instances) != 1:
        raise XhsttError(f"{path}:1: the archive has {len(instances)} instances; give one file for each")
    return data, instances[0]


def import_files(session: Session, paths: Iterable[Path]) -> list[StoredInstance]:
    """Imports XHSTT files; one that is there already is found, not imported again. All or none."""
    stored = []
    for data, instance in [read(path) for path in paths]:
        sha256 = hashlib.sha256(data).hexdigest()
        found = session.scalar(select(StoredInstance).where(StoredInstance.sha256 == sha256))
        if found is None:
            found = StoredInstance(
                name=instance.name[:200],
                xhstt=data.decode("utf-8-sig"),
                sha256=sha256,
                created_at=database.now(session),
            )
            session.add(found)
            session.flush()
        stored.append(found)
    return stored


def of_school(
    session: Session, school_id: int, school: School, locked: Iterable[Placement], keep: Iterable[Placement] = ()
) -> StoredInstance:
    """The instance of a school as it is now; the same one as long as nothing in it changes."""
    xhstt = lowering.archive(school, locked, named=False, keep=keep)
    # Equal instances of two schools are two: what is found for one is not the other's.
    sha256 = hashlib.sha256(f"school {school_id}\n".encode() + xhstt).hexdigest()
    found = session.scalar(select(StoredInstance).where(StoredInstance.sha256 == sha256))
    if found is None:
        found = StoredInstance(
            name=f"School {school_id}",
            xhstt=xhstt.decode(),
            sha256=sha256,
            created_at=database.now(session),
            school_id=school_id,
        )
        session.add(found)
        session.flush()
    return found


def load(stored: StoredInstance) -> Instance:
    """The instance itself."""
    return _parse(stored.sha256, stored.xhstt)


# A page needs the parsed instance at every request, and an instance never changes.
@lru_cache(maxsize=16)
def _parse(sha256: str, xhstt: str) -> Instance:
    return read_instances(xhstt.encode(), f"instance {sha256[:12]}")[0]

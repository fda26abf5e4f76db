"""What is written to the database is there afterwards: a full disk, or a server that only reads, is noticed."""

from __future__ import annotations

import secrets
from typing import Any

import pymysql
import pytest

# A quarter of a megabyte: more than fits into what the files have left, so that the disk has to give some.
ROWS, WIDTH = 1000, 260
RUNBOOK = "where its volume is full, docs/runbooks/DatabaseVolumeNearlyFull.md says how to make room"


def test_the_database_keeps_what_is_written(database: pymysql.Connection[Any]) -> None:
    try:
        kept, left = written(database)
    except pymysql.MySQLError as error:
        pytest.fail(f"the database takes no data: {error}; {RUNBOOK}", pytrace=False)
    assert (kept, left) == (ROWS, 0)


def written(database: pymysql.Connection[Any]) -> tuple[int, int]:
    """How many of ROWS rows are there once they were committed, and how many once they were deleted.

    They are among the failed sign-ins, of nobody who could sign in. The application deletes whatever of these is older
    than a quarter of an hour, so that nothing stays for long even of a test that was ended.
    """
    name = f"smoke test {secrets.token_hex(8)} "
    count = "SELECT COUNT(*) FROM attempt WHERE who LIKE %s"
    with database.cursor() as cursor:
        rows = [(f"{name}{number}".ljust(WIDTH, "."),) for number in range(ROWS)]
        cursor.executemany("INSERT INTO attempt (who, at) VALUES (%s, UTC_TIMESTAMP(6))", rows)
        database.commit()
        cursor.execute(count, (f"{name}%",))
        (kept,) = cursor.fetchone() or (0,)
        cursor.execute("DELETE FROM attempt WHERE who LIKE %s", (f"{name}%",))
        database.commit()
        cursor.execute(count, (f"{name}%",))
        (left,) = cursor.fetchone() or (0,)
    return kept, left

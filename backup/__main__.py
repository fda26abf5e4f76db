"""Command line: python -m backup COMMAND. What runs in the pods of base/backup."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from app import check, database, logs, settings
from app.database import DatabaseError
from backup import dump
from backup.restore import NEWEST, compare, fetch, listing
from backup.retention import Retention
from backup.save import check_earlier, save
from backup.store import BackupError, Store

log = logging.getLogger("backup")
# Nobody but a person makes it: who has no copy of the private key elsewhere has no backups.
MAKE = (
    "kubectl -n {} create secret generic backup --from-file=rclone.conf --from-file=identity "
    "--from-file=recipients=<(age-keygen -y identity)"
)


def parser() -> argparse.ArgumentParser:
    """The command line; where the store is and how much it keeps are environment variables."""
    parser = argparse.ArgumentParser(prog="backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    saving = commands.add_parser("save", help="encrypt WORK/dump.sql, store it, read it back, prune")
    fetching = commands.add_parser("fetch", help="get a backup, verify and open it, as WORK/dump.sql")
    fetching.add_argument("--name", default=NEWEST, help="which, such as 20261231T235900Z (%(default)s)")
    fetching.add_argument("--oldest", type=float, metavar="HOURS", help="fail where it is older than that")
    comparing = commands.add_parser("compare", help="compare WORK/redump.sql with what was saved; read the database")
    commands.add_parser("list", help="the backups, newest first")
    for each in (saving, fetching, comparing):
        each.add_argument("--work", type=Path, default=Path("/scratch"), help="folder (%(default)s)")
    return parser


def run(options: argparse.Namespace, variables: settings.Settings) -> None:
    """Runs the command that was asked for."""
    match options.command:
        case "save":
            file = options.work / "dump.sql"
            at = datetime.fromtimestamp((options.work / "dumped").stat().st_mtime, UTC)
            since = datetime.fromtimestamp(float((options.work / "since").read_text()), UTC)
            retention = Retention.parse(variable("BACKUP_RETENTION")) if variable("PRUNE") == "yes" else None
            deleted = save(file, at, store(), keys("recipients"), retention)
            log.info("%d older backups were deleted", len(deleted), extra={"deleted": deleted})
            if retention:
                check_earlier(store(), at, since)
        case "fetch":
            oldest = None if options.oldest is None else timedelta(hours=options.oldest)
            fetch(store(), options.name, options.work, keys("identity"), oldest)
        case "compare":
            report = compare(options.work)
            engine = database.connect(variables, database.MIGRATION)
            # A backup of a release before has to be of use to this one.
            database.migrate(engine)
            read = check.check(engine)
            with engine.begin() as connection:
                connection.execute(text(f"DROP TABLE IF EXISTS {dump.RESTORING}"))
            log.info("the restored database is as it was saved", extra={**asdict(report), "read": read})
        case "list":
            print(listing(store()), end="")


def store() -> Store:
    """The store that the environment variables name."""
    return Store("http://127.0.0.1:5572", variable("BACKUP_REMOTE"), variable("BACKUP_ENVIRONMENT"))


def variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise BackupError(f"{name} is not set")
    return value


def keys(name: str) -> list[str]:
    """The lines of a file of the mounted Secret, without comments."""
    file = Path(variable("BACKUP_SECRETS"), name)
    try:
        lines = file.read_text().split("\n")
    except OSError:
        lines = []
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise BackupError(
            f"Secret backup has no {name}; docs/backups.md: `{MAKE.format(variable('BACKUP_ENVIRONMENT'))}`"
        )
    return found


def main() -> int:
    """Exit codes: 0 done, 1 not done, and one line says why."""
    options = parser().parse_args()
    variables = settings.load()
    logs.configure(variables)
    try:
        run(options, variables)
    except (BackupError, DatabaseError, ValueError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An environment's backups: which there are, one now, and one before a release changes the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress

from delivery import database, job, lease, release
from delivery.cluster import Cluster
from delivery.release import Release
from delivery.render import Render
from delivery.shell import DeliveryError, say
from policy_tests.environment import Environment

NAME = re.compile(r"\d{8}T\d{6}Z")
CRONJOB = "cronjob/restore"
# An annotation of it while a restore is under way: the backup of what was there before.
RECORD = "school-scheduler/restoring"
# Seconds that the backup before a migration may take.
BEFORE_MIGRATION = 1800


def make(cluster: Cluster) -> str:
    """Makes a backup when whoever backs up, restores or delivers has ended; what it has printed."""
    with lease.held(cluster, wait=1800, work="backup") as cluster:
        return now(cluster)


def now(cluster: Cluster, *, prune: bool = True, seconds: float = 3600) -> str:
    """Makes a backup, as the holder of the lease; what it has printed.

    Raises:
        DeliveryError: there is none, or nobody can tell its name.
    """
    job.wait_for_others(cluster, "backup")
    try:
        variables = {} if prune else {"PRUNE": "no"}
        printed = job.run(cluster, "backup", variables, seconds=seconds)
    except job.VanishedError as error:
        # It may have stored the backup before.
        printed = _newest(cluster)
        if not error.since or not printed or name(printed) < error.since:
            raise
    if not printed and not (printed := _newest(cluster)):
        raise DeliveryError("the backup is made, and its name cannot be read; `make backups` lists it")
    return printed


def _newest(cluster: Cluster) -> str:
    """The line of the newest backup, empty where none is listed."""
    return "".join(listing(cluster).splitlines(keepends=True)[:1])


def name(printed: str) -> str:
    """The name of the first backup that the lines of `now` or `listing` tell of."""
    for line in printed.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            return str(json.loads(line)["backup"]).rpartition("/")[2]
    raise DeliveryError(f"no backup is named in: {printed}")


def restoring(environment: Environment, backup: str, source: Environment | None = None) -> str:
    """What is typed to restore a backup, whatever the environment has now."""
    of = f" --of {source.name}" if source and source != environment else ""
    options = f"--backup {backup}{of} --overwrite --confirm {environment.name}"
    return f"make restore ENV={environment.name} OPTIONS='{options}'"


def before_restore(cluster: Cluster) -> str | None:
    """The backup of what there was before a restore that has not ended, empty for nothing or no name.

    None where all have ended.
    """
    found = cluster.get(CRONJOB) or {"metadata": {}}
    record: str | None = found["metadata"].get("annotations", {}).get(RECORD)
    # It ends in a command that is to be typed.
    return record if record is None or NAME.fullmatch(record) else ""


def note(cluster: Cluster, backup: str | None) -> None:
    """Records that a restore is under way, and the backup of what there was; None where it ended."""
    cluster.patch(CRONJOB, {"metadata": {"annotations": {RECORD: backup}}})


def refuse_partial(environment: Environment, cluster: Cluster) -> None:
    """Raises DeliveryError where the database holds a part of a backup.

    One that does not answer is not its matter.
    """
    safety = before_restore(cluster)
    state = None
    with suppress(DeliveryError):
        state = database.read(cluster)
    if state and not state.whole and (state.partial or safety is not None):
        before = f"; what was there before: `{restoring(environment, safety)}`" if safety else ""
        raise DeliveryError(
            f"a restore into the database of {environment.name} has not ended; nothing was changed. "
            f"Type it again{before}"
        )


def before_migration(environment: Environment, cluster: Cluster, render: Render, releases: Iterable[Release]) -> None:
    """Makes a backup where the new release has another schema than the last good one.

    Raises:
        DeliveryError: the backup failed; nothing was applied yet. The text names what brings back a
            database that does not run.
    """
    good = release.last_good(releases)
    if good and good.render.find("CronJob", "backup") and good.render.schema != render.schema:
        change = f"before the schema changes from {good.render.schema} to {render.schema}"
        say(f"backing up {change}")
        try:
            now(cluster, seconds=BEFORE_MIGRATION)
        except DeliveryError as error:
            nothing = f"there is no backup from {change}, and nothing was applied"
            remedy = f"make rollback ENV={environment.name} OPTIONS='--to {good.number}'"
            way = f"where the database does not run, `{remedy}` brings it back"
            raise DeliveryError(f"{nothing}; {way}: {error}") from error


def listing(cluster: Cluster) -> str:
    """The environment's backups, newest first, one JSON object a line."""
    return job.run(cluster, "restore", only="fetch", arguments=("list",))

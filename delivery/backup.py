"""An environment's backups: which there are, one now, and one before a release changes the schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from delivery import database, job, lease, release, rollout
from delivery.release import Release
from delivery.rollout import Manifest
from delivery.shell import DeliveryError, kubectl, say
from policy_tests.environment import find

SCHEMA = "school-scheduler/schema"
# An annotation of CronJob restore while a restore is under way: the backup of what was there before.
RECORD = "school-scheduler/restoring"


def make(environment: str) -> str:
    """Makes a backup when whoever backs up, restores or delivers has ended; what it has printed."""
    namespace = find(environment).namespace
    with lease.held(namespace, wait=1800, work="backup"):
        return now(namespace)


def now(namespace: str, *, prune: bool = True, seconds: float = 3600) -> str:
    """Makes a backup, as the holder of the lease; what it has printed.

    Raises:
        DeliveryError: there is none.
    """
    job.wait_for_others(namespace, "backup")
    try:
        printed = job.run(namespace, "backup", {} if prune else {"PRUNE": "no"}, seconds=seconds)
    except job.VanishedError as error:
        # It may have stored the backup before.
        listed = _listing(namespace)
        if not listed or name(listed) < error.since:
            raise
        return listed.splitlines(keepends=True)[0]
    return printed or _listing(namespace).splitlines(keepends=True)[0]


def name(printed: str) -> str:
    """The name of the first backup that the lines of `now` or `listing` tell of."""
    for line in printed.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            return str(json.loads(line)["backup"]).rpartition("/")[2]
    raise DeliveryError(f"no backup is named in: {printed}")


def restoring(environment: str, backup: str, source: str | None = None) -> str:
    """What is typed to restore a backup, whatever the environment has now."""
    of = f" --of {source}" if source and source != environment else ""
    options = f"--backup {backup}{of} --overwrite --confirm {environment}"
    return f"make restore ENV={environment} OPTIONS='{options}'"


def before_restore(namespace: str) -> str | None:
    """The backup of what there was before a restore that has not ended, empty for nothing.

    None where all have ended.
    """
    found = kubectl("-n", namespace, "get", "cronjob/restore", "--ignore-not-found", "-o", "json")
    annotations = json.loads(found)["metadata"].get("annotations", {}) if found else {}
    return annotations.get(RECORD)


def refuse_partial(environment: str) -> None:
    """Raises DeliveryError where the database holds a part of a backup; one that does not answer is none's matter."""
    namespace = find(environment).namespace
    safety = before_restore(namespace)
    state = None
    with suppress(DeliveryError):
        state = database.read(namespace)
    if state and not state.whole and (state.partial or safety is not None):
        before = f"; what was there before: `{restoring(environment, safety)}`" if safety else ""
        raise DeliveryError(
            f"a restore into the database of {environment} has not ended; nothing was changed. Type it again{before}"
        )


def before_migration(namespace: str, objects: Sequence[Manifest], releases: Sequence[Release]) -> None:
    """Makes a backup where the new release has another schema than the last good one.

    Raises:
        DeliveryError: the backup failed; nothing was applied yet.
    """
    good = release.last_good(list(releases))
    old = rollout.read(good.manifests) if good else []
    if not any((each["kind"], each["metadata"]["name"]) == ("CronJob", "backup") for each in old):
        return
    before, after = schema(old), schema(objects)
    if before != after:
        say(f"backing up before the schema changes from {before} to {after}")
        now(namespace, seconds=1800)


def schema(objects: Sequence[Manifest]) -> str | None:
    """The revision of the schema that the web of a render migrates to."""
    schema: str | None = rollout.web(objects)["metadata"].get("annotations", {}).get(SCHEMA)
    return schema


def listing(environment: str) -> str:
    """The environment's backups, newest first, one JSON object a line."""
    return _listing(find(environment).namespace)


def _listing(namespace: str) -> str:
    return job.run(namespace, "restore", only="fetch", arguments=("list",))

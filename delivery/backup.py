"""An environment's backups: which there are, and one before a release changes the schema."""

from __future__ import annotations

from collections.abc import Sequence

from delivery import job, release, rollout
from delivery.release import Release
from delivery.rollout import Manifest
from delivery.shell import say

SCHEMA = "school-scheduler/schema"


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
        job.run(namespace, "backup", seconds=1800)


def schema(objects: Sequence[Manifest]) -> str | None:
    """The revision of the schema that the web of a render migrates to."""
    schema: str | None = rollout.web(objects)["metadata"].get("annotations", {}).get(SCHEMA)
    return schema


def listing(environment: str) -> str:
    """The environment's backups, newest first."""
    return job.run(f"school-scheduler-{environment}", "restore", only="fetch", arguments=("list",))

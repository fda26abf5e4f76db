"""Jobs start when they should, end, and leave a trace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from zoneinfo import available_timezones

from policy_tests.manifests import Finding, Manifest, ManifestSet, dig
from policy_tests.rule import rule

# Five fields of numbers, names, lists, ranges and steps, or a macro.
SCHEDULE = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every \S+|(?:\S+\s+){4}\S+")
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
# Every minute of hours that are named one by one.
SIXTY_TIMES = re.compile(r"\*(/1)?\s+\d+(,\d+)*\s.*")
# The controller looks for runs that are due once in as many seconds.
CONTROLLER_PERIOD = 10
# Whoever makes these Jobs deletes them too.
HOOKS = ("helm.sh/hook", "argocd.argoproj.io/hook", "kustomize.toolkit.fluxcd.io/force")


@rule(
    "jobs-end",
    "medium",
    why="A job that hangs holds its resources for ever, under Forbid no later run ever starts, and a Job that ended "
    "stays until somebody deletes it.",
    fix="set activeDeadlineSeconds and backoffLimit, ttlSecondsAfterFinished on a bare Job, and concurrencyPolicy "
    "Forbid or Replace on a CronJob.",
    source="KBVE/kbve #13135; gatekeeper-library; redhat-cop cronjob rules; kube-linter "
    "job-ttl-seconds-after-finished; datree",
)
def end(manifests: ManifestSet) -> Iterator[Finding]:
    crons, jobs = manifests.of("CronJob"), manifests.of("Job")
    bare = [job for job in jobs if not any(key.startswith(HOOKS) for key in job.annotations)]
    needed = [
        ("spec.jobTemplate.spec.activeDeadlineSeconds", crons, True),
        ("spec.jobTemplate.spec.backoffLimit", crons, None),
        ("spec.startingDeadlineSeconds", crons, None),
        ("spec.activeDeadlineSeconds", jobs, None),
        ("spec.backoffLimit", jobs, None),
        ("spec.ttlSecondsAfterFinished", bare, True),
    ]
    for path, owners, always in needed:
        for job in manifests.lacking(owners, _states(path), always=always):
            yield job.finding(path, None, "is not set")
    for cron in crons:
        policy = cron.spec.get("concurrencyPolicy")
        if policy in (None, "Allow"):
            yield cron.finding("spec.concurrencyPolicy", policy, "lets runs pile up, as Allow is the default")


def _states(path: str) -> Callable[[Manifest], bool]:
    return lambda manifest: dig(manifest.body, path) is not None


@rule(
    "jobs-schedule",
    "high",
    why="The API server refuses a schedule that is no schedule; one for a day that no month has never runs.",
    fix="write five fields: minute, hour, day of the month, month, day of the week.",
    source="Kubernetes: CronJob, schedule syntax; no checker has it",
    per_object=True,
)
def schedule(manifests: ManifestSet) -> Iterator[Finding]:
    for cron in manifests.of("CronJob"):
        text = str(cron.spec.get("schedule"))
        fields = text.split()
        numbers = [[int(number) for number in re.findall(r"(?<![/\w])\d+", each)] for each in fields]
        bounds = zip(FIELDS, numbers, strict=False)
        within = all(least <= number <= most for (least, most), given in bounds for number in given)
        if not SCHEDULE.fullmatch(text) or not within or fields[2:4] in (["30", "2"], ["31", "2"]):
            yield cron.finding("spec.schedule", text, "is no schedule")
        if cron.spec.get("suspend"):
            yield cron.finding("spec.suspend", True, "never runs")


@rule(
    "jobs-minute-named",
    "medium",
    why="A star for the minute starts a run in each minute of the hour that was meant for one.",
    fix="name the minute: `0 2 * * *` runs once, at two.",
    source="Kubernetes: CronJob, schedule syntax; no checker has it",
    per_object=True,
)
def minute_named(manifests: ManifestSet) -> Iterator[Finding]:
    for cron in manifests.of("CronJob"):
        text = str(cron.spec.get("schedule"))
        if SIXTY_TIMES.fullmatch(text):
            yield cron.finding("spec.schedule", text, "runs sixty times in an hour")


@rule(
    "jobs-time-zone",
    "high",
    why="The API server refuses a time zone that the tz database does not have.",
    fix="write a name such as Europe/Lisbon or Etc/UTC, not an abbreviation.",
    source="Kubernetes: CronJob, time zones; no checker has it",
    per_object=True,
)
def time_zone(manifests: ManifestSet) -> Iterator[Finding]:
    for cron in manifests.of("CronJob"):
        zone = cron.spec.get("timeZone")
        if zone is not None and zone not in _zones():
            yield cron.finding("spec.timeZone", zone, "is no time zone")


@cache
def _zones() -> frozenset[object]:
    return frozenset(available_timezones())


@rule(
    "jobs-start",
    "high",
    why=f"The controller looks every {CONTROLLER_PERIOD} s, and skips each run whose deadline has passed by then.",
    fix="set startingDeadlineSeconds to minutes, or leave it out.",
    source="Kubernetes: CronJob, deadline for delayed job start",
    per_object=True,
)
def start(manifests: ManifestSet) -> Iterator[Finding]:
    for cron in manifests.of("CronJob"):
        deadline = cron.spec.get("startingDeadlineSeconds")
        if isinstance(deadline, int) and deadline < CONTROLLER_PERIOD:
            yield cron.finding("spec.startingDeadlineSeconds", deadline, "passes before the controller looks again")


@rule(
    "jobs-failures-kept",
    "medium",
    why="A failed run of which neither the Job nor the pods are kept leaves no log and no exit code.",
    fix="set failedJobsHistoryLimit to 1 or more.",
    source="Kubernetes: CronJob, jobs history limits; no checker has it",
    per_object=True,
)
def failures_kept(manifests: ManifestSet) -> Iterator[Finding]:
    for cron in manifests.of("CronJob"):
        if cron.spec.get("failedJobsHistoryLimit") == 0:
            yield cron.finding("spec.failedJobsHistoryLimit", 0, "keeps no failed run")

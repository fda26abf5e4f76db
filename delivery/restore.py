"""Bringing an environment's data back from a backup."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from delivery import (
    backup,
    configuration,
    database,
    diagnosis,
    job,
    lease,
    release,
    rollout,
    rotation,
    workloads,
)
from delivery.cluster import Cluster, going
from delivery.database import State
from delivery.release import Release
from delivery.render import COMPONENT
from delivery.shell import DeliveryError, say
from delivery.target import Target
from policy_tests.environment import Environment

NEWEST = "newest"
# What a load may take of the volume, as a multiple of the dump: the tables, and the binary log.
GROWTH = 3
WRITERS = f"{COMPONENT} in (web,worker,generation)"
SUSPEND = "suspend what does so (Flux, Argo CD), then the same command again"


class DisturbedError(DeliveryError):
    """Somebody has started what may write while the data was replaced."""


@dataclass(frozen=True)
class Options:
    """How data is brought back.

    Attributes:
        backup: the name of the backup, or `newest`.
        source: the environment whose backup it is.
        overwrite, confirm: both are needed where there is data; `confirm` is the environment's name
            once more.
    """

    backup: str
    source: Environment
    overwrite: bool
    confirm: str | None

    def replaces(self, environment: Environment) -> bool:
        """Whether the data of that environment may be replaced."""
        return self.overwrite and self.confirm == environment.name


@dataclass(frozen=True)
class Plan:
    """A restore that may begin.

    Attributes:
        earlier: the release that is started again.
        before: what the database held, None where there was none.
        safety: the backup of that, empty where there was nothing to back up.
        variables: of the Job that restores.
    """

    target: Target
    earlier: Release
    options: Options
    before: State | None
    safety: str
    variables: dict[str, str]

    @property
    def environment(self) -> Environment:
        return self.target.environment

    @property
    def cluster(self) -> Cluster:
        return self.target.cluster

    @property
    def remedy(self) -> str:
        """What is typed to run on the data from before, or else on the backup."""
        if self.safety:
            return backup.restoring(self.environment, self.safety)
        return backup.restoring(self.environment, self.options.backup, self.options.source)


def restore(target: Target, options: Options) -> str:
    """Stops the application, brings the data back by a Job, and starts the last good release on it.

    Everything that can be known before is looked at before anything stops. A database that was
    destroyed, its claim too, is made anew. What is there is replaced only where `options` say so
    twice, and only after it has been backed up itself; whatever goes wrong then, the application is
    brought back on what was there before.

    Returns:
        What the Job has printed; nothing where it was lost after its work.

    Raises:
        DeliveryError: the data is not back; the text says on what data the application runs, or
            names the command that brings it back.
    """
    name = target.environment.name
    if (options.overwrite or options.confirm) and not options.replaces(target.environment):
        both = f"--overwrite --confirm {name}"
        raise DeliveryError(f"to replace the data of {name} say both: {both}; nothing was changed")
    with lease.held(target.cluster, work="restore") as cluster:
        target = replace(target, cluster=cluster)
        plan, report = _prepared(target, options), ""
        say(f"stopping {name}; should this command be killed, type it again, or `{plan.remedy}`")
        backup.note(target.cluster, plan.safety)
        try:
            _stop(plan)
            plan = _seen(plan)
            _require_silence(plan)
            report = job.run(target.cluster, "restore", plan.variables)
            _require_silence(plan)
            _start(plan)
        except (Exception, KeyboardInterrupt) as error:
            _return(plan, error)
        backup.note(target.cluster, None)
    say(f"{name} runs release {plan.earlier.number} on the restored data")
    return report


def _prepared(target: Target, options: Options) -> Plan:
    try:
        return prepare(target, options)
    except DeliveryError as error:
        if safety := backup.before_restore(target.cluster):
            remedy = backup.restoring(target.environment, safety)
            unfinished = f"a restore before has not ended, this ends it: `{remedy}`"
            raise DeliveryError(f"{error}; {unfinished}") from error
        raise


def prepare(target: Target, options: Options) -> Plan:
    """Looks whether the restore can succeed, and backs up what there is.

    Raises:
        DeliveryError: it cannot; nothing was changed.
    """
    environment, cluster = target.environment, target.cluster
    earlier = release.running(cluster)
    if left := job.unfinished(cluster, "restore"):
        say(f"ending what a restore that was interrupted has left: {', '.join(left)}")
        job.end(cluster, left)
    before = database.read(cluster, wait=60)
    safety = (backup.before_restore(cluster) or "") if before else ""
    live = before.whole if before else not earlier.render.has_database
    if before and before.whole and not options.replaces(environment):
        raise DeliveryError(
            f"{environment.name} has a database of {before.tables} tables; nothing was changed. Say "
            f"twice that it is to be replaced: --overwrite --confirm {environment.name}"
        )
    if options.backup == NEWEST and before and (before.whole or safety):
        raise DeliveryError("what is there is backed up first, and would be the newest; name a backup (backups)")
    variables = {
        "BACKUP_NAME": options.backup,
        "BACKUP_ENVIRONMENT": options.source.namespace,
        "OVERWRITE": "nothing",
    }
    writers = cluster.list("Pod", selector=WRITERS)
    if away := [*diagnosis.nodes([pod for pod in writers if workloads.lost(pod)])]:
        raise DeliveryError("\n".join([*away, "whether they write cannot be known; nothing was changed"]))
    # What somebody has made without a workload goes with none.
    if alone := [rollout.name(pod) for pod in writers if not pod["metadata"].get("ownerReferences")]:
        line = f"`kubectl -n {cluster.namespace} delete {' '.join(alone)}`"
        raise DeliveryError(
            f"{', '.join(alone)} may write and belongs to no workload that is stopped; nothing was "
            f"changed: {line}, then the same command again"
        )
    # What is refused then would leave nothing that runs.
    rollout.difference(cluster, earlier.render.objects)
    _look(cluster, before, variables)
    if live and options.replaces(environment):
        say(f"backing up what {environment.name} has now")
        # Pruning could take away the very one that is to come back.
        safety = backup.name(backup.now(cluster, prune=False))
        variables["OVERWRITE"] = environment.namespace
    return Plan(target, earlier, options, before, safety, variables)


def _look(cluster: Cluster, before: State | None, variables: dict[str, str]) -> None:
    """Fetches and opens the backup as the restore will, beside the running application."""
    say(f"looking at backup {variables['BACKUP_NAME']}")
    try:
        printed = job.run(cluster, "restore", variables, only="fetch", seconds=1800)
    except job.JobError as error:
        raise DeliveryError(f"{error.reason}; nothing was changed") from error
    found = {}
    # A release from before these were printed does without.
    with suppress(ValueError, IndexError):
        found = json.loads(printed.splitlines()[-1])
    size, revision = found.get("bytes", 0), found.get("revision")
    if before and GROWTH * size > before.free + before.size:
        raise DeliveryError(
            f"a dump of {size} bytes may take {GROWTH} times that, and the database's volume has "
            f"{before.free + before.size}; nothing was changed"
        )
    known = release.schemas(release.read(cluster))
    if revision and revision > max(known, default=revision):
        raise DeliveryError(
            f"the backup is of schema {revision}, newer than any release here knows; deliver one "
            "that does first; nothing was changed"
        )


def _stop(plan: Plan) -> None:
    """Takes the application away, so that nobody writes, and has the database and its accounts."""
    cluster, render = plan.cluster, plan.earlier.render
    writers = partial(cluster.list, "Deployment", "CronJob", "Job", selector=WRITERS)
    cluster.delete(*map(rollout.name, writers()))
    try:
        rollout.gone(cluster, WRITERS, seconds=180)
    except DeliveryError as error:
        if names := ", ".join(rollout.name(body) for body in writers() if not going(body)):
            raise DisturbedError(f"somebody makes {names} again that was deleted: {SUSPEND}") from error
        raise
    rest = [
        body
        for body in render.objects
        if body["kind"] not in ("Deployment", "Job") and body["metadata"]["name"] != "generation"
    ]
    before, misled = rollout.past(cluster), configuration.misled(cluster, render)
    rollout.apply(cluster, rest)
    rollout.wait(cluster, rest, before=before)
    configuration.renew(cluster, render, misled)
    if render.find("Job", "accounts"):
        rotation.accounts(cluster, render, "--wait=300")


def _require_silence(plan: Plan) -> None:
    """Raises DisturbedError where a controller has started from Git what was stopped."""
    pods = plan.cluster.list("Pod", selector=WRITERS)
    if names := ", ".join(map(rollout.name, pods)):
        lost = f"somebody has started {names} meanwhile, and what these save may be lost"
        raise DisturbedError(f"{lost}: {SUSPEND}")


def _start(plan: Plan) -> None:
    render = plan.earlier.render
    rollout.apply(plan.cluster, render.objects)
    rollout.wait(plan.cluster, render.objects)
    plan.target.smoke(render)


def _seen(plan: Plan) -> Plan:
    """The plan with what the database holds that could not be asked before, as it did not run."""
    if plan.before:
        return plan
    before = database.read(plan.cluster, wait=60)
    if before and before.whole:
        tables = f"a database of {before.tables} tables"
        raise DeliveryError(f"{plan.environment.name} has {tables} after all")
    return replace(plan, before=before)


def _return(plan: Plan, error: BaseException) -> None:
    """Brings the application back on whole data after `error`, and raises what became of it.

    It returns where the data of the backup turns out to be there all the same.
    """
    name = plan.environment.name
    reason = str(error).splitlines()[0] if str(error) else "the restore was interrupted"
    remedy, restored = plan.remedy, False
    say(f"{reason}; bringing {name} back; should that be killed too: `{remedy}`")
    try:
        job.end(plan.cluster, job.unfinished(plan.cluster, "restore"))
        state = database.read(plan.cluster, wait=180)
        if state and state.whole:
            restored = plan.before is not None and state.made != plan.before.made
        elif plan.safety:
            say(f"loading {plan.safety}, the backup of what was there before")
            job.run(plan.cluster, "restore", _of_safety(plan))
        else:
            raise DeliveryError(f"{name} has no whole data to run on")
        remedy = f"make rollback ENV={name} OPTIONS='--to {plan.earlier.number}'"
        _start(plan)
    except (DeliveryError, KeyboardInterrupt) as second:
        raise DeliveryError(
            f"the restore did not succeed, and {name} does not run; this brings it back: `{remedy}`\n{error}\n{second}"
        ) from error
    if restored and isinstance(error, Exception) and not isinstance(error, DisturbedError):
        return
    backup.note(plan.cluster, None)
    data = f"the data of {plan.options.backup}" if restored else "the data from before"
    runs = f"the restore did not succeed; {name} runs on {data}"
    raise DeliveryError(f"{runs}: {reason}\n{error}") from error


def _of_safety(plan: Plan) -> dict[str, str]:
    own = {"BACKUP_NAME": plan.safety, "BACKUP_ENVIRONMENT": plan.environment.namespace}
    return {**plan.variables, **own, "OVERWRITE": plan.environment.namespace}

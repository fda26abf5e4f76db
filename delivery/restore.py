"""Bringing an environment's data back from a backup."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace

from delivery import backup, database, deploy, job, lease, release, rollout, rotation
from delivery.database import State
from delivery.release import Release
from delivery.shell import DeliveryError, kubectl, say
from policy_tests.environment import find

NEWEST = "newest"
# What a load may take of the volume, as a multiple of the dump: the tables, and the binary log.
GROWTH = 3
WRITERS = "app.kubernetes.io/component in (web,worker,generation)"


@dataclass(frozen=True)
class Options:
    """How data is brought back.

    Attributes:
        backup: the name of the backup, or `newest`.
        source: the environment whose backup it is.
        overwrite, confirm: both are needed where there is data; `confirm` is the environment's name once more.
        ingress: as for a delivery.
    """

    backup: str
    source: str
    overwrite: bool
    confirm: str | None
    ingress: str | None


@dataclass(frozen=True)
class Plan:
    """A restore that may begin.

    Attributes:
        target: the release that is started again.
        before: what the database held, None where there was none.
        safety: the backup of that, empty where there was nothing to back up.
        variables: of the Job that restores.
    """

    environment: str
    target: Release
    options: Options
    before: State | None
    safety: str
    variables: dict[str, str]

    @property
    def namespace(self) -> str:
        return find(self.environment).namespace

    @property
    def remedy(self) -> str:
        """What is typed to bring the application back on the data from before, or else on the backup."""
        if self.safety:
            return backup.restoring(self.environment, self.safety)
        return backup.restoring(self.environment, self.options.backup, self.options.source)


def restore(environment: str, options: Options) -> str:
    """Stops the application, brings the data back by a Job, and starts the last good release on it.

    Everything that can be known before is looked at before anything stops. A database that was destroyed, its claim
    too, is made anew. What is there is replaced only where `options` say so twice, and only after it has been backed up
    itself; whatever goes wrong then, the application is brought back on what was there before.

    Returns:
        What the Job has printed; nothing where it was lost after its work.

    Raises:
        DeliveryError: the data is not back; the text says on what data the application runs, or names the command that
            brings it back.
    """
    if (options.overwrite or options.confirm) and not confirmed(environment, options):
        raise DeliveryError(
            f"to replace the data of {environment} say both: --overwrite --confirm {environment}; nothing was changed"
        )
    with lease.held(find(environment).namespace, work="restore"):
        plan, report = _prepared(environment, options), ""
        say(f"stopping {environment}; should this command be killed, type it again, or `{plan.remedy}`")
        note = f"{backup.RECORD}={plan.safety}"
        kubectl("-n", plan.namespace, "annotate", "cronjob/restore", note, "--overwrite")
        try:
            _stop(plan)
            plan = _seen(plan)
            report = job.run(plan.namespace, "restore", plan.variables)
            _start(plan)
        except (Exception, KeyboardInterrupt) as error:
            _return(plan, error)
        _forget(plan)
    say(f"{environment} runs release {plan.target.number} on the restored data")
    return report


def confirmed(environment: str, options: Options) -> bool:
    return options.overwrite and options.confirm == environment


def _prepared(environment: str, options: Options) -> Plan:
    try:
        return prepare(environment, options)
    except DeliveryError as error:
        if safety := backup.before_restore(find(environment).namespace):
            remedy = backup.restoring(environment, safety)
            raise DeliveryError(f"{error}; a restore before has not ended, this ends it: `{remedy}`") from error
        raise


def prepare(environment: str, options: Options) -> Plan:
    """Looks whether the restore can succeed, and backs up what there is.

    Raises:
        DeliveryError: it cannot; nothing was changed.
    """
    namespace = find(environment).namespace
    target = release.running(namespace)
    if left := job.unfinished(namespace, "restore"):
        say(f"ending what a restore that was interrupted has left: {', '.join(left)}")
        job.end(namespace, left)
    before = database.read(namespace, wait=60)
    safety = (backup.before_restore(namespace) or "") if before else ""
    live = before.whole if before else not _has_database(target)
    if before and before.whole and not confirmed(environment, options):
        raise DeliveryError(
            f"{environment} has a database of {before.tables} tables; nothing was changed. Say twice that it is to be "
            f"replaced: --overwrite --confirm {environment}"
        )
    if options.backup == NEWEST and before and (before.whole or safety):
        raise DeliveryError("what is there is backed up first, and would be the newest; name a backup (backups)")
    variables = {
        "BACKUP_NAME": options.backup,
        "BACKUP_ENVIRONMENT": find(options.source).namespace,
        "OVERWRITE": "nothing",
    }
    _look(namespace, before, variables)
    if live and confirmed(environment, options):
        say(f"backing up what {environment} has now")
        # Pruning could take away the very one that is to come back.
        safety = backup.name(backup.now(namespace, prune=False))
        variables["OVERWRITE"] = namespace
    return Plan(environment, target, options, before, safety, variables)


def _look(namespace: str, before: State | None, variables: dict[str, str]) -> None:
    """Fetches and opens the backup as the restore will, beside the running application."""
    say(f"looking at backup {variables['BACKUP_NAME']}")
    try:
        printed = job.run(namespace, "restore", variables, only="fetch", seconds=1800)
    except job.JobError as error:
        raise DeliveryError(f"{error.reason}; nothing was changed") from error
    found = {}
    # A release from before these were told does without.
    with suppress(ValueError, IndexError):
        found = json.loads(printed.splitlines()[-1])
    size, revision = found.get("bytes", 0), found.get("revision")
    if before and GROWTH * size > before.free + before.size:
        raise DeliveryError(
            f"a dump of {size} bytes may take {GROWTH} times that, and the database's volume has "
            f"{before.free + before.size}; nothing was changed"
        )
    known = [backup.schema(rollout.read(each.manifests)) for each in release.read(namespace)]
    if revision and revision > max(filter(None, known), default=revision):
        raise DeliveryError(
            f"the backup is of schema {revision}, newer than any release here knows; deliver one that does first; "
            "nothing was changed"
        )


def _has_database(target: Release) -> bool:
    """Whether the database is one of the release's own, rather than one outside the cluster."""
    objects = (each for each in rollout.read(target.manifests) if each["kind"] == "StatefulSet")
    return any(each["metadata"]["labels"].get(rollout.COMPONENT) == "database" for each in objects)


def _stop(plan: Plan) -> None:
    """Takes the application away, so that nobody writes, and has the database and its accounts there."""
    namespace = plan.namespace
    kubectl("-n", namespace, "delete", "--wait", "deployments,cronjobs,jobs", "-l", WRITERS)
    kubectl("-n", namespace, "wait", "pod", "-l", WRITERS, "--for=delete", "--timeout=180s")
    objects = rollout.read(plan.target.manifests)
    away = [
        each for each in objects if each["kind"] in ("Deployment", "Job") or each["metadata"]["name"] == "generation"
    ]
    rest = [each for each in objects if each not in away]
    rollout.apply(rollout.write(rest), rollout.NOT_THE_NAMESPACE)
    rollout.wait(namespace, rest)
    if any(each["kind"] == "Job" for each in away):
        rotation.accounts(namespace, objects, "--wait=300")


def _start(plan: Plan) -> None:
    rollout.apply(plan.target.manifests, rollout.NOT_THE_NAMESPACE)
    rollout.wait(plan.namespace, rollout.read(plan.target.manifests))
    deploy.smoke_release(plan.environment, plan.target, plan.options.ingress)


def _seen(plan: Plan) -> Plan:
    """The plan with what the database holds that could not be asked before, as it did not run."""
    if plan.before:
        return plan
    before = database.read(plan.namespace, wait=60)
    if before and before.whole:
        raise DeliveryError(f"{plan.environment} has a database of {before.tables} tables after all")
    return replace(plan, before=before)


def _return(plan: Plan, error: BaseException) -> None:
    """Brings the application back on whole data after `error`, and raises what became of it.

    It returns where the data of the backup turns out to be there all the same.
    """
    reason = str(error).splitlines()[0] if str(error) else "the restore was interrupted"
    remedy, restored = plan.remedy, False
    say(f"{reason}; bringing {plan.environment} back; should that be killed too: `{remedy}`")
    try:
        job.end(plan.namespace, job.unfinished(plan.namespace, "restore"))
        state = database.read(plan.namespace, wait=180)
        if state and state.whole:
            restored = plan.before is not None and state.made != plan.before.made
        elif plan.safety:
            say(f"loading {plan.safety}, the backup of what was there before")
            job.run(plan.namespace, "restore", _of_safety(plan))
        else:
            raise DeliveryError(f"{plan.environment} has no whole data to run on")
        remedy = f"make rollback ENV={plan.environment} OPTIONS='--to {plan.target.number}'"
        _start(plan)
    except (DeliveryError, KeyboardInterrupt) as second:
        raise DeliveryError(
            f"the restore did not succeed, and {plan.environment} does not run; this brings it back: "
            f"`{remedy}`\n{error}\n{second}"
        ) from error
    if restored and isinstance(error, Exception):
        return
    _forget(plan)
    data = f"the data of {plan.options.backup}" if restored else "the data from before"
    raise DeliveryError(f"the restore did not succeed; {plan.environment} runs on {data}: {reason}\n{error}") from error


def _of_safety(plan: Plan) -> dict[str, str]:
    own = {"BACKUP_NAME": plan.safety, "BACKUP_ENVIRONMENT": plan.namespace}
    return {**plan.variables, **own, "OVERWRITE": plan.namespace}


def _forget(plan: Plan) -> None:
    kubectl("-n", plan.namespace, "annotate", "cronjob/restore", f"{backup.RECORD}-")

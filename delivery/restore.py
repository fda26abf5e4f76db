"""Bringing an environment's data back from a backup."""

from __future__ import annotations

from dataclasses import dataclass

from delivery import deploy, job, lease, release, rollout
from delivery.release import Release
from delivery.shell import DeliveryError, kubectl, say

# How many tables the schema has; the account is one that the database's own pod knows.
TABLES = """set -eu
user=$(cat /run/secrets/db-credentials/accounts-user)
MYSQL_PWD=$(cat /run/secrets/db-credentials/accounts-password)
export MYSQL_PWD
exec mysql --protocol=tcp --host=127.0.0.1 --user="$user" --batch --skip-column-names --execute \
"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '$MYSQL_DATABASE'" """


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


def restore(environment: str, options: Options) -> None:
    """Stops the application, brings the data back by a Job, and starts the last good release on it.

    A database that was destroyed, its claim too, is made anew first. What is there is replaced only where `options` say
    so twice, and only after it has been backed up itself.

    Raises:
        DeliveryError: nothing was changed; or the data is not back, and the application stays stopped.
    """
    namespace = f"school-scheduler-{environment}"
    told = options.overwrite and options.confirm == environment
    with lease.held(namespace):
        target = release.running(namespace)
        if tables := _tables(namespace):
            if not told:
                raise DeliveryError(
                    f"{environment} has a database of {tables} tables; nothing was changed. Say twice that it is to be "
                    f"replaced: --overwrite --confirm {environment}"
                )
            if options.backup == "newest":
                raise DeliveryError(
                    "what is there is backed up first, and would be the newest; name a backup (backups)"
                )
            say(f"backing up what {environment} has now")
            # Pruning could take away the very one that is to come back.
            job.run(namespace, "backup", {"PRUNE": "no"})
        _stop(namespace, target)
        variables = {
            "BACKUP_NAME": options.backup,
            "BACKUP_ENVIRONMENT": f"school-scheduler-{options.source}",
            "OVERWRITE": namespace if told else "nothing",
        }
        try:
            print(job.run(namespace, "restore", variables), end="")
        except DeliveryError as error:
            remedy = f"`make rollback ENV={environment} OPTIONS='--to {target.number}'` starts it on what is there"
            raise DeliveryError(
                f"the data is not back, and the application stays stopped; {remedy}\n{error}"
            ) from error
        _start(environment, namespace, target, options)
    say(f"{environment} runs release {target.number} on the restored data")


def _tables(namespace: str) -> int:
    """How many tables the live database has; 0 where there is none, or none that runs."""
    selector = "app.kubernetes.io/component=database"
    ready = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    if "True" not in kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", f"jsonpath={ready}"):
        return 0
    return int(kubectl("-n", namespace, "exec", "mysql-0", "-c", "mysql", "--", "sh", "-c", TABLES))


def _stop(namespace: str, target: Release) -> None:
    """Takes the application away, so that nobody writes, and has the database and its accounts there."""
    objects = rollout.read(target.manifests)
    writers = [f"deployment/{each['metadata']['name']}" for each in objects if each["kind"] == "Deployment"]
    kubectl("-n", namespace, "delete", "--ignore-not-found", "--wait", "cronjob/generation", *writers)
    pods = "app.kubernetes.io/component in (web,worker,generation)"
    kubectl("-n", namespace, "wait", "pod", "-l", pods, "--for=delete", "--timeout=180s")
    rest = [each for each in objects if each["kind"] != "Deployment" and each["metadata"]["name"] != "generation"]
    rollout.apply(rollout.write(rest), rollout.NOT_THE_NAMESPACE)
    rollout.wait(namespace, rest)
    if any(each["kind"] == "Job" for each in rest):
        kubectl("-n", namespace, "wait", "job/accounts", "--for=condition=Complete", "--timeout=300s")


def _start(environment: str, namespace: str, target: Release, options: Options) -> None:
    rollout.apply(target.manifests, rollout.NOT_THE_NAMESPACE)
    rollout.wait(namespace, rollout.read(target.manifests))
    deploy.smoke_release(environment, target, options.ingress)

"""New passwords for the accounts of the database, while the application goes on."""

from __future__ import annotations

import copy
import secrets
from datetime import UTC, datetime

from app import credentials as keys
from delivery import credentials, job, lease, release, rollout, sops
from delivery.cluster import Cluster
from delivery.credentials import DATABASE
from delivery.render import Render
from delivery.shell import DeliveryError, say
from delivery.target import Target

# An annotation of the Secret while a rotation is under way.
STATE = "rotation"
ROTATED = ("app-password", "migration-password", "backup-password", "exporter-password")
PART_OF = "app.kubernetes.io/part-of=school-scheduler"


def rotate(target: Target) -> None:
    """Gives every account a new password beside its old one, has all pods take it up, and then ends
    the old one.

    What an interrupted run has left is finished first: MySQL keeps two passwords of an account, no
    third. A Secret that a controller makes has got its new passwords from there. The passwords of
    `accounts` and of root are not among these: they hold from the next start of the database's pod.

    Raises:
        DeliveryError: something stopped it; the application goes on, as its old passwords hold.
    """
    environment, cluster = target.environment, target.cluster
    with lease.held(cluster):
        render = release.running(cluster).render
        found = cluster.get(f"secret/{DATABASE}") or {"metadata": {}}
        metadata = found["metadata"]
        if makers := [owner["kind"] for owner in metadata.get("ownerReferences", [])]:
            source = " and ".join(makers)
            say(f"taking up what {source} put into Secret {environment.namespace}/{DATABASE}")
            _take_up(cluster, render)
            return
        credentials.require_database(environment, cluster)
        if STATE in metadata.get("annotations", {}):
            say("finishing the rotation before")
            _take_up(cluster, render)
        new = {key: secrets.token_urlsafe(32) for key in ROTATED}
        current = credentials.read(cluster, DATABASE)
        new = sops.rotated(environment, current, new)
        new |= keys.followed(current, new)
        _note(cluster, "begun")
        credentials.replace(cluster, DATABASE, new)
        _take_up(cluster, render)
        _note(cluster, None)
    say(f"the passwords of {environment.name} are new, and the old ones are refused")


def _note(cluster: Cluster, state: str | None) -> None:
    cluster.patch(f"secret/{DATABASE}", {"metadata": {"annotations": {STATE: state}}})


def _take_up(cluster: Cluster, render: Render) -> None:
    """Brings the Secret's passwords to the server, then to all pods, and ends those before."""
    accounts(cluster, render, "--wait=60")
    # Those of the release, and the exporter, which is delivered by itself.
    deployments = cluster.list("Deployment", selector=PART_OF)
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    for deployment in deployments:
        rollout.restart(cluster, rollout.name(deployment), moment)
    rollout.wait(cluster, [*render.objects, *deployments])
    accounts(cluster, render, "--forget")


def accounts(cluster: Cluster, render: Render, option: str) -> None:
    """Runs the Job `accounts` of a release with one option."""
    template = render.find("Job", "accounts")
    if template is None:
        raise DeliveryError("the release has no Job accounts; deliver a newer one")
    manifest = copy.deepcopy(template)
    manifest["metadata"]["name"] = f"accounts-{secrets.token_hex(3)}"
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["accounts", option]
    job.follow(cluster, manifest, seconds=600)

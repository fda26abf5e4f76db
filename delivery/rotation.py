"""New passwords for the accounts of the database, while the application goes on."""

from __future__ import annotations

import copy
import json
import secrets

from app import credentials as keys
from delivery import credentials, job, lease, release, rollout, sops
from delivery.rollout import Manifest
from delivery.shell import kubectl, say
from policy_tests.environment import find

# An annotation of the Secret while a rotation is under way.
STATE = "rotation"
ROTATED = ("app-password", "migration-password", "backup-password", "exporter-password")


def rotate(environment: str) -> None:
    """Gives every account a new password beside its old one, has all pods take it up, and then ends the old one.

    What an interrupted run has left is finished first: MySQL keeps two passwords of an account, no third. A Secret that
    a controller makes has got its new passwords from there.
    The passwords of `accounts` and of root are not among these: they hold from the next start of the database's pod on.

    Raises:
        DeliveryError: something stopped it; the application goes on, as its old passwords still hold.
    """
    namespace = find(environment).namespace
    with lease.held(namespace):
        objects = rollout.read(release.running(namespace).manifests)
        secret = ("-n", namespace, "annotate", "secret/db-credentials", "--overwrite")
        metadata = json.loads(kubectl("-n", namespace, "get", "secret/db-credentials", "-o", "json"))["metadata"]
        if makers := [each["kind"] for each in metadata.get("ownerReferences", [])]:
            say(f"taking up what {' and '.join(makers)} put into Secret {namespace}/db-credentials")
            _take_up(namespace, objects)
            return
        credentials.require_database(namespace)
        if STATE in metadata.get("annotations", {}):
            say("finishing the rotation before")
            _take_up(namespace, objects)
        new = {key: secrets.token_urlsafe(32) for key in ROTATED}
        current = credentials.read(namespace, "db-credentials")
        new = sops.rotated(environment, current, new)
        new |= keys.followed(current, new)
        kubectl(*secret, f"{STATE}=begun")
        credentials.replace(namespace, "db-credentials", new)
        _take_up(namespace, objects)
        kubectl(*secret, f"{STATE}-")
    say(f"the passwords of {environment} are new, and the old ones are refused")


def _take_up(namespace: str, objects: list[Manifest]) -> None:
    """Brings the passwords of the Secret to the server, then to all pods, and then ends those before."""
    accounts(namespace, objects, "--wait=60")
    # Those of the release, and the exporter, which is delivered by itself.
    ours = "--selector=app.kubernetes.io/part-of=school-scheduler"
    deployments = json.loads(kubectl("-n", namespace, "get", "deployments", ours, "-o", "json"))["items"]
    kubectl("-n", namespace, "rollout", "restart", *(f"deployment/{each['metadata']['name']}" for each in deployments))
    rollout.wait(namespace, [*objects, *deployments])
    accounts(namespace, objects, "--forget")


def accounts(namespace: str, objects: list[Manifest], option: str) -> None:
    """Runs the Job `accounts` of a release with one option."""
    (template,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Job", "accounts"))
    manifest = copy.deepcopy(template)
    manifest["metadata"]["name"] = f"accounts-{secrets.token_hex(3)}"
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["accounts", option]
    job.follow(namespace, manifest, seconds=600)

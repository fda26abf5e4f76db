"""New passwords for the accounts of the database, while the application goes on."""

from __future__ import annotations

import copy
import secrets
from dataclasses import replace
from datetime import UTC, datetime

from app import credentials as keys
from delivery import credentials, job, lease, release, rollout, server, sops
from delivery.cluster import Cluster
from delivery.credentials import DATABASE, STATE
from delivery.render import Render
from delivery.shell import DeliveryError, say
from delivery.target import Target

ROTATED = keys.PASSWORDS
PART_OF = "app.kubernetes.io/part-of=school-scheduler"


def rotate(target: Target, *, certificate: bool = False, by_hand: bool = False) -> None:
    """Gives every account a new password beside its old one, has all pods take it up, and then ends
    the old one; root and `accounts`, whom the database's pod alone needs, have one at a time.

    What an interrupted run has left is finished first: MySQL keeps two passwords of an account, no
    third. With `certificate` the server's is made anew too, in steps that each client can follow.
    With `by_hand`, and where a controller makes the Secret, what is in it is taken up as it is.

    Raises:
        DeliveryError: something stopped it; the application goes on, as its old passwords hold.
    """
    environment, cluster = target.environment, target.cluster
    with lease.held(cluster) as cluster:
        target = replace(target, cluster=cluster)
        render = release.running(cluster).render
        found = cluster.get(f"secret/{DATABASE}") or {"metadata": {}}
        metadata = found["metadata"]
        makers = [owner["kind"] for owner in metadata.get("ownerReferences", [])]
        if not makers:
            credentials.require_database(environment, cluster)
        if makers or by_hand:
            source = " and ".join(makers) or "somebody"
            say(f"taking up what {source} put into Secret {environment.namespace}/{DATABASE}")
            _take_up(cluster, render)
            if not makers:
                _note(cluster, None)
            return
        if STATE in metadata.get("annotations", {}):
            say("finishing the rotation before")
            _take_up(cluster, render)
        current = credentials.read(cluster, DATABASE)
        # What no server here can learn stays: it runs elsewhere, or is an older release's.
        learns = bool(server.known(cluster))
        if not learns and render.has_database and not server.answers(cluster):
            raise DeliveryError(
                f"the database of {environment.name} does not answer, and would keep its old "
                f"passwords; `make status ENV={environment.name}` shows its pod"
            )
        if certificate and not learns:
            raise DeliveryError(
                f"no server in {cluster.namespace} can take up a certificate; deliver this release first"
            )
        lasting = () if learns else server.PASSWORDS
        new = {key: secrets.token_urlsafe(32) for key in ROTATED if key not in lasting}
        pair = _certificate(current, cluster.namespace) if certificate else {}
        if pair:
            # Whoever begins from now on trusts both, until nobody trusts the old one alone.
            new["ca.crt"] = f"{current['tls.crt'].rstrip()}\n{pair['ca.crt']}"
        _note(cluster, "begun")
        _bring(target, new)
        _take_up(cluster, render)
        if pair:
            _bring(target, {key: pair[key] for key in ("tls.crt", "tls.key")})
            server.learn(cluster, credentials.read(cluster, DATABASE), certificate=True)
            _bring(target, {"ca.crt": pair["ca.crt"]})
            _take_up(cluster, render)
        _note(cluster, None)
    what = "passwords and the certificate" if pair else "passwords"
    say(f"the {what} of {environment.name} are new, and the old ones are refused")


def _certificate(current: dict[str, str], namespace: str) -> dict[str, str]:
    """A new certificate of the server and its key; DeliveryError where another authority makes it."""
    if current["tls.crt"].strip() not in current["ca.crt"]:
        which = f"the certificate in Secret {namespace}/{DATABASE}"
        raise DeliveryError(f"{which} is not signed by itself; its authority makes new ones")
    others = {key: text for key, text in current.items() if key not in keys.CERTIFICATE}
    return credentials.additions(others, namespace)


def _bring(target: Target, new: dict[str, str]) -> None:
    """Puts new values into the file of the environment, where it has one, and into its Secret."""
    current = credentials.read(target.cluster, DATABASE)
    new = sops.rotated(target.environment, current, new)
    credentials.replace(target.cluster, DATABASE, new | keys.followed(current, new))


def _note(cluster: Cluster, state: str | None) -> None:
    cluster.patch(f"secret/{DATABASE}", {"metadata": {"annotations": {STATE: state}}})


def _take_up(cluster: Cluster, render: Render) -> None:
    """Brings the Secret's passwords to the server, then to all pods, and ends those before."""
    server.learn(cluster, credentials.read(cluster, DATABASE))
    accounts(cluster, render, "--wait=60")
    # Those of the release, and the exporter, which is delivered by itself.
    deployments = cluster.list("Deployment", selector=PART_OF)
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    for deployment in deployments:
        rollout.restart(cluster, rollout.name(deployment), moment)
    rollout.wait(cluster, [*render.objects, *deployments])
    accounts(cluster, render, "--forget")
    # Now everybody knows the Secret's authority.
    server.learn(cluster, credentials.read(cluster, DATABASE), certificate=True)


def accounts(cluster: Cluster, render: Render, option: str) -> None:
    """Runs the Job `accounts` of a release with one option."""
    template = render.find("Job", "accounts")
    if template is None:
        raise DeliveryError("the release has no Job accounts; deliver a newer one")
    manifest = copy.deepcopy(template)
    manifest["metadata"]["name"] = f"accounts-{secrets.token_hex(3)}"
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["accounts", option]
    job.follow(cluster, manifest, seconds=600)

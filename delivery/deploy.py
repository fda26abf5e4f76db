"""Delivering a release, and going back to the last one that was good when it is not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delivery import backup, canary, credentials, image, lease, monitor, release, rollout, sops
from delivery.release import Release
from delivery.rollout import NOT_THE_NAMESPACE, Manifest
from delivery.shell import ROOT, DeliveryError, kubectl, say
from delivery.site import connect
from policy_tests.environment import find


class ReleaseError(DeliveryError):
    """A release failed; the monotonic clock when that was `noticed`, and when the way back had `ended`."""

    def __init__(self, message: str, noticed: float, ended: float) -> None:
        super().__init__(message)
        self.noticed, self.ended = noticed, ended


@dataclass(frozen=True)
class Options:
    """How a release is delivered.

    Attributes:
        ingress: address of the ingress controller, where DNS does not know the environment's host.
        canary: minutes for which one new pod is watched before the rollout goes on; 0 for no canary.
        watch: minutes for which the new release is watched before it counts as good.
        wait: seconds to wait for another delivery to end.
        bootstrap: begin, as an administrator, with the namespace and with random credentials where there are none.
    """

    ingress: str | None = None
    canary: float = 0
    watch: float = 0
    wait: float = 60
    bootstrap: bool = False


def deploy(environment: str, manifests: Path, reference: str, options: Options) -> None:
    """Delivers the render in the file `manifests` to its namespace; the deployer's rights are enough.

    Raises:
        ReleaseError: the release failed; the text says what runs now, and the cause why.
        DeliveryError: the delivery did not begin.
    """
    text = manifests.read_text()
    objects = rollout.read(text)
    namespace = rollout.namespace_of(objects)["metadata"]["name"]
    check(environment, manifests)
    if options.bootstrap:
        bootstrap(text)
    with lease.held(namespace, options.wait):
        backup.refuse_partial(environment)
        sops.apply(environment)
        credentials.require_database(namespace)
        before = release.read(namespace)
        print(rollout.difference(text) or "nothing changes" if before else f"{len(objects)} new objects", flush=True)
        backup.before_migration(namespace, objects, before)
        new = release.record(namespace, text, image=reference, commit=image.commit(), by=lease.who())
        try:
            if options.canary and release.last_good(before):
                canary.start(namespace, objects)
                watch(environment, namespace, objects, options, options.canary, "canary")
            bring(namespace, text, before)
            canary.stop(namespace)
            smoke(environment, manifests, options.ingress)
            if options.watch:
                watch(environment, namespace, objects, options, options.watch)
        except DeliveryError as error:
            noticed = time.monotonic()
            say(f"release {new.number} failed: {error}")
            release.mark(namespace, new, "failed")
            outcome = _return(environment, namespace, options)
            raise ReleaseError(f"release {new.number} failed, and {outcome}", noticed, time.monotonic()) from error
        release.mark(namespace, new, "good")
        rollout.prune(namespace, forgotten(release.read(namespace)))
        say(f"release {new.number} of {environment} is good: {reference}")


def rollback(environment: str, number: int | None, options: Options) -> None:
    """Goes back to release `number`, or to the last good one before the newest.

    Raises:
        DeliveryError: there is none, and nothing was changed; or it does not run either.
    """
    namespace = find(environment).namespace
    with lease.held(namespace, options.wait):
        releases = release.read(namespace)
        if number is None:
            target = release.last_good(releases, before=releases[0].number) if releases else None
        else:
            target = next((each for each in releases if each.number == number), None)
        if target is None:
            what = f"no release {number}" if number else "no good release before the newest"
            raise DeliveryError(f"{environment} has {what}; nothing was changed")
        backup.refuse_partial(environment)
        return_to(environment, namespace, target, releases, options)
        for newer in releases:
            if newer.number > target.number and newer.phase != "failed":
                release.mark(namespace, newer, "failed")
        release.mark(namespace, target, "good")
        say(f"{environment} is back at release {target.number}: {target.image}")


def return_to(environment: str, namespace: str, target: Release, releases: Sequence[Release], options: Options) -> None:
    """Applies a recorded release, configuration included, removes what only others had, and verifies it."""
    say(f"returning {environment} to release {target.number}: {target.image}")
    canary.stop(namespace)
    bring(namespace, target.manifests, releases)
    smoke_release(environment, target, options.ingress)


def bring(namespace: str, manifests: str, releases: Sequence[Release]) -> None:
    """Applies, waits, and then deletes what other releases have and this one has not."""
    objects = rollout.read(manifests)
    rollout.apply(manifests, NOT_THE_NAMESPACE)
    rollout.wait(namespace, objects)
    rollout.prune(namespace, superfluous(objects, releases))


def superfluous(objects: Sequence[Manifest], releases: Sequence[Release]) -> list[str]:
    """What other releases have and this one has not, but for the configuration of good ones.

    `kubectl rollout undo` goes back to pods that read it; it is deleted when their release is forgotten.
    """
    kept = rollout.configuration(release.objects(each for each in releases if each.phase == "good"))
    return rollout.surplus([*objects, *kept], release.objects(releases))


def forgotten(releases: list[Release], kept: int = release.KEPT) -> list[str]:
    """The configuration of releases that the history has no room for, and last their records, which name it."""
    old = release.forgotten(releases, kept)
    lasting = release.objects(each for each in releases if each not in old)
    records = [f"configmap/release-{each.number}" for each in old]
    return [*rollout.surplus(lasting, rollout.configuration(release.objects(old))), *records]


def bootstrap(manifests: str) -> None:
    """An administrator's part: what the cluster refuses, the namespace, and credentials where there are none."""
    objects = rollout.read(manifests)
    rollout.apply(kubectl("kustomize", str(ROOT / "admission")))
    rollout.apply(manifests, "--selector=app.kubernetes.io/component=namespace")
    namespace = rollout.namespace_of(objects)["metadata"]["name"]
    sops.apply(namespace.removeprefix("school-scheduler-"))
    credentials.ensure_database(namespace)
    credentials.ensure_backup(namespace)
    credentials.ensure_tls(namespace, tls_hosts(objects))


def tls_hosts(manifests: Sequence[Manifest]) -> list[str]:
    """The hosts that the Ingresses among `manifests` serve by TLS, in order."""
    ingresses = (manifest["spec"] for manifest in manifests if manifest["kind"] == "Ingress")
    return [host for spec in ingresses for entry in spec.get("tls", []) for host in entry["hosts"]]


def check(environment: str, manifests: Path) -> None:
    """Runs the policy suite on the very bytes that will be applied."""
    _pytest(
        "policy_tests",
        f"--env={environment}",
        f"--manifests={manifests}",
        why="the render breaks the rules; nothing was applied",
    )


def smoke(environment: str, manifests: Path, ingress: str | None) -> None:
    """Runs the smoke tests against the environment that `manifests` were applied to."""
    options = [f"--env={environment}", f"--manifests={manifests}", *([f"--ingress={ingress}"] if ingress else [])]
    _pytest("smoke_tests", *options, why="its smoke tests fail")


def smoke_release(environment: str, target: Release, ingress: str | None) -> None:
    """The same of what a recorded release put into the cluster."""
    file = ROOT / "build" / environment / f"release-{target.number}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(target.manifests)
    smoke(environment, file, ingress)


def watch(
    environment: str,
    namespace: str,
    objects: Sequence[Manifest],
    options: Options,
    minutes: float,
    track: str | None = None,
) -> None:
    """Watches an environment and writes build/ENV/report.json; DeliveryError when something is wrong or not seen."""
    site = connect(namespace, objects, options.ingress)
    report = monitor.watch(environment, namespace, site, minutes, track)
    file = ROOT / "build" / environment / "report.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report.to_json() + "\n")
    if report.problems:
        raise DeliveryError("\n".join(report.problems))
    say(f"{report.answers} requests in {report.seconds:.0f} s, {report.errors} of them failed; {file} has the report")


def monitor_now(environment: str, minutes: float, ingress: str | None) -> None:
    """Watches what the newest good release put into the cluster."""
    namespace = find(environment).namespace
    watch(environment, namespace, rollout.read(release.running(namespace).manifests), Options(ingress), minutes)


def _return(environment: str, namespace: str, options: Options) -> str:
    """Returns to the last good release after a failure; what came of it, in words."""
    releases = release.read(namespace)
    target = release.last_good(releases)
    if target is None:
        canary.stop(namespace)
        return "there is no good release to return to: it is left as it is"
    try:
        return_to(environment, namespace, target, releases, options)
    except DeliveryError as error:
        return f"so did the return to release {target.number}: {error}"
    return f"release {target.number} runs again"


def _pytest(*arguments: str, why: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise DeliveryError(why)

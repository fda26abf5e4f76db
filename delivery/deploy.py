"""Delivering a release, and going back to the last one that was good when it is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from delivery import (
    backup,
    canary,
    configuration,
    credentials,
    drift,
    foundation,
    image,
    lease,
    managed,
    monitor,
    release,
    replacement,
    rollout,
    sops,
    versions,
    workloads,
)
from delivery.cluster import Cluster, Manifest, lasting
from delivery.release import Release
from delivery.render import COMPONENT, Render, component
from delivery.shell import ROOT, DeliveryError, say, screen, show
from delivery.target import Target
from policy_tests.environment import Environment
from policy_tests.render import render as kustomize


class ReleaseError(DeliveryError):
    """A release failed; the cluster's clock when that was `noticed`, and when the way back `ended`."""

    def __init__(self, message: str, noticed: float, ended: float) -> None:
        super().__init__(message)
        self.noticed, self.ended = noticed, ended


@dataclass(frozen=True)
class Options:
    """How a release is delivered.

    Attributes:
        canary: minutes for which one new pod is watched before the rollout goes on; 0 for none.
        watch: minutes for which the new release is watched before it counts as good.
        wait: seconds to wait for another delivery to end.
        bootstrap: begin, as an administrator, with the namespace and with random credentials where
            there are none.
        forward: refuse an image whose version is older than the one that runs.
        interrupted: of a rollback, that it changes nothing where the newest release is good.
    """

    canary: float = 0
    watch: float = 0
    wait: float = 60
    bootstrap: bool = False
    forward: bool = False
    interrupted: bool = False


def deploy(target: Target, render: Render, options: Options) -> None:
    """Delivers a render to its namespace; the deployer's rights are enough.

    Raises:
        ReleaseError: the release failed; the text says what runs now, and the cause why.
        DeliveryError: the delivery did not begin.
    """
    environment, cluster = target.environment, target.cluster
    target.proofs.policy(environment, render)
    if options.bootstrap:
        bootstrap(environment, cluster, render)
    foundation.require(environment, cluster, render)
    with lease.held(cluster, options.wait) as cluster:
        target = replace(target, cluster=cluster)
        backup.refuse_partial(environment, cluster)
        sops.apply(environment, cluster)
        credentials.require_database(environment, cluster)
        credentials.check_certificates(environment, cluster, render.tls_hosts)
        before = release.read(cluster)
        if options.forward:
            _refuse_older(release.last_good(before), render.image)
        text = changes(cluster, render, before)
        show(screen(text, ROOT / "build" / environment.name / "changes.diff"))
        # Before a canary puts the content back.
        misled = configuration.misled(cluster, render)
        replacement.require_room(cluster, replacement.announced(cluster, render, misled))
        backup.before_migration(environment, cluster, render, before)
        new = release.record(cluster, render, commit=image.commit(), by=lease.who())
        try:
            if options.canary and release.last_good(before):
                canary.start(cluster, render)
                watch(target, render, options.canary, "canary")
            bring(target, render, before, misled, options.watch)
        except lease.TakenError:
            raise
        except DeliveryError as error:
            noticed = cluster.now()
            say(f"release {new.number} failed: {error}")
            failed = f"release {new.number} failed, and {_return(target, new)}"
            raise ReleaseError(failed, noticed, cluster.now()) from error
        release.mark(cluster, new, "good")
        say(f"release {new.number} of {environment.name} is good: {render.image}")
        try:
            cluster.delete(*forgotten(release.read(cluster)))
        except DeliveryError as error:
            say(f"the next delivery deletes what the oldest releases have left: {error}")


def changes(cluster: Cluster, render: Render, before: Sequence[Release]) -> str:
    """What a delivery is about to change, for the person at the terminal; what others added is ours then."""
    if not before:
        return f"{len(render.objects)} new objects"
    managed.own(cluster, managed.live(cluster, filter(rollout.delivered, render.objects)))
    return rollout.difference(cluster, render.objects) or "nothing changes"


def rollback(target: Target, number: int | None, options: Options) -> None:
    """Goes back to release `number`, or to the last good one before the newest.

    Raises:
        DeliveryError: there is none, and nothing was changed; or it does not run either, with what
            does and what is typed then.
    """
    name, cluster = target.environment.name, target.cluster
    with lease.held(cluster, options.wait) as cluster:
        target = replace(target, cluster=cluster)
        releases = release.read(cluster)
        if options.interrupted and releases and releases[0].phase == "good":
            return say(f"nothing is to be taken back: release {releases[0].number} of {name} is good")
        earlier = _chosen(cluster, releases, number)
        if earlier is None:
            what = "no good release before the newest" if number is None else f"no release {number}"
            raise DeliveryError(f"{name} has {what}; nothing was changed")
        backup.refuse_partial(target.environment, cluster)
        try:
            return_to(target, earlier, releases)
        except lease.TakenError:
            raise
        except DeliveryError as error:
            raise DeliveryError(f"{error}\n{_left(target, earlier, releases)}") from error
        for newer in releases:
            if newer.number > earlier.number and newer.phase != "failed":
                release.mark(cluster, newer, "failed")
        release.mark(cluster, earlier, "good")
        say(f"{name} is back at release {earlier.number}: {earlier.image}")


def _refuse_older(running: Release | None, wanted: str) -> None:
    """DeliveryError where an image has an older version than the release that runs."""
    there, new = (_tag(image) for image in (running.image if running else wanted, wanted))
    known, asked = versions.precedence(there), versions.precedence(new)
    if known and asked and asked < known:
        way = "`make rollback` goes back to a release that was good"
        raise DeliveryError(f"{there} runs, which is newer than {new}; nothing was changed; {way}")


def _tag(reference: str) -> str:
    """The tag of NAME:TAG@DIGEST."""
    return reference.partition("@")[0].rpartition(":")[2]


def _chosen(cluster: Cluster, releases: Sequence[Release], number: int | None) -> Release | None:
    if number is None:
        if not releases or _unrecorded(cluster, releases):
            return release.last_good(releases)
        return release.last_good(releases, before=releases[0].number)
    legible = (recorded for recorded in releases if recorded.phase != release.UNREADABLE)
    return next((recorded for recorded in legible if recorded.number == number), None)


def _unrecorded(cluster: Cluster, releases: Iterable[Release]) -> bool:
    """Whether what is to run is of no release here, as somebody has deleted its record."""
    webs = cluster.list("Deployment", selector=f"{COMPONENT}=web")
    templates = [body["spec"]["template"] for body in webs if body["metadata"]["name"] != canary.NAME]
    images = {_digest(workloads.main_container(template)["image"]) for template in templates}
    return bool(images) and images.isdisjoint(_digest(recorded.image) for recorded in releases)


def _digest(reference: str) -> str:
    """What an image is by: a webhook may have it come from a mirror, under another name."""
    return reference.rpartition("@")[2]


def return_to(target: Target, earlier: Release, releases: Sequence[Release]) -> None:
    """Applies a recorded release, removes what only others had, and verifies it."""
    say(f"returning {target.environment.name} to release {earlier.number}: {earlier.image}")
    misled = configuration.misled(target.cluster, earlier.render)
    replacement.announced(target.cluster, earlier.render, misled)
    canary.stop(target.cluster)
    bring(target, earlier.render, releases, misled, again=True)


def bring(
    target: Target,
    render: Render,
    releases: Sequence[Release],
    misled: Iterable[Manifest] = (),
    minutes: float = 0,
    taken: Collection[str] = (),
    *,
    again: bool = False,
) -> None:
    """Applies a release, deletes what only others have, and proves it by smoke tests and a watch.

    Where it has run before, and does `again`, its Jobs are no condition on nodes that take no pods.

    Where somebody changes it by hand meanwhile, that proves nothing, whatever came of it: the change
    is `taken` back, and all is done again. Annotations of objects that come back are left: a
    controller would write them again for ever.

    Raises:
        DeliveryError: it fails, or is changed each time.
    """
    cluster, failure = target.cluster, None
    before = rollout.past(cluster)
    replacement.apply(cluster, render.objects)
    try:
        rollout.wait(cluster, render.objects, before=before, again=again)
        configuration.renew(cluster, render, misled)
        cluster.delete(f"deployment/{canary.NAME}", *superfluous(render, releases))
        target.smoke(render)
        if minutes:
            watch(target, render, minutes)
    except lease.TakenError:
        raise
    except DeliveryError as error:
        failure = error
    if not (edits := _meanwhile(cluster, render, failure)):
        return
    text = "\n".join(edits)
    if taken:
        if not failure and all(edit in taken and drift.NOTE in edit for edit in edits):
            return say(f"written again as soon as it was taken back, and left:\n{text}")
        raise DeliveryError(f"somebody changes it by hand all the time:\n{text}") from failure
    say(f"changed by hand meanwhile, and taken back:\n{text}")
    misled = configuration.misled(cluster, render)
    replacement.announced(cluster, render, misled)
    bring(target, render, releases, misled, minutes, edits, again=again)


def _meanwhile(cluster: Cluster, render: Render, failure: DeliveryError | None) -> list[str]:
    """What somebody has changed by hand since the apply, a line each.

    Raises:
        DeliveryError: the failure, where nobody has or that cannot be seen; or that it cannot.
    """
    try:
        edits = [*drift.found(cluster, render)]
    except DeliveryError as error:
        raise failure or error from None
    if failure and not edits:
        raise failure
    return edits


def superfluous(render: Render, releases: Sequence[Release]) -> list[str]:
    """What other releases have and this one has not, but for the configuration of good ones.

    `kubectl rollout undo` goes back to pods that read it; it is deleted when their release is
    forgotten.
    """
    good = [recorded.render for recorded in releases if recorded.phase == "good"]
    kept = [body for earlier in good for body in earlier.kind("ConfigMap")]
    return rollout.surplus([*render.objects, *kept], release.objects(releases))


def forgotten(releases: Sequence[Release], kept: int = release.KEPT) -> list[str]:
    """The configuration of releases that the history has no room for, and last their records."""
    old = release.forgotten(releases, kept)
    remaining = release.objects(recorded for recorded in releases if recorded not in old)
    theirs = [body for recorded in old for body in recorded.render.kind("ConfigMap")]
    return [*rollout.surplus(remaining, theirs), *(recorded.name for recorded in old)]


def bootstrap(environment: Environment, cluster: Cluster, render: Render) -> None:
    """An administrator's part: what the cluster refuses, the namespace, and credentials.

    Raises:
        DeliveryError: the namespace is being deleted, or something is refused.
    """
    if leaving := [*lasting(cluster, [f"namespace/{cluster.namespace}"])]:
        raise DeliveryError("\n".join(leaving))
    managed.apply(cluster, Render(kustomize("admission")).objects)
    managed.apply(cluster, (body for body in render.objects if component(body) == "namespace"))
    sops.apply(environment, cluster)
    credentials.ensure_database(cluster)
    credentials.ensure_backup(cluster)
    credentials.ensure_tls(cluster, render.tls_hosts)


def watch(target: Target, render: Render, minutes: float, track: str | None = None) -> None:
    """Watches an environment, of its web pods those of `track`, and writes build/ENV/report.json.

    Raises:
        DeliveryError: something is wrong or not seen.
    """
    environment = target.environment
    with target.proofs.traffic(target.cluster, render) as answers:
        report = monitor.watch(environment.name, target.cluster, answers, minutes, track)
    file = ROOT / "build" / environment.name / "report.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(report.to_json() + "\n")
    except OSError as error:
        say(f"the watch counts, though its report cannot be written: {error}")
    if report.problems:
        raise DeliveryError("\n".join(report.problems))
    count = f"{report.answers} requests in {report.seconds:.0f} s, {report.errors} of them failed"
    say(f"{count}; {file} has the report")


def _return(target: Target, failed: Release) -> str:
    """Returns to the last good release after one that failed; what came of it, in words."""
    which, earlier, releases = "", None, list[Release]()
    try:
        _note_failure(target.cluster, failed)
        releases = release.read(target.cluster)
        earlier = release.last_good(releases)
        if earlier is None:
            canary.stop(target.cluster)
            return "there is no good release to return to: it is left as it is"
        which = f" to release {earlier.number}"
        return_to(target, earlier, releases)
    except lease.TakenError as error:
        return f"so did the return{which}: {error}"
    except DeliveryError as error:
        return f"so did the return{which}: {error}\n{_left(target, earlier, releases)}"
    return f"release {earlier.number} runs again"


def _left(target: Target, earlier: Release | None, releases: Iterable[Release]) -> str:
    """What serves after a way back that failed, and what is typed then."""
    try:
        pods = target.cluster.patient(0, timeout=20).list("Pod", selector=f"{COMPONENT}=web")
        images = {workloads.main_container(pod)["image"] for pod in pods if workloads.ready(pod)}
        serving = f"what serves is {' and '.join(sorted(images)) or 'nothing'}"
    except DeliveryError:
        serving = "what serves cannot be seen"
    line = f"make rollback ENV={target.environment.name}"
    if earlier is None:
        return f"{serving}; `{line}` tries again"
    again = f"{serving}; `{line} OPTIONS='--to {earlier.number}'` tries again"
    # Its image may be gone for good.
    other = release.last_good(recorded for recorded in releases if recorded.number != earlier.number)
    return f"{again}, `{line} OPTIONS='--to {other.number}'` brings release {other.number}" if other else again


def _note_failure(cluster: Cluster, failed: Release) -> None:
    """Marks it; where that cannot be, it stays pending, to which nothing returns either."""
    try:
        release.mark(cluster, failed, "failed")
    except lease.TakenError:
        raise
    except DeliveryError as error:
        say(f"{failed.name} could not be marked: {error}")

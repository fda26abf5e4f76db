"""What somebody has changed by hand since a release was delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from delivery import foundation, managed, release, rollout
from delivery.cluster import Cluster, Manifest, RefusedError, name
from delivery.release import Release
from delivery.render import Render
from delivery.target import Target

# In the line about an annotation of an object itself, which no pod sees.
NOTE = ": metadata.annotations."


def found(cluster: Cluster, render: Render) -> Iterator[str]:
    """What the next delivery of a render takes back, a line each, without any value."""
    wanted = [body for body in render.objects if rollout.delivered(body) and body["kind"] not in managed.SHARED]
    there = {name(body): body for body in managed.live(cluster, wanted)}
    rest = []
    for body in wanted:
        edits = list(managed.edits(there.get(name(body), {"metadata": {}})))
        yield from (f"{name(body)}: {edit}" for edit in edits)
        if name(body) not in there:
            yield f"{name(body)} is deleted"
        elif not edits:
            rest.append(body)
    # A field that somebody has removed is nobody's, and `scale` leaves no hand's name.
    if rollout.difference(cluster, rest):
        changed = (body for body in rest if rollout.difference(cluster, [body]))
        for body in changed:
            yield f"{name(body)} is changed{_written(cluster, there[name(body)])}"


def _written(cluster: Cluster, body: Manifest) -> str:
    """What is done against a controller of no release, as an autoscaler, that writes an object."""
    if not managed.autoscaled(body):
        others = " and ".join(managed.controllers(body))
        return f": {others} writes it too; suspend that there before a delivery" if others else ""
    return (
        f": an autoscaler of no release scales it; `kubectl -n {cluster.namespace} get hpa` names it: delete it first"
    )


def lines(target: Target, releases: Sequence[Release]) -> Iterator[str]:
    """What is not as the release that runs has left it, a line each."""
    good = release.last_good(releases)
    if good is None:
        return
    if releases[0].phase == "pending":
        yield f"release {releases[0].number} is being delivered, or was interrupted"
        return
    try:
        missing, changed = foundation.compare(target.cluster, good.render)
        yield from (f"{line}; {foundation.remedy(target.environment)}" for line in (*missing, *changed))
        edits = list(found(target.cluster, good.render))
        yield from (f"not of release {good.number}: {edit}" for edit in edits)
        if edits:
            yield f"`make rollback ENV={target.environment.name} OPTIONS='--to {good.number}'` takes it back"
    except RefusedError as error:
        yield f"whether somebody has changed anything by hand is not known: {error}"

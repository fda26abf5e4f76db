"""What somebody has changed by hand since a release was delivered."""

from __future__ import annotations

from collections.abc import Iterator

from delivery import managed, rollout
from delivery.cluster import Cluster, name
from delivery.render import Render


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
        yield from (f"{name(body)} is changed" for body in rest if rollout.difference(cluster, [body]))

"""What may happen to a delivery at any moment, and a draw of such moments."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Callable, Mapping

from delivery.cluster import RefusedError
from tests.delivery.fake import FakeCluster, Killed, LostError

Fault = Callable[[FakeCluster, str, str], None]


def nothing(cluster: FakeCluster, operation: str, name: str) -> None:
    """Happens most of the time."""


def interrupted(cluster: FakeCluster, operation: str, name: str) -> None:
    raise KeyboardInterrupt


def killed(cluster: FakeCluster, operation: str, name: str) -> None:
    raise Killed


def lost(cluster: FakeCluster, operation: str, name: str) -> None:
    raise LostError("connection reset by peer")


def refused(cluster: FakeCluster, operation: str, name: str) -> None:
    raise RefusedError("Forbidden")


def away(seconds: float) -> Fault:
    def begin(cluster: FakeCluster, operation: str, name: str) -> None:
        cluster.away(seconds)

    return begin


# What may happen between any command and the API server.
COMMON: dict[str, Fault] = {
    "interrupted": interrupted,
    "killed": killed,
    "answer lost": lost,
    "API away for a moment": away(20),
    "API away for long": away(400),
}


def drawn(cluster: FakeCluster, draw: random.Random, faults: Mapping[str, Fault], last: int) -> None:
    """Has one or two of `faults` happen before or after one of the next `last` requests."""
    names = draw.choices(sorted(faults), k=draw.choice((1, 1, 2)))
    first = cluster.faults.calls
    moments = {first + draw.randrange(1, last): faults[name] for name in names}

    def fault(cluster: FakeCluster, operation: str, name: str) -> None:
        moments.pop(cluster.faults.calls, nothing)(cluster, operation, name)

    setattr(cluster.faults, draw.choice(("before", "after")), fault)


def mended(cluster: FakeCluster) -> None:
    """Nothing happens any more, and whoever was killed types again."""
    cluster.faults.before = cluster.faults.after = nothing
    cluster.faults.dead, cluster.faults.away_until = False, 0


def typed(text: str) -> list[str]:
    """The arguments of the delivery command line that the first `make ...` in a text means."""
    (line, *_) = re.findall(r"`make ([^`]+)`", text)
    target, *words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words)
    return [target, variables["ENV"], *shlex.split(variables.get("OPTIONS", ""))]

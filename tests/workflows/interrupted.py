"""`python -m delivery` at a cluster in memory, which the file STATE keeps from one step of a job to the next."""

from __future__ import annotations

import os
import pickle
import sys
import time
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from delivery import __main__, deploy, image
from tests.delivery import fake
from tests.delivery.small import Stage, render

# Of the server; the rest is plugged in anew.
KEPT = (
    "clock",
    "objects",
    "kinds",
    "owned",
    "owners",
    "lives",
    "works",
    "digests",
    "templates",
    "version",
    "next_turn",
)
# Real seconds of a pause, however long it is by the cluster's clock.
PAUSE = 0.02


def main() -> int:
    """The command line behind `python -m delivery`; release 1 runs where there is no state yet."""
    state = Path(os.environ["STATE"])
    vars(deploy)["ROOT"] = state.parent
    vars(image)["commit"] = lambda: "0" * 40
    stage = Stage()
    server, database = vars(stage.cluster.server), vars(stage.database)
    if state.exists():
        # The state of this very test.
        kept = pickle.loads(state.read_bytes())  # noqa: S301
        server |= kept[0]
        database |= kept[1]
    else:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            stage.begin()
            stage.deploy("1")
    pause = fake.FakeCluster.pause

    def slowly(cluster: fake.FakeCluster, seconds: float) -> None:
        time.sleep(PAUSE)
        pause(cluster, seconds)

    vars(fake)["FakeCluster"].pause = slowly
    replaced = {
        "pinned": nullcontext,
        "target_of": lambda options: stage.target,
        "rendered": lambda target, built, *sizes, **kinds: render(built.tag),
    }
    vars(__main__).update(replaced)
    # What is behind `-m delivery`.
    sys.argv = sys.argv[2:]
    code = __main__.main()
    state.write_bytes(pickle.dumps(({name: server[name] for name in KEPT}, database)))
    print("serving", *sorted(stage.serving), "canary" if stage.cluster.get("deployment/web-canary") else "alone")
    return code


if __name__ == "__main__":
    sys.exit(main())

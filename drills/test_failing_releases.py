"""A release with a fault is noticed, and the environment returns to the one before by itself."""

from __future__ import annotations

import re
import time

import pytest

from delivery.deploy import ReleaseError
from delivery.release import last_good
from drills.conftest import TIMES, Stage

SLOW = pytest.mark.slow
# (fault, seconds until it begins, minutes of canary, minutes of watching, why it fails)
FAULTS = [
    pytest.param("never-ready", 0, 0, 0, "is not ready after", id="never-ready"),
    pytest.param(
        "errors", 120, 0, 4, "requests failed, such as /: status 500", id="errors-after-two-minutes", marks=SLOW
    ),
    pytest.param("leak", 0, 0, 2, "requests failed|an error of its own", id="leaks-errors", marks=SLOW),
    pytest.param("no-metrics", 20, 0, 2, "gave no metrics", id="metrics-vanish", marks=SLOW),
    pytest.param("errors", 0, 1, 0, "requests failed|an error of its own", id="canary-with-errors", marks=SLOW),
]


@pytest.mark.parametrize(("fault", "after", "canary", "watch", "reason"), FAULTS)
def test_fault_is_noticed_and_the_release_before_returns(
    stage: Stage, request: pytest.FixtureRequest, fault: str, after: int, canary: float, watch: float, reason: str
) -> None:
    good = last_good(stage.releases())
    assert good
    built = stage.faulty(fault, after)
    began = time.monotonic()
    with stage.traffic() as answers, pytest.raises(ReleaseError, match=f"{good.number} runs again") as failure:
        stage.deploy(built, canary=canary, watch=watch)
    assert re.search(reason, str(failure.value.__cause__))
    assert set(stage.pods().values()) == {good.image}
    assert stage.releases()[0].phase == "failed"
    # Where users met no error, the fault is as old as the delivery.
    visible = next((answer.at for answer in answers if answer.error), began)
    times = request.config.stash[TIMES]
    times[request.node.callspec.id] = failure.value.noticed - visible, failure.value.ended - failure.value.noticed

"""An outage takes as many minutes as it lasted of the budget of what failed, and none of the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest

from delivery.traffic import PATHS, Answer
from drills.conftest import Stage
from drills.database import ROOT, query
from drills.faults import database_down, ingress_deleted
from drills.watching import Watch, until
from observability.dashboards import EVERY, budget_left

OUTAGE = 120
# The probe may see each end of an outage a scrape late, and a rule one evaluation later.
SCRAPES = 2


@contextmanager
def database_reads_only(stage: Stage) -> Iterator[None]:
    query(stage, "SET GLOBAL read_only = ON", client=ROOT)
    try:
        yield
    finally:
        query(stage, "SET GLOBAL read_only = OFF", client=ROOT)


def left(watch: Watch) -> dict[str, float]:
    """The seconds that are left of each budget, as the dashboard has them."""
    answer = watch.query(watch.of_environment(budget_left()))
    return {each["metric"]["indicator"]: float(each["value"][1]) for each in answer}


def failed(answers: Sequence[Answer], path: str) -> float:
    """The seconds from the first request for a path that failed to the last one."""
    moments = [answer.at for answer in answers if answer.path == path and answer.error]
    return moments[-1] - moments[0] if moments else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "indicators"),
    [
        pytest.param(ingress_deleted, {"pages", "saves"}, id="no-ingress"),
        pytest.param(database_down, {"pages", "saves"}, id="no-database"),
        pytest.param(database_reads_only, {"saves"}, id="a-database-that-only-reads"),
    ],
)
def test_an_outage_takes_its_minutes_of_the_right_budget(
    stage: Stage, watch: Watch, fault: Callable[[Stage], AbstractContextManager[None]], indicators: set[str]
) -> None:
    well = f'max_over_time(school_scheduler:probe_failed:bool{{namespace="{stage.namespace}"}}[30s]) == 0'
    until(lambda: len(watch.query(well)) == 2)
    before = left(watch)
    with stage.traffic() as answers:
        with fault(stage):
            time.sleep(OUTAGE)
        until(lambda: len(watch.query(well)) == 2)
    after = left(watch)
    users = dict(zip(("pages", "saves"), (failed(answers, path) for path in PATHS), strict=True))
    assert {indicator for indicator, seconds in users.items() if seconds >= OUTAGE - EVERY} == indicators
    taken = {indicator: before[indicator] - after[indicator] for indicator in before}
    assert taken == {indicator: pytest.approx(seconds, abs=SCRAPES * EVERY) for indicator, seconds in users.items()}

from __future__ import annotations

import pytest

from delivery import limits, rollout, suites
from delivery.__main__ import parser

IMAGE = "registry.example/x:1@sha256:" + "0" * 64


def seconds(*words: str) -> float:
    return limits.of(parser().parse_args(words))


def deploy(*words: str) -> float:
    return seconds("deploy", "prod", "--image", IMAGE, *words)


def test_a_delivery_has_the_time_of_a_migration_and_of_two_ways_back_beside_its_own() -> None:
    way = rollout.UP + suites.LONGEST
    assert deploy() > rollout.MIGRATION + 4 * way
    assert seconds("rollback", "prod") == 60 + 2 * way


@pytest.mark.parametrize(("option", "more"), [("--wait=70", 10), ("--watch=10", 1200), ("--canary=2", 420)])
def test_what_it_waits_for_and_watches_adds_to_it(option: str, more: float) -> None:
    assert deploy(option) - deploy() == more


def test_a_job_in_turn_may_wait_for_another_as_long_as_it_takes_itself() -> None:
    assert seconds("generate", "prod") == seconds("restore-drill", "prod") == 7320


def test_a_command_that_no_pipeline_runs_has_no_limit() -> None:
    with pytest.raises(KeyError):
        seconds("status", "prod")

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import closing
from itertools import islice

import pytest

from app.engine.xhstt import read_solutions
from app.search import SearchError, search
from tests.conftest import BRAZIL, SAMPLE
from tests.engine.conftest import Archive, Rule

INSTANCE = BRAZIL.read_text("utf-8-sig")


def child() -> int:
    (process,) = multiprocessing.active_children()
    assert process.pid is not None
    return process.pid


def test_the_death_of_its_process_is_an_error() -> None:
    found = search(INSTANCE, seconds=600, seed=1, workers=1)
    next(found)
    os.kill(child(), signal.SIGKILL)
    with pytest.raises(SearchError, match="ended with code -9"):
        list(found)


def test_asking_for_too_much_memory_is_an_error() -> None:
    with pytest.raises(SearchError, match=r"memory$"):
        list(search(INSTANCE, seconds=600, seed=1, workers=1, memory=40 << 20))


def test_it_begins_with_an_earlier_timetable() -> None:
    earlier = read_solutions(BRAZIL.read_bytes(), "BrazilInstance1.xml")[-1]
    with closing(search(INSTANCE, seconds=600, seed=1, workers=1, start=earlier)) as found:
        assert next(each.timetable for each in found if each) == earlier


def test_two_workers_are_two_processes_whose_timetables_get_better_and_better() -> None:
    with closing(search(INSTANCE, seconds=600, seed=1, workers=2)) as found:
        ranks = [each.rank for each in islice(filter(None, found), 8)]
        assert len(multiprocessing.active_children()) == 2
    assert ranks == sorted(ranks, reverse=True)
    assert multiprocessing.active_children() == []


def test_the_death_of_one_of_two_processes_is_an_error() -> None:
    found = search(INSTANCE, seconds=600, seed=1, workers=2)
    next(found)
    multiprocessing.active_children()[0].kill()
    with pytest.raises(SearchError, match="ended with code -9"):
        list(found)
    assert multiprocessing.active_children() == []


def test_closing_it_ends_its_process() -> None:
    with closing(search(INSTANCE, seconds=600, seed=1, workers=1)) as found:
        next(found)
    assert multiprocessing.active_children() == []


def test_stopped_it_ends_long_before_its_time() -> None:
    list(search(INSTANCE, seconds=600, seed=1, workers=1, stop=lambda: True))


def test_a_signal_to_the_whole_group_does_not_cost_the_timetable() -> None:
    stopping = threading.Event()
    for found in search(SAMPLE.read_text(), seconds=600, seed=1, workers=1, stop=stopping.is_set):
        if found and not stopping.is_set():
            os.kill(child(), signal.SIGTERM)
            stopping.set()
    assert stopping.is_set()


def test_what_the_solver_refuses_is_said_in_its_words(archive: Archive, rule: Rule) -> None:
    days = '<TimeGroups><TimeGroup Reference="Mo"/></TimeGroups><Minimum>999999</Minimum><Maximum>999999</Maximum>'
    rules = rule("ClusterBusyTimes", days, weight=999_999, function="Quadratic")
    rules += "".join(rules.replace('Id="ClusterBusyTimes"', f'Id="{number}"') for number in range(9))
    with pytest.raises(SearchError, match="'tiny' has weights too large"):
        list(search(archive(rules).decode(), seconds=10, seed=1, workers=1))

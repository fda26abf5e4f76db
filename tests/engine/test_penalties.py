from __future__ import annotations

import random

import pytest
from ortools.sat.python import cp_model

from app.engine.cost import evaluate
from app.engine.formulation import Formulation
from app.engine.frame import Frame
from app.engine.incumbent import Incumbent
from app.engine.instance import Instance
from app.engine.penalties import Penalties
from app.engine.timetable import Lesson, Timetable
from app.engine.variables import Task
from app.engine.worker import PATIENCE, ROUND, ROUNDS, Worker
from tests.engine.conftest import EVENTS, Rule, School

# Math, of two hours, and Art, of one, would both like to begin at the first time, and share a teacher.
BEST = Timetable((Lesson("Math", "Mo1", 2), Lesson("Art", "Mo3", 1)))
OTHER = Timetable((Lesson("Math", "Mo3", 2), Lesson("Art", "Mo1", 1)))
NEITHER = Timetable((Lesson("Math", "Tu1", 2), Lesson("Art", "Mo3", 1)))


@pytest.fixture
def instance(school: School, rule: Rule) -> Instance:
    rules = rule("AvoidClashes", required=True) + rule("PreferTimes", '<Times><Time Reference="Mo1"/></Times>')
    return school(rules, EVENTS.replace("<Duration>3<", "<Duration>2<"))


def test_what_costs_most_is_penalised_first_and_less_often_with_each_time(instance: Instance) -> None:
    penalties, cost = Penalties(), evaluate(instance, NEITHER)
    assert penalties.value(cost) == cost.soft == 3
    penalties.add(cost)
    # Math costs 2, each of them 2 and a penalty; Art costs 1.
    assert penalties.value(cost) == 2 * 3 + 1 * 2
    penalties.add(cost)
    assert penalties.value(cost) == 2 * 4 + 1 * 3
    penalties.clear()
    assert penalties.value(cost) == 3


def test_a_model_with_penalties_has_them_in_its_cost(instance: Instance) -> None:
    penalties, solver = Penalties(), cp_model.CpSolver()
    for _ in range(3):
        penalties.add(evaluate(instance, BEST))
    form = Formulation(Frame(instance), Task((), {"Math": 2, "Art": 1}), penalties=penalties)
    form.program.minimize(form.soft)
    assert solver.solve(form.program.complete()) == cp_model.OPTIMAL
    found = evaluate(instance, form.timetable(solver.response_proto.solution))
    # Art counts for 5 now, elsewhere than at the first time, and Math for 4.
    assert (found.soft, penalties.value(found), solver.objective_value) == (2, 4, 4)


def test_a_search_that_is_stuck_makes_a_detour_and_returns(instance: Instance) -> None:
    incumbent = Incumbent(instance, 600, lambda progress: None)
    worker = Worker(incumbent, random.Random(1), 0, 2)  # noqa: S311
    incumbent.offer(BEST, "start")
    seen = []
    for _ in range(PATIENCE + 1):
        worker.step()
    assert worker.penalties.rounds == 1
    while worker.penalties.rounds:
        worker.step()
        seen.append(worker.here.rank)
        assert len(seen) <= 10 * ROUNDS * ROUND
    assert (0, evaluate(instance, OTHER).soft) in seen
    assert worker.here is incumbent.best
    assert incumbent.best.rank == (0, 1)

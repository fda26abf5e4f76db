"""Finding a timetable: CP-SAT (Google OR-Tools) searches until time is up, the best is proved, or it has to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ortools.sat.python import cp_model

from app.engine.formulation import Formulation
from app.engine.instance import Instance
from app.engine.timetable import Timetable


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        elapsed: seconds since it began.
        soft: the soft cost of the best timetable so far; its hard cost is 0.
        bound: no timetable that has no hard cost has a soft cost below this; equal to `soft` when the best is proved.
        timetable: the best timetable so far.
    """

    elapsed: float
    soft: int
    bound: int
    timetable: Timetable


def solve(
    instance: Instance,
    *,
    seconds: float,
    seed: int = 0,
    workers: int = 2,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Timetable | None:
    """The best timetable found in `seconds`, with hard cost 0; None if there is none or none was found.

    `stop` is asked several times a second and ends the search early; `on_progress` is told of every better timetable,
    and at the end once more if the bound has risen since. With one worker and the same seed, the same timetables are
    found in the same order.
    """
    started = time.monotonic()
    formulation = Formulation(instance)
    reported: list[Progress] = []
    solver = cp_model.CpSolver()
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = workers

    def report(soft: int, bound: float, timetable: Timetable) -> None:
        reported.append(Progress(time.monotonic() - started, soft, max(0, round(bound)), timetable))
        on_progress(reported[-1])

    class Better(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            soft = self.value(formulation.cost)
            if not reported or soft < reported[-1].soft:
                report(soft, self.best_objective_bound, formulation.timetable(self.boolean_value))

    with _watch(solver, stop):
        # Any timetable first: without costs to weigh, that is much faster.
        for improve in (False, True):
            solver.parameters.max_time_in_seconds = max(0.0, started + seconds - time.monotonic())
            if improve:
                formulation.improve_on(solver)
            status = solver.solve(formulation.model, Better())
            if status == cp_model.MODEL_INVALID:
                raise ValueError(f"instance {instance.id!r} has weights too large: {formulation.model.validate()}")
            if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                break
            last = reported[-1]
            if last.soft == 0:
                break
        else:
            if solver.best_objective_bound > last.bound:
                report(last.soft, solver.best_objective_bound, last.timetable)
    return reported[-1].timetable if reported else None


@contextmanager
def _watch(solver: cp_model.CpSolver, stop: Callable[[], bool]) -> Iterator[None]:
    """Ends the solver's search, and every later one, once `stop` says so."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            if stop():
                solver.stop_search()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()

"""What the workers of a search share: the best timetable so far, what is proved of it, and the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ortools.sat.python import cp_model

from app.engine.cost import Cost, evaluate
from app.engine.frame import Frame
from app.engine.instance import Instance
from app.engine.progress import Progress
from app.engine.timetable import Timetable

NOTHING = Timetable(())


@dataclass(frozen=True)
class Judged:
    """A timetable and what it costs; `rank` is what the search makes less."""

    timetable: Timetable
    cost: Cost
    rank: tuple[int, int]


class Incumbent:
    """The best timetable of a search so far.

    Attributes:
        best: that timetable, at first one without lessons.
        bound: no timetable without hard cost has a soft cost below this.
        feasible: False when it is proved that all have a hard cost.
        deadline: when the search has to end, by the monotonic clock.
        begun: set when there is a timetable to begin with, or none is to be waited for.
        ended: set when the search has ended.
        failure: what a worker raised, if one did.
    """

    def __init__(self, instance: Instance, seconds: float, on_progress: Callable[[Progress], None]) -> None:
        self._started = time.monotonic()
        self.deadline = self._started + seconds
        self.instance, self._on_progress = instance, on_progress
        self.frame = Frame(instance)
        self.ended, self.begun = threading.Event(), threading.Event()
        self._lock = threading.RLock()
        self._solvers: set[cp_model.CpSolver] = set()
        self.failure: Exception | None = None
        self.best = self.judge(NOTHING)
        self.bound, self.feasible = 0, True
        self._heard: Timetable | None = None

    def end(self) -> None:
        """Ends all workers, soon."""
        with self._lock:
            self.ended.set()
            self.begun.set()
            for solver in self._solvers:
                solver.stop_search()

    def hear(self, timetable: Timetable) -> None:
        """Takes note of a timetable that another process found, for a worker's next step."""
        self._heard = timetable
        self.begun.set()

    def heard(self) -> Timetable | None:
        """The timetable that was heard of last, once."""
        found, self._heard = self._heard, None
        return found

    def solve(
        self, solver: cp_model.CpSolver, model: cp_model.CpModel, callback: cp_model.CpSolverSolutionCallback | None
    ) -> cp_model.CpSolverStatus | None:
        """What comes of a model, which is given up when the search ends; None if it has ended."""
        with self._lock:
            if self.ended.is_set():
                return None
            self._solvers.add(solver)
        try:
            status = solver.solve(model, callback)
        finally:
            with self._lock:
                self._solvers.discard(solver)
        if status == cp_model.MODEL_INVALID:
            raise ValueError(f"instance {self.instance.id!r} has weights too large: {model.validate()}")
        return status

    def judge(self, timetable: Timetable) -> Judged:
        """What a timetable costs; its rank also counts lessons without a time that no constraint asks for."""
        cost = evaluate(self.instance, timetable)
        placed = sum(lesson.duration for lesson in timetable.lessons if lesson.event not in self.frame.with_time)
        wanted = sum(event.duration for event in self.instance.events if event.id not in self.frame.with_time)
        return Judged(timetable, cost, (cost.hard + wanted - placed, cost.soft))

    def offer(self, timetable: Timetable, neighbourhood: str) -> Judged:
        """Judges a timetable and takes it if it is no worse than the best."""
        found = self.judge(timetable)
        with self._lock:
            better = found.rank < self.best.rank or self.best.timetable is NOTHING
            if better or found.rank == self.best.rank:
                self.best = found
            if better:
                self._report(neighbourhood)
        return found

    def raise_bound(self, bound: float) -> None:
        """Notes what a search of the whole model has proved."""
        with self._lock:
            if round(bound) > self.bound:
                self.bound = round(bound)
                if self.best.timetable is not NOTHING:
                    self._report("bound")

    def _report(self, neighbourhood: str) -> None:
        """Tells of the best timetable, and ends the search when nothing can be better."""
        elapsed, best = time.monotonic() - self._started, self.best
        cost = best.cost
        self._on_progress(Progress(elapsed, cost.hard, cost.soft, self.bound, neighbourhood, best.rank, best.timetable))
        if best.rank <= (0, self.bound):
            self.end()

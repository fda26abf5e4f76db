"""One line of a search for a timetable: fix-and-optimise large neighbourhood search over CP-SAT (Google OR-Tools).

A worker takes the best timetable, frees some of its lessons and lets CP-SAT place these anew, as good as it can within
a limit. Sizes adapt to what is solved within it. Where nothing better is found the worker makes a detour: wishes that
are still not met count for more, again and again, until others are not met instead. Sources of the method: Dorneles, de
Araújo and Buriol, "A fix-and-optimize heuristic for the high school timetabling problem", Computers & Operations
Research 52, 2014; of detours, see `app.engine.penalties`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ortools.sat.python import cp_model

from app.engine.formulation import Formulation
from app.engine.incumbent import NOTHING, Incumbent
from app.engine.neighbourhood import KINDS, Neighbourhoods, between
from app.engine.penalties import Penalties
from app.engine.program import Sum
from app.engine.timetable import Timetable
from app.engine.variables import Mode, Task

# The limit of a step, and of a first timetable: deterministic times of CP-SAT, about seconds of a free processor. Many
# short steps find more in a second than few long ones, though only one in thirty does.
SHORTEST, LONGEST = 0.04, 1.5
FIRST = 3.0
# What building a small model takes beside solving it.
STEP = 0.02
SIZE, SMALLEST = 15.0, 5.0
# What is not solved within the limit takes the longest and rarely finds anything: with these, three in four are solved.
GROW, SHRINK = 1.1, 0.75
# After so many steps without anything better a worker seeks a bound, and makes a detour.
PATIENCE = 50
# A detour adds penalties so often, each time after so many steps without anything better.
ROUNDS, ROUND = 20, 8
# There is no detour while something required is not kept; instead the limit grows after so many further steps.
MORE = 5
RAISE, LOWER = 1.4, 1 / 1.2
# How often each way to a better timetable is taken follows how often it finds one in a second: it begins with one in
# half a second, and what it found and took counts for so much less with each time that it is taken.
BEGIN, FADING = 0.5, 0.99
# For each second of its limit a search for a bound, which takes two of a clock, waits for so many of neighbourhoods.
RARELY = 15
# Larger models are not worth building as a whole.
MOST_BOOLEANS = 150_000
# Sums beyond this are not safe in the solver.
MOST_COST = 1 << 50
# The kind of step that took over another process's timetable.
ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class _Solved:
    """What came of a model: its best timetable, if it has one, the bound, and the deterministic time that it took."""

    status: cp_model.CpSolverStatus = cp_model.UNKNOWN
    timetable: Timetable | None = None
    bound: float = 0.0
    used: float = 0.0


@dataclass
class _Way:
    """One way to a better timetable: which neighbourhood, how it is solved, and what has come of it so far."""

    kind: str
    cores: bool
    size: float = SIZE
    found: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """About how many better timetables it finds in a second."""
        return (self.found + 1) / (self.seconds + BEGIN)

    def note(self, better: bool, seconds: float) -> None:
        """Counts one more time that it was taken."""
        self.found = FADING * self.found + better
        self.seconds = FADING * self.seconds + seconds


class Worker:
    """The ways and the limit that a line of the search has arrived at, and the timetable where it is."""

    def __init__(self, incumbent: Incumbent, luck: random.Random, number: int, workers: int) -> None:
        self.incumbent, self.luck = incumbent, luck
        self.first, self.last = number == 0, number == workers - 1
        events = incumbent.instance.events
        self.whole = Task((), {event.id: event.duration for event in events})
        self.manageable = incumbent.frame.size <= MOST_BOOLEANS
        # Raising the bound suits some models and lowering the cost others; which, only trying tells.
        self.ways = [_Way(kind, cores) for kind in KINDS for cores in (False, True)]
        self.limit = SHORTEST
        self.spent, self.proved, self.slice = 0.0, 0.0, 0.25
        # The timetable that is improved: the best, but for a detour.
        self.here = incumbent.best
        # How many steps ago something better was found than where it is.
        self.idle = 0
        # The rank of the best when it was looked at last.
        self.rank = incumbent.best.rank
        # There are some on a detour.
        self.penalties = Penalties()

    def work(self, start: Timetable | None) -> None:
        """Works to the end of the search."""
        incumbent = self.incumbent
        if self.first:
            self.begin(start)
            incumbent.begun.set()
        else:
            # A first timetable takes long only where it is hard to find, and then two ways are better than one.
            incumbent.begun.wait(3)
            if not incumbent.begun.is_set():
                self.construct()
        while not incumbent.ended.is_set():
            if found := incumbent.heard():
                self.meet(found)
            self.step()

    def begin(self, start: Timetable | None) -> None:
        """A first timetable: the one given, or one that keeps all required constraints, or what can be placed."""
        incumbent = self.incumbent
        if start is not None:
            incumbent.offer(start, "start")
            if not incumbent.best.cost.hard:
                return
        if self.manageable:
            form = Formulation(incumbent.frame, self.whole, wishes=False)
            solved = self.run(form, FIRST, whole=True)
            if solved.timetable:
                incumbent.offer(solved.timetable, "whole")
                return
            incumbent.feasible = solved.status != cp_model.INFEASIBLE
        if incumbent.best.timetable is NOTHING:
            self.construct()

    def construct(self) -> None:
        """A timetable from nothing, some events after the others."""
        waiting = list(self.incumbent.instance.events)
        self.luck.shuffle(waiting)
        waiting.sort(key=lambda event: -event.duration)
        table = NOTHING
        while waiting and not self.incumbent.ended.is_set():
            chunk, waiting = waiting[:30], waiting[30:]
            task = Task(tuple(table.parts), {event.id: event.duration for event in chunk})
            form = Formulation(self.incumbent.frame, task, Mode.TENTATIVE, wishes=False)
            form.program.minimize(form.hard)
            table = self.run(form, 0.5).timetable or table
        if table is not NOTHING:
            self.incumbent.offer(table, "construct")

    def meet(self, other: Timetable) -> None:
        """Takes up what another process found, or the best of that and of its own."""
        incumbent = self.incumbent
        own = incumbent.best.timetable
        incumbent.offer(other, ELSEWHERE)
        if incumbent.best.rank[0] == 0:
            form = self.formulate(between(incumbent.frame, own, other), incumbent.best.timetable)
            if both := self.run(form, self.limit).timetable:
                incumbent.offer(both, "both")

    def step(self) -> None:
        """One model: a neighbourhood, or from time to time the whole."""
        # While neighbourhoods still make it better, a bound is of no use.
        due = self.idle >= PATIENCE and self.spent >= RARELY * (self.proved + self.slice)
        if self.last and due and self.manageable:
            self.proved += self.slice
            self.prove(self.slice)
            self.slice *= 2
            return
        best, penalties = self.incumbent.best, self.penalties
        if best.rank < self.rank or (penalties.rounds == ROUNDS and self.idle >= ROUND):
            penalties.clear()
            self.rank = best.rank
        if not penalties.rounds:
            self.here = best
        if self.idle >= (ROUND if penalties.rounds else PATIENCE) and best.rank[0] == 0 < best.rank[1]:
            penalties.add(self.here.cost)
            self.idle, self.limit = 0, SHORTEST
        self.improve()

    def improve(self) -> None:
        """One neighbourhood of the timetable where it is."""
        here = self.here
        way = self.luck.choices(self.ways, [way.rate for way in self.ways])[0]
        around = Neighbourhoods(self.incumbent.frame, here.timetable, here.cost, self.luck)
        task = KINDS[way.kind](around, int(way.size))
        mode = Mode.STRICT if here.rank[0] == 0 else Mode.LOOSE if self.idle % 3 == 2 else Mode.TENTATIVE
        wishes = mode is Mode.STRICT or self.idle > 20
        form = self.formulate(task, here.timetable, mode, wishes=wishes, penalties=self.penalties)
        solved = self.run(form, self.limit, cores=way.cores)
        self.spent += STEP + solved.used
        better = False
        # Most steps end where they began, and judging takes longer than comparing.
        if solved.timetable and {*solved.timetable.parts} != {*here.timetable.parts}:
            found = self.incumbent.offer(solved.timetable, way.kind)
            now, before = ((each.rank[0], self.penalties.value(each.cost)) for each in (found, here))
            better = now < before
            if now <= before:
                self.here = found
        if solved.status != cp_model.OPTIMAL:
            way.size = max(SMALLEST, SHRINK * way.size)
        elif solved.used < self.limit / 2 and task.kept:
            # A small school is soon worth solving as a whole.
            way.size *= GROW if solved.used > self.limit / 10 else GROW**3
        way.note(better, STEP + solved.used)
        self.idle = 0 if better else self.idle + 1
        if better:
            self.limit = max(SHORTEST, LOWER * self.limit)
        elif self.idle >= PATIENCE and self.idle % MORE == 0:
            self.limit = min(LONGEST, RAISE * self.limit)

    def prove(self, limit: float) -> None:
        """The whole model, for a bound, and perhaps for a better timetable."""
        incumbent = self.incumbent
        strict = incumbent.feasible
        form = self.formulate(self.whole, incumbent.best.timetable, Mode.STRICT if strict else Mode.LOOSE)
        callback = _Offering(partial(incumbent.offer, neighbourhood="whole"), form)
        on_bound = incumbent.raise_bound if strict else None
        solved = self.run(form, limit, whole=True, callback=callback, on_bound=on_bound)
        if solved.status == cp_model.OPTIMAL:
            if strict:
                incumbent.raise_bound(solved.bound)
            incumbent.end()
        incumbent.feasible = incumbent.feasible and solved.status != cp_model.INFEASIBLE

    def formulate(
        self,
        task: Task,
        hint: Timetable,
        mode: Mode = Mode.STRICT,
        *,
        wishes: bool = True,
        penalties: Penalties | None = None,
    ) -> Formulation:
        """A model of a task that makes the cost less, beginning with the timetable `hint`."""
        form = Formulation(self.incumbent.frame, task, mode, wishes=wishes, penalties=penalties)
        # What is required is kept, or worth more than all wishes.
        weight = 1 if mode is Mode.STRICT else min(1 + form.soft.high, MOST_COST // max(1, form.hard.high))
        cost = Sum()
        cost.include(form.hard, weight)
        cost.include(form.soft)
        form.program.minimize(cost)
        # Where lessons are without a time, placing the others otherwise, at the same cost, makes room for them.
        if mode is not Mode.TENTATIVE:
            form.hint(hint)
        return form

    def run(
        self,
        form: Formulation,
        limit: float,
        *,
        whole: bool = False,
        cores: bool = False,
        callback: cp_model.CpSolverSolutionCallback | None = None,
        on_bound: Callable[[float], None] | None = None,
    ) -> _Solved:
        """Solves a model on one processor within a deterministic limit.

        What is worth its time for the `whole` model would cost a small one more than it takes to solve. With `cores`
        the bound is raised by cores, else the cost lowered.
        """
        linearization = 2 if whole and form.program.minimizes else 0
        solver = form.solver(self.incumbent.deadline, seed=self.luck.randrange(1 << 30), linearization=linearization)
        parameters = solver.parameters
        parameters.max_deterministic_time = limit
        parameters.cp_model_presolve = parameters.use_sat_inprocessing = whole
        parameters.optimize_with_core = cores
        # Without inprocessing, and with less effort for smaller cores, small models are solved in half the time.
        parameters.core_minimization_level, parameters.cover_optimization = 1, False
        if on_bound:
            solver.best_bound_callback = on_bound
        status = self.incumbent.solve(solver, form.program.complete(), callback)
        if status is None:
            return _Solved()
        found = (
            form.timetable(solver.response_proto.solution) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None
        )
        return _Solved(status, found, solver.best_objective_bound, solver.response_proto.deterministic_time)


class _Offering(cp_model.CpSolverSolutionCallback):
    """Offers each solution of the whole model as it is found."""

    def __init__(self, offer: Callable[[Timetable], object], form: Formulation) -> None:
        super().__init__()
        self.offer, self.form = offer, form

    def on_solution_callback(self) -> None:
        self.offer(self.form.timetable(self.response_proto.solution))

"""Finding a timetable: fix-and-optimise large neighbourhood search over CP-SAT models (Google OR-Tools).

The whole model without its wishes gives a first timetable. From then on each worker takes the best one, frees some of
its lessons and lets CP-SAT place these anew, as good as it can within a limit. Sizes adapt to what is solved within
it; the limit grows while nothing better is found, and after a while the worker makes a detour over a slightly worse
timetable that has less of one violation. Sources of the method: Dorneles, de Araújo and Buriol, "A fix-and-optimize
heuristic for the high school timetabling problem", Computers & Operations Research 52, 2014; for detours Lourenço,
Martin and Stützle, "Iterated local search", Handbook of Metaheuristics, 2003.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ortools.sat.python import cp_model

from app.engine.cost import Cost, evaluate
from app.engine.formulation import Formulation
from app.engine.frame import Frame
from app.engine.instance import Instance
from app.engine.neighbourhood import KINDS, Neighbourhoods, between
from app.engine.program import Sum
from app.engine.timetable import Timetable
from app.engine.variables import Mode, Task

# Deterministic times of CP-SAT, about seconds of a free processor.
SHORTEST, LONGEST = 0.04, 1.5
FIRST = 3.0
# What building a small model takes beside solving it.
STEP = 0.02
SIZE, SMALLEST = 15.0, 5.0
# What is not solved within the limit takes the longest and rarely finds anything: with these, three in four are solved.
GROW, SHRINK = 1.1, 0.75
# After so many steps without anything better, and only then, a worker seeks a bound, leaves the best timetable, and
# raises the limit of a step, and again after so many others: many short ones find more in a second than few long ones,
# though only one in thirty does. While something required is broken, it grows from the beginning.
PATIENCE, MORE = 50, 5
# A detour: how many lessons to free about; how much more it may cost beside one more wish; the limit that it begins
# with, and for how many steps it may find nothing better than the best.
DETOUR, WORSE, AFRESH, AWAY = 25, 0.05, 0.1, 30
# How often each way to a better timetable is taken follows how often it finds one in a second: it begins with one in
# half a second, and what it found and took counts for so much less with each time that it is taken.
BEGIN, FADING = 0.5, 0.99
# Larger models are not worth building as a whole.
MOST_BOOLEANS = 150_000
# Sums beyond this are not safe in the solver.
MOST_COST = 1 << 50
NOTHING = Timetable(())
# The kind of step that took over another process's timetable.
ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        elapsed: seconds since it began.
        hard, soft: the cost of the best timetable so far.
        bound: no timetable without hard cost has a soft cost below this; equal to `soft` when the best is proved.
        neighbourhood: what kind of step found it.
        rank: what the search makes less.
        timetable: the best timetable so far.
    """

    elapsed: float
    hard: int
    soft: int
    bound: int
    neighbourhood: str
    rank: tuple[int, int]
    timetable: Timetable


def solve(
    instance: Instance,
    *,
    seconds: float,
    seed: int = 0,
    workers: int = 2,
    start: Timetable | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    number: int | None = None,
    heard: Callable[[], Timetable | None] = lambda: None,
) -> Timetable:
    """The best timetable found in `seconds`; if none without hard cost was, the one with the least.

    `start` is an earlier timetable of this instance to begin with. `stop` is asked several times a second and ends the
    search early; `on_progress` is told, from any thread but one at a time, of every better timetable and of a better
    bound. With one worker and the same seed, the same timetables are found in the same order.

    The workers are threads, which wait for one another while they build models. With a `number` this is that one alone,
    the others being processes of their own, and `heard` is asked several times a second what they have found.

    Raises:
        ValueError: the instance has weights that the solver cannot add up.
    """
    search = _Search(instance, seconds, on_progress)
    threads = [
        threading.Thread(target=search.work, args=(random.Random(f"{seed} {number}"), number, workers, start))  # noqa: S311 - a repeatable choice, not a secret
        for number in (range(workers) if number is None else [number])
    ]
    if stop():
        search.end()
    for thread in threads:
        thread.start()
    try:
        while not search.ended.wait(min(0.1, max(0.0, search.deadline - time.monotonic()))):
            if (found := heard()) is not None:
                search.hear(found)
            if stop() or time.monotonic() >= search.deadline:
                search.end()
    finally:
        # Ctrl-C ends the search too.
        for thread in threads:
            # A model that was about to be solved when all others were stopped.
            while thread.is_alive():
                search.end()
                thread.join(0.1)
    if search.failure:
        raise search.failure
    return search.best.timetable


@dataclass(frozen=True)
class _Judged:
    """A timetable and what it costs; `rank` is what the search makes less."""

    timetable: Timetable
    cost: Cost
    rank: tuple[int, int]


@dataclass(frozen=True)
class _Solved:
    """What came of a model: its best timetable, if it has one, the bound, and the deterministic time that it took."""

    status: cp_model.CpSolverStatus = cp_model.UNKNOWN
    timetable: Timetable | None = None
    bound: float = 0.0
    used: float = 0.0


class _Search:
    """What the workers share: the best timetable, the bound, and the end."""

    def __init__(self, instance: Instance, seconds: float, on_progress: Callable[[Progress], None]) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + seconds
        self.instance, self.on_progress = instance, on_progress
        self.frame = Frame(instance)
        self.ended, self.begun = threading.Event(), threading.Event()
        self.lock = threading.RLock()
        self.solvers: set[cp_model.CpSolver] = set()
        self.failure: Exception | None = None
        self.best = self.judge(NOTHING)
        self.elsewhere: Timetable | None = None
        self.bound, self.feasible = 0, True
        self.whole = Task((), {event.id: event.duration for event in instance.events})

    def end(self) -> None:
        """Ends all workers, soon."""
        with self.lock:
            self.ended.set()
            self.begun.set()
            for solver in self.solvers:
                solver.stop_search()

    def hear(self, timetable: Timetable) -> None:
        """Takes note of a timetable that another process found, for the worker's next step."""
        self.elsewhere = timetable
        self.begun.set()

    def work(self, luck: random.Random, number: int, workers: int, start: Timetable | None) -> None:
        """One worker, to the end of the search."""
        try:
            if number == 0:
                self.begin(luck, start)
                self.begun.set()
            else:
                # A first timetable takes long only where it is hard to find, and then two ways are better than one.
                self.begun.wait(3)
                if not self.begun.is_set():
                    self.construct(luck)
            worker = _Worker(self, luck)
            while not self.ended.is_set():
                if self.elsewhere is not None:
                    found, self.elsewhere = self.elsewhere, None
                    worker.meet(found)
                worker.step(proving=number == workers - 1)
        except Exception as error:
            self.failure = error
            self.end()

    def begin(self, luck: random.Random, start: Timetable | None) -> None:
        """A first timetable: the one given, or one that keeps all required constraints, or what can be placed."""
        if start is not None:
            self.offer(start, "start")
            if not self.best.cost.hard:
                return
        if self.frame.size <= MOST_BOOLEANS:
            form = Formulation(self.frame, self.whole, wishes=False)
            solved = self.run(form, luck, FIRST, whole=True)
            if solved.timetable:
                self.offer(solved.timetable, "whole")
                return
            self.feasible = solved.status != cp_model.INFEASIBLE
        if self.best.timetable is NOTHING:
            self.construct(luck)

    def construct(self, luck: random.Random) -> None:
        """A timetable from nothing, some events after the others."""
        waiting = list(self.instance.events)
        luck.shuffle(waiting)
        waiting.sort(key=lambda event: -event.duration)
        table = NOTHING
        while waiting and not self.ended.is_set():
            chunk, waiting = waiting[:30], waiting[30:]
            task = Task(tuple(table.parts), {event.id: event.duration for event in chunk})
            form = Formulation(self.frame, task, Mode.TENTATIVE, wishes=False)
            form.program.minimize(form.hard)
            table = self.run(form, luck, 0.5).timetable or table
        if table is not NOTHING:
            self.offer(table, "construct")

    def formulate(self, task: Task, hint: Timetable, mode: Mode = Mode.STRICT, *, wishes: bool = True) -> Formulation:
        """A model of a task that makes the cost less, beginning with the timetable `hint`."""
        form = Formulation(self.frame, task, mode, wishes=wishes)
        # What is required is kept, or worth more than all wishes.
        weight = 1 if mode is Mode.STRICT else min(1 + form.soft.high, MOST_COST // max(1, form.hard.high))
        cost = Sum()
        cost.include(form.hard, weight)
        cost.include(form.soft)
        form.program.minimize(cost)
        form.hint(hint)
        return form

    def run(
        self,
        form: Formulation,
        luck: random.Random,
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
        solver = form.solver(self.deadline, seed=luck.randrange(1 << 30), linearization=linearization)
        parameters = solver.parameters
        parameters.max_deterministic_time = limit
        parameters.cp_model_presolve = whole
        parameters.optimize_with_core = cores
        if on_bound:
            solver.best_bound_callback = on_bound
        model = form.program.complete()
        with self.lock:
            if self.ended.is_set():
                return _Solved()
            self.solvers.add(solver)
        try:
            status = solver.solve(model, callback)
        finally:
            with self.lock:
                self.solvers.discard(solver)
        if status == cp_model.MODEL_INVALID:
            raise ValueError(f"instance {self.instance.id!r} has weights too large: {model.validate()}")
        found = (
            form.timetable(solver.response_proto.solution) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None
        )
        return _Solved(status, found, solver.best_objective_bound, solver.response_proto.deterministic_time)

    def judge(self, timetable: Timetable) -> _Judged:
        """What a timetable costs; its rank also counts lessons without a time that no constraint asks for."""
        cost = evaluate(self.instance, timetable)
        placed = sum(lesson.duration for lesson in timetable.lessons if lesson.event not in self.frame.with_time)
        wanted = sum(event.duration for event in self.instance.events if event.id not in self.frame.with_time)
        return _Judged(timetable, cost, (cost.hard + wanted - placed, cost.soft))

    def offer(self, timetable: Timetable, neighbourhood: str) -> _Judged:
        """Judges a timetable and takes it if it is no worse than the best."""
        found = self.judge(timetable)
        with self.lock:
            better = found.rank < self.best.rank or self.best.timetable is NOTHING
            if better or found.rank == self.best.rank:
                self.best = found
            if better:
                self.report(neighbourhood)
        return found

    def report(self, neighbourhood: str) -> None:
        """Tells of the best timetable, and ends the search when nothing can be better."""
        elapsed, best = time.monotonic() - self.started, self.best
        cost = best.cost
        self.on_progress(Progress(elapsed, cost.hard, cost.soft, self.bound, neighbourhood, best.rank, best.timetable))
        if best.rank <= (0, self.bound):
            self.end()

    def raise_bound(self, bound: float) -> None:
        """Notes what a search of the whole model has proved."""
        with self.lock:
            if round(bound) > self.bound:
                self.bound = round(bound)
                if self.best.timetable is not NOTHING:
                    self.report("bound")


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


class _Worker:
    """One line of the search: the ways and the limit that it has arrived at, and the timetable where it is."""

    def __init__(self, search: _Search, luck: random.Random) -> None:
        self.search, self.luck = search, luck
        # Raising the bound suits some models and lowering the cost others; which, only trying tells.
        self.ways = [_Way(kind, cores) for kind in KINDS for cores in (False, True)]
        self.limit = SHORTEST
        self.spent, self.proved, self.slice = 0.0, 0.0, 0.25
        # The best timetable when it was looked at last, and the one that is improved, the same but for a detour.
        self.home = self.here = search.best
        # Steps since something better was found, and since a detour began.
        self.idle = self.away = 0

    def step(self, proving: bool) -> None:
        """One model: a neighbourhood, or from time to time the whole."""
        search = self.search
        # While neighbourhoods still make it better, a bound is of no use; a second of its limit takes two of a clock.
        due = self.idle >= PATIENCE and not self.away and self.spent >= 15 * (self.proved + self.slice)
        if proving and due and search.frame.size <= MOST_BOOLEANS:
            self.proved += self.slice
            self.prove(self.slice)
            self.slice *= 2
            return
        if self.home is not search.best or self.away > AWAY:
            if self.away:
                self.away = self.idle = 0
            self.home = self.here = search.best
        if self.away:
            self.away += 1
        elif self.idle >= PATIENCE and self.home.rank[0] == 0 < self.home.rank[1]:
            self.leave()
        self.improve()

    def meet(self, other: Timetable) -> None:
        """Takes up what another process found, or the best of that and of its own."""
        search = self.search
        own = search.best.timetable
        search.offer(other, ELSEWHERE)
        if search.best.rank[0] == 0:
            form = search.formulate(between(search.frame, own, other), search.best.timetable)
            if both := search.run(form, self.luck, self.limit).timetable:
                search.offer(both, "both")

    def leave(self) -> None:
        """Begins a detour over the least costly timetable in which something that is not as wished is less so."""
        search, best = self.search, self.home
        around = Neighbourhoods(search.frame, best.timetable, best.cost, self.luck)
        costly = best.cost.costly
        chosen = self.luck.choice(costly)
        form = search.formulate(around.behind([chosen], DETOUR), best.timetable)
        form.lessen(chosen)
        moved = search.run(form, self.luck, AFRESH).timetable
        if moved is None:
            return
        found = search.offer(moved, "detour")
        wish = min(each.cost for each in costly)
        if found.rank[0] == 0 and found.rank[1] <= (1 + WORSE) * best.rank[1] + wish:
            self.home, self.here = search.best, found
            self.away, self.limit = 1, AFRESH

    def improve(self) -> None:
        """One neighbourhood of the timetable where it is."""
        search, here = self.search, self.here
        way = self.luck.choices(self.ways, [way.rate for way in self.ways])[0]
        task = KINDS[way.kind](Neighbourhoods(search.frame, here.timetable, here.cost, self.luck), int(way.size))
        mode = Mode.STRICT if here.rank[0] == 0 else Mode.LOOSE if self.idle % 3 == 2 else Mode.TENTATIVE
        wishes = mode is Mode.STRICT or self.idle > 20
        form = search.formulate(task, here.timetable, mode, wishes=wishes)
        solved = search.run(form, self.luck, self.limit, cores=way.cores)
        self.spent += STEP + solved.used
        better = False
        # Most steps end where they began, and judging takes longer than comparing.
        if solved.timetable and {*solved.timetable.parts} != {*here.timetable.parts}:
            found = search.offer(solved.timetable, way.kind)
            better = found.rank < here.rank
            if found.rank <= here.rank:
                self.here = found
        if solved.status != cp_model.OPTIMAL:
            way.size = max(SMALLEST, SHRINK * way.size)
        elif solved.used < self.limit / 2 and task.kept:
            # A small school is soon worth solving as a whole.
            way.size *= GROW if solved.used > self.limit / 10 else GROW**3
        way.note(better, STEP + solved.used)
        self.idle = 0 if better else self.idle + 1
        if better:
            self.limit = max(SHORTEST, self.limit / 1.2)
        elif self.idle % MORE == 0 and (self.idle >= PATIENCE or here.rank[0]):
            self.limit = min(LONGEST, self.limit * 1.4)

    def prove(self, limit: float) -> None:
        """The whole model, for a bound, and perhaps for a better timetable."""
        search = self.search
        strict = search.feasible
        form = search.formulate(search.whole, search.best.timetable, Mode.STRICT if strict else Mode.LOOSE)
        callback = _Offering(partial(search.offer, neighbourhood="whole"), form)
        on_bound = search.raise_bound if strict else None
        solved = search.run(form, self.luck, limit, whole=True, callback=callback, on_bound=on_bound)
        if solved.status == cp_model.OPTIMAL:
            if strict:
                search.raise_bound(solved.bound)
            search.end()
        search.feasible = search.feasible and solved.status != cp_model.INFEASIBLE


class _Offering(cp_model.CpSolverSolutionCallback):
    """Offers each solution of the whole model as it is found."""

    def __init__(self, offer: Callable[[Timetable], object], form: Formulation) -> None:
        super().__init__()
        self.offer, self.form = offer, form

    def on_solution_callback(self) -> None:
        self.offer(self.form.timetable(self.response_proto.solution))

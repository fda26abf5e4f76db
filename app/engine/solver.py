"""Finding a timetable: the instance as a CP-SAT model (Google OR-Tools), solved until the time is up.

A lesson of duration d of event e that starts at time t is one Boolean; equal lessons of an event are then one and the
same, so no solution is there twice. Required constraints are constraints of the model, the others terms of its objective.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatchmethod

from ortools.sat.python import cp_model

from app.engine import instance as model
from app.engine.instance import Constraint, Instance
from app.engine.timetable import Lesson, Timetable

Expression = cp_model.LinearExprT
Variable = cp_model.IntVar


@dataclass(frozen=True)
class Progress:
    """A better timetable than all before.

    Attributes:
        elapsed: seconds since it began.
        soft: the soft cost of the best timetable so far; its hard cost is 0.
        bound: no timetable costs less than this.
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

    `stop` is asked several times a second and ends the search early; `on_progress` is told of every better timetable.
    With one worker and the same seed, the same timetables are found in the same order.
    """
    started = time.monotonic()
    builder = _Model(instance)
    best: list[Timetable] = []
    solver = cp_model.CpSolver()
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = workers

    class Report(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            best[:] = [builder.timetable(self.boolean_value)]
            cost = self.value(builder.cost)
            bound = max(0, round(self.best_objective_bound))
            on_progress(Progress(time.monotonic() - started, cost, bound, best[0]))

    with _watch(solver, stop):
        # Any timetable first: without costs to weigh, that is much faster.
        for objective in (False, True):
            solver.parameters.max_time_in_seconds = max(0.0, started + seconds - time.monotonic())
            if objective:
                builder.improve_on(solver)
            if solver.solve(builder.model, Report()) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                break
    return best[0] if best else None


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


class _Model:
    """The CP-SAT model of an instance; every event gets all its times, also where the instance would let it go without."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.model = cp_model.CpModel()
        self.costs: list[Expression] = []
        self.starts: dict[str, list[tuple[int, int, Variable]]] = {
            event.id: self._starts(event) for event in instance.events
        }
        self.busy: dict[str, list[Variable]] = {}
        self.load: dict[str, list[Expression]] = {}
        for resource in instance.resources:
            self.load[resource.id], self.busy[resource.id] = self._attendance(resource)
        for constraint in instance.constraints:
            for point in constraint.points:
                self._apply(constraint, point)
        self.cost: Expression = sum(self.costs)

    def improve_on(self, solver: cp_model.CpSolver) -> None:
        """Makes the cost the objective, and the solver's solution the place to start from."""
        for index in range(len(self.model.proto.variables)):
            variable = self.model.get_int_var_from_proto_index(index)
            self.model.add_hint(variable, solver.value(variable))
        self.model.minimize(self.cost)

    def timetable(self, value: Callable[[Variable], bool]) -> Timetable:
        """The lessons whose Booleans are true."""
        times = self.instance.times
        return Timetable(
            tuple(
                Lesson(event, times[start].id, duration)
                for event, lessons in self.starts.items()
                for duration, start, variable in lessons
                if value(variable)
            )
        )

    def _starts(self, event: model.Event) -> list[tuple[int, int, Variable]]:
        """(duration, start, Boolean) of each lesson that the event may have."""
        lessons = []
        for duration in self._durations(event):
            for start in range(len(self.instance.times) - duration + 1):
                if event.time in (None, self.instance.times[start].id):
                    lessons.append((duration, start, self.model.new_bool_var(f"{event.id}:{duration}@{start}")))
        self.model.add(sum(duration * variable for duration, _, variable in lessons) == event.duration)
        return lessons

    def _durations(self, event: model.Event) -> Iterable[int]:
        """Lesson durations that required SplitEvents constraints leave the event."""
        if event.time is not None:
            return [event.duration]
        allowed = set(range(1, event.duration + 1))
        for constraint in self.instance.constraints:
            if isinstance(constraint, model.SplitEvents) and constraint.required and (event.id,) in constraint.points:
                allowed &= set(range(constraint.minimum_duration, constraint.maximum_duration + 1))
        return sorted(allowed)

    def _attendance(self, resource: model.Resource) -> tuple[list[Expression], list[Variable]]:
        """For each time, how many lessons the resource attends, and whether any."""
        running: list[list[Variable]] = [[] for _ in self.instance.times]
        for event in self.instance.events:
            # A resource that an event names twice attends twice.
            for _ in range(event.resources.count(resource.id)):
                for duration, start, variable in self.starts[event.id]:
                    for each in range(start, start + duration):
                        running[each].append(variable)
        single = any(
            isinstance(each, model.AvoidClashes) and each.required and (resource.id,) in each.points
            for each in self.instance.constraints
        )
        busy = []
        for index, variables in enumerate(running):
            any_lesson = self.model.new_bool_var(f"{resource.id} busy@{index}")
            if single:
                self.model.add(sum(variables) == any_lesson)
            else:
                self.model.add_max_equality(any_lesson, [*variables, 0])
            busy.append(any_lesson)
        if single:
            # Follows from the rest, but tells the solver at once when a resource has no time to spare.
            taught = sum(each.duration * each.resources.count(resource.id) for each in self.instance.events)
            self.model.add(sum(busy) == taught)
        return [sum(variables) for variables in running], busy

    def _charge(self, constraint: Constraint, *ranges: tuple[Expression, int, int]) -> None:
        """Charges the cost of the distances, summed, by which each expression is out of its range."""
        if constraint.required:
            for expression, minimum, maximum in ranges:
                self.model.add_linear_constraint(expression, minimum, maximum)
            return
        most = len(self.instance.times) * max(1, len(self.instance.events))
        distances = []
        for expression, minimum, maximum in ranges:
            distance = self.model.new_int_var(0, most, f"{constraint.id} distance")
            self.model.add(distance >= expression - maximum)
            self.model.add(distance >= minimum - expression)
            distances.append(distance)
        deviation: Expression = sum(distances)
        if constraint.cost_function == "Quadratic":
            total, square = self.model.new_int_var(0, most, ""), self.model.new_int_var(0, most * most, "")
            self.model.add(total == deviation)
            self.model.add_multiplication_equality(square, [total, total])
            deviation = square
        elif constraint.cost_function == "Step":
            step = self.model.new_bool_var(f"{constraint.id} step")
            self.model.add(deviation == 0).only_enforce_if(~step)
            deviation = step
        self.costs.append(constraint.weight * deviation)

    @singledispatchmethod
    def _apply(self, constraint: Constraint, point: tuple[str, ...]) -> None:
        """Adds one point of application of one constraint."""
        raise NotImplementedError(type(constraint).__name__)

    @_apply.register
    def _(self, constraint: model.AssignTime, point: tuple[str, ...]) -> None:
        pass

    @_apply.register
    def _(self, constraint: model.SplitEvents, point: tuple[str, ...]) -> None:
        lessons = self.starts[point[0]]
        durations = range(constraint.minimum_duration, constraint.maximum_duration + 1)
        outside = sum(variable for duration, _, variable in lessons if duration not in durations)
        amount = sum(variable for _, _, variable in lessons)
        self._charge(constraint, (outside, 0, 0), (amount, constraint.minimum_amount, constraint.maximum_amount))

    @_apply.register
    def _(self, constraint: model.DistributeSplitEvents, point: tuple[str, ...]) -> None:
        amount = sum(variable for duration, _, variable in self.starts[point[0]] if duration == constraint.duration)
        self._charge(constraint, (amount, constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.PreferTimes, point: tuple[str, ...]) -> None:
        elsewhere = sum(
            duration * variable
            for duration, start, variable in self.starts[point[0]]
            if constraint.duration in (None, duration) and self.instance.times[start].id not in constraint.times
        )
        self._charge(constraint, (elsewhere, 0, 0))

    @_apply.register
    def _(self, constraint: model.SpreadEvents, point: tuple[str, ...]) -> None:
        lessons = [lesson for event in point for lesson in self.starts[event]]
        ranges = []
        for times, minimum, maximum in constraint.limits:
            inside = sum(variable for _, start, variable in lessons if self.instance.times[start].id in times)
            ranges.append((inside, minimum, maximum))
        self._charge(constraint, *ranges)

    @_apply.register
    def _(self, constraint: model.AvoidClashes, point: tuple[str, ...]) -> None:
        self._charge(constraint, (sum(self.load[point[0]]) - sum(self.busy[point[0]]), 0, 0))

    @_apply.register
    def _(self, constraint: model.AvoidUnavailableTimes, point: tuple[str, ...]) -> None:
        self._charge(constraint, (sum(self._busy(point[0], constraint.times)), 0, 0))

    @_apply.register
    def _(self, constraint: model.LimitIdleTimes, point: tuple[str, ...]) -> None:
        idle = [each for group in constraint.groups for each in self._idle(self._busy(point[0], group))]
        self._charge(constraint, (sum(idle), constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.ClusterBusyTimes, point: tuple[str, ...]) -> None:
        groups = [self._any(self._busy(point[0], group)) for group in constraint.groups]
        self._charge(constraint, (sum(groups), constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.LimitBusyTimes, point: tuple[str, ...]) -> None:
        ranges = []
        for group in constraint.groups:
            busy = self._busy(point[0], group)
            # A group without a busy time is not held to the minimum.
            ranges.append((sum(busy) + constraint.minimum * ~self._any(busy), constraint.minimum, constraint.maximum))
        self._charge(constraint, *ranges)

    def _busy(self, resource: str, times: Iterable[str]) -> list[Variable]:
        return [self.busy[resource][self.instance.time_index[time]] for time in times]

    def _any(self, variables: Sequence[Variable]) -> Variable:
        """A Boolean that is true when any of `variables` is."""
        found = self.model.new_bool_var("")
        self.model.add_max_equality(found, variables)
        return found

    def _idle(self, busy: Sequence[Variable]) -> list[Variable]:
        """For each inner time of a time group, whether it is free between two busy ones."""
        before, after = [busy[0]], [busy[-1]]
        for variable in busy[1:-2]:
            before.append(self._any([before[-1], variable]))
        for variable in busy[-2:1:-1]:
            after.append(self._any([after[-1], variable]))
        idle = []
        for free, early, late in zip(busy[1:-1], before, reversed(after), strict=True):
            gap = self.model.new_bool_var("")
            self.model.add_bool_and(early, late, ~free).only_enforce_if(gap)
            self.model.add_bool_or(~early, ~late, free, gap)
            idle.append(gap)
        return idle

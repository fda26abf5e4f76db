"""An instance as a CP-SAT model (Google OR-Tools).

A lesson of duration d of event e that starts at time t is one Boolean; equal lessons of an event are then one and the
same, so no solution is there twice. Required constraints are constraints of the model, the others terms of its cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import singledispatchmethod
from itertools import accumulate

from ortools.sat.python import cp_model

from app.engine import instance as model
from app.engine.instance import Constraint, Event, Instance, Resource
from app.engine.timetable import Lesson, Timetable

Expression = cp_model.LinearExprT
Variable = cp_model.IntVar
# Unlike Python's own sum, it gives an expression also when there is nothing to add.
total = cp_model.LinearExpr.sum


class Formulation:
    """The model of an instance; every event gets all its times, also where the instance would let it go without.

    Attributes:
        model: what to solve; it has no objective yet.
        cost: the soft cost, exact for every solution of the model.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.model = cp_model.CpModel()
        # What costs nothing restricts nothing, even if it is required.
        self.constraints = [constraint for constraint in instance.constraints if constraint.weight]
        self.costs: list[Expression] = []
        self.starts: dict[str, list[tuple[int, int, Variable]]] = {
            event.id: self._starts(event) for event in instance.events
        }
        self.load: dict[str, list[Expression]] = {}
        self.busy: dict[str, list[Variable]] = {}
        for resource in instance.resources:
            self._attend(resource)
        for constraint in self.constraints:
            for point in constraint.points:
                self._apply(constraint, point)
        self.cost = total(self.costs)

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

    def _starts(self, event: Event) -> list[tuple[int, int, Variable]]:
        """(duration, start, Boolean) of each lesson that the event may have."""
        lessons = []
        for duration in self._durations(event):
            for start in range(len(self.instance.times) - duration + 1):
                if event.time in (None, self.instance.times[start].id):
                    lessons.append((duration, start, self.model.new_bool_var(f"{event.id}:{duration}@{start}")))
        self.model.add(total([duration * variable for duration, _, variable in lessons]) == event.duration)
        return lessons

    def _durations(self, event: Event) -> Iterable[int]:
        """Lesson durations that required SplitEvents constraints leave the event."""
        if event.time is not None:
            return [event.duration]
        allowed = set(range(1, event.duration + 1))
        for constraint in self.constraints:
            if isinstance(constraint, model.SplitEvents) and constraint.required and (event.id,) in constraint.points:
                allowed &= set(range(constraint.minimum_duration, constraint.maximum_duration + 1))
        return sorted(allowed)

    def _attend(self, resource: Resource) -> None:
        """Sets, for each time, how many lessons the resource attends, and whether any."""
        running: list[list[Variable]] = [[] for _ in self.instance.times]
        for event in self.instance.events:
            # A resource that an event names twice attends twice.
            for _ in range(event.resources.count(resource.id)):
                for duration, start, variable in self.starts[event.id]:
                    for each in range(start, start + duration):
                        running[each].append(variable)
        single = any(
            isinstance(each, model.AvoidClashes) and each.required and (resource.id,) in each.points
            for each in self.constraints
        )
        busy = [self.model.new_bool_var(f"{resource.id} busy@{index}") for index in range(len(running))]
        for variables, any_lesson in zip(running, busy, strict=True):
            if single:
                self.model.add(total(variables) == any_lesson)
            else:
                self.model.add_max_equality(any_lesson, [0, *variables])
        if single:
            # Follows from the rest, but tells the solver at once when a resource has no time to spare.
            taught = sum(each.duration * each.resources.count(resource.id) for each in self.instance.events)
            self.model.add(total(busy) == taught)
        self.load[resource.id], self.busy[resource.id] = [total(variables) for variables in running], busy

    def _charge(self, constraint: Constraint, *ranges: tuple[Expression, int, int]) -> None:
        """Charges the cost of the distances, summed, by which each expression is out of its range."""
        if constraint.required:
            for expression, minimum, maximum in ranges:
                self.model.add_linear_constraint(expression, minimum, maximum)
            return
        size = len(self.instance.times) * (1 + len(self.instance.events) + len(self.instance.time_groups))
        distances = []
        for expression, minimum, maximum in ranges:
            distance = self.model.new_int_var(0, size + minimum, f"{constraint.id} distance")
            self.model.add_max_equality(distance, [0, expression - maximum, minimum - expression])
            distances.append(distance)
        most = sum(size + minimum for _, minimum, _ in ranges)
        deviation = total(distances)
        match constraint.cost_function:
            case "Quadratic":
                root = self.model.new_int_var(0, most, f"{constraint.id} deviation")
                square = self.model.new_int_var(0, most * most, f"{constraint.id} square")
                self.model.add(root == deviation)
                self.model.add_multiplication_equality(square, [root, root])
                self.costs.append(constraint.weight * square)
            case "Step":
                step = self.model.new_bool_var(f"{constraint.id} step")
                self.model.add(deviation == 0).only_enforce_if(~step)
                self.model.add(deviation >= 1).only_enforce_if(step)
                self.costs.append(constraint.weight * step)
            case _:
                self.costs.append(constraint.weight * deviation)

    @singledispatchmethod
    def _apply(self, constraint: Constraint, point: tuple[str, ...]) -> None:
        """Adds one point of application of one constraint."""
        raise NotImplementedError(type(constraint).__name__)

    @_apply.register
    def _(self, constraint: model.AssignTime, point: tuple[str, ...]) -> None:
        """Nothing: every event gets all its times."""

    @_apply.register
    def _(self, constraint: model.SplitEvents, point: tuple[str, ...]) -> None:
        lessons = self.starts[point[0]]
        durations = range(constraint.minimum_duration, constraint.maximum_duration + 1)
        outside = total([variable for duration, _, variable in lessons if duration not in durations])
        amount = total([variable for _, _, variable in lessons])
        self._charge(constraint, (outside, 0, 0), (amount, constraint.minimum_amount, constraint.maximum_amount))

    @_apply.register
    def _(self, constraint: model.DistributeSplitEvents, point: tuple[str, ...]) -> None:
        lessons = self.starts[point[0]]
        amount = total([variable for duration, _, variable in lessons if duration == constraint.duration])
        self._charge(constraint, (amount, constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.PreferTimes, point: tuple[str, ...]) -> None:
        elsewhere = [
            duration * variable
            for duration, start, variable in self.starts[point[0]]
            if constraint.duration in (None, duration) and self.instance.times[start].id not in constraint.times
        ]
        self._charge(constraint, (total(elsewhere), 0, 0))

    @_apply.register
    def _(self, constraint: model.SpreadEvents, point: tuple[str, ...]) -> None:
        lessons = [lesson for event in point for lesson in self.starts[event]]
        ranges = []
        for times, minimum, maximum in constraint.limits:
            inside = [variable for _, start, variable in lessons if self.instance.times[start].id in times]
            ranges.append((total(inside), minimum, maximum))
        self._charge(constraint, *ranges)

    @_apply.register
    def _(self, constraint: model.AvoidClashes, point: tuple[str, ...]) -> None:
        self._charge(constraint, (total(self.load[point[0]]) - total(self.busy[point[0]]), 0, 0))

    @_apply.register
    def _(self, constraint: model.AvoidUnavailableTimes, point: tuple[str, ...]) -> None:
        self._charge(constraint, (total(self._busy(point[0], sorted(constraint.times))), 0, 0))

    @_apply.register
    def _(self, constraint: model.LimitIdleTimes, point: tuple[str, ...]) -> None:
        idle = [each for group in constraint.groups for each in self._idle(self._busy(point[0], group))]
        self._charge(constraint, (total(idle), constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.ClusterBusyTimes, point: tuple[str, ...]) -> None:
        groups = [self._any(self._busy(point[0], group)) for group in constraint.groups]
        self._charge(constraint, (total(groups), constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.LimitBusyTimes, point: tuple[str, ...]) -> None:
        ranges = []
        for group in constraint.groups:
            busy = self._busy(point[0], group)
            # A group without a busy time is not held to the minimum.
            excused = total(busy) + constraint.minimum * ~self._any(busy)
            ranges.append((excused, constraint.minimum, constraint.maximum))
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
        before = accumulate(busy[:-2], lambda earlier, variable: self._any([earlier, variable]))
        after = accumulate(busy[:1:-1], lambda later, variable: self._any([later, variable]))
        idle = []
        for taken, early, late in zip(busy[1:-1], before, reversed(list(after)), strict=True):
            gap = self.model.new_bool_var("")
            self.model.add_bool_and(early, late, ~taken).only_enforce_if(gap)
            self.model.add_bool_or(~early, ~late, taken, gap)
            idle.append(gap)
        return idle

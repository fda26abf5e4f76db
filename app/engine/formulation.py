"""The constraints of an instance as those, and as the cost, of a CP-SAT model (Google OR-Tools)."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatchmethod
from math import lcm

from app.engine import instance as model
from app.engine.frame import Frame, Point
from app.engine.instance import Constraint
from app.engine.penalties import Penalties
from app.engine.program import FALSE, TRUE, Literal, Sum
from app.engine.variables import Mode, Part, Task, Variables

# Up to here a square is a row of tangents, beyond it a multiplication.
MOST_TANGENTS = 40
Range = tuple[Sum, int, int | None]


class Formulation(Variables):
    """The model of a task; it has no objective yet.

    Attributes:
        hard, soft: the costs of the points of application that the task can change, exact where they are minimised;
            with `penalties`, soft costs count as often as these say.
        points: these points.
        assumptions: in the mode ASSUMED, what each of these variables stands for.
    """

    def __init__(
        self,
        frame: Frame,
        task: Task,
        mode: Mode = Mode.STRICT,
        *,
        wishes: bool = True,
        penalties: Penalties | None = None,
    ) -> None:
        """Without `wishes`, constraints that are not required are left out."""
        super().__init__(frame, task, mode)
        self.hard, self.soft = Sum(), Sum()
        self.points = self._concerned(task)
        self.assumptions: dict[int, Point] = {}
        self._assumption = TRUE
        for constraint, index in self.points:
            if constraint.required and mode is Mode.ASSUMED:
                self._assumption = self.program.boolean()
                self.assumptions[self._assumption] = (constraint, index)
            if constraint.required or wishes:
                point = constraint.points[index]
                self._cost = Sum()
                APPLY(type(constraint))(self, constraint, point, index)
                if constraint.required:
                    self.hard.include(self._cost)
                else:
                    self.soft.include(self._cost, penalties.weight(constraint, point) if penalties else 1)
        if not self._loose:
            self._separate()
        for event in task.freed:
            if event not in frame.with_time:
                # Nobody asks for its lessons, and they are wanted all the same.
                self.hard.include(self.missing[event])

    def _concerned(self, task: Task) -> list[Point]:
        """The points of application that look at a freed event or a touched resource."""
        found: dict[int, Point] = {}
        for event in task.freed:
            found |= self.frame.of_event[event]
        for resource in self.touched:
            found |= self.frame.of_resource[resource]
        return list(found.values())

    def _charge(self, constraint: Constraint, *ranges: Range) -> None:
        """Charges the cost of the distances, summed, by which each sum is out of its range."""
        if constraint.required and self.mode in (Mode.STRICT, Mode.ASSUMED):
            for each, minimum, maximum in ranges:
                low = minimum if each.low < minimum else None
                high = maximum if maximum is not None and each.high > maximum else None
                if low is not None or high is not None:
                    self.program.bound(each, low, high, self._assumption)
            return
        deviation = Sum()
        for each, minimum, maximum in ranges:
            self._deviate(deviation, each, minimum, maximum)
        if deviation.high:
            self._weigh(constraint, deviation)

    def _deviate(self, deviation: Sum, each: Sum, minimum: int, maximum: int | None) -> None:
        """Adds to `deviation` how far `each` is out of its range, or more."""
        above = 0 if maximum is None else max(0, each.high - maximum)
        below = max(0, minimum - each.low)
        if maximum is not None and each.low >= maximum and not below:
            # It cannot be below, so what it has above the maximum is linear.
            deviation.include(each)
            deviation.shift(-maximum)
        elif above or below:
            most = max(above, below)
            distance = self.program.integer(0, most)
            if above:
                self.program.bound(each.plus(distance, -1), None, maximum)
            if below:
                self.program.bound(each.plus(distance, 1), minimum, None)
            deviation.add(distance, 1, most)

    def _weigh(self, constraint: Constraint, deviation: Sum) -> None:
        """Adds the cost of a deviation to that of the point at hand."""
        cost, most = self._cost, deviation.high
        match constraint.cost_function:
            case "Linear":
                cost.include(deviation, constraint.weight)
            case "Step":
                step = self.program.boolean()
                self.program.bound(deviation.plus(step, -most), None, 0)
                cost.add(step, constraint.weight)
            case _ if most > MOST_TANGENTS:
                root, square = self.program.integer(0, most), self.program.integer(0, most * most)
                self.program.bound(deviation.plus(root, -1), 0, 0)
                self.program.square(square, root)
                cost.add(square, constraint.weight, most * most)
            case _:
                square = self.program.integer(0, most * most)
                for value in range(most):
                    # The line through two neighbours on the parabola.
                    line = Sum()
                    line.include(deviation, 2 * value + 1)
                    line.add(square, -1, most * most)
                    self.program.bound(line, None, value * (value + 1))
                cost.add(square, constraint.weight, most * most)

    @singledispatchmethod
    def _apply(self, constraint: Constraint, point: tuple[str, ...], index: int) -> None:
        """Adds one point of application of one constraint, the `index`th."""
        raise NotImplementedError(type(constraint).__name__)

    @_apply.register
    def _(self, constraint: model.AssignResource, point: tuple[str, ...], index: int) -> None:
        event = point[0]
        if constraint.role not in self.instance.event[event].open:
            return
        without = Sum()
        for part in self.parts(event):
            without.add(part.held, part.duration)
            for literal in part.roles.get(constraint.role, {}).values():
                without.add(literal, -part.duration)
        without.low, without.high = 0, self.instance.event[event].duration
        self._charge(constraint, (without, 0, 0))

    @_apply.register
    def _(self, constraint: model.AssignTime, point: tuple[str, ...], index: int) -> None:
        self._charge(constraint, (self.missing[point[0]], 0, 0))

    @_apply.register
    def _(self, constraint: model.SplitEvents, point: tuple[str, ...], index: int) -> None:
        durations = range(constraint.minimum_duration, constraint.maximum_duration + 1)
        outside = self._count(point[0], lambda part: part.duration not in durations)
        amount = self._count(point[0], lambda part: True)
        self._charge(constraint, (outside, 0, 0), (amount, constraint.minimum_amount, constraint.maximum_amount))

    @_apply.register
    def _(self, constraint: model.DistributeSplitEvents, point: tuple[str, ...], index: int) -> None:
        amount = self._count(point[0], lambda part: part.duration == constraint.duration)
        self._charge(constraint, (amount, constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.PreferResources, point: tuple[str, ...], index: int) -> None:
        if constraint.role in self.instance.event[point[0]].open:
            others = Sum(
                (literal, part.duration)
                for part in self.parts(point[0])
                for resource, literal in part.roles.get(constraint.role, {}).items()
                if resource not in constraint.resources
            )
            self._charge(constraint, (others, 0, 0))

    @_apply.register
    def _(self, constraint: model.PreferTimes, point: tuple[str, ...], index: int) -> None:
        times = self.frame.mask(constraint.times)
        elsewhere = Sum(
            (part.held, part.duration)
            for part in self.parts(point[0])
            if part.start is not None and constraint.duration in (None, part.duration) and not times >> part.start & 1
        )
        self._charge(constraint, (elsewhere, 0, 0))

    @_apply.register
    def _(self, constraint: model.AvoidSplitAssignments, point: tuple[str, ...], index: int) -> None:
        taking: dict[str, list[Literal]] = {}
        for event in point:
            for place in self.instance.event[event].places:
                if place.role == constraint.role and place.resource is not None:
                    taking.setdefault(place.resource, []).append(TRUE)
            for part in self.parts(event):
                for resource, literal in part.roles.get(constraint.role, {}).items():
                    taking.setdefault(resource, []).append(literal)
        self._charge(constraint, (Sum((self.any(literals), 1) for literals in taking.values()), 0, 1))

    @_apply.register
    def _(self, constraint: model.SpreadEvents, point: tuple[str, ...], index: int) -> None:
        ranges: list[Range] = []
        for group, minimum, maximum in constraint.limits:
            times = self.frame.mask(group.times)
            inside = Sum(
                (part.held, 1)
                for event in point
                for part in self.parts(event)
                if part.start is not None and times >> part.start & 1
            )
            ranges.append((inside, minimum, maximum))
        self._charge(constraint, *ranges)

    @_apply.register
    def _(self, constraint: model.LinkEvents, point: tuple[str, ...], index: int) -> None:
        apart = Sum()
        for time in range(self.frame.week):
            running = [self._running_at(event, time) for event in point]
            some = self.any(running)
            apart.add(some)
            apart.add(~self.any([~literal for literal in running]), -1)
        # At each time, all of them can only run when some do.
        apart.low = 0
        self._charge(constraint, (apart, 0, 0))

    @_apply.register
    def _(self, constraint: model.OrderEvents, point: tuple[str, ...], index: int) -> None:
        first, second = (self.parts(event) for event in point)
        week = self.frame.week
        end, start = self.program.integer(0, week), self.program.integer(0, week)
        self.program.maximum(
            end, [(0, part.held, part.start + part.duration) for part in first if part.start is not None]
        )
        starts = [(week, part.held, part.start - week) for part in second if part.start is not None]
        self.program.maximum(start, starts, -1)
        minimum, maximum = constraint.separations[index]
        gap = Sum()
        gap.add(start, 1, week)
        gap.add(end, -1, week)
        excused = [part.held for part in (*first, *second) if part.start is None]
        if excused:
            # Where a part has no time, nothing is asked for.
            counted, missing = self.program.integer(-week, week), self.any(excused)
            inside = min(max(0, minimum), week)
            self.program.bound(gap.plus(counted, -1), 0, 0, ~missing)
            gap = Sum()
            gap.add(counted, 1, week)
            gap.low = -week
            self.program.bound(gap, inside, inside, missing)
        self._charge(constraint, (gap, minimum, maximum))

    @_apply.register
    def _(self, constraint: model.AvoidClashes, point: tuple[str, ...], index: int) -> None:
        if not constraint.required or self._loose:
            self._charge(constraint, *((self.load(point[0], time), 0, 1) for time in range(self.frame.week)))
        elif self.mode is Mode.STRICT:
            self._fill(point[0])

    @_apply.register
    def _(self, constraint: model.AvoidUnavailableTimes, point: tuple[str, ...], index: int) -> None:
        times = sorted(map(self.instance.time_index.__getitem__, constraint.times))
        busy = Sum((self.busy(point[0], time), 1) for time in times)
        self._charge(constraint, (busy, 0, 0))

    @_apply.register
    def _(self, constraint: model.LimitIdleTimes, point: tuple[str, ...], index: int) -> None:
        idle = Sum()
        for group in constraint.groups:
            idle.include(self.span(point[0], group).idle)
        self._charge(constraint, (idle, constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.ClusterBusyTimes, point: tuple[str, ...], index: int) -> None:
        used = Sum((self.span(point[0], group).used, 1) for group in constraint.groups)
        self._charge(constraint, (used, constraint.minimum, constraint.maximum))

    @_apply.register
    def _(self, constraint: model.LimitBusyTimes, point: tuple[str, ...], index: int) -> None:
        ranges: list[Range] = []
        for group in constraint.groups:
            busy = [self.busy(point[0], time) for time in self.frame.indices(group)]
            # A group without a busy time is not held to the minimum.
            excused = Sum(((each, 1) for each in busy), constraint.minimum)
            if constraint.minimum:
                excused.add(self.any(busy), -constraint.minimum)
                excused.low = min(1, constraint.minimum)
            ranges.append((excused, constraint.minimum, constraint.maximum))
        self._charge(constraint, *ranges)

    @_apply.register
    def _(self, constraint: model.LimitWorkload, point: tuple[str, ...], index: int) -> None:
        shares: list[tuple[Literal, int, int]] = []
        for event in self.instance.events:
            for place in event.places:
                if place.resource == point[0]:
                    shares.append((TRUE, place.workload * event.duration, event.duration))
                elif place.resource is None and place.role is not None:
                    for part in self.parts(event.id):
                        literal = part.roles.get(place.role, {}).get(point[0], FALSE)
                        shares.append((literal, place.workload * part.duration, event.duration))
        shares = [share for share in shares if share[0] != FALSE]
        scale = lcm(*(duration for _, _, duration in shares))
        workload = Sum((literal, amount * (scale // duration)) for literal, amount, duration in shares)
        below, above = (
            max(0, scale * constraint.minimum - workload.low),
            max(0, workload.high - scale * constraint.maximum),
        )
        # Whole numbers of `scale` make up for what is too little or too much: that is rounding up.
        deviation = Sum()
        most = -(-max(below, above) // scale)
        if most:
            distance = self.program.integer(0, most)
            self.program.bound(workload.plus(distance, scale), scale * constraint.minimum, None)
            self.program.bound(workload.plus(distance, -scale), None, scale * constraint.maximum)
            deviation.add(distance, 1, most)
        self._charge(constraint, (deviation, 0, 0))

    def _fill(self, resource: str) -> None:
        """Says which times a resource without a time to spare must use; the solver is slow to see that it follows."""
        kept, free = self._kept[resource], self._free_at[resource]
        if self.frame.taught[resource] >= sum(bool(count or some) for count, some in zip(kept, free, strict=True)):
            for time, literals in enumerate(free):
                if literals:
                    self.program.exactly_one(literals)
                    self._apart.add((resource, time))

    def _count(self, event: str, which: Callable[[Part], bool]) -> Sum:
        """How many parts of an event are such, with and without a time."""
        return Sum((part.held, 1) for part in self.parts(event) if which(part))

    def _running_at(self, event: str, time: int) -> Literal:
        """Whether a lesson of the event takes that time."""
        return self.any(
            [
                part.held
                for part in self.parts(event)
                if part.start is not None and part.start <= time < part.start + part.duration
            ]
        )


# A singledispatchmethod makes a function anew at each call, and there are thousands of calls for each model.
APPLY = vars(Formulation)["_apply"].dispatcher.dispatch

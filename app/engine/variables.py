"""The variables of a CP-SAT model (Google OR-Tools) of an instance, or of part of it around lessons that stay.

A lesson of duration d of event e that starts at time t is one Boolean; equal lessons of an event are then one and the
same, so no solution is there twice. Whoever may take an open place at it is one Boolean more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic

from ortools.sat.python import cp_model

from app.engine.frame import Frame
from app.engine.instance import Event, TimeGroup
from app.engine.timetable import Lesson, Timetable, Unplaced

Variable = cp_model.IntVar
# A Boolean variable, or its value where it is known.
Literal = Variable | bool


class Sum:
    """A linear expression of variables that start at 0, with its bounds."""

    __slots__ = ("coefficients", "constant", "high", "low", "variables")

    def __init__(self, terms: Iterable[tuple[Literal, int]] = (), constant: int = 0) -> None:
        self.variables: list[Variable] = []
        self.coefficients: list[int] = []
        self.constant = self.low = self.high = constant
        for literal, coefficient in terms:
            self.add(literal, coefficient)

    def add(self, literal: Literal | int, coefficient: int = 1, most: int = 1) -> None:
        """Adds a variable of 0 to `most`, or a number."""
        if isinstance(literal, int):
            self.constant += coefficient * literal
            self.low += coefficient * literal
            self.high += coefficient * literal
        else:
            self.variables.append(literal)
            self.coefficients.append(coefficient)
            self.low += min(0, coefficient * most)
            self.high += max(0, coefficient * most)

    def include(self, other: Sum, coefficient: int = 1) -> None:
        """Adds another sum, times at least 0."""
        self.variables += other.variables
        self.coefficients += [coefficient * each for each in other.coefficients]
        self.constant += coefficient * other.constant
        self.low += coefficient * other.low
        self.high += coefficient * other.high

    def expression(self) -> cp_model.LinearExpr:
        """The expression for the solver."""
        return cp_model.LinearExpr.weighted_sum(self.variables, self.coefficients) + self.constant


@dataclass(frozen=True)
class Task:
    """What a model decides: `freed` durations of events, beside what is `kept`.

    Attributes:
        kept: parts of events that stay as they are.
        freed: how much of each event is placed anew.
        starts: times at which the freed lessons may start, as a bit mask; None for all.
        only: for some events, the (duration, start) to which their freed lessons are restricted.
    """

    kept: tuple[Lesson | Unplaced, ...]
    freed: dict[str, int]
    starts: int | None = None
    only: dict[str, frozenset[tuple[int, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A lesson that may be: whether it is, and for each open role who may take it; without `start` it has no time."""

    event: str
    duration: int
    start: int | None
    held: Literal
    roles: dict[str, dict[str, Literal]]


@dataclass(frozen=True, slots=True)
class Span:
    """A resource in a time group: how many times it is `idle` there, and whether it is `used` at all."""

    idle: Sum
    used: Literal


class Mode(Enum):
    """What a model makes of required constraints: STRICT keeps them.

    TENTATIVE may leave lessons without a time and makes most required constraints costs, but a freed lesson takes
    nobody from another one, and starts only where it may. LOOSE makes all of them costs. ASSUMED keeps each of them
    where an assumption of its own says so, and places everything.
    """

    STRICT = 0
    TENTATIVE = 1
    LOOSE = 2
    ASSUMED = 3


class Variables:
    """The lessons of a task, and who is busy when.

    Attributes:
        model: what to solve.
        parts: all lessons that may be, by event; the kept ones have `held` true.
        missing: the duration of each event that has no time.
        freed: the lessons that are to be decided.
        touched: the resources that may attend one of them.
    """

    def __init__(self, frame: Frame, task: Task, mode: Mode) -> None:
        self.frame, self.mode = frame, mode
        self.instance = frame.instance
        self.model = cp_model.CpModel()
        self.parts: dict[str, list[Part]] = {event.id: [] for event in self.instance.events}
        self.missing: dict[str, Sum] = {event.id: Sum() for event in self.instance.events}
        self.freed: list[Part] = []
        self.touched: dict[str, None] = {}
        # For each resource, how many kept lessons it attends at each time, and which freed ones it may attend.
        self._kept: dict[str, list[int]] = defaultdict(lambda: [0] * frame.week)
        self._free_at: dict[str, dict[int, list[Literal]]] = defaultdict(lambda: defaultdict(list))
        self._busy: dict[tuple[str, int], Literal] = {}
        self._spans: dict[tuple[str, str], Span] = {}
        taken = self._keep(task)
        for event, duration in task.freed.items():
            self._free(self.instance.event[event], duration, task, taken)
        if mode not in (Mode.LOOSE, Mode.ASSUMED):
            self._separate()

    def solver(self, deadline: float, *, seed: int = 0, linearization: int = 0) -> cp_model.CpSolver:
        """What solves the model on one processor until `deadline` by the monotonic clock, and for 0.1 s at least."""
        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.num_workers, parameters.random_seed = 1, seed
        parameters.max_time_in_seconds = max(0.1, deadline - monotonic())
        parameters.linearization_level = linearization
        # What these find in models of this kind is less than they cost.
        parameters.symmetry_level = parameters.cp_model_probing_level = 0
        # CP-SAT's own handler of Ctrl-C aborts the process when a thread without a search gets the signal.
        parameters.catch_sigint_signal = False
        return solver

    def timetable(self, value: Callable[[Variable], int]) -> Timetable:
        """All lessons, kept and newly placed."""

        def true(literal: Literal) -> bool:
            return literal if isinstance(literal, bool) else bool(value(literal))

        lessons, unplaced = [], []
        for parts in self.parts.values():
            for part in parts:
                if not true(part.held):
                    continue
                chosen = [(role, each) for role, some in part.roles.items() for each in some if true(some[each])]
                assigned = tuple(sorted(chosen))
                if part.start is None:
                    unplaced.append(Unplaced(part.event, part.duration, assigned))
                else:
                    lessons.append(Lesson(part.event, self.instance.times[part.start].id, part.duration, assigned))
        return Timetable(tuple(lessons), tuple(unplaced))

    def hint(self, timetable: Timetable) -> None:
        """Tells the solver how `timetable` has what is free."""
        at = self.instance.time_index
        held = {(each.event, each.duration, at[each.time]): dict(each.assigned) for each in timetable.lessons}
        for part in self.freed:
            assigned = held.get((part.event, part.duration, part.start or 0))
            for literal, value in (
                (part.held, assigned is not None),
                *(
                    (literal, assigned is not None and assigned.get(role) == resource)
                    for role, some in part.roles.items()
                    for resource, literal in some.items()
                ),
            ):
                if not isinstance(literal, bool):
                    self.model.add_hint(literal, value)

    def load(self, resource: str, time: int) -> Sum:
        """How many lessons a touched resource attends at a time."""
        return Sum(((literal, 1) for literal in self._free_at[resource].get(time, ())), self._kept[resource][time])

    def busy(self, resource: str, time: int) -> Literal:
        """Whether a touched resource attends a lesson at a time."""
        if self._kept[resource][time]:
            return True
        if time not in self._free_at[resource]:
            return False
        key = (resource, time)
        if key not in self._busy:
            at_most_one = resource in self.frame.single and self.mode is Mode.STRICT
            self._busy[key] = self.any(self._free_at[resource][time], at_most_one)
        return self._busy[key]

    def any(self, literals: Sequence[Literal], at_most_one: bool = False) -> Literal:
        """Whether one of the literals is true."""
        if any(literal is True for literal in literals):
            return True
        free = [literal for literal in literals if not isinstance(literal, bool)]
        if len(free) < 2:
            return free[0] if free else False
        found = self.model.new_bool_var("")
        if at_most_one:
            self.model.add_exactly_one([*free, ~found])
        else:
            # The solver takes longer to load and to follow an equality with the maximum.
            self.model.add_bool_or([*free, ~found])
            for literal in free:
                self.model.add_implication(literal, found)
        return found

    def span(self, resource: str, group: TimeGroup) -> Span:
        """The idle times of a touched resource in a time group.

        With Booleans for "busy at this time or before" and for "busy at this time or after", an inner time is idle when
        both are true and it is not busy; and as one of both is true whenever the group is used, their sum less `used`
        says so without a product.
        """
        key = (resource, group.id)
        if key not in self._spans:
            busy = [self.busy(resource, self.instance.time_index[time]) for time in group.times]
            before = self._running(busy)
            after = self._running(busy[::-1])[::-1]
            used = before[-1] if before else False
            idle = Sum()
            for taken, early, late in list(zip(busy, before, after, strict=True))[1:-1]:
                gap = Sum([(early, 1), (late, 1), (taken, -1), (used, -1)])
                if gap.variables:
                    between = self.model.new_bool_var("")
                    self.model.add(gap.expression() == between)
                    idle.add(between)
                else:
                    idle.add(gap.constant)
            self._spans[key] = Span(idle, used)
        return self._spans[key]

    def _running(self, literals: Sequence[Literal]) -> list[Literal]:
        """For each literal, whether it or one before it is true."""
        found: list[Literal] = []
        for literal in literals:
            found.append(self.any([found[-1], literal]) if found else literal)
        return found

    def _keep(self, task: Task) -> dict[str, int]:
        """Notes what stays; the times at which it occupies each resource that can only be in one place."""
        taken: dict[str, int] = {}
        for each in task.kept:
            start = self.instance.time_index[each.time] if isinstance(each, Lesson) else None
            roles: dict[str, dict[str, Literal]] = {role: {resource: True} for role, resource in each.assigned}
            self.parts[each.event].append(Part(each.event, each.duration, start, True, roles))
            if start is None:
                self.missing[each.event].add(each.duration)
                continue
            for resource in (*self.instance.event[each.event].resources, *(resource for _, resource in each.assigned)):
                for time in range(start, start + each.duration):
                    self._kept[resource][time] += 1
                if resource in self.frame.single:
                    taken[resource] = taken.get(resource, 0) | ((1 << each.duration) - 1) << start
        return {} if self.mode in (Mode.LOOSE, Mode.ASSUMED) else taken

    def _free(self, event: Event, left: int, task: Task, taken: dict[str, int]) -> None:
        """The lessons that an event may have for its duration that is not kept."""
        loose = self.mode in (Mode.LOOSE, Mode.ASSUMED)
        closed = 0 if loose else self.frame.always_closed(event)
        for resource in event.resources:
            closed |= taken.get(resource, 0)
        self.touched |= dict.fromkeys(event.resources)
        only = task.only.get(event.id)
        placed = Sum()
        some = range(1, left + 1) if loose and event.time is None else self.frame.durations[event.id]
        for duration in some:
            if duration > left:
                break
            for start in self.frame.starts(event, duration, closed, anywhere=loose):
                if task.starts is not None and not task.starts >> start & 1:
                    continue
                if only is not None and (duration, start) not in only:
                    continue
                held = self.model.new_bool_var("")
                roles = {role: self._choose(event.id, role, held, duration, start, taken) for role in event.open}
                part = Part(event.id, duration, start, held, roles)
                self.parts[event.id].append(part)
                self.freed.append(part)
                self._attend(part, start)
                placed.add(held, duration)
        demands = self.frame.with_time.get(event.id, set())
        if self.mode in (Mode.TENTATIVE, Mode.LOOSE) or (demands and True not in demands):
            self._leave(event.id, left, placed)
        self.model.add(placed.expression() == left)

    def _leave(self, event: str, left: int, placed: Sum) -> None:
        """Lets up to all of what is left of an event be one part without a time."""
        rest = self.model.new_int_var(0, left, "")
        placed.add(rest, 1, left)
        self.missing[event].add(rest, 1, left)
        for duration in range(1, left + 1):
            held = self.model.new_bool_var("")
            self.model.add(rest == duration).only_enforce_if(held)
            self.model.add(rest != duration).only_enforce_if(~held)
            self.parts[event].append(Part(event, duration, None, held, {}))

    def _choose(
        self, event: str, role: str, held: Variable, duration: int, start: int, taken: dict[str, int]
    ) -> dict[str, Literal]:
        """For each resource that may take the place at a lesson, whether it does."""
        length = ((1 << duration) - 1) << start
        allowed, loose = self.frame.allowed.get((event, role)), self.mode in (Mode.LOOSE, Mode.ASSUMED)
        some: dict[str, Literal] = {
            resource: self.model.new_bool_var("")
            for resource in self.frame.candidates[event, role]
            if (allowed is None or loose or resource in allowed)
            and (loose or not (self.frame.closed[resource] | taken.get(resource, 0)) & length)
        }
        self.touched |= dict.fromkeys(some)
        chosen = Sum((literal, 1) for literal in some.values()).expression()
        if (event, role) in self.frame.with_resource and self.mode is Mode.STRICT:
            self.model.add(chosen == held)
        else:
            self.model.add(chosen <= held)
        return some

    def _attend(self, part: Part, start: int) -> None:
        """Notes when the resources of a freed lesson may attend it."""
        always = [(resource, part.held) for resource in self.instance.event[part.event].resources]
        for resource, literal in (*always, *(chosen for some in part.roles.values() for chosen in some.items())):
            for time in range(start, start + part.duration):
                self._free_at[resource][time].append(literal)

    def _separate(self) -> None:
        """Has no resource attend two freed lessons at once that must not; what is kept they do not meet."""
        for resource in self.touched:
            if resource in self.frame.single:
                for literals in self._free_at[resource].values():
                    if len(literals) > 1:
                        self.model.add_at_most_one(literals)

"""The variables of a CP-SAT model (Google OR-Tools) of an instance, or of part of it around lessons that stay.

A lesson of duration d of event e that starts at time t is one Boolean; equal lessons of an event are then one and the
same, so no solution is there twice. Whoever may take an open place at it is one Boolean more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import NamedTuple

from ortools.sat.python import cp_model

from app.engine.frame import Frame
from app.engine.instance import Event, TimeGroup
from app.engine.program import FALSE, TRUE, Literal, Program, Sum, Variable
from app.engine.timetable import Lesson, Timetable, Unplaced


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


class Part(NamedTuple):
    """A lesson that may be: whether it is, and for each open role who may take it; without `start` it has no time."""

    event: str
    duration: int
    start: int | None
    held: Literal
    roles: dict[str, dict[str, Literal]]


class Span(NamedTuple):
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
        program: what to solve.
        freed: the lessons that are to be decided.
        left: what may be left without a time.
        missing: the duration of each event that has no time.
        touched: the resources that may attend a freed lesson.
    """

    def __init__(self, frame: Frame, task: Task, mode: Mode) -> None:
        self.frame, self.mode = frame, mode
        self.instance = frame.instance
        self.program = Program()
        self.freed: list[Part] = []
        self.left: list[Part] = []
        self.missing: dict[str, Sum] = defaultdict(Sum)
        self.touched: dict[str, None] = {}
        self._loose = mode in (Mode.LOOSE, Mode.ASSUMED)
        self._task = task
        self._stay: dict[str, list[Lesson | Unplaced]] = defaultdict(list)
        self._parts: dict[str, list[Part]] = {}
        # For each resource, how many kept lessons it attends at each time, and which freed ones it may attend.
        self._kept: dict[str, list[int]] = defaultdict(lambda: [0] * frame.week)
        self._free_at: dict[str, list[list[Literal]]] = defaultdict(lambda: [[] for _ in range(frame.week)])
        self._taken: dict[str, int] = {}
        self._busy: dict[tuple[str, int], Literal] = {}
        # Where it has been said that a resource attends one freed lesson at most.
        self._apart: set[tuple[str, int]] = set()
        self._spans: dict[tuple[str, str], Span] = {}
        self._keep()
        for event, duration in task.freed.items():
            self._free(self.instance.event[event], duration)

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

    def timetable(self, solution: Sequence[int]) -> Timetable:
        """All lessons, kept and newly placed, where the variables have these values."""
        lessons = [each for each in self._task.kept if isinstance(each, Lesson)]
        unplaced = [each for each in self._task.kept if isinstance(each, Unplaced)]
        times = self.instance.times
        for event, duration, start, held, roles in self.freed:
            if solution[held]:
                chosen = [(role, each) for role, some in roles.items() for each in some if solution[some[each]]]
                assert start is not None  # noqa: S101 - those without are in `left`
                lessons.append(Lesson(event, times[start].id, duration, tuple(sorted(chosen))))
        unplaced += [Unplaced(part.event, part.duration) for part in self.left if solution[part.held]]
        return Timetable(tuple(lessons), tuple(unplaced))

    def hint(self, timetable: Timetable) -> None:
        """Tells the solver how `timetable` has what is free."""
        at = self.instance.time_index
        held = {(each.event, each.duration, at[each.time]): dict(each.assigned) for each in timetable.lessons}
        values = {}
        for part in self.freed:
            assigned = held.get((part.event, part.duration, part.start or 0))
            values[part.held] = int(assigned is not None)
            for role, some in part.roles.items():
                for resource, literal in some.items():
                    values[literal] = int(assigned is not None and assigned.get(role) == resource)
        self.program.hint(values)

    def load(self, resource: str, time: int) -> Sum:
        """How many lessons a touched resource attends at a time."""
        return Sum(((literal, 1) for literal in self._free_at[resource][time]), self._kept[resource][time])

    def busy(self, resource: str, time: int) -> Literal:
        """Whether a touched resource attends a lesson at a time."""
        if self._kept[resource][time]:
            return TRUE
        literals = self._free_at[resource][time]
        if len(literals) < 2:
            return literals[0] if literals else FALSE
        key = (resource, time)
        if key not in self._busy:
            at_most_one = resource in self.frame.single and self.mode is Mode.STRICT
            self._busy[key] = self.any(literals, at_most_one)
            if at_most_one:
                self._apart.add(key)
        return self._busy[key]

    def any(self, literals: Sequence[Literal], at_most_one: bool = False) -> Literal:
        """Whether one of the literals is true."""
        if TRUE in literals:
            return TRUE
        free = [literal for literal in literals if literal != FALSE]
        if len(free) < 2:
            return free[0] if free else FALSE
        found = self.program.boolean()
        if at_most_one:
            self.program.exactly_one([*free, ~found])
        else:
            # The solver takes longer to load and to follow an equality with the maximum.
            self.program.at_least_one([*free, ~found])
            for literal in free:
                self.program.at_least_one([~literal, found])
        return found

    def span(self, resource: str, group: TimeGroup) -> Span:
        """The idle times of a touched resource in a time group.

        With Booleans for "busy at this time or before" and for "busy at this time or after", an inner time is idle when
        both are true and it is not busy; and as one of both is true whenever the group is used, their sum less `used`
        says so without a product.
        """
        key = (resource, group.id)
        if key not in self._spans:
            busy = [self.busy(resource, time) for time in self.frame.indices(group)]
            before = self._running(busy)
            after = self._running(busy[::-1])[::-1]
            used = before[-1] if before else FALSE
            idle = Sum()
            for taken, early, late in zip(busy, before, after, strict=True):
                if FALSE in (early, late) or taken in (early, late):
                    continue
                if early == late == TRUE:
                    idle.add(~taken)
                    continue
                between = self.program.boolean()
                self.program.bound(Sum([(early, 1), (late, 1), (taken, -1), (used, -1), (between, -1)]), 0, 0)
                idle.add(between)
            self._spans[key] = Span(idle, used)
        return self._spans[key]

    def _running(self, literals: Sequence[Literal]) -> list[Literal]:
        """For each literal, whether it or one before it is true."""
        found: list[Literal] = []
        last = FALSE
        for literal in literals:
            if last == FALSE:
                last = literal
            elif last != TRUE and literal != FALSE:
                last = self.any([last, literal])
            found.append(last)
        return found

    def _keep(self) -> None:
        """Notes what stays."""
        at, events = self.instance.time_index, self.instance.event
        for each in self._task.kept:
            self._stay[each.event].append(each)
            if isinstance(each, Unplaced):
                self.missing[each.event].shift(each.duration)
                continue
            attending = events[each.event].resources
            if each.assigned:
                attending = (*attending, *(resource for _, resource in each.assigned))
            start = at[each.time]
            for resource in attending:
                row = self._kept[resource]
                for time in range(start, start + each.duration):
                    row[time] += 1

    def parts(self, event: str) -> list[Part]:
        """All lessons that an event may have; the kept ones have `held` true."""
        if event not in self._parts:
            at = self.instance.time_index
            self._parts[event] = [
                Part(
                    event,
                    each.duration,
                    at[each.time] if isinstance(each, Lesson) else None,
                    TRUE,
                    {role: {resource: TRUE} for role, resource in each.assigned},
                )
                for each in self._stay.get(event, ())
            ]
        return self._parts[event]

    def _occupied(self, resource: str) -> int:
        """The times at which nothing can be placed with a resource: it must not be in two places, and is in one."""
        if self._loose or resource not in self.frame.single:
            return 0
        if resource not in self._taken:
            self._taken[resource] = sum(1 << time for time, count in enumerate(self._kept[resource]) if count)
        return self._taken[resource]

    def _free(self, event: Event, left: int) -> None:
        """The lessons that an event may have for its duration that is not kept."""
        closed = 0 if self._loose else self.frame.always_closed(event)
        for resource in event.resources:
            closed |= self._occupied(resource)
        self.touched |= dict.fromkeys(event.resources)
        task = self._task
        only, parts, boolean = task.only.get(event.id), self.parts(event.id), self.program.boolean
        rows = [self._free_at[resource] for resource in event.resources]
        placed = Sum()
        some = range(1, left + 1) if self._loose and event.time is None else self.frame.durations[event.id]
        for duration in some:
            if duration > left:
                break
            for start in self.frame.starts(event, duration, closed, anywhere=self._loose):
                if task.starts is not None and not task.starts >> start & 1:
                    continue
                if only is not None and (duration, start) not in only:
                    continue
                held = boolean()
                roles = {role: self._choose(event.id, role, held, duration, start) for role in event.open}
                part = Part(event.id, duration, start, held, roles)
                parts.append(part)
                self.freed.append(part)
                for time in range(start, start + duration):
                    for row in rows:
                        row[time].append(held)
                placed.add(held, duration)
        if self.mode in (Mode.TENTATIVE, Mode.LOOSE) or self.frame.dispensable(event.id):
            self._leave(event.id, left, placed)
        self.program.bound(placed, left, left)

    def _leave(self, event: str, left: int, placed: Sum) -> None:
        """Lets up to all of what is left of an event be one part without a time."""
        parts = [Part(event, duration, None, self.program.boolean(), {}) for duration in range(1, left + 1)]
        self.program.at_most_one([part.held for part in parts])
        rest = Sum((part.held, part.duration) for part in parts)
        rest.high = left
        placed.include(rest)
        self.missing[event].include(rest)
        self.parts(event).extend(parts)
        self.left += parts

    def _choose(self, event: str, role: str, held: Variable, duration: int, start: int) -> dict[str, Literal]:
        """For each resource that may take the place at a lesson, whether it does."""
        length = ((1 << duration) - 1) << start
        allowed, loose = self.frame.allowed.get((event, role)), self._loose
        some: dict[str, Literal] = {
            resource: self.program.boolean()
            for resource in self.frame.candidates[event, role]
            if (allowed is None or loose or resource in allowed)
            and (loose or not (self.frame.closed[resource] | self._occupied(resource)) & length)
        }
        self.touched |= dict.fromkeys(some)
        for resource, literal in some.items():
            for time in range(start, start + duration):
                self._free_at[resource][time].append(literal)
        if (event, role) in self.frame.with_resource and self.mode is Mode.STRICT:
            self.program.exactly_one([*some.values(), ~held])
        else:
            self.program.at_most_one([*some.values(), ~held])
        return some

    def _separate(self) -> None:
        """Has no resource attend two freed lessons at once that must not; what is kept they do not meet."""
        for resource in self.touched:
            if resource in self.frame.single:
                for time, literals in enumerate(self._free_at[resource]):
                    if len(literals) > 1 and (resource, time) not in self._apart:
                        self.program.at_most_one(literals)

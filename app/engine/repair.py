"""Changing a timetable as little as possible, after something has changed at the school."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ortools.sat.python import cp_model

from app.engine.cost import Cost, evaluate
from app.engine.formulation import Formulation
from app.engine.frame import Frame
from app.engine.instance import AvoidUnavailableTimes, Instance
from app.engine.program import FALSE, Sum
from app.engine.timetable import Lesson, Timetable
from app.engine.variables import Mode, Task


@dataclass(frozen=True)
class Unavailable:
    """A resource that cannot attend any lesson at some times: a teacher falls ill, a room closes."""

    resource: str
    times: frozenset[str]


@dataclass(frozen=True)
class MustMove:
    """A lesson that cannot stay: its event is to leave the times that it takes."""

    lesson: Lesson


Change = Unavailable | MustMove


@dataclass(frozen=True)
class Move:
    """A lesson before and after; None where there was or is none."""

    event: str
    before: Lesson | None
    after: Lesson | None


@dataclass(frozen=True)
class Repair:
    """A repaired timetable, what moved, its cost with the changes, and whether fewer moves are proved impossible."""

    timetable: Timetable
    moves: tuple[Move, ...]
    cost: Cost
    fewest: bool


def repair(
    instance: Instance,
    timetable: Timetable,
    changes: Sequence[Change],
    *,
    locked: Collection[Lesson] = (),
    seconds: float = 5,
    seed: int = 1,
) -> Repair | None:
    """The timetable with the fewest moved lessons that takes the changes and keeps every required constraint.

    Of those with equally many moves it is the cheapest that was found in time. Where there is none, lessons are lost,
    as few as can be; the hard cost says so. Locked lessons stay. None if nothing was found in `seconds`.

    Raises:
        ValueError: a change or a lock names what is not there.
    """
    _check(instance, timetable, changes, locked)
    deadline = time.monotonic() + seconds
    changed = with_changes(instance, changes)
    frame = Frame(changed)
    kept = tuple(lesson for lesson in timetable.lessons if lesson in set(locked))
    freed = {event.id: event.duration for event in instance.events}
    for lesson in kept:
        freed[lesson.event] -= lesson.duration
    task = Task(kept, {event: duration for event, duration in freed.items() if duration})
    form, moved = _form(frame, task, Mode.STRICT, timetable, changes)
    least, few = _fewest(form, moved, deadline - 0.3 * seconds, seed)
    if few is not None:
        staying = len({*timetable.lessons} & {*few.lessons} - {*kept})
        cost, most = form.soft, len(timetable.lessons) - len(kept) - staying
    else:
        # Not everything has a place any more: what is lost counts first, and then what moves.
        form, moved = _form(frame, task, Mode.TENTATIVE, timetable, changes)
        cost, most = Sum(), 4 + 2 * sum(_affected(instance, lesson, changes) for lesson in timetable.lessons)
        cost.include(moved)
        cost.include(form.hard, 1 + moved.high)
    best = _cheapest(form, moved, most, cost, deadline, seed) or few
    return Repair(best, moves(timetable, best), evaluate(changed, best), least) if best else None


def _form(
    frame: Frame, task: Task, mode: Mode, timetable: Timetable, changes: Sequence[Change]
) -> tuple[Formulation, Sum]:
    """The model of a repair, and how many lessons move in it."""
    form = Formulation(frame, task, mode, wishes=mode is Mode.STRICT)
    _forbid(form, changes)
    form.hint(timetable)
    return form, _moved(form, timetable, task.kept)


def _affected(instance: Instance, lesson: Lesson, changes: Sequence[Change]) -> bool:
    """Whether one of the changes drives the lesson from its place."""
    start = instance.time_index[lesson.time]
    times = {time.id for time in instance.times[start : start + lesson.duration]}
    attending = {*instance.event[lesson.event].resources, *(resource for _, resource in lesson.assigned)}
    return any(
        change.lesson == lesson
        if isinstance(change, MustMove)
        else change.resource in attending and change.times & times
        for change in changes
    )


def _fewest(form: Formulation, moved: Sum, deadline: float, seed: int) -> tuple[bool, Timetable | None]:
    """A timetable with few moves, and whether there is none with fewer; few moves are found sooner."""
    most = 2
    while True:
        trial = form.program.copy()
        trial.bound(moved, None, most)
        trial.minimize(moved)
        solver = form.solver(deadline, seed=seed, linearization=2)
        status = solver.solve(trial.complete())
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return status == cp_model.OPTIMAL, form.timetable(solver.response_proto.solution)
        if status != cp_model.INFEASIBLE or most >= moved.high:
            return False, None
        most *= 2


def _cheapest(form: Formulation, moved: Sum, most: int, cost: Sum, deadline: float, seed: int) -> Timetable | None:
    """The cheapest timetable with at most so many moves that is found in time."""
    form.program.bound(moved, None, most)
    form.program.minimize(cost)
    solver = form.solver(deadline, seed=seed, linearization=2)
    status = solver.solve(form.program.complete())
    return form.timetable(solver.response_proto.solution) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None


def with_changes(instance: Instance, changes: Sequence[Change]) -> Instance:
    """The instance with a required constraint for each resource that is unavailable."""
    more = tuple(
        AvoidUnavailableTimes(
            id=f"change {number}",
            name=f"{instance.resource[change.resource].name} is away",
            required=True,
            weight=1,
            cost_function="Linear",
            points=((change.resource,),),
            applies_to=((), (change.resource,)),
            times=change.times,
        )
        for number, change in enumerate(changes)
        if isinstance(change, Unavailable)
    )
    return replace(instance, constraints=(*instance.constraints, *more))


def moves(before: Timetable, after: Timetable) -> tuple[Move, ...]:
    """What is different between two timetables of an instance, event by event."""
    found = []
    gone, new = set(before.lessons) - set(after.lessons), set(after.lessons) - set(before.lessons)
    for event in sorted({lesson.event for lesson in gone | new}):
        # Those of equal duration are the likeliest to be the same lesson.
        olds, news = (
            sorted((each for each in some if each.event == event), key=lambda each: (-each.duration, each))
            for some in (gone, new)
        )
        for index in range(max(len(olds), len(news))):
            old = olds[index] if index < len(olds) else None
            found.append(Move(event, old, news[index] if index < len(news) else None))
    return tuple(found)


def describe(instance: Instance, move: Move) -> str:
    """The move in English."""
    event = instance.event[move.event].name
    names = {time.id: time.name for time in instance.times}

    def place(lesson: Lesson) -> str:
        rooms = ", ".join(instance.resource[resource].name for _, resource in lesson.assigned)
        return f"{names[lesson.time]} ({lesson.duration})" + (f" in {rooms}" if rooms else "")

    if move.before is None and move.after is not None:
        return f"{event}: new at {place(move.after)}"
    if move.before is not None and move.after is None:
        return f"{event}: no longer at {place(move.before)}"
    assert move.before and move.after  # noqa: S101 - a move has one of them
    return f"{event}: from {place(move.before)} to {place(move.after)}"


def _check(instance: Instance, timetable: Timetable, changes: Sequence[Change], locked: Collection[Lesson]) -> None:
    there = set(timetable.lessons)
    for change in changes:
        if isinstance(change, Unavailable):
            if change.resource not in instance.resource:
                raise ValueError(f"there is no resource {change.resource!r}")
            unknown = sorted(change.times - instance.time_index.keys())
            if unknown:
                raise ValueError(f"there is no time {unknown[0]!r}")
        elif change.lesson not in there:
            raise ValueError(f"the timetable has no lesson {change.lesson}")
    for lesson in locked:
        if lesson not in there:
            raise ValueError(f"the timetable has no lesson {lesson}")


def _forbid(form: Formulation, changes: Sequence[Change]) -> None:
    """Keeps the events of lessons that must move away from their times."""
    at = form.instance.time_index
    for change in changes:
        if not isinstance(change, MustMove):
            continue
        start, end = at[change.lesson.time], at[change.lesson.time] + change.lesson.duration
        for part in form.freed:
            first = part.start or 0
            if part.event == change.lesson.event and first < end and start < first + part.duration:
                form.program.at_least_one([~part.held])


def _moved(form: Formulation, timetable: Timetable, kept: Collection[object]) -> Sum:
    """How many lessons that are not locked are no longer as they were."""
    at = form.instance.time_index
    freed = {(part.event, part.duration, part.start): part for part in form.freed}
    moved = Sum()
    for lesson in timetable.lessons:
        if lesson in kept:
            continue
        part = freed.get((lesson.event, lesson.duration, at[lesson.time]))
        same = [FALSE] if part is None else [part.held]
        if part is not None:
            same += [part.roles[role].get(resource, FALSE) for role, resource in lesson.assigned]
        moved.shift(1)
        if FALSE not in same:
            stays = form.program.boolean()
            for literal in same:
                form.program.at_least_one([~stays, literal])
            moved.add(stays, -1)
    return moved

"""Why a school has no timetable: a few reasons in the user's words.

Counting comes first: who has more lessons than times, and which lessons of one resource fit fewer times than they take
(Hall's condition, by augmenting paths). Where every count is right, CP-SAT says which required constraints contradict
each other, and those that the contradiction can do without are taken out one by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ortools.sat.python import cp_model

from app.engine import instance as model
from app.engine.formulation import Formulation
from app.engine.frame import Frame, Point
from app.engine.instance import Event, Instance
from app.engine.variables import Mode, Task

# The text of each kind of reason, to be translated and then filled in with the reason's arguments.
TEXTS = {
    "too-few-times": "{who} has {lessons} lessons but only {times} possible times; "
    "drop {surplus} of them or free as many times.",
    "too-few-days": "{who} has {lessons} lessons, but the limits on days leave room for {times}; "
    "drop {surplus} of them or widen {rule}.",
    "too-few-common-times": "{events} of {who} take {lessons} times but fit only {times} ({when}); "
    "drop {surplus} of them or free as many times of those who attend them.",
    "too-few-resources": "{lessons} lessons need one of {who}, who have room for {times}; "
    "drop {surplus} of them or allow others.",
    "cannot-divide": "{events} takes {lessons} times, which cannot be divided as {rule} asks; change one of them.",
    "rule": "{rule} is asked of {who}; with the other reasons here it cannot be kept.",
}
Arguments = tuple[tuple[str, str | int], ...]


@dataclass(frozen=True)
class Reason:
    """One reason: a kind, which is a key of TEXTS, and what its text needs, as (name, value)."""

    kind: str
    arguments: Arguments

    @property
    def text(self) -> str:
        """The reason in English."""
        return TEXTS[self.kind].format_map(dict(self.arguments))


def reasons(instance: Instance, *, seconds: float = 5) -> tuple[Reason, ...]:
    """Why no timetable keeps all required constraints; empty when there is one, or none was found in `seconds`.

    Each reason that comes of counting is one by itself; those of the kind "rule" are one together.
    """
    deadline = time.monotonic() + seconds
    frame = Frame(instance)
    counted = tuple(dict.fromkeys(_count(frame)))
    return counted or _contradiction(frame, deadline)


def _count(frame: Frame) -> Iterator[Reason]:
    for event in frame.instance.events:
        yield from _division(frame, event)
    for resource in sorted(frame.single):
        found = list(_times(frame, resource)) or list(_days(frame, resource)) or list(_matching(frame, resource))
        yield from found
    yield from _places(frame)


def _reason(kind: str, **arguments: str | int) -> Reason:
    return Reason(kind, tuple(arguments.items()))


def _who(instance: Instance, resource: str) -> str:
    found = instance.resource[resource]
    kinds = {each.id: each.name for each in instance.resource_types}
    return found.name if found.name.startswith(kinds[found.type]) else f"{kinds[found.type]} {found.name}"


def _division(frame: Frame, event: Event) -> Iterator[Reason]:
    """An event that Split Events constraints leave no way to divide."""
    for constraint, _ in frame.of_event[event.id].values():
        if isinstance(constraint, model.SplitEvents) and constraint.required:
            most = constraint.maximum_amount * constraint.maximum_duration
            if not constraint.minimum_amount * constraint.minimum_duration <= event.duration <= most:
                yield _reason("cannot-divide", events=event.name, lessons=event.duration, rule=constraint.name)


def _times(frame: Frame, resource: str) -> Iterator[Reason]:
    """More lessons than times at which the resource may have one."""
    lessons = frame.taught[resource]
    times = frame.week - frame.closed[resource].bit_count()
    if lessons > times:
        who = _who(frame.instance, resource)
        yield _reason("too-few-times", who=who, lessons=lessons, times=times, surplus=lessons - times)


def _days(frame: Frame, resource: str) -> Iterator[Reason]:
    """More lessons than the limits of the resource on its days, or other time groups, leave room for."""
    lessons = frame.taught[resource]
    for constraint, _ in frame.of_resource[resource].values():
        if not constraint.required or not isinstance(constraint, model.ClusterBusyTimes | model.LimitBusyTimes):
            continue
        open_times = ((1 << frame.week) - 1) & ~frame.closed[resource]
        inside, sizes = 0, []
        for group in constraint.groups:
            mask = frame.mask(group.times)
            if inside & mask:
                # Overlapping groups share their room, and counting it twice would hide nothing but prove nothing.
                break
            inside |= mask
            sizes.append((mask & open_times).bit_count())
        else:
            if isinstance(constraint, model.LimitBusyTimes):
                room = sum(min(size, constraint.maximum) for size in sizes)
            else:
                room = sum(sorted(sizes, reverse=True)[: constraint.maximum])
            times = room + (open_times & ~inside).bit_count()
            if lessons > times:
                who, rule = _who(frame.instance, resource), constraint.name
                surplus = lessons - times
                yield _reason("too-few-days", who=who, lessons=lessons, times=times, surplus=surplus, rule=rule)


def _possible(frame: Frame, event: Event) -> int:
    """The times that a lesson of the event may take."""
    closed, possible = frame.always_closed(event), 0
    for duration in frame.durations[event.id]:
        for start in frame.starts(event, duration, closed):
            possible |= ((1 << duration) - 1) << start
    return possible


def _matching(frame: Frame, resource: str) -> Iterator[Reason]:
    """Lessons of the resource that together fit fewer times than they take."""
    events = [
        event for event in frame.instance.events if resource in event.resources and not frame.dispensable(event.id)
    ]
    possible = {event.id: _possible(frame, event) for event in events}
    units = [event for event in events for _ in range(event.duration)]
    at: dict[int, int] = {}

    def place(unit: int, seen: set[int]) -> bool:
        for period in range(frame.week):
            if possible[units[unit].id] >> period & 1 and period not in seen:
                seen.add(period)
                if period not in at or place(at[period], seen):
                    at[period] = unit
                    return True
        return False

    for unit in range(len(units)):
        seen: set[int] = set()
        if place(unit, seen):
            continue
        # Whatever the search reached is full of lessons that can go nowhere else.
        stuck = {units[at[period]].id for period in seen} | {units[unit].id}
        tight = [event for event in events if event.id in stuck]
        lessons, times = sum(event.duration for event in tight), len(seen)
        yield _reason(
            "too-few-common-times",
            who=_who(frame.instance, resource),
            events=", ".join(event.name for event in tight),
            lessons=lessons,
            times=times,
            when=", ".join(frame.instance.times[period].name for period in sorted(seen)) or "-",
            surplus=lessons - times,
        )
        return


def _places(frame: Frame) -> Iterator[Reason]:
    """Open places that must be filled, more than those who may take them have times."""
    demand: dict[tuple[str, ...], int] = {}
    for event, role in sorted(frame.with_resource & frame.candidates.keys()):
        allowed = frame.allowed.get((event, role))
        some = tuple(each for each in frame.candidates[event, role] if allowed is None or each in allowed)
        demand[some] = demand.get(some, 0) + frame.instance.event[event].duration
    for some in demand:
        if not frame.single.issuperset(some):
            continue
        lessons = sum(count for others, count in demand.items() if set(others) <= set(some))
        taught = sum(frame.taught[each] for each in some)
        times = sum(frame.week - frame.closed[each].bit_count() for each in some) - taught
        if lessons > times:
            names = ", ".join(_who(frame.instance, each) for each in some) or "nobody"
            yield _reason("too-few-resources", who=names, lessons=lessons, times=times, surplus=lessons - times)


def _contradiction(frame: Frame, deadline: float) -> tuple[Reason, ...]:
    """Required constraints that contradict each other, and as far as time allows none that could be left out."""
    whole = Task((), {event.id: event.duration for event in frame.instance.events})
    strict = Formulation(frame, whole, wishes=False)
    if strict.solver(deadline).solve(strict.program.complete()) != cp_model.INFEASIBLE:
        return ()
    form = Formulation(frame, whole, Mode.ASSUMED, wishes=False)
    core = _core(form, list(form.assumptions), deadline)
    if core is None:
        return ()
    for literal in list(core):
        if literal in core:
            smaller = _core(form, [each for each in core if each != literal], deadline)
            core = core if smaller is None else smaller
    return _rules(frame.instance, [form.assumptions[literal] for literal in core])


def _core(form: Formulation, literals: list[int], deadline: float) -> list[int] | None:
    """Some of these assumptions that already contradict each other; None when they do not, or time is up."""
    if time.monotonic() >= deadline:
        return None
    form.program.assume(literals)
    solver = form.solver(deadline)
    if solver.solve(form.program.complete()) != cp_model.INFEASIBLE:
        return None
    needed = set(solver.sufficient_assumptions_for_infeasibility())
    return [each for each in literals if each in needed]


def _rules(instance: Instance, points: list[Point]) -> tuple[Reason, ...]:
    """One reason for each constraint among these points of application."""
    asked: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for constraint, index in points:
        names[constraint.id] = constraint.name
        for each in constraint.points[index]:
            name = _who(instance, each) if each in instance.resource else instance.event[each].name
            if name not in asked.setdefault(constraint.id, []):
                asked[constraint.id].append(name)
    return tuple(_reason("rule", rule=names[each], who=", ".join(who)) for each, who in asked.items())

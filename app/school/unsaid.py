"""What of an XHSTT instance a school cannot say, or says otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from app.engine import instance as engine
from app.school.message import Message, _
from app.school.model import Kind, Lesson, School

# So many names are told of a list.
MOST_TOLD = 8
# Whether a school has as requirements or as wishes what it has of these.
REQUIRED: dict[type[engine.Constraint], bool] = {
    engine.AssignTime: True,
    engine.SplitEvents: True,
    engine.DistributeSplitEvents: True,
    engine.SpreadEvents: False,
    engine.PreferTimes: True,
    engine.AvoidClashes: True,
    engine.LimitIdleTimes: False,
    engine.ClusterBusyTimes: True,
    engine.LimitBusyTimes: True,
}


@dataclass(frozen=True)
class Taken:
    """What a school has of an instance.

    Attributes:
        kinds: what each resource is; None for one that a school has no place for.
        days: ids of the time groups that are days.
        slots: the slot of each time.
        lessons: the lesson of each event that has become one.
    """

    school: School
    kinds: Mapping[str, Kind | None]
    days: set[str]
    slots: Mapping[str, str]
    lessons: Mapping[str, Lesson]

    def says(self, constraint: engine.Constraint) -> bool:
        """Whether every timetable of the school keeps the constraint, or pays for it, just as one of the instance."""
        if isinstance(constraint, engine.AvoidUnavailableTimes):
            return all(self.kinds[one] for (one,) in constraint.points)
        if REQUIRED.get(type(constraint)) != constraint.required:
            return False
        match constraint:
            case engine.LimitIdleTimes() | engine.ClusterBusyTimes() | engine.LimitBusyTimes():
                # A day without lessons is none that has too few.
                least = 1 if isinstance(constraint, engine.LimitBusyTimes) else 0
                whole = bool(self.days) and {each.id for each in constraint.groups if each.times} == self.days
                people = all(self.kinds[one] in ("classes", "teachers") for (one,) in constraint.points)
                return whole and people and constraint.minimum <= least
            case engine.SpreadEvents():
                groups = {group.id: (low, high) for group, low, high in constraint.limits if group.times}
                alone = all(len(point) == 1 for point in constraint.points)
                return alone and groups.keys() == self.days and all(
                    limits == (0, self.a_day(lesson)) for limits in groups.values() for lesson in self.of(constraint)
                )  # fmt: skip
            case engine.PreferTimes():
                allowed = {self.slots[time] for time in constraint.times}
                doubles = any(lesson.doubles for lesson in self.of(constraint))
                return constraint.duration == 2 and (not doubles or allowed >= self.school.week.following.keys())
            case _:
                return all(_divided(lesson, constraint) for lesson in self.of(constraint))

    def of(self, constraint: engine.Constraint) -> Iterator[Lesson]:
        """The lessons that the constraint is about."""
        return (self.lessons[one] for point in constraint.points for one in point if one in self.lessons)

    def a_day(self, lesson: Lesson) -> int:
        """How often a day a school lets a lesson be held before it minds."""
        return ceil((lesson.weekly - lesson.doubles) / max(1, len(self.days)))


def unsaid(instance: engine.Instance, taken: Taken) -> Iterator[Message]:
    """In words, at most one message of a kind."""
    for name in sorted({each.type for each in instance.resources if taken.kinds[each.id] is None})[:MOST_TOLD]:
        yield _("Resources of type “{name}”: a school has classes, teachers and rooms.", name=name)
    named = {each.id: each.name or each.id for each in instance.events}
    if lost := [named[each.id] for each in instance.events if each.id not in taken.lessons]:
        yield _("Left out, as they have no class: {names}.", names=list_of(lost))
    if fixed := [named[each.id] for each in instance.events if each.time and each.id in taken.lessons]:
        yield _("That their time is fixed; lock them in a draft: {names}.", names=list_of(fixed))
    if chosen := [named[each.id] for each in instance.events if each.open and each.id in taken.lessons]:
        yield _("Places that are left open, as a school names everybody who attends: {names}.", names=list_of(chosen))
    others: dict[str, list[str]] = defaultdict(list)
    for constraint in instance.constraints:
        if not taken.says(constraint):
            others[type(constraint).__name__].append(constraint.name or constraint.id)
    for name, found in sorted(others.items()):
        yield _("Constraints of type {name} that a school has otherwise, or not at all: {count} ({names})",
                name=name, count=len(found), names=list_of(found))  # fmt: skip
    yield _("Weights: wishes have those of this program.")


def list_of(names: Iterable[str]) -> str:
    """The first of these names, and how many more there are."""
    every = list(dict.fromkeys(names))
    more = f" … (+{len(every) - MOST_TOLD})" if len(every) > MOST_TOLD else ""
    return ", ".join(each[:60] for each in every[:MOST_TOLD]) + more


def _divided(lesson: Lesson, constraint: engine.Constraint) -> bool:
    """Whether how a lesson is divided is what the constraint allows; True for one that asks something else."""
    lengths = {1: lesson.weekly - 2 * lesson.doubles, 2: lesson.doubles}
    match constraint:
        case engine.DistributeSplitEvents():
            return constraint.minimum <= lengths.get(constraint.duration, 0) <= constraint.maximum
        case engine.SplitEvents():
            fits = constraint.minimum_amount <= sum(lengths.values()) <= constraint.maximum_amount
            few, many = constraint.minimum_duration, constraint.maximum_duration
            return fits and all(few <= length <= many for length, count in lengths.items() if count)
        case _:
            return True

"""Where a lesson may go: what every slot of the week would cost, by the engine's own judgement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from app.engine.cost import Violation, evaluate
from app.engine.instance import AssignTime, DistributeSplitEvents, Instance, SplitEvents
from app.school.edit import placed
from app.school.lowering import timetable
from app.school.model import Placement, Plan, School

# What no move of a whole lesson changes.
DIVISION = (AssignTime, SplitEvents, DistributeSplitEvents)


@dataclass(frozen=True)
class Target:
    """What happens if a lesson goes to a slot.

    Attributes:
        hard, soft: how much more the timetable costs; less than 0 is better.
        swap: who has to go where the lesson was.
        broken: what is violated then and is not now, or less; requirements first, and last what the week itself shows.
    """

    time: str
    hard: int
    soft: int
    swap: Placement | None
    broken: tuple[Violation, ...]

    @property
    def verdict(self) -> str:
        """In one word."""
        return "breaks" if self.hard > 0 else "worse" if self.soft > 0 else "better" if self.soft < 0 else "free"


def targets(school: School, problem: Instance, plan: Plan, lesson: Placement, view: str) -> Iterator[Target]:
    """Every slot to which a placement, or a lesson that has no time yet ("" as its time), can go in the week of `view`.

    A slot that another lesson of that week takes for equally long is for a swap.
    """
    part = _part(problem, school, [lesson.lesson])
    before = _cost(part, plan.placements)
    for time in school.week.slots:
        if time == lesson.time or (lesson.duration == 2 and time not in school.week.following):
            continue
        other = _partner(school, plan, lesson, time, view)
        if other is None:
            after = placed(plan, lesson, then=[_at(lesson, time)])
            now, was = _cost(part, after.placements), before
        else:
            both = _part(problem, school, [lesson.lesson, other.lesson])
            now, was = _cost(both, swapped(plan, lesson, other).placements), _cost(both, plan.placements)
        broken = more(was, now)
        broken.sort(key=lambda each: (not each.constraint.required, each.point[0] == view))
        yield Target(time, _sum(now, True) - _sum(was, True), _sum(now, False) - _sum(was, False), other, tuple(broken))


def more(was: Iterable[Violation], now: Iterable[Violation]) -> list[Violation]:
    """What is violated now, and was not or was less."""
    known = {(each.constraint.id, each.point): each.deviation for each in was}
    return [each for each in now if each.deviation > known.get((each.constraint.id, each.point), 0)]


def moved(plan: Plan, lesson: Placement, time: str) -> Plan:
    """The plan with the lesson there instead."""
    return placed(plan, lesson, then=[_at(lesson, time)])


def swapped(plan: Plan, one: Placement, other: Placement) -> Plan:
    """The plan with either lesson where the other was."""
    return placed(plan, one, other, then=[_at(one, other.time), _at(other, one.time)])


def times(school: School, placement: Placement) -> tuple[str, ...]:
    """All times that a placement takes."""
    return (placement.time,) if placement.duration == 1 else (placement.time, school.week.following[placement.time])


def unplaced(school: School, plan: Plan) -> list[Placement]:
    """What still needs a time, as placements without one."""
    left = {head: members[0].weekly for head, members in school.groups.items()}
    pairs = {head: members[0].doubles for head, members in school.groups.items()}
    for each in plan.placements:
        left[each.lesson] -= each.duration
        pairs[each.lesson] -= each.duration == 2
    found = []
    for head, missing in left.items():
        double = min(max(0, pairs[head]), missing // 2)
        durations = [2] * double + [1] * (missing - 2 * double)
        found += [Placement(lesson=head, time="", duration=duration) for duration in durations]
    return found


def _at(lesson: Placement, time: str) -> Placement:
    return lesson.model_copy(update={"time": time})


def _partner(school: School, plan: Plan, lesson: Placement, time: str, view: str) -> Placement | None:
    there = [x for x in plan.placements if time in times(school, x) and view in school.attending(x.lesson)]
    if len(there) != 1 or not lesson.time or there[0].lesson == lesson.lesson:
        return None
    (other,) = there
    return other if other.time == time and other.duration == lesson.duration and not other.locked else None


def _part(problem: Instance, school: School, heads: list[str]) -> Instance:
    """Of the instance only what these lessons can change the cost of: it is judged for every slot of the week."""
    resources = {one for head in heads for one in school.attending(head)}
    own = set(heads)
    relevant = own | resources
    constraints = []
    for each in problem.constraints:
        points = tuple(point for point in each.points if relevant.intersection(point))
        if points:
            constraints.append(replace(each, points=points))
    events = tuple(each for each in problem.events if resources.intersection(each.resources))
    attending = {one for each in events for one in each.resources} | resources
    kept = tuple(each for each in problem.resources if each.id in attending)
    return replace(problem, events=events, resources=kept, constraints=tuple(constraints))


def _cost(part: Instance, placements: Iterable[Placement]) -> tuple[Violation, ...]:
    found = evaluate(part, timetable(each for each in placements if each.lesson in part.event)).violations
    # That a lesson has a time at last must not make up for a clash.
    return tuple(each for each in found if not isinstance(each.constraint, DIVISION))


def _sum(violations: Iterable[Violation], required: bool) -> int:
    return sum(each.cost for each in violations if each.constraint.required == required)

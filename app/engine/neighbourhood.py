"""Which lessons of a timetable to place anew at once, the rest staying: the neighbourhoods of the search."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable

from app.engine.cost import Cost
from app.engine.frame import Frame
from app.engine.grid import days
from app.engine.timetable import Lesson, Timetable, Unplaced
from app.engine.variables import Task

Part = Lesson | Unplaced


class Neighbourhoods:
    """The neighbourhoods around one timetable.

    Each takes a size, how many lessons to free about, and gives a task; chance decides which.
    """

    def __init__(self, frame: Frame, timetable: Timetable, cost: Cost, luck: random.Random) -> None:
        self.frame, self.cost, self.luck = frame, cost, luck
        self.instance = frame.instance
        self.parts: list[Part] = [*sorted(timetable.lessons), *sorted(timetable.unplaced)]
        missing = Counter({event.id: event.duration for event in self.instance.events})
        for part in self.parts:
            missing[part.event] -= part.duration
        self.parts += [Unplaced(event, left) for event, left in missing.items() if left]
        self.attending = [
            (*self.instance.event[part.event].resources, *(resource for _, resource in part.assigned))
            for part in self.parts
        ]
        self.attended: dict[str, list[int]] = {}
        for number, resources in enumerate(self.attending):
            for resource in resources:
                self.attended.setdefault(resource, []).append(number)

    def task(self, freed: Iterable[int], starts: int | None = None) -> Task:
        """The task that places the parts with these numbers anew."""
        chosen = set(freed)
        durations: Counter[str] = Counter()
        for number in sorted(chosen):
            durations[self.parts[number].event] += self.parts[number].duration
        kept = tuple(part for number, part in enumerate(self.parts) if number not in chosen)
        return Task(kept, dict(durations), starts)

    def resources(self, size: int) -> Task:
        """All lessons of some resources that meet the same others."""
        return self.task(self.cluster(range(len(self.parts)), size))

    def days(self, size: int) -> Task:
        """The lessons of two or three days, within these days; of some resources only, where that is too much."""
        every = days(self.instance)
        chosen = self.luck.sample(every, min(len(every), self.luck.choice((2, 2, 3))))
        return self.within(self.frame.mask(tuple(time for day in chosen for time in day.times)), size)

    def times(self, size: int) -> Task:
        """The lessons that start at some times of the week, within these."""
        week = self.frame.week
        share = size * self.luck.uniform(1, 3) / max(1, len(self.parts))
        count = max(3, min(week, round(week * share)))
        return self.within(sum(1 << time for time in self.luck.sample(range(week), count)), size)

    def within(self, starts: int, size: int) -> Task:
        """The lessons that start at these times, within these, of some resources that meet the same others."""
        at = self.instance.time_index
        inside = [
            number
            for number, part in enumerate(self.parts)
            if isinstance(part, Unplaced) or starts >> at[part.time] & 1
        ]
        return self.task(self.cluster(inside, size), starts)

    def violations(self, size: int) -> Task:
        """The lessons behind some violations, and others of those who attend them."""
        costly = self.cost.costly
        violations = [each for each in costly if each.constraint.required] or costly
        # A random order in which those that cost more come first more often.
        violations.sort(key=lambda violation: self.luck.random() ** (1 / violation.cost), reverse=True)
        chosen: set[int] = set()
        for violation in violations:
            if len(chosen) >= size / 2:
                break
            for each in violation.point:
                if each in self.instance.event:
                    chosen.update(number for number, part in enumerate(self.parts) if part.event == each)
                else:
                    chosen.update(self.attended.get(each, ()))
        met = [resource for number in sorted(chosen) for resource in self.attending[number]]
        self.luck.shuffle(met)
        for resource in dict.fromkeys(met):
            if len(chosen) >= size:
                break
            chosen.update(self.attended[resource])
        return self.task(chosen or self.luck.sample(range(len(self.parts)), min(size, len(self.parts))))

    def cluster(self, inside: Iterable[int], size: int) -> set[int]:
        """Parts with these numbers, all of some resources of one type that meet the same others, up to about `size`."""
        within = set(inside)
        attended = {
            resource: here for resource, numbers in self.attended.items() if (here := within.intersection(numbers))
        }
        if len(within) <= size or not attended:
            return within
        type_of = self.instance.resource
        kind = self.luck.choice(sorted({type_of[resource].type for resource in attended}))
        left = {resource for resource in attended if type_of[resource].type == kind}
        costs = {each: cost for each, cost in self.costs().items() if each in left}
        chosen: set[int] = set()
        near: Counter[str] = Counter()
        following = (
            self.luck.choices(list(costs), list(costs.values()))[0]
            if costs and self.luck.random() < 0.7
            else self.luck.choice(sorted(left))
        )
        while True:
            left.discard(following)
            fresh = attended[following] - chosen
            chosen |= fresh
            if len(chosen) >= size or not left:
                return chosen
            for met in sorted({other for number in fresh for other in self.attending[number]}):
                near.update(other for number in attended[met] for other in self.attending[number])
            weights = {each: near[each] for each in sorted(left) if near[each]}
            following = (
                self.luck.choices(list(weights), list(weights.values()))[0]
                if weights
                else self.luck.choice(sorted(left))
            )

    def costs(self) -> Counter[str]:
        """What the violations cost that are about a resource, or about an event that it always attends."""
        found: Counter[str] = Counter()
        for violation in self.cost.violations:
            for each in violation.point:
                concerned = [each] if each in self.instance.resource else self.instance.event[each].resources
                found.update(dict.fromkeys(concerned, violation.cost))
        return +found


def between(frame: Frame, one: Timetable, other: Timetable) -> Task:
    """The lessons that two timetables have differently, each where one of them has it: what is best of both."""
    at = frame.instance.time_index
    both = {*one.parts} & {*other.parts}
    kept = tuple(part for part in one.parts if part in both)
    left = Counter({event.id: event.duration for event in frame.instance.events})
    for part in kept:
        left[part.event] -= part.duration
    only: dict[str, set[tuple[int, int]]] = {}
    for lesson in (*one.lessons, *other.lessons):
        if lesson not in both:
            only.setdefault(lesson.event, set()).add((lesson.duration, at[lesson.time]))
    return Task(kept, dict(+left), only={event: frozenset(starts) for event, starts in only.items()})


KINDS: dict[str, Callable[[Neighbourhoods, int], Task]] = {
    "resources": Neighbourhoods.resources,
    "days": Neighbourhoods.days,
    "times": Neighbourhoods.times,
    "violations": Neighbourhoods.violations,
}

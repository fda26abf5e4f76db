"""What each wish, a constraint that is not required, costs a school."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.engine.cost import evaluate
from app.engine.instance import Constraint, Instance
from app.engine.solver import solve
from app.engine.timetable import Timetable


@dataclass(frozen=True)
class Wish:
    """A soft constraint and its price.

    Attributes:
        cost: what it costs in the timetable at hand, because it is not fully granted.
        broken: how much of that is due to each point of application.
        saving: how much less all other wishes would cost if the school gave this one up, as far as a search found;
            None where none was made.
    """

    constraint: Constraint
    cost: int
    broken: tuple[tuple[tuple[str, ...], int], ...]
    saving: int | None


def wishes(
    instance: Instance,
    timetable: Timetable,
    *,
    seconds: float = 0,
    seed: int = 1,
    workers: int = 2,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Wish, ...]:
    """The soft constraints of the instance, the most expensive first.

    With `seconds` each gets an equal share of that time for a search without it that begins with `timetable`.
    """
    violations = [each for each in evaluate(instance, timetable).violations if not each.constraint.required]
    soft = [constraint for constraint in instance.constraints if not constraint.required and constraint.weight]
    found = []
    for constraint in soft:
        broken = Counter[tuple[str, ...]]()
        for violation in violations:
            if violation.constraint is constraint:
                broken[violation.point] += violation.cost
        saving = None
        if seconds:
            saving = _saving(instance, timetable, constraint, seconds / len(soft), seed, workers, stop)
        found.append(Wish(constraint, broken.total(), tuple(broken.most_common()), saving))
    return tuple(sorted(found, key=lambda wish: (-wish.cost - (wish.saving or 0), wish.constraint.id)))


def _saving(
    instance: Instance,
    timetable: Timetable,
    constraint: Constraint,
    seconds: float,
    seed: int,
    workers: int,
    stop: Callable[[], bool],
) -> int:
    """How much cheaper the other wishes become without this one."""
    without = replace(instance, constraints=tuple(each for each in instance.constraints if each is not constraint))
    better = solve(without, seconds=seconds, seed=seed, workers=workers, start=timetable, stop=stop)
    before, after = evaluate(without, timetable), evaluate(without, better)
    return max(0, before.soft - after.soft) if after.hard <= before.hard else 0

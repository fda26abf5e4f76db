"""Guided local search: a search that is stuck has wishes that stay unmet count for more than they cost.

Source: Voudouris and Tsang, "Guided local search and its application to the traveling salesman problem", European
Journal of Operational Research 113, 1999.
"""

from __future__ import annotations

from collections import Counter

from app.engine.cost import Cost
from app.engine.instance import Constraint

# A penalty adds half of what a violation costs.
UNIT = 2


class Penalties:
    """How often each point of application was penalised; at first none.

    Attributes:
        rounds: how often penalties were raised.
    """

    def __init__(self) -> None:
        self._on: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.rounds = 0

    def clear(self) -> None:
        """Has each violation count for what it costs."""
        self._on.clear()
        self.rounds = 0

    def add(self, cost: Cost) -> None:
        """Penalises the most costly unmet wishes, of which those count as less that were penalised often."""
        costly = [each for each in cost.costly if not each.constraint.required]
        merits = [each.cost / (1 + self._on[each.constraint.id, each.point]) for each in costly]
        most = max(merits, default=0)
        self._on.update(
            (each.constraint.id, each.point) for each, merit in zip(costly, merits, strict=True) if merit == most
        )
        self.rounds += 1

    def weight(self, constraint: Constraint, point: tuple[str, ...]) -> int:
        """How many times the cost of a wish at one point of application counts."""
        return UNIT + self._on[constraint.id, point] if self.rounds else 1

    def value(self, cost: Cost) -> int:
        """What a timetable's unmet wishes cost, each as many times as it counts."""
        return sum(
            self.weight(each.constraint, each.point) * each.cost for each in cost.costly if not each.constraint.required
        )

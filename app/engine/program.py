"""A CP-SAT model (Google OR-Tools), written straight into its protocol buffer, which `cp_model.proto` describes.

The search builds thousands of models that are solved within milliseconds; with an object for each variable and each
expression, building them would take most of its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from ortools.sat.python import cp_model

# A variable is its number. A literal is a Boolean variable, or with `~` what it is not; the first variable is always 1.
Variable = int
Literal = int
TRUE, FALSE = 0, ~0


class Sum:
    """A linear expression of literals and of variables that start at 0, with its bounds.

    Attributes:
        terms: the coefficients, by variable.
    """

    __slots__ = ("constant", "high", "low", "terms")

    def __init__(self, terms: Iterable[tuple[Literal, int]] = (), constant: int = 0) -> None:
        self.terms: dict[Variable, int] = {}
        self.constant = self.low = self.high = constant
        for literal, coefficient in terms:
            self.add(literal, coefficient)

    def add(self, literal: Literal, coefficient: int = 1, most: int = 1) -> None:
        """Adds a literal, or a variable of 0 to `most`, times a coefficient."""
        if literal <= TRUE:
            if literal == TRUE:
                self.shift(coefficient)
            elif literal != FALSE:
                self.shift(coefficient)
                self.add(~literal, -coefficient)
            return
        self.terms[literal] = self.terms.get(literal, 0) + coefficient
        if coefficient > 0:
            self.high += coefficient * most
        else:
            self.low += coefficient * most

    def shift(self, number: int) -> None:
        """Adds a number."""
        self.constant += number
        self.low += number
        self.high += number

    def include(self, other: Sum, coefficient: int = 1) -> None:
        """Adds another sum, times at least 0."""
        terms = self.terms
        for variable, each in other.terms.items():
            terms[variable] = terms.get(variable, 0) + coefficient * each
        self.constant += coefficient * other.constant
        self.low += coefficient * other.low
        self.high += coefficient * other.high

    def plus(self, variable: Variable, coefficient: int) -> Sum:
        """A new sum with one term more, for a constraint: its own bounds take the variable for a Boolean one."""
        found = Sum()
        found.include(self)
        found.add(variable, coefficient)
        return found


@cache
def _booleans(power: int) -> Any:
    """A part of a model: two to this power Boolean variables."""
    found = cp_model.CpModel().proto
    found.merge_text_format("variables { domain: [0, 1] }" * (1 << power))
    return found


class Program:
    """Variables, constraints and an objective; `complete` gives what CP-SAT solves."""

    def __init__(self) -> None:
        self._model = cp_model.CpModel()
        self._proto = self._model.proto
        self._constraints = self._proto.constraints
        self._domains = {TRUE: (1, 1)}
        self._size = 1

    def complete(self) -> cp_model.CpModel:
        """The model as it is now."""
        # Most variables are Boolean, and many of these are added at once, as no single one could be so fast.
        waiting = self._size - len(self._proto.variables)
        for power in range(waiting.bit_length()):
            if waiting >> power & 1:
                self._proto.merge_from(_booleans(power))
        for variable, bounds in self._domains.items():
            domain = self._proto.variables[variable].domain
            domain.clear()
            domain.extend(bounds)
        self._domains.clear()
        return self._model

    def copy(self) -> Program:
        """Another program that begins with all that this one has."""
        found = Program()
        found._proto.copy_from(self.complete().proto)
        found._domains.clear()
        found._size = self._size
        return found

    def boolean(self) -> Variable:
        """A new variable of 0 or 1."""
        self._size += 1
        return self._size - 1

    def integer(self, low: int, high: int) -> Variable:
        """A new variable of `low` to `high`."""
        self._domains[self._size] = low, high
        return self.boolean()

    def at_least_one(self, literals: Iterable[Literal]) -> None:
        """At least one of the literals is true."""
        self._constraints.add().bool_or.literals.extend(list(literals))

    def at_most_one(self, literals: Sequence[Literal]) -> None:
        """At most one of the literals is true."""
        self._constraints.add().at_most_one.literals.extend(literals)

    def exactly_one(self, literals: Sequence[Literal]) -> None:
        """Exactly one of the literals is true."""
        self._constraints.add().exactly_one.literals.extend(literals)

    def bound(self, each: Sum, low: int | None, high: int | None, where: Literal = TRUE) -> None:
        """A sum is at least `low` and at most `high` if `where` is true."""
        constraint = self._constraints.add()
        if where != TRUE:
            constraint.enforcement_literal.append(where)
        linear, constant = constraint.linear, each.constant
        linear.vars.extend(list(each.terms))
        linear.coeffs.extend(list(each.terms.values()))
        linear.domain.extend(
            [
                cp_model.INT_MIN if low is None else low - constant,
                cp_model.INT_MAX if high is None else high - constant,
            ]
        )

    def maximum(self, found: Variable, terms: Iterable[tuple[int, Literal, int]], sign: int = 1) -> None:
        """A variable is the most of `offset + coefficient * literal`; with the sign -1 the least."""
        constraint = self._constraints.add().lin_max
        constraint.target.vars.append(found)
        constraint.target.coeffs.append(sign)
        for offset, literal, coefficient in terms:
            term = constraint.exprs.add()
            term.vars.append(literal)
            term.coeffs.append(sign * coefficient)
            term.offset = sign * offset

    def square(self, found: Variable, root: Variable) -> None:
        """A variable is the square of another."""
        product = self._constraints.add().int_prod
        for term, variable in ((product.target, found), (product.exprs.add(), root), (product.exprs.add(), root)):
            term.vars.append(variable)
            term.coeffs.append(1)

    def minimize(self, each: Sum) -> None:
        """Makes this sum the objective."""
        self._proto.clear_objective()
        objective = self._proto.objective
        objective.vars.extend(list(each.terms))
        objective.coeffs.extend(list(each.terms.values()))
        objective.offset, objective.scaling_factor = each.constant, 1

    @property
    def minimizes(self) -> bool:
        """Whether there is an objective."""
        return self._proto.has_objective()

    def hint(self, values: Mapping[Variable, int]) -> None:
        """Begins the search with these values."""
        self._proto.solution_hint.vars.extend(list(values))
        self._proto.solution_hint.values.extend(list(values.values()))

    def assume(self, literals: Iterable[Literal]) -> None:
        """Has these literals be true, and nothing that was assumed before; CP-SAT can name those that cannot be."""
        self._model.clear_assumptions()
        self._proto.assumptions.extend(list(literals))

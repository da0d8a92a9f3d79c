"""A bounded store of compiled steps: programs of scans and loops of steppers.

Steps that differ only in Python numbers (see `ir.numbers`) are variants of one step. The first is compiled with its
numbers as literals. From the second on, one general variant serves all; it takes the numbers that differ as runtime
arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..base.memo import Memo
from ..errors import CompileError
from .ir.numbers import changeable, dtypes_of_numbers, with_numbers
from .ir.retrace import Traced
from .ir.step import Atom, Aval, Step, Var
from .ir.trace import freeze

Compiled = TypeVar("Compiled")


class Variants(Generic[Compiled]):
    """The compiled variants of a step: steps that differ only in their numbers.

    Parameters
    ----------
    traced
        The first of these steps.
    compile
        Compiles a step.
    """

    def __init__(self, traced: Traced, compile: Callable[[Step], Compiled]) -> None:
        self._template, self._numbers, self._compile = traced.template, traced.numbers, compile
        self._first = compile(traced.step)
        self._general: _General[Compiled] | None = None

    def find(self, numbers: tuple[float, ...]) -> tuple[Compiled, list[np.ndarray]]:
        """Return the variant for these numbers, and its runtime arguments."""
        if numbers == self._numbers:
            return self._first, []
        general = self._general
        found = general.values(numbers) if general else None
        if general is None or found is None:
            general = self._general = self._generalise(numbers, general.atoms if general else self._numbers)
            found = general.values(numbers)
            assert found is not None
        return general.compiled, [np.array(value, var.dtype) for var, value in found.items()]

    def _generalise(self, numbers: tuple[float, ...], atoms: Sequence[Atom]) -> _General[Compiled]:
        """Return a variant that serves `numbers` too; numbers that have always been equal share one argument."""
        groups: dict[Any, Var] = {}
        new: list[Atom] = []
        for first, atom, number, dtype in zip(
            self._numbers, atoms, numbers, dtypes_of_numbers(self._template), strict=True
        ):
            fixed = atom.__class__ is float and number == first
            new.append(first if fixed else groups.setdefault((first, atom, number, dtype), Var(Aval((), dtype))))
        return _General(new, self._compile(with_numbers(self._template, new)))


class _General(NamedTuple, Generic[Compiled]):
    """A variant for different numbers: for each number the literal, or the variable of its argument."""

    atoms: list[Atom]
    compiled: Compiled

    def values(self, numbers: tuple[float, ...]) -> dict[Var, float] | None:
        """Return the number of each argument; None if this variant does not serve these numbers."""
        found: dict[Var, float] = {}
        for atom, number in zip(self.atoms, numbers, strict=True):
            if number != (atom if atom.__class__ is float else found.setdefault(atom, number)):
                return None
        return found


MOST: int = 1000
"""Capacity of one generation, in steps; a compiled step takes about 80 KB."""
_known: Memo[Hashable, Variants[Any]] = Memo(MOST)


def compiled_of(
    traced: Traced, purpose: Hashable, compile: Callable[[Step], Compiled]
) -> tuple[Compiled, list[np.ndarray]]:
    """Return the compiled variant of an equal step, and the runtime arguments of this one.

    `purpose` is what the result depends on besides the step.
    """
    key = traced.template, purpose
    found = _known.get(key)
    if found is None:
        wide = structure(traced.template), purpose  # another trace may have given an equal step
        found = _known.get(wide)
        if found is None:
            _refuse_empty(traced.template)
            found = _known.put(wide, Variants(traced, compile))
        _known.put(key, found)
    return found.find(traced.numbers)


def structure(step: Step) -> Hashable:
    """Return a hashable description of a step without its changeable numbers; variables are positions."""
    number = {var: position for position, var in enumerate(step.inputs)}
    lines = []
    for eqn in step.eqns:
        free = changeable(eqn.primitive, eqn.operands)
        operands = tuple(
            [
                number[o] if o.__class__ is Var else float if at in free else (o.__class__, repr(o))
                for at, o in enumerate(eqn.operands)
            ]
        )
        lines.append((eqn.primitive, operands, freeze(eqn.params)))
        for result in eqn.results:
            number[result] = len(number)
    avals = tuple([tuple([var.aval for var in part]) for part in (step.consts, step.carry, step.xs)])
    outputs = tuple([tuple([number[var] for var in part]) for part in (step.carry_out, step.ys)])
    return tuple(lines), avals, outputs


def _refuse_empty(step: Step) -> None:
    """Raise if the step creates empty arrays: the passes assume that every axis has an element."""
    if any(0 in var.shape for var in (*step.carry, *step.xs)):  # all arrays of the batch are empty: nothing to compute
        return
    for eqn in step.eqns:
        for result in eqn.results:
            if 0 in result.shape:
                raise CompileError(
                    f"scan: expected arrays with one element or more, got {eqn.primitive.name!r} of shape "
                    f"{result.shape} in the step; leave it out, or pass compile=False."
                )

"""The intermediate representation of a step: five frozen types.

A `Step` is straight-line code over variables; each equation applies one row of the table of primitives::

    Aval    shape and dtype                                  f32[64, 256]
    Var     one array of a step, known by identity
    Eqn     results = primitive(operands, params)            c = multiply(a, b)
    Step    consts, carry, xs  ->  eqns  ->  carry_out, ys, sums
    Stages  a step's equations in three places: before, during and after the loop

Operands are variables or Python scalars, which are *weak*: they take the dtype of the array they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...ops.primitive import Array, Primitive, bind


class Aval(NamedTuple):
    """What is known of an array before it exists."""

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, eq=False, slots=True)
class Var:
    """One array of a step."""

    aval: Aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)


# A Var or a Python scalar.
Atom = Any


@dataclass(frozen=True, eq=False, slots=True)
class Eqn:
    """One operation: ``results = primitive(*operands, **params)``."""

    primitive: Primitive
    operands: tuple[Atom, ...]
    params: dict[str, Any]
    results: tuple[Var, ...]

    @property
    def reads(self) -> Iterator[Var]:
        """The operands that are variables."""
        return (operand for operand in self.operands if operand.__class__ is Var)

    @property
    def result(self) -> Var:
        """The only result."""
        (result,) = self.results
        return result

    def apply(self, operands: Iterable[Any]) -> Sequence[Any]:
        """Return its results for operands of any kind."""
        found: Any = bind(self.primitive, tuple(operands), self.params)
        return found if self.primitive.multiple else (found,)


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One step of a scan, forward or backward.

    Attributes
    ----------
    consts
        What is the same at every time.
    carry, carry_out
        What comes from the step before and goes to the step after, in one order.
    xs
        What differs from step to step.
    ys
        Results to be stacked over time.
    sums
        Results to be added up over time.
    constants
        The values of those `consts` that the compiler itself introduced.
    arguments
        Those of the `consts` that stand for Python numbers of the step (see `numbers`).
    """

    consts: tuple[Var, ...]
    carry: tuple[Var, ...]
    xs: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    carry_out: tuple[Var, ...]
    ys: tuple[Var, ...]
    sums: tuple[Var, ...] = ()
    constants: Mapping[Var, Array] = field(default_factory=dict)
    arguments: tuple[Var, ...] = ()

    @property
    def inputs(self) -> tuple[Var, ...]:
        return self.consts + self.carry + self.xs

    @property
    def outputs(self) -> tuple[Var, ...]:
        return self.carry_out + self.ys + self.sums


@dataclass(frozen=True, eq=False, slots=True)
class Stages:
    """The equations of a step, each assigned to one stage.

    Attributes
    ----------
    before
        Do not depend on the carry: evaluated once, for all times together.
    during
        The loop.
    after
        Not needed by the next carry: evaluated once, on the results that the loop stacked.
    saved
        Results of the loop that are stacked over time: for `after`, for `ys`, for the backward step.
    time_sums
        Results of the loop that are read as a sum over time only.
    replay
        The stages of a loop that runs before this one, for each batch element, and stacks what this one reads.
    """

    step: Step
    before: tuple[Eqn, ...]
    during: tuple[Eqn, ...]
    after: tuple[Eqn, ...]
    saved: tuple[Var, ...] = ()
    time_sums: tuple[Var, ...] = ()
    replay: Stages | None = None

    @property
    def replayed(self) -> tuple[Var, ...]:
        """The variables that the replay stacks."""
        return () if self.replay is None else (*self.replay.step.carry, *self.replay.step.ys)


def evaluate(
    eqns: Iterable[Eqn],
    env: MutableMapping[Var, Any],
    apply: Callable[[Eqn, list[Any]], Iterable[Any]] = Eqn.apply,
) -> None:
    """Evaluate equations one after the other, on values of any kind.

    Parameters
    ----------
    env
        The values by variable, to which those of the results are added.
    apply
        Returns the results of an equation for the values of its operands.
    """
    for eqn in eqns:
        operands = [env[operand] if operand.__class__ is Var else operand for operand in eqn.operands]
        env.update(zip(eqn.results, apply(eqn, operands), strict=True))


def live(eqns: Iterable[Eqn], roots: Iterable[Var]) -> tuple[Eqn, ...]:
    """Return the equations that `roots` need."""
    needed, kept = set(roots), []
    for eqn in reversed(tuple(eqns)):
        if any(result in needed for result in eqn.results):
            kept.append(eqn)
            needed.update(eqn.reads)
    return tuple(reversed(kept))


def dependents(eqns: Iterable[Eqn], sources: Iterable[Var]) -> set[Var]:
    """Return `sources` and every variable that is computed from one of them."""
    found = set(sources)
    for eqn in eqns:
        if any(operand in found for operand in eqn.reads):
            found.update(eqn.results)
    return found

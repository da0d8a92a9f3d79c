"""The language in which the compiler speaks of a step: five frozen types, and the check that every pass must pass.

A `Step` is straight-line code over variables; each equation applies one row of the table of primitives::

    Aval    shape and dtype                                  f32[64, 256]
    Var     one array of a step, known by identity
    Eqn     results = primitive(operands, params)            c = multiply(a, b)
    Step    consts, carry, xs  ->  eqns  ->  carry_out, ys, sums
    Stages  a step's equations in three places: before, during and after the loop

Operands are variables or Python scalars, which are *weak*: they take the dtype of the array they meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from ...ops.primitive import Primitive


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
    """

    consts: tuple[Var, ...]
    carry: tuple[Var, ...]
    xs: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    carry_out: tuple[Var, ...]
    ys: tuple[Var, ...]
    sums: tuple[Var, ...] = ()

    @property
    def inputs(self) -> tuple[Var, ...]:
        return self.consts + self.carry + self.xs

    @property
    def outputs(self) -> tuple[Var, ...]:
        return self.carry_out + self.ys + self.sums


@dataclass(frozen=True, eq=False, slots=True)
class Stages:
    """The equations of a step, each in its one place.

    Attributes
    ----------
    before
        Do not depend on the carry: done once, for all times together.
    during
        The loop.
    after
        The next carry does not need them: done once, on what the loop stacked.
    kept
        Results of the loop that must be stacked for others: for `after`, for `ys`, for the backward step.
    added
        Results of the loop of which others want only the sum over time.
    """

    step: Step
    before: tuple[Eqn, ...]
    during: tuple[Eqn, ...]
    after: tuple[Eqn, ...]
    kept: tuple[Var, ...] = field(default=())
    added: tuple[Var, ...] = field(default=())


CHECKING: Final = os.environ.get("TGS_CHECK", "0") not in {"", "0"}
"""Whether what each pass of the compiler makes is checked: with ``TGS_CHECK=1``, as in the tests."""


def check(step: Step) -> Step:
    """Return `step` if every variable is defined once, before it is used, and the carry keeps its shapes and dtypes.

    Raises
    ------
    AssertionError
        If a pass of the compiler broke one of these rules.
    """
    if CHECKING:
        _check_order(step.eqns, step.inputs, step.outputs)
        for before, after in zip(step.carry, step.carry_out, strict=True):
            assert before.aval == after.aval, f"the carry enters as {before.aval} and leaves as {after.aval}"
    return step


def check_stages(stages: Stages) -> Stages:
    """Return `stages` if the same holds of the three in turn, and neither `before` nor the loop waits for `after`.

    Raises
    ------
    AssertionError
        If `partition` broke one of these rules.
    """
    if CHECKING:
        step, loop = stages.step, {result for eqn in stages.during for result in eqn.results}
        _check_order((*stages.before, *stages.during, *stages.after), step.inputs, step.outputs)
        _check_order(stages.before, (*step.consts, *step.xs), ())
        after = {result for eqn in stages.after for result in eqn.results}
        assert after.isdisjoint(step.carry_out), "the next carry is computed after the loop"
        read = {operand for eqn in stages.after for operand in eqn.reads}.union(step.ys, step.sums)
        assert read & loop <= {*stages.kept, *stages.added}, "what is read after the loop is not kept"
    return stages


def check_order(eqns: Iterable[Eqn], outputs: Iterable[Var]) -> None:
    """Raise AssertionError if an equation reads what a later one defines, or an output is defined nowhere."""
    if CHECKING:
        eqns = tuple(eqns)
        made = {result for eqn in eqns for result in eqn.results}
        given = dict.fromkeys([operand for eqn in eqns for operand in eqn.reads if operand not in made])
        _check_order(eqns, tuple(given), tuple(outputs))


def _check_order(eqns: Iterable[Eqn], inputs: tuple[Var, ...], outputs: tuple[Var, ...]) -> None:
    known = set(inputs)
    assert len(known) == len(inputs), "an input is listed twice"
    for eqn in eqns:
        for operand in eqn.reads:
            assert operand in known, f"{eqn.primitive.name} reads a variable that is not defined yet"
        for result in eqn.results:
            assert result not in known, f"{eqn.primitive.name} defines a variable again"
            known.add(result)
    assert known.issuperset(outputs), "an output is not defined"


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

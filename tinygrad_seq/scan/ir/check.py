"""The checks of what each pass of the compiler returns: on with ``TGS_CHECK=1``, as in the tests.

Every variable is defined once, before it is used, with the shape and dtype that its primitive gives for its operands.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from .step import Eqn, Stages, Step, Var
from .trace import freeze, infer

CHECKING: Final = os.environ.get("TGS_CHECK", "0") not in {"", "0"}
"""Whether the results of the passes are checked."""


def check(step: Step) -> Step:
    """Return `step` if its equations are in order and well typed, and the carry keeps its shapes and dtypes.

    Raises
    ------
    AssertionError
        If a pass of the compiler broke one of these rules.
    """
    if CHECKING:
        _check_eqns(step.eqns, step.inputs, step.outputs)
        for before, after in zip(step.carry, step.carry_out, strict=True):
            assert before.aval == after.aval, f"the carry enters as {before.aval} and leaves as {after.aval}"
        for var in step.consts:
            array = step.constants.get(var)
            assert array is None or (array.shape, array.dtype) == var.aval, f"a constant is not of {var.aval}"
    return step


def check_stages(stages: Stages) -> Stages:
    """Return `stages` if the same holds of the three in turn, and neither `before` nor the loop waits for `after`.

    Raises
    ------
    AssertionError
        If a pass of the compiler broke one of these rules.
    """
    if CHECKING:
        step, loop = stages.step, {result for eqn in stages.during for result in eqn.results}
        _check_eqns((*stages.before, *stages.during, *stages.after), step.inputs, step.outputs)
        _check_eqns(stages.before, (*step.consts, *step.xs), ())
        after = {result for eqn in stages.after for result in eqn.results}
        assert after.isdisjoint(step.carry_out), "the next carry is computed after the loop"
        read = {operand for eqn in stages.after for operand in eqn.reads}.union(step.ys, step.sums)
        assert read & loop <= {*stages.saved, *stages.time_sums}, "what is read after the loop is not saved"
    return stages


def check_eqns(eqns: Iterable[Eqn], outputs: Iterable[Var]) -> None:
    """Raise AssertionError unless the equations are in order and well typed and define `outputs`."""
    if CHECKING:
        eqns = tuple(eqns)
        made = {result for eqn in eqns for result in eqn.results}
        given = dict.fromkeys([operand for eqn in eqns for operand in eqn.reads if operand not in made])
        _check_eqns(eqns, tuple(given), tuple(outputs))


def _check_eqns(eqns: Iterable[Eqn], inputs: tuple[Var, ...], outputs: tuple[Var, ...]) -> None:
    known = set(inputs)
    assert len(known) == len(inputs), "an input is listed twice"
    for eqn in eqns:
        name = eqn.primitive.name
        for operand in eqn.reads:
            assert operand in known, f"{name} reads a variable that is not defined yet"
        avals = infer(eqn.primitive, eqn.operands, eqn.params, freeze(eqn.params))
        for result, aval in zip(eqn.results, avals, strict=True):
            assert result not in known, f"{name} defines a variable again"
            assert result.aval == aval, f"{name} gives {aval}, and a pass says {result.aval}"
            known.add(result)
    assert known.issuperset(outputs), "an output is not defined"

"""Python numbers of a step that are runtime arguments of its loop: the emitter treats them as scalars."""

from __future__ import annotations

from dataclasses import replace

from ...ops.primitive import OpKind
from ..ir.step import Eqn, Stages, Var
from .arrange import Loop


class Argument(float):
    """The unknown value of `var`. As a float it is a number for which the emitter writes no special code."""

    __slots__ = ("var",)
    var: Var


def with_arguments(loop: Loop, stages: Stages) -> Loop:
    """Return `loop` with scalars in place of runtime arguments, and of what is computed from these alone.

    So its source is that of a step with literals.
    """
    scalars = {var: _argument(var) for var in stages.step.arguments}
    for eqn in stages.before:
        if all(var in scalars for var in eqn.reads):
            scalars.update({var: _argument(var) for var in eqn.results if var.shape == ()})
    return replace(loop, eqns=tuple([_with_scalars(eqn, scalars) for eqn in loop.eqns])) if scalars else loop


def _argument(var: Var) -> Argument:
    argument = Argument(2.5)
    argument.var = var
    return argument


def _with_scalars(eqn: Eqn, scalars: dict[Var, Argument]) -> Eqn:
    """Return an equation with scalars, if these take the dtype of their variables."""
    others = {var.dtype for var in eqn.reads if var not in scalars and var.dtype.kind != "b"}
    if eqn.primitive.kind is not OpKind.ELEMENTWISE or others != {var.dtype for var in eqn.reads if var in scalars}:
        return eqn
    return replace(eqn, operands=tuple([scalars.get(o, o) if o.__class__ is Var else o for o in eqn.operands]))

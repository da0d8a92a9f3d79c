"""Python numbers of a step that are given to a loop at run time: the emitter knows them as scalars."""

from __future__ import annotations

from dataclasses import replace

from ..ir.step import Eqn, Stages, Var
from .arrange import Loop


class Argument(float):
    """The value of `var`, not known yet; as a float it is no number that has code of its own."""

    __slots__ = ("var",)
    var: Var


def with_arguments(loop: Loop, stages: Stages) -> Loop:
    """Return `loop` with scalars in place of runtime arguments, and of what is computed before it from these alone.

    So the source is that of a step with literals.
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
    """Return an equation with scalars, where these take the dtype that their variables have."""
    others = {var.dtype for var in eqn.reads if var not in scalars and var.dtype.kind != "b"}
    if eqn.primitive.code is None or others != {var.dtype for var in eqn.reads if var in scalars}:
        return eqn
    return replace(eqn, operands=tuple([scalars.get(o, o) if o.__class__ is Var else o for o in eqn.operands]))

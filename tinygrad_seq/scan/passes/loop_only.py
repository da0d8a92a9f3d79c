"""All of a step in the loop: for a few steps at a time, passes over arrays before and after it would cost more."""

from __future__ import annotations

from dataclasses import replace

from ...ops.casting import alias
from ..ir.check import check_stages
from ..ir.step import Eqn, Stages, Step, Var


def loop_only(step: Step) -> Stages:
    """Return the stages of a step that is all loop; outputs get buffers of their own, so carries need no history."""
    outputs = tuple([Var(y.aval) for y in step.ys])
    copies = [Eqn(alias, (y,), {}, (output,)) for y, output in zip(step.ys, outputs, strict=True)]
    step = replace(step, eqns=(*step.eqns, *copies), ys=outputs)
    return check_stages(Stages(step, (), step.eqns, (), outputs))

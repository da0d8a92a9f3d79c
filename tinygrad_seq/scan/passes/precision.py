"""Low precision stays on the products that have a kernel for it: those with a matrix that is the same at every time.

Products are marked where they are recorded or traced, for a step may mix precisions, and their gradients inherit the
mark (`ops.linear.with_precision`). What a matrix is to a step is known here: one that depends on the carry or on the
inputs is multiplied in float32, but for the products of two values at each time whose sum over time is one large
product after the loop, such as the gradient of a weight.
"""

from __future__ import annotations

from dataclasses import replace

from ...ops.linear import matmul
from ..ir.check import check
from ..ir.step import Eqn, Step, dependents, live


def settle_precision(step: Step) -> Step:
    """Return a lowered step in which only products with a constant matrix, and terms of time sums, have a precision."""
    varying = dependents(step.eqns, (*step.carry, *step.xs))
    each_time = set(live(step.eqns, (*step.carry_out, *step.ys)))

    def settled(eqn: Eqn) -> Eqn:
        if eqn.primitive is not matmul or "precision" not in eqn.params:  # all other products are lowered to it
            return eqn
        of_sum = eqn.operands[0] in varying and eqn not in each_time
        return eqn if eqn.operands[1] not in varying or of_sum else replace(eqn, params={})

    return check(replace(step, eqns=tuple(map(settled, step.eqns))))

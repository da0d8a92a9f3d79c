"""A scan over one step has no loop: what enters as the carry is an input, and what leaves as the carry is an output."""

from __future__ import annotations

from dataclasses import replace

from ..ir.check import check
from ..ir.step import Step


def without_carry(step: Step) -> Step:
    """Return a step that is run once, with its carry among its inputs and outputs."""
    ys = tuple(dict.fromkeys((*step.ys, *step.carry_out)))
    return check(replace(step, carry=(), carry_out=(), xs=(*step.xs, *step.carry), ys=ys))

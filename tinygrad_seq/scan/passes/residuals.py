"""What the forward loop stacks for the backward step, and what the backward step computes again.

Kept is what is dear to compute: products of matrices, exponentials, reductions. Anything else that the backward step
reads is computed again where all its operands are at hand: an addition costs less than the way to memory and back.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var


def choose_kept(eqns: Collection[Eqn], reads: Collection[Var], at_hand: Collection[Var]) -> tuple[list[Eqn], set[Var]]:
    """Return the equations to compute again, in order, and the variables to keep.

    Parameters
    ----------
    eqns
        The forward step.
    reads
        What the backward step reads of it.
    at_hand
        What is there in any case: constants, inputs, the carry.
    """
    producer = {result: eqn for eqn in eqns for result in eqn.results}
    kept: set[Var] = set()
    again: dict[Var, None] = {}

    def available(var: Var) -> bool:
        if var in at_hand or var in kept:
            return True
        eqn = producer[var]
        return _is_again(eqn) and all(available(operand) for operand in eqn.reads)

    def need(var: Var) -> None:
        if var in at_hand or var in kept or var in again:
            return
        eqn = producer[var]
        view = eqn.primitive.kind is OpKind.VIEW
        if view and _size(var) < _size(eqn.operands[0]) and not available(eqn.operands[0]):
            kept.add(var)  # the part alone, not the whole
        elif view or (_is_again(eqn) and all(map(available, eqn.reads))):
            again.update(dict.fromkeys(eqn.results))
            for operand in eqn.reads:
                need(operand)
        else:
            kept.add(var)

    order = {var: position for position, var in enumerate(producer)}
    for dear_first in (True, False):
        for var in sorted((v for v in reads if v in order), key=order.__getitem__):
            if _is_dear(producer[var]) == dear_first:
                need(var)
    return [eqn for eqn in eqns if any(result in again for result in eqn.results)], kept


def _is_again(eqn: Eqn) -> bool:
    return eqn.primitive.cheap or eqn.primitive.kind in {OpKind.VIEW, OpKind.JOIN}


def _is_dear(eqn: Eqn) -> bool:
    return not _is_again(eqn)


def _size(var: Var) -> int:
    return math.prod(var.shape)

"""Residuals: what the forward loop saves for the backward step, and what the backward step rematerialises.

Expensive results are saved: products of matrices, exponentials, reductions. The backward step computes anything else
that it reads again, if the operands are at hand: an addition costs less than a store and a load.

An array that is compared with a reduction, such as its own maximum, is saved, or else the outcome: the machine code of
another loop may round a product and a sum once instead of twice, and then no element equals the saved maximum.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from ...ops.primitive import TABLE, OpKind
from ..ir.check import check
from ..ir.step import Eqn, Step, Var, live

_COMPARISONS = [TABLE[n] for n in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")]


class Saved(NamedTuple):
    """The backward step with its residuals.

    Attributes
    ----------
    step
        The backward step; its xs are the cotangents, the inputs of the forward step that it reads, and the residuals.
    residuals
        The variables of the forward step that it reads at all times, beside inputs and constants.
    stacked
        The variables that the forward loop has to stack.
    """

    step: Step
    residuals: tuple[Var, ...]
    stacked: set[Var]


def choose_residuals(forward: Step, backward: Step, reads: Collection[Var], cotangents: tuple[Var, ...]) -> Saved:
    """Return the backward step with the equations of the forward step that it rematerialises.

    Parameters
    ----------
    forward, backward
        The two steps, in the same primitives.
    reads
        The variables of `forward` that `backward` reads.
    cotangents
        Those of the forward outputs, which come first in the xs of `backward`.
    """
    rematerialised, saved = _choose(
        forward.eqns, reads, {*forward.inputs, *forward.carry_out}, compared(forward.eqns, backward.eqns)
    )
    eqns = live((*rematerialised, *backward.eqns), backward.outputs)
    made = {result for eqn in eqns for result in eqn.results}.union(backward.carry, cotangents)
    read = dict.fromkeys([*[var for eqn in eqns for var in eqn.reads], *backward.outputs])
    constant = {*backward.consts, *forward.consts}
    consts = tuple([var for var in read if var in constant])
    xs = tuple([var for var in read if var in forward.xs])
    residuals = tuple([var for var in read if var not in made and var not in constant and var not in forward.xs])
    step = replace(
        backward,
        consts=consts,
        xs=(*cotangents, *xs, *residuals),
        eqns=eqns,
        constants={**forward.constants, **backward.constants},
    )
    return Saved(check(step), residuals, {*saved, *residuals})


def compared(forward: Collection[Eqn], backward: Collection[Eqn]) -> set[Var]:
    """Return what the two steps compare with reductions, what it is a view of, and the outcomes."""
    eqns = (*forward, *backward)
    producer = {result: eqn for eqn in eqns for result in eqn.results}
    reduced = {eqn.result for eqn in forward if eqn.primitive.kind is OpKind.REDUCTION}
    found: set[Var] = set()
    for eqn in eqns:
        roots = {_root(var, producer) for var in eqn.reads}
        if eqn.primitive in _COMPARISONS and not roots.isdisjoint(reduced):
            found.update(roots, eqn.results)
    return found


def _root(var: Var, producer: Mapping[Var, Eqn]) -> Var:
    while (eqn := producer.get(var)) is not None and eqn.primitive.kind is OpKind.VIEW:
        var = eqn.operands[0]
    return var


def _choose(
    eqns: Collection[Eqn], reads: Collection[Var], at_hand: Collection[Var], exact: Collection[Var]
) -> tuple[list[Eqn], set[Var]]:
    """Return the equations to rematerialise, in order, none of an `exact` variable, and the variables to save."""
    producer = {result: eqn for eqn in eqns for result in eqn.results}
    saved: set[Var] = set()
    rematerialised: dict[Var, None] = {}

    def available(var: Var) -> bool:
        if var in at_hand or var in saved:
            return True
        eqn = producer[var]
        return var not in exact and _is_cheap(eqn) and all(available(operand) for operand in eqn.reads)

    def need(var: Var) -> None:
        if var in at_hand or var in saved or var in rematerialised:
            return
        eqn = producer[var]
        view = eqn.primitive.kind is OpKind.VIEW
        if var in exact:
            saved.add(var)
        elif view and _size(var) < _size(eqn.operands[0]) and not available(eqn.operands[0]):
            saved.add(var)  # the part alone, not the whole
        elif view or (_is_cheap(eqn) and all(map(available, eqn.reads))):
            rematerialised.update(dict.fromkeys(eqn.results))
            for operand in eqn.reads:
                need(operand)
        else:
            saved.add(var)

    order = {var: position for position, var in enumerate(producer)}
    for cheap in (False, True):  # what is saved in any case is at hand for the others
        for var in sorted((v for v in reads if v in order), key=order.__getitem__):
            if _is_cheap(producer[var]) == cheap:
                need(var)
    return [eqn for eqn in eqns if any(result in rematerialised for result in eqn.results)], saved


def _is_cheap(eqn: Eqn) -> bool:
    return eqn.primitive.cheap or eqn.primitive.kind in {OpKind.VIEW, OpKind.JOIN}


def _size(var: Var) -> int:
    return math.prod(var.shape)

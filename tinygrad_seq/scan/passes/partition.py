"""Assign each equation of a step to one stage: before, during or after the loop.

With R the values that depend on the carry and F those that the next carry needs::

    before = not R          once for all times: x_t @ W becomes one product of [T*N, I] with [I, G]
    during = R and F        the loop
    after  = R and not F    once on what the loop stacked: the gradients of weights, output projections

What is neither R nor F could be done at both ends. It is done after the loop if it depends on a reduction, which the
loop does in passing.

Only *expensive* equations leave the loop. A cheap one (elementwise, a change of shape, a reduction over features) takes
a few instructions on values in registers there, and a pass over memory elsewhere: it stays unless an expensive one
outside needs or makes its value. On an LSTM of 64 x 64 x 256, moving the sums with the bias out of the loop costs 6 to
23 % of the time.

The time sum of a cheap result, such as the gradient of a vector, is added up in the loop, element by element of the
batch; what makes a vector of these sums comes after the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from ...ops.primitive import OpKind
from ..ir.check import check_stages
from ..ir.step import Eqn, Stages, Step, Var, dependents, live

FEW: Final = 2
"""Most operations that follow the last product of a step that runs once in NumPy, not in the loop."""


def is_cheap(eqn: Eqn) -> bool:
    """Return whether an equation belongs in the loop: little work, on each element of the batch separately."""
    if eqn.primitive.kind is OpKind.REDUCTION:
        crosses_batch = 0 in eqn.params["axes"] and eqn.result.ndim > 1
        return not crosses_batch
    return eqn.primitive.kind in {OpKind.ELEMENTWISE, OpKind.CAST, OpKind.VIEW, OpKind.JOIN}


def partition(step: Step, saved: Collection[Var] = (), replay: Stages | None = None, once: bool = False) -> Stages:
    """Return the equations of `step` in three stages, and what the loop has to stack.

    Parameters
    ----------
    step
        The step.
    saved
        Variables that are stacked beside the outputs: what the backward step reads.
    replay
        What it stacks exists in the loop only.
    once
        Whether the step has no carry and runs once. Then the loop does all cheap work, and no expensive work that
        comes before or after all of it.
    """
    eqns = live(step.eqns, (*step.outputs, *saved))
    terms, finish = find_terms(eqns, step, saved)
    inside = () if replay is None else (*replay.step.carry, *replay.step.ys)
    recurrent = dependents(eqns, (*step.carry, *inside))
    feeding = {operand for eqn in live(eqns, step.carry_out) for operand in eqn.reads}.union(step.carry_out)

    if once:
        recurrent, feeding = _around_cheap(eqns)
    varying = dependents(eqns, (*step.carry, *step.xs))
    free = [eqn for eqn in eqns if not _any(eqn.results, recurrent) and eqn not in finish]
    apart = [eqn for eqn in free if not is_cheap(eqn) or not _any(eqn.results, varying)]
    sums = {eqn.results[0] for eqn in free if eqn.primitive.kind is OpKind.REDUCTION and eqn.results[0] in varying}
    can_follow = dependents(eqns, sums) - feeding
    apart = [eqn for eqn in apart if not _any(eqn.results, can_follow)]
    before = live(free, [result for eqn in apart for result in eqn.results])
    placed = {result for eqn in before for result in eqn.results}
    late: set[Var] = set()
    during, after = [], []
    for eqn in eqns:
        if _any(eqn.results, placed):
            continue
        expensive = eqn in finish or not is_cheap(eqn) or _any(tuple(eqn.reads), late)
        if not _any(eqn.results, feeding) and expensive:
            after.append(eqn)
            late.update(eqn.results)
        else:
            during.append(eqn)
    during, moved = _without_late(during, recurrent | sums, {*step.carry_out, *step.ys, *step.sums, *saved, *terms})
    after = [eqn for eqn in eqns if eqn in {*moved, *after}]
    wanted = {operand for eqn in after if eqn not in finish for operand in eqn.reads}
    wanted.update(step.ys, saved, set(step.sums).difference(terms))
    results = [result for eqn in during for result in eqn.results]
    stacked = tuple([result for result in results if result in wanted])
    added = tuple([result for result in results if result in terms and result not in wanted])
    return check_stages(Stages(step, before, tuple(during), tuple(after), stacked, added, replay))


def _around_cheap(eqns: Collection[Eqn]) -> tuple[set[Var], set[Var]]:
    """Return what depends on the cheap work of a step that runs once, and what such work needs.

    The last few operations after a product count as no work: they follow it after the loop.
    """
    work = {eqn: None for eqn in eqns if is_cheap(eqn) and eqn.primitive.kind is not OpKind.VIEW}
    recurrent = dependents(eqns, [result for eqn in work for result in eqn.results])
    for product in [eqn for eqn in eqns if not is_cheap(eqn) and _any(eqn.results, recurrent)]:
        reached = dependents(eqns, product.results)
        last = [eqn for eqn in work if _any(eqn.results, reached)]
        if len(last) <= FEW:
            for eqn in last:
                del work[eqn]
    needed = [result for eqn in work for result in eqn.results]
    return recurrent, {operand for eqn in live(eqns, needed) for operand in eqn.reads}


def find_terms(eqns: Collection[Eqn], step: Step, saved: Collection[Var]) -> tuple[set[Var], set[Eqn]]:
    """Return the elementwise or joined results whose time sums make those of `step`, and the equations that follow.

    Linear ones, such as a change of shape or a sum over the batch, can follow the time sum as well.
    """
    producer = {result: eqn for eqn in eqns for result in eqn.results}
    readers = Counter([operand for eqn in eqns for operand in set(eqn.reads)])
    readers.update([*{*step.carry_out, *step.ys, *saved}, *set(step.sums)])
    terms: set[Var] = set()
    finish: set[Eqn] = set()
    for var in dict.fromkeys(step.sums):
        at, found = var, []
        while at in producer and producer[at].primitive.linear and readers[at] == 1:
            found.append(producer[at])
            at = found[-1].operands[0]
        made = at in producer and producer[at].primitive.kind in {OpKind.ELEMENTWISE, OpKind.JOIN}
        if made and at.dtype.kind == "f":
            terms.add(at)
            finish.update(found)
    return terms, finish


def _without_late(during: list[Eqn], staying: set[Var], outputs: set[Var]) -> tuple[list[Eqn], list[Eqn]]:
    """Return the loop without the views, and the values not in `staying`, that only `after` reads; and these."""
    needed, stay, go = set(outputs), [], []
    for eqn in reversed(during):
        movable = eqn.primitive.kind is OpKind.VIEW or not _any(eqn.results, staying)
        if movable and not _any(eqn.results, needed):
            go.append(eqn)
        else:
            stay.append(eqn)
            needed.update(eqn.reads)
    return stay[::-1], go


def _any(variables: Collection[Var], among: Collection[Var]) -> bool:
    return any(var in among for var in variables)

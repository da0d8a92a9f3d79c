"""Every equation of a step to its one place: before, during or after the loop.

With R the values that depend on the carry and F those that the next carry needs::

    before = not R          done once for all times: x_t @ W becomes one product of [T*N, I] with [I, G]
    during = R and F        the loop
    after  = R and not F    done once on what the loop stacked: the gradients of weights, output projections

Only what is *heavy* is moved. A light operation (elementwise, a change of shape, a reduction over features) costs the
loop a few instructions on values that are in registers anyway, and outside of it a pass over memory: it goes to the
loop unless something heavy outside needs it or makes it. Measured on an LSTM of 64 x 64 x 256, hoisting the sums with
the bias instead costs 6 to 23 % (DESIGN.md, section 3).

A sum over time of such light values, the gradient of a vector, is taken where they are: the loop adds them up, row by
row, and what makes one vector of the rows' sums comes after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ...ops.primitive import OpKind
from ..ir.check import check_stages
from ..ir.step import Eqn, Stages, Step, Var, dependents, live


def is_light(eqn: Eqn) -> bool:
    """Return whether an equation works row by row with little to do, so that its place is in the loop."""
    if eqn.primitive.kind is OpKind.REDUCTION:
        crosses_rows = 0 in eqn.params["axes"] and eqn.result.ndim > 1
        return not crosses_rows
    return eqn.primitive.kind in {OpKind.ELEMENTWISE, OpKind.CAST, OpKind.VIEW, OpKind.JOIN}


def partition(step: Step, kept: Collection[Var] = ()) -> Stages:
    """Return the equations of `step` in three places, and what the loop has to stack.

    `kept` are further variables that must be there for all times: what the backward step reads.
    """
    eqns = live(step.eqns, (*step.outputs, *kept))
    summands, finish = find_summands(eqns, step, kept)
    recurrent = dependents(eqns, step.carry)
    feeding = {operand for eqn in live(eqns, step.carry_out) for operand in eqn.reads}.union(step.carry_out)

    varying = dependents(eqns, (*step.carry, *step.xs))
    free = [eqn for eqn in eqns if not _any(eqn.results, recurrent)]
    free = [eqn for eqn in free if eqn not in finish]
    apart = [eqn for eqn in free if not is_light(eqn) or not _any(eqn.results, varying)]
    before = live(free, [result for eqn in apart for result in eqn.results])
    placed = {result for eqn in before for result in eqn.results}
    late: set[Var] = set()
    during, after = [], []
    for eqn in eqns:
        if _any(eqn.results, placed):
            continue
        heavy = eqn in finish or not is_light(eqn) or _any(tuple(eqn.reads), late)
        if not _any(eqn.results, feeding) and heavy:
            after.append(eqn)
            late.update(eqn.results)
        else:
            during.append(eqn)
    during, moved = _without_late(during, recurrent, {*step.carry_out, *step.ys, *step.sums, *kept, *summands})
    after = [eqn for eqn in eqns if eqn in {*moved, *after}]
    wanted = {operand for eqn in after if eqn not in finish for operand in eqn.reads}.union(step.ys, kept)
    wanted.update(set(step.sums).difference(summands))
    results = [result for eqn in during for result in eqn.results]
    stacked = tuple([result for result in results if result in wanted])
    added = tuple([result for result in results if result in summands and result not in wanted])
    return check_stages(Stages(step, before, tuple(during), tuple(after), stacked, added))


def find_summands(eqns: Collection[Eqn], step: Step, kept: Collection[Var]) -> tuple[set[Var], set[Eqn]]:
    """Return the results, elementwise or joined, whose sums over time make those of `step`, and what follows them.

    A change of shape, or a sum over rows, is the same before the sum over time and after it.
    """
    producer = {result: eqn for eqn in eqns for result in eqn.results}
    readers = Counter([operand for eqn in eqns for operand in set(eqn.reads)])
    readers.update({*step.carry_out, *step.ys, *kept})
    readers.update(set(step.sums))
    summands: set[Var] = set()
    finish: set[Eqn] = set()
    for var in dict.fromkeys(step.sums):
        at, found = var, []
        while at in producer and producer[at].primitive.linear and readers[at] == 1:
            found.append(producer[at])
            at = found[-1].operands[0]
        made = at in producer and producer[at].primitive.kind in {OpKind.ELEMENTWISE, OpKind.JOIN}
        if made and at.dtype.kind == "f":
            summands.add(at)
            finish.update(found)
    return summands, finish


def _without_late(during: list[Eqn], recurrent: set[Var], outputs: set[Var]) -> tuple[list[Eqn], list[Eqn]]:
    """Return the loop without what only `after` reads and need not be computed in it: views, and what is not R."""
    needed, stay, go = set(outputs), [], []
    for eqn in reversed(during):
        movable = eqn.primitive.kind is OpKind.VIEW or not _any(eqn.results, recurrent)
        if movable and not _any(eqn.results, needed):
            go.append(eqn)
        else:
            stay.append(eqn)
            needed.update(eqn.reads)
    return stay[::-1], go


def _any(variables: Collection[Var], among: Collection[Var]) -> bool:
    return any(var in among for var in variables)

"""Every equation of a step to its one place: before, during or after the loop.

With R the values that depend on the carry and F those that the next carry needs::

    before = not R          done once for all times: x_t @ W becomes one product of [T*N, I] with [I, G]
    during = R and F        the loop
    after  = R and not F    done once on what the loop stacked: the gradients of weights, output projections

Only what is *heavy* is moved. A light operation (elementwise, a change of shape, a reduction over features) costs the
loop a few instructions on values that are in registers anyway, and outside of it a pass over memory: it goes to the
loop unless something heavy outside needs it or makes it. Measured on an LSTM of 64 x 64 x 256, hoisting the sums with
the bias instead costs 6 to 23 % (DESIGN.md, section 3).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .ir import Eqn, Stages, Step, Var, check_stages, dependents, live

VIEWS: Final = frozenset({"reshape", "permute_dims", "index", "split", "broadcast_to"})
"""Changes of shape that are only another way to find the same numbers."""
REDUCTIONS: Final = frozenset({"sum", "max", "min", "prod", "any", "all"})


def is_light(eqn: Eqn) -> bool:
    """Return whether an equation works row by row with little to do, so that its place is in the loop."""
    name = eqn.primitive.name
    if name in REDUCTIONS:
        crosses_rows = 0 in eqn.params["axes"] and eqn.result.ndim > 1
        return not crosses_rows
    return eqn.primitive.code is not None or name in VIEWS or name in {"concat", "astype"}


def partition(step: Step, kept: Collection[Var] = ()) -> Stages:
    """Return the equations of `step` in three places, and what the loop has to stack.

    `kept` are further variables that must be there for all times: what the backward step reads.
    """
    eqns = live(step.eqns, (*step.outputs, *kept))
    recurrent = dependents(eqns, step.carry)
    feeding = {operand for eqn in live(eqns, step.carry_out) for operand in eqn.reads}.union(step.carry_out)

    varying = dependents(eqns, (*step.carry, *step.xs))
    free = [eqn for eqn in eqns if not _any(eqn.results, recurrent)]
    apart = [eqn for eqn in free if not is_light(eqn) or not _any(eqn.results, varying)]
    before = live(free, [result for eqn in apart for result in eqn.results])
    placed = {result for eqn in before for result in eqn.results}
    late: set[Var] = set()
    during, after = [], []
    for eqn in eqns:
        if _any(eqn.results, placed):
            continue
        if not _any(eqn.results, feeding) and (not is_light(eqn) or _any(tuple(eqn.reads), late)):
            after.append(eqn)
            late.update(eqn.results)
        else:
            during.append(eqn)
    during, moved = _without_late(during, recurrent, {*step.carry_out, *step.ys, *step.sums, *kept})
    after = [eqn for eqn in eqns if eqn in {*moved, *after}]
    wanted = {operand for eqn in after for operand in eqn.reads}.union(step.ys, step.sums, kept)
    stacked = [result for eqn in during for result in eqn.results if result in wanted]
    return check_stages(Stages(step, before, tuple(during), tuple(after), tuple(stacked)))


def _without_late(during: list[Eqn], recurrent: set[Var], outputs: set[Var]) -> tuple[list[Eqn], list[Eqn]]:
    """Return the loop without what only `after` reads and need not be computed in it: views, and what is not R."""
    needed, stay, go = set(outputs), [], []
    for eqn in reversed(during):
        movable = eqn.primitive.name in VIEWS or not _any(eqn.results, recurrent)
        if movable and not _any(eqn.results, needed):
            go.append(eqn)
        else:
            stay.append(eqn)
            needed.update(eqn.reads)
    return stay[::-1], go


def _any(variables: Collection[Var], among: Collection[Var]) -> bool:
    return any(var in among for var in variables)

"""The order of a loop's work: phases, each of work per batch element and then of products with constant matrices.

    for each time:
        phase 0    for each batch element:  loop nest, loop nest, reduction ...     everything in the first cache
                   product  h @ W           the whole batch at once
        phase 1    for each batch element:  ...

A loop nest is a set of elementwise equations over the same axes: one loop, in which values stay in registers, and sums
along the last axes are added up on the way.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ...ops.linear import matmul
from ...ops.primitive import TABLE, OpKind
from ..ir.step import Eqn, Var, dependents, live
from .arrange import Loop, is_elementwise, is_layout

_sum = TABLE["sum"]


@dataclass(eq=False)
class LoopNest:
    """Elementwise equations over one set of axes, with results in registers, and sums over the last of them."""

    shape: tuple[int, ...]
    eqns: list[Eqn] = field(default_factory=list)
    registers: set[Var] = field(default_factory=set)

    def add(self, eqn: Eqn) -> None:
        self.eqns.append(eqn)
        if is_elementwise(eqn):
            self.registers.update(eqn.results)


# Work on one batch element: a loop nest, or a reduction, product or lookup by itself.
Item = LoopNest | Eqn


@dataclass(eq=False)
class Phase:
    """Work on each batch element, then products of the whole batch with constant matrices.

    Attributes
    ----------
    items, products
        The work, in order.
    fused
        Products that run block by block with the only item, a loop nest, and the first columns of the pieces that it
        reads (`fusion`).
    """

    items: list[Item] = field(default_factory=list)
    products: list[Eqn] = field(default_factory=list)
    fused: dict[Eqn, tuple[int, ...]] = field(default_factory=dict)


def eqns_of(item: Item) -> list[Eqn]:
    """Return the equations of an item."""
    return item.eqns if isinstance(item, LoopNest) else [item]


def schedule(loop: Loop, constants: Collection[Var]) -> list[Phase]:
    """Return the phases of one iteration; `constants` are the same at every time."""
    levels = _levels(loop)
    needed = set(live(loop.eqns, [*loop.carry_out, *[var for eqn in levels for var in eqn.reads]]))
    left = dict.fromkeys([eqn for eqn in loop.eqns if not _is_view_of_input(loop, eqn)])
    phases = [Phase()]
    for level in sorted(set(levels.values())):
        expensive = [eqn for eqn, at in levels.items() if at == level]
        products = [eqn for eqn in expensive if _is_product(loop, eqn, constants)]
        sums = [eqn for eqn in expensive if summed_from(loop, eqn) is not None or summed_down(loop, eqn)]
        wanted = [var for eqn in expensive for var in eqn.reads]
        if products:  # the operands, and results that depend on no expensive equation and are read by none
            waiting = dependents(left, [result for eqn in left if eqn in levels for result in eqn.results])
            wanted += [var for eqn in left if eqn not in needed for var in eqn.results if var not in waiting]
        phases[-1].items += _fuse(loop, [*_take(left, live(left, wanted)), *sums], left, needed)
        for eqn in expensive:
            del left[eqn]
        phases[-1].items += [eqn for eqn in expensive if eqn not in sums and eqn not in products]
        if products:
            phases[-1].products += products
            phases.append(Phase())
    phases[-1].items += _fuse(loop, _take(left, tuple(left)), left, needed)
    _rematerialise(loop, phases)
    return phases


def _is_view_of_input(loop: Loop, eqn: Eqn) -> bool:
    """Return whether an equation only says where parts of an input are, which is known from the start."""
    return eqn.primitive.kind is OpKind.VIEW and loop.root(eqn.results[0]) not in loop.producer


def _levels(loop: Loop) -> dict[Eqn, int]:
    """Return for each expensive equation the number of expensive ones before it on the longest path that leads to it.

    So each is done as early as possible. One that does not depend on the carry could always be done first, and is done
    where its result is read.
    """
    depth: dict[Var, int] = {}
    levels: dict[Eqn, int] = {}
    for eqn in loop.eqns:
        level = max([depth.get(var, 0) for var in eqn.reads], default=0)
        if not is_elementwise(eqn) and not is_layout(eqn):
            levels[eqn] = level
        depth.update(dict.fromkeys(eqn.results, level + (eqn in levels)))
    recurrent = dependents(loop.eqns, loop.carry)
    end = max(levels.values(), default=0) + 1
    latest: dict[Var, int] = {}
    for eqn in reversed(loop.eqns):
        level = min([latest.get(result, end) for result in eqn.results])
        if eqn in levels:
            if recurrent.isdisjoint(eqn.results):
                levels[eqn] = level - 1
            level = levels[eqn]
        latest.update({var: min(level, latest.get(var, end)) for var in eqn.reads})
    return levels


def _is_product(loop: Loop, eqn: Eqn, constants: Collection[Var]) -> bool:
    """Return whether an equation is the product of the whole batch with one matrix that is the same at every time."""
    if eqn.primitive is not matmul:  # all other products are lowered to it
        return False
    a, b = eqn.operands
    alike = a.dtype == b.dtype == eqn.result.dtype and a.dtype.kind == "f"
    return alike and b in constants and b.ndim == 2 and (a in loop.batched or not loop.batched)


def summed_from(loop: Loop, eqn: Eqn) -> int | None:
    """Return the first of the last feature axes that an equation sums over; None if it does anything else."""
    axes = _axes_of_sum(loop, eqn)
    if axes is None:
        return None
    shape = loop.features(eqn.operands[0])
    first = len(shape)
    while first and (first - 1 in axes or shape[first - 1] == 1):
        first -= 1
    return None if first == len(shape) or any(shape[axis] != 1 for axis in axes if axis < first) else first


def summed_down(loop: Loop, eqn: Eqn) -> tuple[int, ...]:
    """Return the feature axes that an equation sums over if the last one is not among them, as in a sum of rows."""
    axes = _axes_of_sum(loop, eqn)
    if axes is None:
        return ()
    shape = loop.features(eqn.operands[0])
    if not shape or shape[-1] == 1 or len(shape) - 1 in axes:
        return ()
    return tuple([axis for axis in sorted(axes) if shape[axis] != 1])


def _axes_of_sum(loop: Loop, eqn: Eqn) -> set[int] | None:
    """Return the feature axes that an equation sums floats over; None if it does anything else."""
    # Of all reductions only sums: `kernels.reduce` adds across a vector register.
    if eqn.primitive is not _sum or eqn.result.dtype.kind != "f":
        return None
    operand = eqn.operands[0]
    if operand.dtype != eqn.result.dtype:
        return None
    return {axis - (operand in loop.batched) for axis in eqn.params["axes"]}


def _take(left: dict[Eqn, None], eqns: Iterable[Eqn]) -> list[Eqn]:
    """Remove the elementwise and layout equations among `eqns` from `left` and return them."""
    taken = [eqn for eqn in eqns if eqn in left and (is_elementwise(eqn) or is_layout(eqn))]
    for eqn in taken:
        del left[eqn]
    return taken


def _fuse(loop: Loop, eqns: list[Eqn], later: dict[Eqn, None], needed: Collection[Eqn]) -> list[LoopNest]:
    """Return the elementwise equations and sums among `eqns` in loop nests, as few as a greedy choice finds.

    Of those that can come next the smallest one does: equations over a matrix wait for all that can share a pass with
    them.
    """
    pending = {result for eqn in (*eqns, *later) for result in eqn.results}
    nests: list[LoopNest] = []
    while eqns:
        for eqn in tuple(eqns):
            if is_layout(eqn) and pending.isdisjoint(eqn.reads):
                eqns.remove(eqn)
                pending.difference_update(eqn.results)
        ready = [_shape_of(loop, eqn) for eqn in eqns if not is_layout(eqn) and pending.isdisjoint(eqn.reads)]
        if not ready:
            continue
        nests.append(nest := LoopNest(min(ready, key=math.prod)))
        progress = True
        while progress:
            progress = False
            for eqn in tuple(eqns):
                blocked = any(var in pending and var not in nest.registers for var in eqn.reads)
                if not blocked and not is_layout(eqn) and _shape_of(loop, eqn) == nest.shape:
                    eqns.remove(eqn)
                    nest.add(eqn)
                    progress = True
            if not progress:
                progress = _join(loop, nest, pending, later, needed)
        pending.difference_update([eqn.result for eqn in nest.eqns])
    return nests


def _shape_of(loop: Loop, eqn: Eqn) -> tuple[int, ...]:
    """Return the axes that an elementwise equation, or a sum, loops over."""
    return loop.features(eqn.result if is_elementwise(eqn) else eqn.operands[0])


def _join(loop: Loop, nest: LoopNest, pending: set[Var], later: dict[Eqn, None], needed: Collection[Eqn]) -> bool:
    """Move an equation to `nest` that is not needed yet but reads what is in registers there.

    One that is needed later waits if its operands have to be loaded anyway: its result would have to be loaded as well.
    """
    loaded = {var for eqn in nest.eqns for var in eqn.reads}
    for eqn in later:
        if (
            is_elementwise(eqn)
            and loop.features(eqn.result) == nest.shape
            and any(var in nest.registers or (var in loaded and eqn not in needed) for var in eqn.reads)
            and not any(var in pending and var not in nest.registers for var in eqn.reads)
        ):
            nest.add(eqn)
            del later[eqn]
            return True
    return False


def _rematerialise(loop: Loop, phases: list[Phase]) -> None:
    """Let loop nests recompute what an earlier one would store for them, if it takes a few instructions.

    That replaces a load by one or two, and saves the store.
    """
    elementwise = {result for eqn in loop.eqns if is_elementwise(eqn) for result in eqn.results}
    stored = {*loop.carry_out, *loop.time_sums_out, *loop.saved}
    stored.update([var for eqn in loop.eqns if not is_elementwise(eqn) for var in eqn.reads])
    for phase in phases:
        nests = [item for item in phase.items if isinstance(item, LoopNest)]
        for number, nest in enumerate(nests):
            for eqn in nest.eqns:
                if not eqn.primitive.cheap or eqn.result in stored or loop.is_scalar(eqn.result):
                    continue
                if all(var in stored or var not in elementwise or loop.is_scalar(var) for var in eqn.reads):
                    for later in nests[number + 1 :]:
                        if eqn not in later.eqns and any(eqn.result in other.reads for other in later.eqns):
                            later.eqns.insert(0, eqn)

"""The order of a loop's work: stretches of work on one row after the other, between products with constant matrices.

    for each time:
        rows     for each row:  nest, nest, reduction, nest ...     everything in the first cache
        product  h @ W          all rows at once
        rows     ...

A *nest* is a set of elementwise equations over the same axes: one loop, in which values stay in registers, and sums
along the last axes are added up on the way.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ...ops.linear import matmul
from ...ops.primitive import TABLE, OpKind
from ..ir.step import Eqn, Var, dependents, live
from .arrange import Loop, is_elementwise

_sum = TABLE["sum"]


@dataclass(eq=False)
class Nest:
    """Elementwise equations over one set of axes, and sums over the last of them."""

    shape: tuple[int, ...]
    eqns: list[Eqn] = field(default_factory=list)


# What a row does in turn: a nest, or a reduction or product of its own.
Item = Nest | Eqn


@dataclass(eq=False)
class Stretch:
    """Work on each row by itself, then products of all rows with constant matrices."""

    items: list[Item] = field(default_factory=list)
    products: list[Eqn] = field(default_factory=list)


def is_placed(eqn: Eqn) -> bool:
    """Return whether an equation only says where something is."""
    return eqn.primitive.kind in {OpKind.VIEW, OpKind.JOIN}


def schedule(loop: Loop, rows: Collection[Var], constants: Collection[Var]) -> list[Stretch]:
    """Return the stretches of one turn of the loop."""
    levels = _levels(loop)
    needed = set(live(loop.eqns, [*loop.carry_out, *[var for eqn in levels for var in eqn.reads]]))
    left = dict.fromkeys(loop.eqns)
    stretches = [Stretch()]
    for level in sorted(set(levels.values())):
        heavy = [eqn for eqn, at in levels.items() if at == level]
        products = [eqn for eqn in heavy if is_product(eqn, rows, constants)]
        sums = [eqn for eqn in heavy if summed_from(eqn, rows) is not None]
        wanted = [var for eqn in heavy for var in eqn.reads]
        if products:  # what they wait for, and what waits for nothing and is waited for by nothing
            waiting = dependents(left, [result for eqn in left if eqn in levels for result in eqn.results])
            wanted += [var for eqn in left if eqn not in needed for var in eqn.results if var not in waiting]
        stretches[-1].items += _nests([*_take(left, live(left, wanted)), *sums], rows, left, needed)
        for eqn in heavy:
            del left[eqn]
        stretches[-1].items += [eqn for eqn in heavy if eqn not in sums and eqn not in products]
        if products:
            stretches[-1].products += products
            stretches.append(Stretch())
    stretches[-1].items += _nests(_take(left, tuple(left)), rows, left, needed)
    _repeat(loop, stretches, rows)
    return stretches


def _levels(loop: Loop) -> dict[Eqn, int]:
    """Return for each equation with work of its own after how many others, one waiting for the next, it is done.

    That is as soon as can be; but what does not depend on the carry, and so reads what has always been there, is done
    where it is wanted.
    """
    depth: dict[Var, int] = {}
    levels: dict[Eqn, int] = {}
    for eqn in loop.eqns:
        level = max([depth.get(var, 0) for var in eqn.reads], default=0)
        if not is_elementwise(eqn) and not is_placed(eqn):
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


def is_product(eqn: Eqn, rows: Collection[Var], constants: Collection[Var]) -> bool:
    """Return whether an equation is the product of all rows with one matrix that is the same at every time."""
    if eqn.primitive is not matmul:  # all other products are made of it
        return False
    a, b = eqn.operands
    alike = a.dtype == b.dtype == eqn.result.dtype and a.dtype.kind == "f"
    return alike and b in constants and b.ndim == 2 and (a in rows or not rows)


def _take(left: dict[Eqn, None], eqns: Iterable[Eqn]) -> list[Eqn]:
    taken = [eqn for eqn in eqns if eqn in left and (is_elementwise(eqn) or is_placed(eqn))]
    for eqn in taken:
        del left[eqn]
    return taken


def features(var: Var, rows: Collection[Var]) -> tuple[int, ...]:
    """Return the shape of one row of `var`."""
    return var.shape[1:] if var in rows else var.shape


def has_reductions(loop: Loop) -> bool:
    """Return whether an axis of size 1 is what a reduction leaves, which gets no loop.

    Elsewhere it is a size like any other, so that code for all sizes serves 1 too.
    """
    return any(eqn.primitive.kind is OpKind.REDUCTION for eqn in loop.eqns)


def summed_from(eqn: Eqn, rows: Collection[Var]) -> int | None:
    """Return the first of the last axes of a row that an equation sums over; None if it does anything else."""
    operand = eqn.operands[0]
    # Of all reductions only sums: `kernels.reduce` adds across a vector register.
    if eqn.primitive is not _sum or eqn.result.dtype.kind != "f" or operand.dtype != eqn.result.dtype:
        return None
    shape = features(operand, rows)
    axes = {axis - (operand in rows) for axis in eqn.params["axes"]}
    first = len(shape)
    while first and (first - 1 in axes or shape[first - 1] == 1):
        first -= 1
    return None if first == len(shape) or any(shape[axis] != 1 for axis in axes if axis < first) else first


def _shape(eqn: Eqn, rows: Collection[Var]) -> tuple[int, ...]:
    """Return the shape of the nest that an equation fits in."""
    return features(eqn.result if is_elementwise(eqn) else eqn.operands[0], rows)


def _nests(eqns: list[Eqn], rows: Collection[Var], later: dict[Eqn, None], needed: Collection[Eqn]) -> list[Nest]:
    """Return the elementwise ones and sums among `eqns` in as few nests as a greedy choice finds."""
    pending = {result for eqn in (*eqns, *later) for result in eqn.results}
    nests: list[Nest] = []
    while eqns:
        nest: Nest | None = None
        inside: set[Var] = set()
        progress = True
        while progress:
            progress = False
            for eqn in tuple(eqns):
                ready = not any(var in pending and var not in inside for var in eqn.reads)
                if is_placed(eqn):
                    ready = not any(var in pending for var in eqn.reads)
                elif nest is not None:
                    ready = ready and nest.shape == _shape(eqn, rows)
                if not ready:
                    continue
                eqns.remove(eqn)
                progress = True
                if is_placed(eqn):
                    pending.difference_update(eqn.results)
                    continue
                if nest is None:
                    nest = Nest(_shape(eqn, rows))
                    nests.append(nest)
                nest.eqns.append(eqn)
                if is_elementwise(eqn):
                    inside.update(eqn.results)
            if nest is not None and not progress:
                progress = _join(nest, inside, pending, later, rows, needed)
        if nest is not None:
            pending.difference_update([eqn.result for eqn in nest.eqns])
    return nests


def _join(
    nest: Nest,
    inside: set[Var],
    pending: Collection[Var],
    later: dict[Eqn, None],
    rows: Collection[Var],
    needed: Collection[Eqn],
) -> bool:
    """Move an equation to `nest` that is not needed yet but reads what is in registers there.

    What is needed later waits if its operands have to be loaded anyway: a result would have to be loaded as well.
    """
    loaded = {var for eqn in nest.eqns for var in eqn.reads}
    for eqn in later:
        if (
            is_elementwise(eqn)
            and features(eqn.result, rows) == nest.shape
            and any(var in inside or (var in loaded and eqn not in needed) for var in eqn.reads)
            and not any(var in pending and var not in inside for var in eqn.reads)
        ):
            nest.eqns.append(eqn)
            inside.update(eqn.results)
            del later[eqn]
            return True
    return False


def _repeat(loop: Loop, stretches: list[Stretch], rows: Collection[Var]) -> None:
    """Let nests compute again what another makes for them by a few instructions from what lies in memory.

    That is a load in place of a load, or two, and no store.
    """
    narrow = has_reductions(loop)
    made = {result for eqn in loop.eqns if is_elementwise(eqn) for result in eqn.results}
    single = {var for var in made if narrow and math.prod(features(var, rows)) == 1}
    stored = {*loop.carry_out, *loop.totals_out, *loop.kept}
    stored.update([var for eqn in loop.eqns if not is_elementwise(eqn) for var in eqn.reads])
    for stretch in stretches:
        nests = [item for item in stretch.items if isinstance(item, Nest)]
        for number, nest in enumerate(nests):
            for eqn in nest.eqns:
                if not eqn.primitive.cheap or eqn.result in stored or eqn.result in single:
                    continue
                if all(var in stored or var not in made or var in single for var in eqn.reads):
                    for later in nests[number + 1 :]:
                        if eqn not in later.eqns and any(eqn.result in other.reads for other in later.eqns):
                            later.eqns.insert(0, eqn)

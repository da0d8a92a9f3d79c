"""Fuse products with the loop nests that are their only readers: both run block by block, and the sums stay in a cache.

    for each block of units:             some columns of every gate, packed side by side
        for each tile of rows:
            product  h @ U               of this block of columns, into a scratch of a few KB
            loop nest                    on these units of these rows

A product qualifies if loop nests over one axis are all that reads it, and each reads its own *pieces*: adjacent
columns, as many as the loop nest is long. The four gates of an LSTM are four pieces.

Every element adds the same products in the same order as in a product by itself, so fusion does not change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Final, NamedTuple, TypeGuard

from ...base import settings
from ...kernels.gemm.tile import PANEL_BYTES, ROWS
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..ir.check import check_stages
from ..ir.step import Eqn, Stages, Var, dependents
from .arrange import Loop, arrange, is_elementwise
from .batch_axis import with_batch_axis
from .layout import Buffer, CopyNeededError, Layout, contiguous, view
from .schedule import Item, LoopNest, Phase, eqns_of, schedule

FEW_ROWS: Final = 8
"""With fewer rows one product for all times, before the loop, is faster than one per time in it."""
BYTES_PER_ROW: Final = 2**16
"""So it is with a larger matrix per row, which passes through the second cache at every time."""
LANES: Final = 16
"""Units that a loop nest runs on at once."""
SCRATCH_BYTES: Final = 2**14
"""Roughly the bytes of the sums of one tile: half of the first cache."""


class Blocks(NamedTuple):
    """How a fused loop nest is cut: units per block, so that columns fill panels, and the rows of a tile at most."""

    units: int
    rows: int


class Packing(NamedTuple):
    """How a constant matrix of the loop is packed: all its columns, or by block the columns of each piece.

    Attributes
    ----------
    weight
        The matrix.
    starts
        The first columns of the pieces.
    length, block
        The columns of a piece, and how many of them are in a block.
    precision
        That of the product.
    """

    weight: Var
    starts: tuple[int, ...]
    length: int
    block: int
    precision: str = "float32"


def fuse_products(loop: Loop, phases: list[Phase]) -> list[Phase]:
    """Return `phases` with a phase of its own for each loop nest that products are fused with."""
    fused = _fusable(loop, phases)
    gone = {eqn for products in fused.values() for eqn in products}
    found: list[Phase] = []
    for phase in phases:
        items: list[Item] = []
        for item in phase.items:
            if item in fused:
                found += [Phase(items), Phase([item], fused=fused[item])]
                items = []
            else:
                items.append(item)
        found.append(Phase(items, [eqn for eqn in phase.products if eqn not in gone]))
    return [phase for phase in found if phase.items or phase.products]


def products_inside(stages: Stages) -> Stages:
    """Return `stages` with the products before the loop that can be fused with a loop nest moved into it.

    Their results then stay in the cache, and need no memory over time. A loop without a product of its own stays so.
    """
    step = stages.step
    varying = dependents(stages.before, step.xs).union(step.xs)
    others = {*stages.saved, *[var for eqn in (*stages.before, *stages.after) for var in eqn.reads]}
    moved = {
        eqn.result: eqn
        for eqn in stages.before
        if eqn.primitive is matmul and eqn.result not in others and _moves(eqn, varying)
    }
    if not moved:
        return stages
    constants = {*step.consts, *[var for eqn in stages.before for var in eqn.results]} - varying

    def inside() -> Stages:
        before = tuple([eqn for eqn in stages.before if eqn.results[0] not in moved])
        return replace(stages, before=before, during=(*moved.values(), *stages.during))

    loop = with_batch_axis(arrange(inside()))
    phases = fuse_products(loop, schedule(loop, constants))
    inputs = {loop.renamed.get(var, var): var for var in moved}
    recurrent = [eqn for phase in phases for eqn in (*phase.products, *phase.fused) if eqn.result not in inputs]
    for var in inputs.keys() - {eqn.result for phase in phases if recurrent for eqn in phase.fused}:
        del moved[inputs[var]]
    return check_stages(inside()) if moved else stages


def _moves(eqn: Eqn, varying: Collection[Var]) -> bool:
    a, b = eqn.operands
    if a not in varying or b in varying or not a.ndim == b.ndim == 2:
        return False
    N, nbytes = a.shape[0], math.prod(b.shape) * b.dtype.itemsize
    return N >= FEW_ROWS and nbytes <= N * BYTES_PER_ROW


def blocks_of(loop: Loop, phase: Phase) -> Blocks:
    """Return how a fused phase is cut: few rows take wide blocks, and each thread as many."""
    nest = phase.items[0]
    assert isinstance(nest, LoopNest)
    (H,) = nest.shape
    pieces = sum(map(len, phase.fused.values()))
    itemsize = next(iter(phase.fused)).result.dtype.itemsize
    rows = min(loop.batch_size, 4 * ROWS)
    panel = PANEL_BYTES // itemsize
    units = max(1, SCRATCH_BYTES // (rows * pieces * itemsize * panel)) * panel
    whole = math.lcm(LANES, *[panel // math.gcd(panel, len(starts)) for starts in phase.fused.values()])
    threads = settings.cores()
    count = -(-H // (units * threads)) * threads
    return Blocks(min(H, -(-H // (count * whole)) * whole), rows)


def _fusable(loop: Loop, phases: list[Phase]) -> dict[Item, dict[Eqn, tuple[int, ...]]]:
    """Return for each loop nest the products to fuse with it, with the first columns of the pieces that it reads."""
    readers: dict[Var, dict[Item, None]] = {}
    for item in [item for phase in phases for item in (*phase.items, *phase.products)]:
        for var in [var for eqn in eqns_of(item) for var in eqn.reads]:
            readers.setdefault(var, {})[item] = None
    leaving = {*loop.saved, *loop.carry_out}
    leaving.update([var for eqn in loop.eqns if eqn.primitive.kind is OpKind.JOIN for var in eqn.reads])
    found: dict[Item, dict[Eqn, tuple[int, ...]]] = {}
    for product in [eqn for phase in phases for eqn in phase.products]:
        pieces = _pieces(loop, product) if loop.batched else {}
        starts: dict[Item, set[int]] = {}
        for var, layout in pieces.items():
            for item in readers.get(var, ()):
                fits = _has_blocks(item) and layout.strides == (1,) and loop.features(var) == item.shape
                starts.setdefault(item if fits else product, set()).add(layout.offset)
        if starts and product not in starts and leaving.isdisjoint(pieces):
            for item, columns in starts.items():
                found.setdefault(item, {})[product] = tuple(sorted(columns))
    return found


def _has_blocks(item: Item) -> TypeGuard[LoopNest]:
    """Return whether an item can run on some of its units at a time: it adds nothing up, and has one axis."""
    return isinstance(item, LoopNest) and len(item.shape) == 1 and all(map(is_elementwise, item.eqns))


def _pieces(loop: Loop, product: Eqn) -> dict[Var, Layout]:
    """Return the layouts of the result of a product and of all views of it; none if one of them needs a copy."""
    if len(loop.features(product.result)) != 1:
        return {}
    layouts = {product.result: contiguous(Buffer("block", product.result, True))}
    try:
        for eqn in loop.eqns:
            if eqn.primitive.kind is OpKind.VIEW and eqn.operands[0] in layouts:
                layouts |= view(loop, eqn, layouts[eqn.operands[0]])
    except CopyNeededError:
        return {}
    return layouts

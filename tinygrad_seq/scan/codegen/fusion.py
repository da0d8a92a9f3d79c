"""Fuse products with the loop nests that are their only readers: both run block by block, and the sums stay in a cache.

    for each block of units:             some columns of every gate, packed side by side
        for each tile of rows:
            product  h @ U               of this block of columns, into a scratch of a few KB
            loop nest                    on these units of these rows

A product qualifies if loop nests over one axis are all that reads it, and each reads its own *pieces*: adjacent
columns, as many as the loop nest is long. The four gates of an LSTM are four pieces.

Every element adds the same products in the same order as in a product by itself: fusion changes no bit of a product.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from ...base import settings
from ...kernels.gemm.tile import PANEL_BYTES, ROWS
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..ir.check import check_stages
from ..ir.step import Eqn, Stages, Var, dependents
from .arrange import Loop, arrange, is_elementwise
from .batch_axis import with_batch_axis
from .layout import Buffer, CopyNeededError, contiguous, view
from .schedule import Item, LoopNest, Phase, eqns_of, schedule

FEW_ROWS: Final = 8
"""With fewer rows one product for all times, before the loop, is faster than one per time in it."""
BYTES_PER_ROW: Final = 2**16
"""So it is with a larger matrix per row, which passes through the second cache at every time."""
BLOCK_BYTES: Final = 512
"""Most bytes of a block of units in each piece. With 256 an LSTM of 64 x 64 x 256 is 2 % slower."""
TILE_ROWS: Final = 12 * ROWS
"""Most rows of a tile: its sums stay in the second cache. Fewer, for the first cache, make no difference."""
SHARED_ROWS: Final = 5 * ROWS
"""With as many rows, threads share the rows; with fewer there are as many blocks for each of them."""
LANES: Final = 16
"""Units that a loop nest runs on at once."""


class Blocks(NamedTuple):
    """How a fused loop nest is cut.

    Attributes
    ----------
    length, units
        All units, and those of a block: whole panels in all blocks but the last one.
    rows
        Most rows of a tile.
    """

    length: int
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
    fused: dict[Item, dict[Eqn, tuple[int, ...]]] = {}
    for product, readers in find_readers(loop, phases).items():
        if not isinstance(readers, str):
            for nest, columns in readers.items():
                fused.setdefault(nest, {})[product] = columns
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


def find_readers(loop: Loop, phases: list[Phase]) -> dict[Eqn, dict[LoopNest, tuple[int, ...]] | str]:
    """Return for each product the loop nests to fuse it with and the first columns of their pieces, or why not."""
    readers: dict[Var, dict[Item, None]] = {}
    for item in [item for phase in phases for item in (*phase.items, *phase.products)]:
        for var in [var for eqn in eqns_of(item) for var in eqn.reads]:
            readers.setdefault(var, {})[item] = None
    leaving = {*loop.carry_out, *loop.saved}
    leaving.update([var for eqn in loop.eqns if eqn.primitive.kind is OpKind.JOIN for var in eqn.reads])
    return {product: _readers(loop, product, readers, leaving) for phase in phases for product in phase.products}


def _readers(
    loop: Loop, product: Eqn, readers: Mapping[Var, Collection[Item]], leaving: set[Var]
) -> dict[LoopNest, tuple[int, ...]] | str:
    if not product.result.shape[-1]:
        return "it has no columns"
    if not loop.batched or len(loop.features(product.result)) != 1:
        return "it has no batch axis, or more than one other axis"
    pieces = {product.result: contiguous(Buffer("block", product.result, True))}
    try:
        for eqn in loop.eqns:
            if eqn.primitive.kind is OpKind.VIEW and eqn.operands[0] in pieces:
                pieces |= view(loop, eqn, pieces[eqn.operands[0]])
    except CopyNeededError:
        return "it is read in another order"
    if not leaving.isdisjoint(pieces):
        return "it is a carry, is saved, or is part of another array"
    found: dict[LoopNest, set[int]] = {}
    for var, layout in pieces.items():
        for item in readers.get(var, ()):
            if not isinstance(item, LoopNest) or not all(map(is_elementwise, item.eqns)):
                return "what reads it adds up over its elements, or multiplies"
            if loop.features(var) != item.shape or layout.strides != (1,):
                return "what reads it does not read whole pieces, in order"
            found.setdefault(item, set()).add(layout.offset)
    return {nest: tuple(sorted(columns)) for nest, columns in found.items()} or "nothing reads it"


def products_inside(stages: Stages, read_later: Collection[Var] = ()) -> Stages:
    """Return `stages` with the products before the loop that can be fused with a loop nest moved into it.

    Their results then stay in the cache, and need no memory over time, so outputs and what is among `read_later` are
    not moved. A loop without a product of its own stays so.
    """
    step = stages.step
    varying = dependents(stages.before, step.xs).union(step.xs)
    others = {*step.outputs, *read_later, *stages.saved}
    others.update([var for eqn in (*stages.before, *stages.after) for var in eqn.reads])
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
    """Return whether a product of an input pays in the loop, once per time."""
    a, b = eqn.operands
    if a not in varying or b in varying or not a.ndim == b.ndim == 2:
        return False
    N, nbytes = a.shape[0], math.prod(b.shape) * b.dtype.itemsize
    return bool(FEW_ROWS <= N and nbytes <= N * BYTES_PER_ROW)


def blocks_of(loop: Loop, phase: Phase) -> Blocks:
    """Return how a fused phase is cut."""
    (nest,) = phase.items
    assert isinstance(nest, LoopNest)
    (length,), whole = nest.shape, LANES
    for product, starts in phase.fused.items():
        panel = PANEL_BYTES // product.result.dtype.itemsize
        whole = math.lcm(whole, panel // math.gcd(panel, len(starts)))
    itemsize = max(product.result.dtype.itemsize for product in phase.fused)
    threads = settings.cores() if loop.batch_size < SHARED_ROWS else 1
    count = -(-length // (BLOCK_BYTES // itemsize * threads)) * threads
    return Blocks(length, min(length, -(-length // (count * whole)) * whole), min(loop.batch_size, TILE_ROWS))

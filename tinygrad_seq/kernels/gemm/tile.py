"""The register tile and the product made of tiles: the inner loops of every matrix product.

A tile keeps ROWS x VECTORS registers of sums while it runs along K, one step of B at a time:

    sums[r, v] += spread(a[r, k]) * b[k, v]

If C has at most half as many columns, the tile is half as wide. One row has too few sums to hide the latency of the
multiply-add, so its tile covers several panels.

The sum of one element starts at zero or at the value in C and adds its products in the order of k, whatever else is in
the tile: results do not depend on how rows, columns or K are split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.extending import intrinsic

from ..jit import kernel
from ..llvm import shared
from ..llvm.address import matrix
from ..llvm.simd import REGISTERS
from .formats import FORMATS, Real

VECTORS = REGISTERS.number // 8
"""Vectors in a row of the tile."""
ROWS = (REGISTERS.number - VECTORS - 1) // VECTORS
"""Rows of the tile: the sums fill the registers not used by one row of B and one element of A."""
PANEL_BYTES = VECTORS * REGISTERS.width
"""Bytes of C in a row of the tile: its columns are ``PANEL_BYTES // itemsize``."""
CHAINS = 8
"""Sums in turn that hide the latency of a multiply-add: four cycles, two per cycle."""
AHEAD = 32
"""How many steps ahead B and the next panel are prefetched."""
DIRECT_ROWS = 2
"""Up to this many rows nothing is prefetched: B is read once, as fast as the hardware fetches it."""
DEPTH_BYTES = 1536
"""Maximum bytes of one row of A in a block: ROWS rows stay in the L1 cache while panels stream through."""
BAND_ROWS = 30 * ROWS
"""Maximum rows of A in a block: they stay in the L2 cache."""
_AT_ONCE = (1, *[max(1, CHAINS // (rows * VECTORS)) for rows in range(1, ROWS + 2)])
"""Panels in a tile of n rows."""


class Operands(NamedTuple):
    """A product for `multiply_at`: addresses, sizes, and strides in bytes.

    Panel p of B starts at ``b + p * b_panel`` and serves PANEL_BYTES of a row of C; `c_bytes` is the length of such a
    row. A block of K has at most `depth` steps.
    """

    a: Any
    a_row: Any
    a_step: Any
    rows: Any
    b: Any
    b_panel: Any
    b_step: Any
    steps: Any
    c: Any
    c_row: Any
    c_bytes: Any
    accumulate: Any
    depth: Any


def multiply_at(context: Any, builder: Any, dtype: Any, operands: Sequence[Any]) -> None:
    """Emit the call of `shared_multiply` with `operands`, in the format of `dtype`; call `ready` before."""
    shared.call(context, builder, "multiply", dtype, operands)


def ready(dtype: Any) -> None:
    """Make `multiply_at` available to kernels in the format of `dtype`."""
    shared.publish("multiply", shared_multiply, len(Operands._fields), from_dtype(np.dtype(dtype)))


@kernel
def shared_multiply(a, a_row, a_step, rows, b, b_panel, b_step, steps, c, c_row, c_bytes, accumulate, depth, like):  # type: ignore[no-untyped-def]
    """Multiply block by block: all tiles of each panel in turn, with rows split evenly; arguments as in `Operands`."""
    if steps == 0:
        if accumulate == 0:
            matrix(c, rows, c_bytes, c_row, 1, np.uint8(0))[:] = 0
        return
    panels = -(-c_bytes // PANEL_BYTES)
    wide = _AT_ONCE[min(rows, ROWS + 1)]
    blocks = -(-steps * min(rows, ROWS) // (depth * ROWS))
    bands = -(-rows // BAND_ROWS)
    for n in range(blocks):
        k0, k1 = n * steps // blocks, (n + 1) * steps // blocks
        more = accumulate if n == 0 else 1
        for m in range(bands):
            i0, i1 = m * rows // bands, (m + 1) * rows // bands
            tiles = -(-(i1 - i0) // ROWS)
            p = 0
            while p < panels:
                count = wide if p + wide <= panels else 1
                right = b + p * b_panel + k0 * b_step, b_panel, b_step, k1 - k0
                for t in range(tiles):
                    i, j = i0 + t * (i1 - i0) // tiles, i0 + (t + 1) * (i1 - i0) // tiles
                    left = a + i * a_row + k0 * a_step, a_row, a_step, j - i
                    target = c + i * c_row + p * PANEL_BYTES, c_row, c_bytes - p * PANEL_BYTES
                    _tile(*left, *right, *target, more, count, like)
                p += count


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _tile(typing, a, a_row, a_step, rows, b, b_panel, b_step, steps, c, c_row, c_bytes, accumulate, count, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Compute one tile: `Operands`, but up to ROWS rows, and `count` panels in place of the depth."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        *operands, count, _ = values
        at = Operands._make((*operands, None))
        address, number = ir.IntType(8).as_pointer(), at.steps.type
        a, b, c = (builder.inttoptr(x, address) for x in (at.a, at.b, at.c))
        at = at._replace(a=a, b=b, c=c, accumulate=builder.icmp_signed("!=", at.accumulate, number(0)))
        shapes = [(r, w * VECTORS // 2) for w in (1, 2) for r in range(1, ROWS + 1)]
        shapes += [(r, w * VECTORS) for r, w in enumerate(_AT_ONCE) if w > 1]
        half = builder.icmp_signed("<=", at.c_bytes, number(PANEL_BYTES // 2))
        vectors = builder.mul(count, builder.select(half, number(VECTORS // 2), number(VECTORS)))
        end = builder.append_basic_block("end")
        choice = builder.switch(builder.add(builder.mul(vectors, number(ROWS + 1)), at.rows), end)
        for rows, width in shapes:
            block = builder.append_basic_block(f"tile{rows}x{width}")
            choice.add_case(number(width * (ROWS + 1) + rows), block)
            builder.position_at_end(block)
            _write_tile(FORMATS[like](builder, like), at, rows, width)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 13, like), generate


def _write_tile(form: Real, at: Operands, rows: int, vectors: int) -> None:
    """Emit a tile of `rows` x `vectors`: initialise the sums, add along K, store; masks select columns within C."""
    writer = form.writer
    builder, number, width = writer.builder, at.steps.type, REGISTERS.width
    grid = [(r, v) for r in range(rows) for v in range(vectors)]
    places = [writer.move(at.c, (number(r), at.c_row), (number(v), number(width))) for r, v in grid]
    full = builder.icmp_signed(">=", at.c_bytes, number(vectors * width))
    load, load_full, load_tail, loop, store, store_full, store_tail, end = (
        builder.append_basic_block(name)
        for name in ("load", "load_full", "load_tail", "loop", "store", "store_full", "store_tail", "stored")
    )

    def masks() -> list[Any]:
        columns = builder.sdiv(at.c_bytes, number(writer.size))
        return [writer.below(columns, v * writer.lanes) for v in range(vectors)]

    below = writer.move(at.c, (number(rows), at.c_row))
    starts = {builder.block: [form.zero] * len(grid)}
    builder.cbranch(at.accumulate if form.accumulates else ir.Constant(ir.IntType(1), 0), load, loop)
    builder.position_at_end(load)
    builder.cbranch(full, load_full, load_tail)
    for block, tail in ((load_full, False), (load_tail, True)):
        builder.position_at_end(block)
        use = masks() if tail else [None] * vectors
        values = [writer.load(place, use[v]) for place, (_, v) in zip(places, grid, strict=True)]
        starts[block] = values if form.accumulates else [form.zero] * len(grid)
        builder.branch(loop)

    builder.position_at_end(loop)
    k, a, b, line = builder.phi(number), *[builder.phi(at.a.type) for _ in range(3)]
    sums = [builder.phi(form.zero.type) for _ in grid]
    for block, values in starts.items():
        for phi, value in zip((k, a, b, line, *sums), (number(0), at.a, at.b, below, *values), strict=True):
            phi.add_incoming(value, block)
    panels = [divmod(v, VECTORS) for v in range(vectors)]  # panel and vector in it
    entries = [writer.move(b, (number(p), at.b_panel), (number(v), number(form.entry_bytes))) for p, v in panels]
    if rows > DIRECT_ROWS:
        for entry in entries:
            writer.prefetch(writer.move(entry, (number(AHEAD), at.b_step)))
        following_line = _ask_for_line(writer, line, k, at.c_row, rows, vectors)
    else:
        following_line = line
    row_of_b: list[Any] = []
    added: list[Any] = []
    for r in range(rows):
        writer.fence()  # otherwise LLVM hoists loads until it runs out of registers and spills all sums
        a_of_row = form.spread(writer.move(a, (number(r), at.a_row)))
        row_of_b = row_of_b or [form.load(entry) for entry in entries]
        added += [form.multiply_add(a_of_row, row_of_b[v], sums[r * vectors + v]) for v in range(vectors)]
    following = (
        builder.add(k, number(1)),
        builder.gep(a, [at.a_step]),
        builder.gep(b, [at.b_step]),
        following_line,
        *added,
    )
    for phi, value in zip((k, a, b, line, *sums), following, strict=True):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], at.steps), loop, store)

    builder.position_at_end(store)
    end_of_b = writer.move(at.b, (at.steps, at.b_step))
    footers = [writer.move(end_of_b, (number(p), at.b_panel), (number(v), number(width))) for p, v in panels]
    tops = [writer.move(at.a, (number(r), at.a_row)) for r in range(rows)]
    added = [form.finish(value, tops[r], footers[v]) for value, (r, v) in zip(added, grid, strict=True)]
    builder.cbranch(full, store_full, store_tail)
    for block, tail in ((store_full, False), (store_tail, True)):
        builder.position_at_end(block)
        use = masks() if tail else [None] * vectors
        for value, place, (_, v) in zip(added, places, grid, strict=True):
            writer.store(value, place, use[v])
        builder.branch(end)
    builder.position_at_end(end)


def _ask_for_line(writer: Any, line: Any, k: Any, row: Any, rows: int, vectors: int) -> Any:
    """Prefetch one more vector of the tile below in C, in iteration k; return the address of the next.

    Prefetching all at once would delay the loads of B.
    """
    builder, number = writer.builder, k.type
    writer.prefetch(line, write=True)
    last = builder.icmp_signed("==", builder.and_(k, number(vectors - 1)), number(vectors - 1))
    width = number(REGISTERS.width)
    step = builder.select(last, builder.sub(row, number((vectors - 1) * REGISTERS.width)), width)
    return builder.gep(line, [builder.select(builder.icmp_signed("<", k, number(rows * vectors)), step, number(0))])

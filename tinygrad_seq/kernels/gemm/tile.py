"""The two vector routines of every matrix product: the register tile, and the copy that packs its operands.

`tile` keeps ROWS x VECTORS registers of sums while it runs along K, one row of B at a time:

    sums[r, v] += broadcast(a[r, k]) * b[k, v]

If C has at most half as many columns, the tile is half as wide.

The sum of one element starts at zero or at the value in C and adds its products in the order of k, whatever else is in
the tile: results do not depend on how rows, columns or K are split.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import kernel
from ..llvm import shared
from ..llvm.simd import REGISTERS, Writer

VECTORS = REGISTERS.number // 8
"""Vectors in a row of the tile."""
ROWS = (REGISTERS.number - VECTORS - 1) // VECTORS
"""Rows of the tile: the sums fill the registers not used by one row of B and one element of A."""
PANEL_BYTES = VECTORS * REGISTERS.width
"""Bytes in a row of the tile: its columns are ``PANEL_BYTES // itemsize``."""
AHEAD = 32
"""How many rows ahead B and the next panel are prefetched."""


class _Place(NamedTuple):
    """Addresses of the operands of a tile, their strides in bytes, and their extents."""

    a: Any
    a_row: Any
    a_step: Any
    b: Any
    b_step: Any
    steps: Any
    c: Any
    c_row: Any
    columns: Any
    rows: Any
    accumulate: Any


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _tile(typing, a, panels, c, p, i, rows, accumulate):  # type: ignore[no-untyped-def]  # noqa: ARG001
    dtype = c.dtype
    if dtype not in (types.float32, types.float64) or not dtype == a.dtype == panels.dtype:
        return None
    signature = types.void(a, panels, c, types.intp, types.intp, types.intp, types.boolean)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        a, panels, c = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:3], values[:3], strict=True)
        )
        p, i, rows, accumulate = values[3:]
        (a_row, a_step), (panel, b_step, _), (c_row, _) = (
            cgutils.unpack_tuple(builder, x.strides) for x in (a, panels, c)
        )
        writer = Writer(builder, dtype)
        column = builder.mul(p, p.type(VECTORS * writer.lanes))
        place = _Place(
            writer.move(a.data, (i, a_row)),
            a_row,
            a_step,
            writer.move(panels.data, (p, panel)),
            b_step,
            cgutils.unpack_tuple(builder, a.shape)[1],
            writer.move(c.data, (i, c_row), (column, p.type(writer.size))),
            c_row,
            builder.sub(cgutils.unpack_tuple(builder, c.shape)[1], column),
            rows,
            builder.zext(accumulate, p.type),
        )
        shared.call(context, builder, "tile", dtype, place)
        return context.get_dummy_value()

    return signature, generate


@kernel
def shared_tile(a, a_row, a_step, b, b_step, steps, c, c_row, columns, rows, accumulate, like):  # type: ignore[no-untyped-def]
    """Run the tile for `tile`; arguments as in `_Place`; `like` gives the dtype."""
    _write_tiles(a, a_row, a_step, b, b_step, steps, c, c_row, columns, rows, accumulate, like)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _write_tiles(typing, a, a_row, a_step, b, b_step, steps, c, c_row, columns, rows, accumulate, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        place = _Place(*values[:-1])
        address = ir.IntType(8).as_pointer()
        a, b, c = (builder.inttoptr(x, address) for x in (place.a, place.b, place.c))
        accumulate = builder.icmp_signed("!=", place.accumulate, place.steps.type(0))
        place = place._replace(a=a, b=b, c=c, accumulate=accumulate)
        writer, number = Writer(builder, like), place.rows.type
        end = builder.append_basic_block("end")
        half = builder.icmp_signed("<=", place.columns, number(VECTORS // 2 * writer.lanes))
        choice = builder.switch(builder.add(place.rows, builder.select(half, number(ROWS), number(0))), end)
        for vectors in (VECTORS, VECTORS // 2):
            for rows in range(1, ROWS + 1):
                block = builder.append_basic_block(f"tile{rows}x{vectors}")
                choice.add_case(number(rows if vectors == VECTORS else ROWS + rows), block)
                builder.position_at_end(block)
                _write_tile(writer, place, rows, vectors)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*[types.intp] * len(_Place._fields), like), generate


def _write_tile(writer: Writer, at: _Place, rows: int, vectors: int) -> None:
    """Emit a tile of `rows` x `vectors`: initialise the sums, add along K, store; masks select columns within C."""
    builder, number = writer.builder, at.steps.type
    grid = [(r, v) for r in range(rows) for v in range(vectors)]
    places = [writer.move(at.c, (number(r), at.c_row), (number(v), number(REGISTERS.width))) for r, v in grid]
    masks = [writer.below(at.columns, v * writer.lanes) for v in range(vectors)]
    full = builder.icmp_signed(">=", at.columns, number(vectors * writer.lanes))
    load, load_full, load_tail, loop, store, store_full, store_tail, end = (
        builder.append_basic_block(name)
        for name in ("load", "load_full", "load_tail", "loop", "store", "store_full", "store_tail", "stored")
    )

    below = writer.move(at.c, (number(rows), at.c_row))
    starts = {builder.block: [writer.zero] * len(grid)}
    builder.cbranch(at.accumulate, load, loop)
    builder.position_at_end(load)
    builder.cbranch(full, load_full, load_tail)
    for block, use in ((load_full, [None] * vectors), (load_tail, masks)):
        builder.position_at_end(block)
        starts[block] = [writer.load(place, use[v]) for place, (_, v) in zip(places, grid, strict=True)]
        builder.branch(loop)

    builder.position_at_end(loop)
    k, a, b, line = builder.phi(number), *[builder.phi(at.a.type) for _ in range(3)]
    sums = [builder.phi(writer.vector) for _ in grid]
    for block, values in starts.items():
        for phi, value in zip((k, a, b, line, *sums), (number(0), at.a, at.b, below, *values), strict=True):
            phi.add_incoming(value, block)
    row_of_b = [writer.load(writer.move(b, (number(v), number(REGISTERS.width)))) for v in range(vectors)]
    for v in range(vectors):
        writer.prefetch(writer.move(b, (number(AHEAD), at.b_step), (number(v), number(REGISTERS.width))))
    added = []
    for r in range(rows):
        writer.fence()  # otherwise LLVM hoists loads until it runs out of registers and spills all sums
        a_of_row = writer.load_everywhere(writer.move(a, (number(r), at.a_row)))
        added += [writer.multiply_add(a_of_row, row_of_b[v], sums[r * vectors + v]) for v in range(vectors)]
    following = (
        builder.add(k, number(1)),
        builder.gep(a, [at.a_step]),
        builder.gep(b, [at.b_step]),
        _ask_for_line(writer, line, k, at.c_row, rows, vectors),
        *added,
    )
    for phi, value in zip((k, a, b, line, *sums), following, strict=True):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], at.steps), loop, store)

    builder.position_at_end(store)
    builder.cbranch(full, store_full, store_tail)
    for block, use in ((store_full, [None] * vectors), (store_tail, masks)):
        builder.position_at_end(block)
        for value, place, (_, v) in zip(added, places, grid, strict=True):
            writer.store(value, place, use[v])
        builder.branch(end)
    builder.position_at_end(end)


def _ask_for_line(writer: Writer, line: Any, k: Any, row: Any, rows: int, vectors: int) -> Any:
    """Prefetch one more vector of the tile below in C, in iteration k; return the address of the next.

    Prefetching all at once would delay the loads of B.
    """
    builder, number = writer.builder, k.type
    writer.prefetch(line, write=True)
    last = builder.icmp_signed("==", builder.and_(k, number(vectors - 1)), number(vectors - 1))
    width = number(REGISTERS.width)
    step = builder.select(last, builder.sub(row, number((vectors - 1) * REGISTERS.width)), width)
    return builder.gep(line, [builder.select(builder.icmp_signed("<", k, number(rows * vectors)), step, number(0))])


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _copy_block(typing, source, target, i, j, across):  # type: ignore[no-untyped-def]  # noqa: ARG001
    dtype = source.dtype
    if dtype not in (types.float32, types.float64) or dtype != target.dtype:
        return None
    signature = types.void(source, target, types.intp, types.intp, types.boolean)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        source, target = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:2], values[:2], strict=True)
        )
        i, j, across = values[2:]
        writer, number = Writer(builder, dtype), i.type
        (row, column), (target_row, _) = (cgutils.unpack_tuple(builder, x.strides) for x in (source, target))
        height, width = map(builder.sub, cgutils.unpack_tuple(builder, source.shape), (i, j))
        room = builder.sub(cgutils.unpack_tuple(builder, target.shape)[0], i)
        first = writer.move(source.data, (i, row), (j, column))
        to = writer.move(target.data, (i, target_row), (j, number(writer.size)))
        integers = first, row, column, height, width, to, target_row, room, builder.zext(across, number)
        shared.call(context, builder, "copy", dtype, integers)
        return context.get_dummy_value()

    return signature, generate


@kernel
def shared_copy(first, row, column, height, width, to, target_row, room, across, like):  # type: ignore[no-untyped-def]
    """Copy for `copy_block`: addresses, strides in bytes, and the remaining rows and columns."""
    _write_copy(first, row, column, height, width, to, target_row, room, across, like)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _write_copy(typing, first, row, column, height, width, to, target_row, room, across, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        first, row, column, height, width, to, target_row, room, across, _ = values
        address, number = ir.IntType(8).as_pointer(), row.type
        first, to = (builder.inttoptr(x, address) for x in (first, to))
        across = builder.icmp_signed("!=", across, number(0))
        writer = Writer(builder, like)
        lanes = number(writer.lanes)
        whole = builder.and_(builder.icmp_signed(">=", height, lanes), builder.icmp_signed(">=", width, lanes))

        def write(stride, count, length, turn, masked):  # type: ignore[no-untyped-def]
            block = []
            for n in range(writer.lanes):
                inside = builder.icmp_signed("<", number(n), count)
                mask = writer.below(builder.select(inside, length, number(0))) if masked else None
                block.append(writer.load(writer.move(first, (number(n), stride)), mask))
            for n, vector in enumerate(writer.transpose(block) if turn else block):
                mask = writer.spread(builder.icmp_signed("<", number(n), room)) if masked else None
                writer.store(vector, writer.move(to, (number(n), target_row)), mask)

        for turn, lines in ((True, (column, width, height)), (False, (row, height, width))):
            with builder.if_then(across if turn else builder.not_(across)), builder.if_else(whole) as (yes, no):
                with yes:
                    write(*lines, turn, masked=False)
                with no:
                    write(*lines, turn, masked=True)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 9, like), generate


def _tile_in_numpy(a, panels, c, p, i, rows, accumulate):  # type: ignore[no-untyped-def]
    target = c[i : i + rows, p * panels.shape[2] : (p + 1) * panels.shape[2]]
    product = a[i : i + rows] @ panels[p, :, : target.shape[1]]
    np.add(product, target if accumulate else 0, out=target)


def _copy_block_in_numpy(source, target, i, j, across):  # type: ignore[no-untyped-def]  # noqa: ARG001
    lanes = REGISTERS.width // source.itemsize
    block, room = (x[i : i + lanes, j : j + lanes] for x in (source, target))
    room[:] = 0
    room[: block.shape[0], : block.shape[1]] = block


tile = _tile_in_numpy if config.DISABLE_JIT else _tile
"""``tile(a, panels, c, p, i, rows, accumulate)``: one tile of a product, up to ROWS rows of A times one panel of B.

*Changed*: rows i to i + rows - 1 of `c` ``(M, N)``, in the columns of panel p; set, or with `accumulate` added to.
`a` ``(M, K)`` may have any strides, ``K > 0``. `panels` ``(P, K, PANEL_BYTES // itemsize)`` and `c` have their last
axis side by side in memory. Columns of a panel beyond N are read and not used.
"""

copy_block = _copy_block_in_numpy if config.DISABLE_JIT else _copy_block
"""``copy_block(source, target, i, j, across)``: copy the square block, one register wide, at row i and column j.

*Changed*: `target`, whose columns lie side by side and are a multiple of the register. Where `source` has no such
element zeros are written. Of `source` the columns lie side by side in memory, or with `across` the rows.
"""

for dtype in (types.float32, types.float64):
    shared.publish("tile", shared_tile, 11, dtype)
    shared.publish("copy", shared_copy, 9, dtype)

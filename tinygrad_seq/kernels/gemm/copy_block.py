"""The copy of one square block of a matrix, one register wide, as it is or transposed: packing and `contiguous`."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import kernel
from ..llvm import shared
from ..llvm.simd import REGISTERS, Writer

Array = npt.NDArray[Any]


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


def _copy_block_in_numpy(source, target, i, j, across):  # type: ignore[no-untyped-def]  # noqa: ARG001
    lanes = REGISTERS.width // source.itemsize
    block, room = (x[i : i + lanes, j : j + lanes] for x in (source, target))
    room[:] = 0
    room[: block.shape[0], : block.shape[1]] = block


copy_block = _copy_block_in_numpy if config.DISABLE_JIT else _copy_block
"""``copy_block(source, target, i, j, across)``: copy the square block, one register wide, at row i and column j.

*Changed*: `target`, whose columns lie side by side and are a multiple of the register. Where `source` has no such
element zeros are written. Of `source` the columns lie side by side in memory, or with `across` the rows.
"""

for dtype in (types.float32, types.float64):
    shared.publish("copy", shared_copy, 9, dtype)


@kernel
def copy_padded(source: Array, target: Array) -> None:
    """Copy `source` into the first rows of `target` and zero the remaining columns. *Changed*: `target`."""
    across = source.strides[0] == source.itemsize
    if across or source.strides[1] == source.itemsize:
        lanes = REGISTERS.width // source.itemsize
        for i in range(0, source.shape[0], lanes):
            for j in range(0, target.shape[1], lanes):
                copy_block(source, target, i, j, across)
        return
    for i in range(source.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[i, j] if j < source.shape[1] else 0

"""The product of one row and a matrix whose columns lie side by side in memory, such as a transposed weight.

Packing such a matrix reads it once more and pays only over several rows or calls. Here square blocks of it are turned
in registers on the way to the sums, nearly as fast as the additions follow one another. Each element adds its products
in the order of K, so it has the bits of `matmul.multiply` for K up to `SUM_DEPTH`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, from_dtype, types
from numba.extending import intrinsic

from ...base.modes import quiet
from ..jit import kernel
from ..llvm.address import address_of
from ..llvm.simd import REGISTERS, Writer

Array = npt.NDArray[Any]


def _turned(writer: Writer, rows: list[Any]) -> list[Any]:
    """Return the columns of a square block from the addresses of its rows.

    Pieces of 16 bytes are loaded to where they belong; half of the steps of `Writer.transpose` remain.
    """
    lanes, size = writer.lanes, min(writer.lanes, 16 // writer.size)
    piece = Writer(writer.builder, types.float32 if writer.size == 4 else types.float64, size)
    number = ir.IntType(64)
    found: list[Any] = []
    for k in range(0, lanes, size):
        block = []
        for r in range(size):
            parts = [piece.load(piece.move(rows[n], (number(k), number(writer.size)))) for n in range(r, lanes, size)]
            while len(parts) > 1:
                parts = [_joined(writer.builder, *parts[n : n + 2]) for n in range(0, len(parts), 2)]
            block += parts
        found += writer.transpose(block)
    return found


def _joined(builder: Any, first: Any, second: Any) -> Any:
    """Return two vectors as one."""
    count = 2 * first.type.count
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count))))


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _write_vector(typing, a, steps, b, column, c, count, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Set the first `count` elements of a vector of C; the others are not stored.

    `a`, `b` and `c` are addresses, and `column` the bytes from one column of B to the next.
    """

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        a, steps, b, column, c, count, _ = values
        address = ir.IntType(8).as_pointer()
        a, b, c = (builder.inttoptr(x, address) for x in (a, b, c))
        writer = Writer(builder, like)
        number, lanes, size = steps.type, writer.lanes, writer.size
        last = builder.sub(count, number(1))
        columns = []  # those beyond the last one are read from it
        for n in range(lanes):
            inside = builder.icmp_signed("<", number(n), count)
            columns.append(writer.move(b, (builder.select(inside, number(n), last), column)))
        whole, before = builder.and_(steps, number(-lanes)), builder.block
        loop, body, rest, tail, end = (builder.append_basic_block(n) for n in ("loop", "body", "rest", "tail", "end"))
        builder.branch(loop)
        builder.position_at_end(loop)
        k, total = builder.phi(number), builder.phi(writer.vector)
        builder.cbranch(builder.icmp_signed("<", k, whole), body, rest)

        builder.position_at_end(body)
        at, added = (k, number(size)), total
        for n, entries in enumerate(_turned(writer, [writer.move(place, at) for place in columns])):
            x = writer.load_everywhere(writer.move(a, at, (number(n), number(size))))
            added = writer.multiply_add(x, entries, added)
        following = builder.add(k, number(lanes))
        builder.branch(loop)
        for phi, first, later in ((k, number(0), following), (total, writer.zero, added)):
            phi.add_incoming(first, before)
            phi.add_incoming(later, body)

        builder.position_at_end(rest)
        builder.cbranch(builder.icmp_signed("<", whole, steps), tail, end)
        builder.position_at_end(tail)
        at, longer = (whole, number(size)), total
        mask = writer.below(builder.sub(steps, whole))
        given = writer.load(writer.move(a, at), mask)
        for n, entries in enumerate(writer.transpose([writer.load(writer.move(x, at), mask) for x in columns])):
            x = writer.spread(builder.extract_element(given, ir.IntType(32)(n)))
            longer = writer.multiply_add(x, entries, longer)
        builder.branch(end)
        builder.position_at_end(end)
        result = builder.phi(writer.vector)
        result.add_incoming(total, rest)
        result.add_incoming(longer, tail)
        writer.store(result, c, writer.below(count))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6, like), generate


@kernel
def _write_row(a, steps, b, column, c, columns, lanes, like):  # type: ignore[no-untyped-def]
    size = REGISTERS.width // lanes
    for j in range(0, columns, lanes):
        _write_vector(a, steps, b + j * column, column, c + j * size, min(lanes, columns - j), like)


@functools.cache
def _row(dtype: np.dtype) -> Callable[..., None]:
    kind, lanes = from_dtype(dtype), REGISTERS.width // dtype.itemsize
    run, zero = cast("Any", _write_row).compile((*[types.intp] * 7, kind)), dtype.type(0)
    return lambda a, steps, b, column, c, columns: run(a, steps, b, column, c, columns, lanes, zero)


def multiply_row(a: Array, b: Array, c: Array) -> None:
    """Set ``c = a @ b`` for one row.

    Parameters
    ----------
    a
        One row of K numbers, contiguous.
    b
        ``(K, N)``, each column contiguous.
    c
        Room for N numbers, contiguous. *Changed*. All are float32, or all float64.
    """
    if config.DISABLE_JIT:
        c.reshape(1, -1)[...] = quiet().run(np.matmul, a.reshape(1, -1), b)
        return
    K, N = b.shape
    _row(c.dtype)(address_of(a), K, address_of(b), b.strides[1], address_of(c), N)

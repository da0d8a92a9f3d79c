"""Matrix products on register tiles; the right operand is packed once for many products, or during one product.

Each element of C adds its products in the order of K, with fused multiply-add if available: `gemm` and `matmul_into`
give the same bits for any split of the rows. Arrays of one call have one dtype, float32 or float64; C overlaps no
operand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, types
from numba.extending import intrinsic

from ...errors import ShapeError
from ..jit import kernel
from ..llvm.address import data, matrix, panels
from ..llvm.simd import REGISTERS
from .copy_block import copy_padded
from .tile import BAND_ROWS, DEPTH_BYTES, PANEL_BYTES, multiply_at, ready

Array = npt.NDArray[Any]

LINE_BYTES = 64
STRIP_ROWS = 5 * BAND_ROWS
"""Maximum rows of A per packing of B: bounds the memory of transposed rows."""
PACKED_BYTES = 2**19
"""Maximum bytes of packed B in a block: half of the L2 cache."""
PACKED_ROWS = 16
"""Rows of B packed into all panels at a time: hardware prefetch follows rows. Columns are packed panel by panel."""


@kernel
def empty_panels(K: int, N: int, like: Array) -> Array:
    """Return panels ``(P, K, columns)`` for a ``(K, N)`` matrix, dtype of `like`, aligned to a cache line."""
    columns = PANEL_BYTES // like.itemsize
    size = -(-N // columns) * K * columns
    room = np.empty(size + LINE_BYTES // like.itemsize, like.dtype)
    start = -room.ctypes.data % LINE_BYTES // like.itemsize
    return room[start : start + size].reshape(-(-N // columns), K, columns)


@kernel
def pack_into(b: Array, panels: Array) -> None:
    """Copy `b` ``(K, N)`` of any strides into panels. *Changed*: `panels`, at least as large as `empty_panels` returns.

    Panel p holds the columns from ``p * columns`` on, contiguous for each k, with zeros beyond N.
    """
    K, N = b.shape
    columns = panels.shape[2]
    chunk = PACKED_ROWS if b.strides[0] != b.itemsize else max(1, K)
    for k in range(0, K, chunk):
        for p in range(-(-N // columns)):
            part = b[k : k + chunk, p * columns : min(N, (p + 1) * columns)]
            copy_padded(part, panels[p, k : min(K, k + chunk)])


@kernel
def pack(b: Array) -> Array:
    """Return `b` ``(K, N)`` of any strides in panels ``(P, K, columns)``, for `gemm`."""
    panels = empty_panels(b.shape[0], b.shape[1], b)
    pack_into(b, panels)
    return panels


@kernel
def pack_at(numbers: Array, like: Any) -> None:
    """Copy a matrix ``(address, K, N, row stride, column stride)`` into panels ``(address, count, columns)``.

    Strides are in elements of the dtype of `like`. One compilation serves all layouts.
    """
    address, K, N, row_step, column_step, target, count, width = numbers
    pack_into(matrix(address, K, N, row_step, column_step, like), panels(target, count, K, width, like))


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _multiply(typing, a, a_row, a_step, rows, b, b_panel, b_step, steps, c, c_row, c_bytes, accumulate, depth, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Multiply; arguments as in `tile.Operands`, in the format of `like`."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        multiply_at(context, builder, signature.args[-1], values[:-1])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 13, like), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def gemm_at(typing, a, M, K, a_row, a_column, b, c, N, c_row, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Set ``c = a @ b`` for arrays at given addresses, in generated kernels; call `ready` first.

    `a` and `c` are addresses of matrices, with sizes and strides in elements; `b` is the address of panels.
    """

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        a, M, K, a_row, a_column, b, c, N, c_row, _ = values
        size, panel, no = like.bitwidth // 8, K.type(PANEL_BYTES), K.type(0)
        a_row, a_column, c_row, c_bytes = (builder.mul(n, n.type(size)) for n in (a_row, a_column, c_row, N))
        left, right = (a, a_row, a_column, M), (b, builder.mul(K, panel), panel, K)
        operands = *left, *right, c, c_row, c_bytes, no, K.type(DEPTH_BYTES // size)
        multiply_at(context, builder, like, operands)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 9, like), generate


@kernel
def _multiply_panels(a: Array, panels: Array, b_panel: int, b_step: int, c: Array, accumulate: bool) -> None:
    """`gemm` without checks; `panels` gives the address of B."""
    (M, K), N, size = a.shape, c.shape[1], c.itemsize
    (a_row, a_step), (c_row, _) = a.strides, c.strides
    left, right, target = (data(a), a_row, a_step, M), (data(panels), b_panel, b_step, K), (data(c), c_row, N * size)
    _multiply(*left, *right, *target, accumulate, DEPTH_BYTES // size, c.dtype.type(0))


def _gemm_in_numpy(a: Array, panels: Array, c: Array, accumulate: bool) -> None:
    b = panels.transpose(1, 0, 2).reshape(a.shape[1], panels.shape[0] * panels.shape[2])[:, : c.shape[1]]
    np.add(a @ b, c if accumulate else 0, out=c)


def _matmul_in_numpy(a: Array, b: Array, c: Array, accumulate: bool) -> None:
    np.add(a @ b, c if accumulate else 0, out=c)


@kernel
def _gemm_compiled(a: Array, panels: Array, c: Array, accumulate: bool) -> None:
    b_panel, b_step, _ = panels.strides
    _multiply_panels(a, panels, b_panel, b_step, c, accumulate)


_gemm = _gemm_in_numpy if config.DISABLE_JIT else _gemm_compiled


@kernel
def gemm(a: Array, panels: Array, c: Array, accumulate: bool) -> None:
    """Set ``c = a @ b``, or add to it with `accumulate`, from ``panels = pack(b)``. *Changed*: `c`.

    `a` ``(M, K)`` has any strides; `c` ``(M, N)`` any row stride and contiguous columns.

    Raises
    ------
    ShapeError
        If the shapes or the strides are not these.
    """
    (M, K), N = a.shape, c.shape[1]
    columns = PANEL_BYTES // c.itemsize
    if (
        panels.shape != (-(-N // columns), K, columns)
        or (panels.size > 0 and panels.strides[2] != c.itemsize)
        or c.shape[0] != M
        or (c.size > M and c.strides[1] != c.itemsize)
    ):
        raise ShapeError("gemm: expected a (M, K), pack(b) of b (K, N) and c (M, N) with adjacent columns; check them.")
    _gemm(a, panels, c, accumulate)


@kernel
def piece(a: Array) -> Array:
    """Return `a` as the table of one piece: see `pieces_into`."""
    table, (row, column) = np.empty((1, 4), np.int64), a.strides
    table[0, 0], table[0, 1] = data(a), a.shape[0]
    table[0, 2], table[0, 3] = row // a.itemsize, column // a.itemsize
    return table


@kernel
def part_of(pieces: Array, i0: int, i1: int, k: int, size: int) -> Array:
    """Return the pieces of the rows from i0 to i1 - 1, from column k on; `size` is that of an element."""
    part = pieces.copy()
    for n in range(len(pieces)):
        _, rows, row, column = pieces[n]
        first, last = min(max(i0, 0), rows), min(max(i1, 0), rows)
        part[n, 0] += size * (first * row + k * column)
        part[n, 1] = last - first
        i0, i1 = i0 - rows, i1 - rows
    return part


@kernel
def matmul_into(a: Array, b: Array, c: Array, accumulate: bool) -> None:
    """Set ``c = a @ b``, or add to it with `accumulate`, for `a` ``(M, K)`` and `b` ``(K, N)`` of any strides.

    *Changed*: `c` ``(M, N)``, with contiguous columns.

    Raises
    ------
    ShapeError
        If the shapes or the strides are not these.
    """
    (M, K), N = a.shape, b.shape[1]
    if b.shape[0] != K or c.shape != (M, N) or (c.size > M and c.strides[1] != c.itemsize):
        raise ShapeError("matmul_into: expected a (M, K), b (K, N) and c (M, N) with adjacent columns; check them.")
    _matmul(a, b, c, accumulate)


@kernel
def _matmul_compiled(a: Array, b: Array, c: Array, accumulate: bool) -> None:
    """`matmul_into` without checks."""
    pieces_into(piece(a), b, c, accumulate)


@kernel
def pieces_into(pieces: Array, b: Array, c: Array, accumulate: bool) -> None:
    """Set ``c = a @ b``, or add to it with `accumulate`, for pieces of `a`, one below another, and `b` of any strides.

    Pieces are a table with a row ``(address, rows, row stride, column stride)`` each, strides in elements. Rows of B
    are read in place if they are contiguous and A is one band, so that each is used few times; otherwise B is packed
    block by block. Rows of A are packed unless it is one piece with contiguous columns. *Changed*: `c`.
    """
    M, K = c.shape[0], b.shape[0]
    if K == 0:
        if not accumulate:
            c[:] = 0
        return
    strips = -(-M // STRIP_ROWS)
    for s in range(strips):
        i0, i1 = s * M // strips, (s + 1) * M // strips
        _multiply_strip(part_of(pieces, i0, i1, 0, c.itemsize), b, c[i0:i1, :], accumulate)


@kernel
def _multiply_strip(pieces: Array, b: Array, c: Array, accumulate: bool) -> None:
    """`pieces_into` for one strip of rows and K > 0."""
    M, (K, N), zero = c.shape[0], b.shape, c.dtype.type(0)
    blocks = -(-K * c.itemsize // DEPTH_BYTES)
    depth = -(-K // blocks)
    columns = PANEL_BYTES // c.itemsize
    once = M <= BAND_ROWS  # each panel is used once, right after it is packed
    width = 1 if once else max(1, PACKED_BYTES // (depth * PANEL_BYTES))
    width *= columns
    in_place = N - N % columns if once and b.strides[1] == b.itemsize else 0
    panels = empty_panels(depth, min(N - in_place, width), b)
    gathered = len(pieces) > 1 or pieces[0, 3] != 1
    lanes = REGISTERS.width // c.itemsize
    across = -(-depth // lanes) * lanes
    rows = np.empty((M if gathered else 0, across), c.dtype)
    for n in range(blocks):
        k0, k1 = n * K // blocks, (n + 1) * K // blocks
        more, part = accumulate or n > 0, part_of(pieces, 0, M, k0, c.itemsize)
        if gathered:
            i = 0
            for address, height, row, column in part:
                copy_padded(matrix(address, height, k1 - k0, row, column, zero), rows[i : i + height])
                i += height
            block = rows[:, : k1 - k0]
        else:
            block = matrix(part[0, 0], M, k1 - k0, part[0, 2], 1, zero)
        if in_place > 0:
            _multiply_panels(block, b[k0:k1, :], PANEL_BYTES, b.strides[0], c[:, :in_place], more)
        for j0 in range(in_place, N, width):
            j1 = min(N, j0 + width)
            pack_into(b[k0:k1, j0:j1], panels)
            _gemm(block, panels[:, : k1 - k0], c[:, j0:j1], more)


_matmul = _matmul_in_numpy if config.DISABLE_JIT else _matmul_compiled

for dtype in (np.float32, np.float64):
    ready(dtype)

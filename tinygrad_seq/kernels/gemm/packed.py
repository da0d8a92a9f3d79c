"""Matrix products on register tiles; the right operand is packed once for many products, or during one product.

Each element of C adds its products in the order of K, with fused multiply-add if available: `gemm` and `matmul_into`
give the same bits for any split of the rows. Arrays of one call have one dtype, float32 or float64; C overlaps no
operand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import from_dtype, types
from numba.extending import intrinsic

from ...errors import ShapeError
from ..jit import kernel
from ..llvm.address import matrix, panels
from ..llvm.shared import call, publish
from ..llvm.simd import REGISTERS
from .tile import PANEL_BYTES, ROWS, copy_block, tile

Array = npt.NDArray[Any]

LINE_BYTES = 64
DEPTH_BYTES = 1536
"""Maximum bytes of one row of A in a block: ROWS rows stay in the L1 cache while panels stream through."""
BAND_ROWS = 30 * ROWS
"""Maximum rows of A in a block: they stay in the L2 cache."""
STRIP_ROWS = 5 * BAND_ROWS
"""Maximum rows of A per packing of B: bounds the memory of transposed rows."""
PACKED_BYTES = 2**19
"""Maximum bytes of packed B in a block: half of the L2 cache."""
PACKED_ROWS = 16
"""Rows of B packed into all panels at a time, since hardware prefetch follows one row."""


@kernel
def empty_panels(K: int, N: int, like: Array) -> Array:
    """Return panels ``(P, K, columns)`` for a ``(K, N)`` matrix, dtype of `like`, aligned to a cache line."""
    columns = PANEL_BYTES // like.itemsize
    size = -(-N // columns) * K * columns
    room = np.empty(size + LINE_BYTES // like.itemsize, like.dtype)
    start = -room.ctypes.data % LINE_BYTES // like.itemsize
    return room[start : start + size].reshape(-(-N // columns), K, columns)


@kernel
def _copy_padded(source: Array, target: Array) -> None:
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


@kernel
def pack_into(b: Array, panels: Array) -> None:
    """Copy `b` ``(K, N)`` of any strides into panels. *Changed*: `panels`, at least as large as `empty_panels` returns.

    Panel p holds the columns from ``p * columns`` on, contiguous for each k, with zeros beyond N.
    """
    K, N = b.shape
    columns = panels.shape[2]
    for k in range(0, K, PACKED_ROWS):
        for p in range(-(-N // columns)):
            part = b[k : k + PACKED_ROWS, p * columns : min(N, (p + 1) * columns)]
            _copy_padded(part, panels[p, k : min(K, k + PACKED_ROWS)])


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


@kernel
def _multiply(a: Array, panels: Array, c: Array, accumulate: bool) -> None:
    """Multiply one block: all tiles of each panel in turn, with rows split evenly. *Changed*: `c`."""
    M, N = c.shape
    columns = PANEL_BYTES // c.itemsize
    tiles = -(-M // ROWS)
    for p in range(-(-N // columns)):
        for t in range(tiles):
            i = t * M // tiles
            tile(a, panels, c, p, i, (t + 1) * M // tiles - i, accumulate)


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
    if K == 0 and not accumulate:
        c[:] = 0
    blocks = -(-K * a.itemsize // DEPTH_BYTES)
    bands = -(-M // BAND_ROWS)
    for n in range(blocks):
        k0, k1 = n * K // blocks, (n + 1) * K // blocks
        for m in range(bands):
            i0, i1 = m * M // bands, (m + 1) * M // bands
            _multiply(a[i0:i1, k0:k1], panels[:, k0:k1], c[i0:i1, :], accumulate or n > 0)


@kernel
def _shared_gemm(
    a: int, M: int, K: int, a_row: int, a_column: int, b: int, c: int, N: int, c_row: int, like: Any
) -> None:
    target = matrix(c, M, N, c_row, 1, like)
    columns = PANEL_BYTES // target.itemsize
    gemm(matrix(a, M, K, a_row, a_column, like), panels(b, -(-N // columns), K, columns, like), target, False)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def gemm_at(typing, a, M, K, a_row, a_column, b, c, N, c_row, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Set ``c = a @ b`` for arrays at given addresses, in generated kernels; call `ready` first.

    `a` and `c` are addresses of matrices, with sizes and strides in elements; `b` is the address of panels.
    """
    signature = types.void(*[types.intp] * 9, like)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        call(context, builder, "gemm", signature.args[-1], values[:-1])
        return context.get_dummy_value()

    return signature, generate


def ready(dtype: Any) -> None:
    """Make `gemm_at` available to generated kernels for `dtype`."""
    publish("gemm", _shared_gemm, 9, from_dtype(np.dtype(dtype)))


@kernel
def matmul_into(a: Array, b: Array, c: Array, accumulate: bool) -> None:
    """Set ``c = a @ b``, or add to it with `accumulate`, for `a` ``(M, K)`` and `b` ``(K, N)`` of any strides.

    *Changed*: `c` ``(M, N)``, with contiguous columns. Rows of B are read in place if they are contiguous and A is one
    band, so that each is used few times; otherwise B is packed block by block. Rows of A are packed unless its columns
    are contiguous.

    Raises
    ------
    ShapeError
        If the shapes or the strides are not these.
    """
    (M, K), N = a.shape, b.shape[1]
    if b.shape[0] != K or c.shape != (M, N) or (c.size > M and c.strides[1] != c.itemsize):
        raise ShapeError("matmul_into: expected a (M, K), b (K, N) and c (M, N) with adjacent columns; check them.")
    if K == 0:
        if not accumulate:
            c[:] = 0
        return
    strips = -(-M // STRIP_ROWS)
    for s in range(strips):
        i0, i1 = s * M // strips, (s + 1) * M // strips
        _multiply_strip(a[i0:i1, :], b, c[i0:i1, :], accumulate)


@kernel
def _multiply_strip(a: Array, b: Array, c: Array, accumulate: bool) -> None:
    """`matmul_into` for one strip of rows and K > 0."""
    (M, K), N = a.shape, b.shape[1]
    blocks = -(-K * a.itemsize // DEPTH_BYTES)
    bands = -(-M // BAND_ROWS)
    depth = -(-K // blocks)
    columns = PANEL_BYTES // c.itemsize
    width = max(1, PACKED_BYTES // (depth * PANEL_BYTES)) * columns
    in_place = N - N % columns if bands == 1 and b.strides[1] == b.itemsize else 0
    panels = empty_panels(depth, min(N - in_place, width), b)
    turned = a.strides[1] != a.itemsize
    rows = empty_panels(depth, M if turned else 0, a).reshape(depth, -1)
    for n in range(blocks):
        k0, k1 = n * K // blocks, (n + 1) * K // blocks
        block = a[:, k0:k1]
        if turned:
            _copy_padded(block.T, rows)
            block = rows[: k1 - k0, :M].T
        for j0 in range(0, N, width):
            j1 = min(N, j0 + width)
            packed = max(j0, min(j1, in_place))
            if packed < j1:
                pack_into(b[k0:k1, packed:j1], panels)
            for m in range(bands):
                i0, i1 = m * M // bands, (m + 1) * M // bands
                band = block[i0:i1, :]
                for j in range(j0, packed, columns):
                    _multiply(band, b[None, k0:k1, j : j + columns], c[i0:i1, j : j + columns], accumulate or n > 0)
                _multiply(band, panels[:, : k1 - k0], c[i0:i1, packed:j1], accumulate or n > 0)

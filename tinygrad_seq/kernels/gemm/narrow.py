"""Products in bfloat16 and int8: rows and panels in a narrow format, whole products, bytes.

In generated kernels, once per step and product:

    rows_at(a, M, K, a_row, a_column, rows, fixed, like)  float32 rows of A, any strides ─▶ rows_nbytes(M, K, precision)
    gemm_rows_at(rows, M, K, b, c, N, c_row, like)        rows and packed(b, precision) ─▶ float32 C

`like` is a zero with the dtype of the format, ``BFLOAT16.type(0)`` or ``INT8.type(0)`` (see `formats.py`).
`fixed` are the bits of the magnitude in A that becomes 127 in int8 (`operands.bits_of`); 0 stands for the largest of
each row.
"""

from __future__ import annotations

import functools
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from numba import from_dtype, types
from numba.extending import intrinsic

from ...errors import DtypeError, ShapeError
from ..jit import kernel
from ..llvm import shared
from ..llvm.address import address_of, data, empty, room
from . import tile
from .formats import BFLOAT16, FORMATS, INT8
from .operands import bytes_of, convert_rows, footer_of, group_of, header_of, pack_entries
from .packed import pack_at, part_of
from .tile import DEPTH_BYTES, PANEL_BYTES, ROWS, multiply_at

Array = npt.NDArray[Any]

COLUMNS: Final = PANEL_BYTES // 4
"""Columns of a panel."""
LARGEST_DEPTH: Final = 2**31 // (255 * 127)
"""Products of int8 that fit into int32."""
_ANY_DEPTH: Final = 2**32
_STRIP_ROWS: Final = 120 * ROWS
_PACKED_BYTES: Final = 2**19
_FORMATS: Final = {"bfloat16": BFLOAT16, "int8": INT8}


def format_of(precision: str, dtype: Any = np.float32) -> np.dtype:
    """Return the dtype that names the format of a product: that of the operands for "float32"."""
    named: np.dtype = _FORMATS.get(precision, np.dtype(dtype))
    return named


def rows_nbytes(M: int, K: int, precision: str) -> int:
    """Return the bytes of `M` converted rows."""
    form = FORMATS[from_dtype(format_of(precision))]
    return M * (form.row_header + 4 * -(-K // form.group))


def panel_nbytes(K: int, precision: str, dtype: Any = np.float32) -> int:
    """Return the bytes of one panel of a matrix with `K` rows."""
    kind = format_of(precision, dtype)
    form = FORMATS[from_dtype(kind)]
    return columns_of(kind) * (-(-K // form.group) * kind.itemsize + form.panel_footer)


def columns_of(kind: np.dtype) -> int:
    """Return the columns of a panel in a format."""
    return PANEL_BYTES // (8 if kind == np.float64 else 4)


def panels_nbytes(K: int, N: int, precision: str, dtype: Any = np.float32) -> int:
    """Return the bytes of a packed ``(K, N)`` matrix; a multiple of `panel_nbytes`, one panel per `COLUMNS` columns."""
    return -(-N // columns_of(format_of(precision, dtype))) * panel_nbytes(K, precision, dtype)


def ready(dtype: Any) -> None:
    """Make `rows_at` and `gemm_rows_at` available to generated kernels, in the format of `dtype`."""
    tile.ready(dtype)
    shared.publish("rows", convert_rows, 7, from_dtype(np.dtype(dtype)))


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def rows_at(typing, a, M, K, a_row, a_column, rows, fixed, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Convert float32 rows at an address, sizes and strides in elements; `rows` is the address of the result."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        shared.call(context, builder, "rows", like, values[:-1])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7, like), generate


def _emit(context: Any, builder: Any, like: Any, values: Any, accumulate: Any) -> None:
    rows, M, K, b, c, N, c_row = values
    form, number = FORMATS[like], K.type
    steps = builder.udiv(builder.add(K, number(form.group - 1)), number(form.group))
    row = builder.add(builder.mul(steps, number(4)), number(form.row_header))
    step = number(COLUMNS * like.bitwidth // 8)
    panel = builder.add(builder.mul(steps, step), number(COLUMNS * form.panel_footer))
    c_row, c_bytes = (builder.mul(n, number(4)) for n in (c_row, N))
    left, right = (builder.add(rows, number(form.row_header)), row, number(4), M), (b, panel, step, steps)
    depth = number(DEPTH_BYTES // 4 if form.accumulates else _ANY_DEPTH)
    multiply_at(context, builder, like, (*left, *right, c, c_row, c_bytes, accumulate, depth))


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def gemm_rows_at(typing, rows, M, K, b, c, N, c_row, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Set ``c = a @ b`` at given addresses, from rows made by `rows_at` and panels; the stride of C in elements."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        _emit(context, builder, like, values[:-1], values[1].type(0))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7, like), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _add_gemm_rows(typing, rows, M, K, b, c, N, c_row, accumulate, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """`gemm_rows_at`, or with `accumulate` add to C, if the format can."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        _emit(context, builder, like, values[:-2], values[-2])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8, like), generate


# ------------------------------------------------------------------------------------------------ whole products


@kernel
def narrow_into(pieces: Array, b: Array, c: Array, accumulate: bool, fixed: int, like: Any) -> None:
    """Set ``c = a @ b`` in the format of `like`, or add to it if the format can.

    `a` are pieces, as for `packed.pieces_into`; `b` has any strides. All are float32. *Changed*: `c` ``(M, N)``, with
    contiguous columns.
    """
    M, (K, N) = c.shape[0], b.shape
    group, header, item = group_of(like), header_of(like), np.uint8(0)
    steps = -(-K // group)
    (b_row, b_column), (c_row, _) = b.strides, c.strides
    b_row, b_column, c_row = b_row // 4, b_column // 4, c_row // 4
    panel = COLUMNS * (steps * bytes_of(like) + footer_of(like))
    width = max(1, _PACKED_BYTES // max(1, panel))
    panels = room(min(width, -(-N // COLUMNS)) * panel, item)
    row = header + 4 * steps
    strips = -(-M // _STRIP_ROWS)
    words = room(row * -(-M // max(1, strips)), item)
    for s in range(strips):
        i0, i1 = s * M // strips, (s + 1) * M // strips
        strip = place = data(words)
        for first, height, a_row, a_column in part_of(pieces, i0, i1, 0, 4):
            convert_rows(first, height, K, a_row, a_column, place, fixed, like)
            place += height * row
        for p in range(0, -(-N // COLUMNS), width):
            j = p * COLUMNS
            columns = min(N - j, width * COLUMNS)
            block = data(panels)
            pack_entries(data(b) + 4 * j * b_column, K, columns, b_row, b_column, block, like)
            target = data(c) + 4 * (i0 * c_row + j)
            _add_gemm_rows(strip, i1 - i0, K, block, target, columns, c_row, accumulate, like)


@kernel
def rows_into(a: Array, panels: Array, c: Array, fixed: int, like: Any) -> None:
    """Set ``c = a @ b`` in the format of `like`, for `a` ``(M, K)`` of any strides and ``panels = packed(b, ...)``.

    *Changed*: `c` ``(M, N)``, with contiguous columns. Both are float32.
    """
    (M, K), N = a.shape, c.shape[1]
    a_row, a_column, c_row = a.strides[0] // 4, a.strides[1] // 4, c.strides[0] // 4
    row = header_of(like) + 4 * -(-K // group_of(like))
    words = room(row * min(M, _STRIP_ROWS), np.uint8(0))
    for i in range(0, M, _STRIP_ROWS):
        rows, strip = min(_STRIP_ROWS, M - i), data(words)
        convert_rows(data(a) + 4 * i * a_row, rows, K, a_row, a_column, strip, fixed, like)
        _add_gemm_rows(strip, rows, K, data(panels), data(c) + 4 * i * c_row, N, c_row, False, like)


@functools.cache
def _packer(kind: np.dtype) -> Any:
    return cast("Any", pack_entries).compile((*[types.intp] * 6, from_dtype(kind)))


def packed(b: Array, precision: str) -> Array:
    """Return `b` ``(K, N)`` of any strides in panels: `panels_nbytes` bytes, aligned to a cache line.

    Raises
    ------
    DtypeError
        If `b` is not float32, in low precision.
    ShapeError
        If int8 sums of K products could overflow.
    """
    check_narrow("packed", b, b, precision)
    K, N = b.shape
    target = empty((panels_nbytes(K, N, precision, b.dtype),), np.dtype(np.uint8))
    b_row, b_column = (stride // b.itemsize for stride in b.strides)
    kind = format_of(precision, b.dtype)
    if kind == b.dtype:
        columns = columns_of(kind)
        numbers = address_of(b), K, N, b_row, b_column, address_of(target), -(-N // columns), columns
        pack_at(np.array(numbers, np.int64).view(np.uint64), kind.type(0))
    else:
        _packer(kind)(address_of(b), K, N, b_row, b_column, address_of(target), kind.type(0))
    return target


def check_narrow(name: str, a: Array, b: Array, precision: str) -> None:
    """Raise unless ``a @ b`` can be computed in `precision`; `name` is the caller in the message.

    Raises
    ------
    DtypeError
        If an operand of a product in low precision is not float32.
    ShapeError
        If int8 sums of K products could overflow.
    """
    if precision == "float32":
        return
    if not a.dtype == b.dtype == np.float32:
        raise DtypeError(
            f"{name}: expected float32 operands of a product in {precision}, got {a.dtype} and {b.dtype}; cast them."
        )
    if precision == "int8" and b.shape[0] > LARGEST_DEPTH:
        raise ShapeError(
            f"{name}: expected an inner size of at most {LARGEST_DEPTH} in int8, whose sums fit into 32 bits, got "
            f"{b.shape[0]}; compute this product in float32."
        )

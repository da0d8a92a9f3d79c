"""float32 to bfloat16 and int8: the operands of products in low precision. The rounding is defined here, in NumPy.

**bfloat16** keeps the upper half of a float32, rounded to nearest and ties to even. NaN stays NaN, infinities stay.

**int8** has one symmetric scale per vector, a row of A or a column of B: numbers are ``rint(x * (127 / largest))``, and
stand for themselves times ``largest / 127``, where `largest` is the largest magnitude of the vector. A vector with NaN
or an infinity has the scale NaN: the results of its row or column are NaN. A vector whose largest magnitude is below
2**-100 counts as zero. If `largest` is fixed for all rows of A, larger magnitudes become 127.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from ..jit import kernel
from ..llvm.address import data, matrix, room, vector
from ..llvm.inline import inlined, real, unsigned, word
from .copy_block import copy_padded
from .formats import FORMATS
from .tile import PANEL_BYTES

Array = npt.NDArray[Any]

LARGEST: Final = 127
"""The largest magnitude of an int8 in a product: -128 is not used."""
SMALLEST: Final = 2.0**-100
"""Vectors below this magnitude count as zero: 127 / x must not overflow."""
_CHUNK = 16
"""Rows that are brought into order at a time: a multiple of the lanes of a register."""


# ------------------------------------------------------------------------------------------------ rounding in NumPy


def to_bfloat16(x: Array) -> Array:
    """Return the bits of float32 numbers rounded to bfloat16."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), bits >> np.uint32(16) | np.uint32(0x40), rounded).astype(np.uint16)


def from_bfloat16(bits: Array) -> Array:
    """Return the float32 numbers of bfloat16 bits, exactly."""
    wide: Array = bits.astype(np.uint32) << np.uint32(16)
    return wide.view(np.float32)


def round_bfloat16(x: Array) -> Array:
    """Return float32 numbers rounded to bfloat16, as float32."""
    return from_bfloat16(to_bfloat16(x))


def quantise(x: Array, axis: int, fixed: float = 0.0) -> tuple[Array, Array]:
    """Return the int8 numbers of float32 `x`, and their scales: one for all numbers along `axis`, kept at size 1.

    `fixed` is the magnitude that becomes 127; 0 stands for the largest along `axis`.
    """
    with np.errstate(all="ignore"):
        largest = np.max(np.abs(x), axis=axis, keepdims=True, initial=0).astype(np.float32)
        if fixed:
            largest = np.where(np.isfinite(largest), np.float32(fixed), largest)
        usable = np.isfinite(largest) & (largest >= np.float32(SMALLEST))
        inverse = np.float32(LARGEST) / np.where(usable, largest, np.float32(np.inf))
        scale = np.where(usable, largest / np.float32(LARGEST), np.where(np.isfinite(largest), 0, np.nan))
        numbers = np.rint(np.clip(np.where(usable, x, 0) * inverse, -LARGEST, LARGEST))
    return numbers.astype(np.int8), scale.astype(np.float32)


def dequantise(numbers: Array, scale: Array) -> Array:
    """Return ``numbers * scale`` in float32."""
    values: Array = numbers.astype(np.float32) * scale
    return values


def bits_of(largest: float) -> int:
    """Return the bits of a number as float32: how kernels take a fixed largest magnitude."""
    return int(np.float32(largest).view(np.uint32)) if largest else 0


def product_in_numpy(a: Array, b: Array, precision: str, largest: float = 0.0) -> Array:
    """Return ``a @ b`` of float32 matrices in ``"bfloat16"`` or ``"int8"``: the definition of the compiled products.

    `largest` is the magnitude in `a` that becomes 127 in int8; 0 stands for the largest of each row.
    """
    with np.errstate(all="ignore"):
        if precision == "bfloat16":
            return np.asarray(np.matmul(round_bfloat16(a), round_bfloat16(b)))
        (rows, of_rows), (columns, of_columns) = quantise(a, 1, largest), quantise(b, 0)
        exact = np.matmul(rows.astype(np.float64), columns.astype(np.float64)).astype(np.float32)
        return np.asarray(exact * (of_rows * of_columns))


# ------------------------------------------------------------------------------------------------ rounding in kernels


@inlined
def _bfloat16(x: Any) -> Any:
    """Return the bits of `x` rounded to bfloat16, in an unsigned integer of 32 bits."""
    bits, half = word(x), unsigned(x, 16)
    upper = unsigned(x, bits >> half)
    rounded = unsigned(x, unsigned(x, bits + unsigned(x, 0x7FFF)) + (upper & unsigned(x, 1))) >> half
    return unsigned(x, rounded if _magnitude(x) <= unsigned(x, 0x7F800000) else upper | unsigned(x, 0x40))


@inlined
def _magnitude(x: Any) -> Any:
    """Return the bits of ``abs(x)``, which order like the numbers, with infinity and NaN above them."""
    return unsigned(x, word(x) & unsigned(x, 0x7FFFFFFF))


@inlined
def _usable(largest: Any, x: Any) -> Any:
    return largest < unsigned(x, 0x7F800000) and real(x, largest) >= np.float32(SMALLEST)


@inlined
def _inverse(largest: Any, x: Any) -> Any:
    """Return 127 over the number with the bits `largest`, of the dtype of `x`, or 0."""
    return np.float32(LARGEST) / real(x, largest) if _usable(largest, x) else np.float32(0)


@inlined
def _scale(largest: Any, x: Any) -> Any:
    """Return the scale of a vector whose largest magnitude has the bits `largest`."""
    scale = real(x, largest) / np.float32(LARGEST) if _usable(largest, x) else np.float32(0)
    return scale if largest < unsigned(x, 0x7F800000) else np.float32(np.nan)


_ROUNDER: Final = np.float32(1.5 * 2**23)
"""Added to a small number it leaves no fractional bits: it rounds, to nearest and ties to even, into the lowest bits.

Kernels add it, not inlined functions: those may fuse the addition with the multiplication before it.
"""
_WORDS: Final = {
    types.uint32: types.uint16,
    types.uint16: types.uint32,
    types.int32: types.uint8,
    types.int16: types.int16,
    types.int8: types.int32,
}
"""The dtype of one number in a row of A per format."""
_ENTRIES: Final = {types.int32: types.uint32, types.int16: types.uint16, types.int8: types.uint8}
"""The unsigned dtype of an entry of B per format, if it is not its own."""


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _word_of(typing, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return a zero with the dtype of one number in a row of A."""
    kind = _WORDS[like]
    return kind(like), lambda context, *_: context.get_constant(kind, 0)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def bytes_of(typing, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the bytes of an entry of B."""
    size = like.bitwidth // 8
    return types.intp(like), lambda context, *_: context.get_constant(types.intp, size)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _entry_of(typing, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return a zero with the dtype of an entry of B."""
    kind = _ENTRIES.get(like, like)
    return kind(like), lambda context, *_: context.get_constant(kind, 0)


def _trait(name: str) -> Any:
    """Return a function of a format that returns one of its integers, a constant of the compiled code."""

    @intrinsic
    def trait(typing, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
        value = getattr(FORMATS[like], name)
        return types.intp(like), lambda context, *_: context.get_constant(types.intp, value)

    return trait


group_of, header_of, footer_of, _offset_of = (_trait(x) for x in ("group", "row_header", "panel_footer", "offset"))


# ------------------------------------------------------------------------------------------------ rows of A


@kernel
def convert_rows(a, M, K, a_row, a_column, rows, fixed, like):  # type: ignore[no-untyped-def]
    """Convert rows of A to words; sizes and strides in elements.

    `fixed` are the bits of the magnitude that becomes 127 in int8; 0 stands for the largest of each row.
    """
    group, header = group_of(like), header_of(like)
    steps, zero = -(-K // group), np.float32(0)
    width = -(-K // _CHUNK) * _CHUNK
    copy = room(_CHUNK * width if a_column != 1 else 0, zero)
    for i in range(M):
        first = a + 4 * i * a_row
        if a_column != 1:
            if i % _CHUNK == 0:
                block = matrix(first, min(_CHUNK, M - i), K, a_row, a_column, zero)
                copy_padded(block, copy.reshape(_CHUNK, width))
            first = data(copy) + 4 * (i % _CHUNK) * width
        row = vector(first, K, zero)
        place = rows + i * (header + 4 * steps) + header
        target = vector(place, steps * group, _word_of(like))
        target[K:] = 0
        if header > 0:
            largest = np.uint32(0)
            for k in range(K):
                largest = max(largest, _magnitude(row[k]))
            if fixed != 0 and largest < np.uint32(0x7F800000):
                largest = np.uint32(fixed)
            inverse, offset = _inverse(largest, zero), _offset_of(like)
            vector(place - header, 1, zero)[0] = _scale(largest, zero)
            if fixed == 0:
                for k in range(K):
                    number = np.int8(word(row[k] * inverse + _ROUNDER))
                    target[k] = number + offset
            else:
                for k in range(K):
                    within = min(max(row[k] * inverse, np.float32(-LARGEST)), np.float32(LARGEST))
                    number = np.int8(word(within + _ROUNDER))
                    target[k] = number + offset
        else:
            left = 16 * (2 - group)  # a number stored as float32
            for k in range(K):
                target[k] = unsigned(row[k], _bfloat16(row[k]) << unsigned(row[k], left))


# ------------------------------------------------------------------------------------------------ entries of B


@kernel
def _add_row(x, inverse, sums, entries, shift, like):  # type: ignore[no-untyped-def]
    """Put the numbers of one row of B into the entries of their step, `shift` bits up. *Changed*: `entries`, `sums`."""
    if header_of(like) > 0:
        for j in range(x.size):
            number = np.int8(word(x[j] * inverse[j] + _ROUNDER))
            sums[j] += number
            entries[j] |= np.uint32(np.uint32(np.uint8(number)) << np.uint32(shift))
    else:
        for j in range(x.size):
            entries[j] |= np.uint32(_bfloat16(x[j]) << np.uint32(shift))


@kernel
def _set_pairs(x, y, entries):  # type: ignore[no-untyped-def]
    """Set the entries of a step from its two rows of bfloat16."""
    for j in range(x.size):
        entries[j] = np.uint32(_bfloat16(x[j]) | np.uint32(_bfloat16(y[j]) << np.uint32(16)))


@kernel
def fill_entries(b, K, N, b_row, b_column, target, target_row, width, inverse, sums, like):  # type: ignore[no-untyped-def]
    """Convert B ``(K, N)`` to entries, step by step, with zeros from N to `width`. *Changed*: the target, `sums`.

    `b` and `target` are addresses, the strides of B in elements, that of the target in bytes. int8 also takes the
    inverse scale of each column, and adds up the numbers of each column in `sums`.
    """
    group, zero = group_of(like), np.float32(0)
    rows = room(_CHUNK * width if b_column != 1 else 0, zero)
    for start in range(0, K, _CHUNK):
        stop = min(K, start + _CHUNK)
        first, row = b + 4 * start * b_row, 4 * b_row
        if b_column != 1:
            copy_padded(matrix(first, stop - start, N, b_row, b_column, zero), rows.reshape(_CHUNK, width))
            first, row = data(rows), 4 * width
        for k in range(start, stop, group):
            entries, place = vector(target + k // group * target_row, width, _entry_of(like)), first + (k - start) * row
            if header_of(like) == 0 and group == 2 and k + 2 <= stop:
                _set_pairs(vector(place, N, zero), vector(place + row, N, zero), entries)
                entries[N:] = 0
            else:
                entries[:] = 0
                for g in range(min(group, stop - k)):
                    shift = 8 * bytes_of(like) // group * g
                    _add_row(vector(place + g * row, N, zero), inverse, sums, entries, shift, like)


@kernel
def pack_entries(b, K, N, b_row, b_column, target, like):  # type: ignore[no-untyped-def]
    """Convert B ``(K, N)`` of any strides, in elements, to panels. *Changed*: the target, of `panels_nbytes` bytes."""
    columns, steps, zero = PANEL_BYTES // 4, -(-K // group_of(like)), np.float32(0)
    row = columns * bytes_of(like)
    panel = steps * row + columns * footer_of(like)
    count, narrow = -(-N // columns), footer_of(like) > 0
    inverse, sums = np.empty(count * columns * narrow, np.float32), np.zeros(count * columns * narrow, np.int32)
    if narrow:
        largest = np.zeros(count * columns, np.uint32)
        _add_magnitudes(b, K, N, b_row, b_column, largest)
        for j in range(largest.size):
            inverse[j] = _inverse(largest[j], zero)
    chunk = _CHUNK if b_column == 1 else max(1, K)  # all panels of some rows, or all rows of a panel, as memory is read
    for k in range(0, K, chunk):
        for p in range(count):
            part = slice(p * columns, (p + 1) * columns)
            fill_entries(
                b + 4 * (k * b_row + p * columns * b_column),
                min(chunk, K - k),
                min(columns, N - p * columns),
                b_row,
                b_column,
                target + p * panel + k // group_of(like) * row,
                row,
                columns,
                inverse[part],
                sums[part],
                like,
            )
    if narrow:
        for p in range(count):
            scales = vector(target + p * panel + steps * row, columns, zero)
            less = vector(target + p * panel + steps * row + 4 * columns, columns, np.int32(0))
            for j in range(columns):
                scales[j] = _scale(largest[p * columns + j], zero)
                less[j] = sums[p * columns + j] * _offset_of(like)


@kernel
def _add_magnitudes(b, K, N, b_row, b_column, largest):  # type: ignore[no-untyped-def]
    """Find the bits of the largest magnitude of each column of B. *Changed*: `largest`."""
    if b_row == 1:
        for j in range(N):
            x, m = vector(b + 4 * j * b_column, K, np.float32(0)), np.uint32(0)
            for k in range(K):
                m = max(m, _magnitude(x[k]))
            largest[j] = m
        return
    x = matrix(b, K, N, b_row, b_column, np.float32(0))
    for k in range(K):
        for j in range(N):
            largest[j] = max(largest[j], _magnitude(x[k, j]))

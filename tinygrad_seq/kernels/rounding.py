"""Matrix products in low precision on NumPy: the reference for the kernels, and what runs without Numba's compiler."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.modes import quiet

Array = npt.NDArray[Any]

LARGEST_INT8 = 127
EXACT_DEPTH = 1040
"""Products of two int8 whose sum float32 holds exactly: 1040 * 127**2 < 2**24."""


def round_bfloat16(x: Array) -> Array:
    """Return float32 values rounded to bfloat16, to nearest and ties to even, as float32; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))


def round_int8(x: Array, axis: int) -> tuple[Array, Array]:
    """Return integers from -127 to 127 as float32, and their scales: one for all values along `axis`, kept at size 1.

    A scale is the largest magnitude divided by 127; it is 0 where all values are, and not finite where one is not.
    """
    scale = np.max(np.abs(x), axis=axis, keepdims=True, initial=0) / np.float32(LARGEST_INT8)
    return np.rint(x / np.where(scale == 0, np.float32(1), scale)), scale


def product(a: Array, b: Array, precision: str) -> Array:
    """Return ``a @ b`` of float32 arrays (..., K) and (K, N), computed in ``"bfloat16"`` or ``"int8"``.

    bfloat16: both are rounded, and their products added up in float32. int8: `a` has one scale per row, `b` one per
    column; the sums of integers are exact.
    """
    return quiet().run(_product, a, b, precision)


def _product(a: Array, b: Array, precision: str) -> Array:
    rows = a.reshape(-1, a.shape[-1])
    if precision == "bfloat16":
        y = round_bfloat16(rows) @ round_bfloat16(b)
    else:
        (rows, of_rows), (b, of_columns) = round_int8(rows, 1), round_int8(b, 0)
        exact = np.float32 if len(b) <= EXACT_DEPTH else np.float64
        y = (rows.astype(exact) @ b.astype(exact)).astype(np.float32) * (of_rows * of_columns)
    return y.reshape(*a.shape[:-1], b.shape[1])

"""Reductions of a stretch of a row, inlined into generated loops; sums may be reordered, so that they vectorise."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from numba import config, njit

from .jit import cached

Array = npt.NDArray[Any]


def _reordered(function: Any) -> Any:
    if config.DISABLE_JIT:
        return function
    return cached(
        njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}, forceinline=True)(function)
    )


@_reordered
def total(x: Array, start: Any, count: Any, zero: Any) -> Any:
    """Return the sum of `count` elements of `x` from `start` on; `zero` is the 0 of their dtype."""
    for j in range(count):
        zero += x[start + j]
    return zero


@_reordered
def dot(a: Array, a_start: Any, b: Array, b_start: Any, count: Any, zero: Any) -> Any:
    """Return the sum of `count` products of elements of `a` and `b`; `zero` is the 0 of their dtype."""
    for j in range(count):
        zero += a[a_start + j] * b[b_start + j]
    return zero

"""The largest or smallest elements of matrix rows, in order, with their indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .jit import kernel

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


@kernel
def _behind(a: Any, i: Any, b: Any, j: Any, largest: Any) -> Any:
    """Return whether `a` at index i comes after `b` at index j: NaN is the largest, of equals the first leads."""
    if a == b or (a != a and b != b):
        return i > j
    if a != a or b != b:
        return (b != b) == largest
    return (a < b) == largest


@kernel
def _sift(values: Array, indices: Indices, at: Any, size: Any, largest: Any) -> None:
    """Sift element `at` of a heap of `size` down until no child comes after it. *Changed*: `values`, `indices`."""
    value, index = values[at], indices[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _behind(values[child + 1], indices[child + 1], values[child], indices[child], largest):
            child += 1
        if not _behind(values[child], indices[child], value, index, largest):
            break
        values[at], indices[at] = values[child], indices[child]
        at = child
    values[at], indices[at] = value, index


@kernel
def select(x: Array, largest: Any, values: Array, indices: Indices) -> None:
    """Set the first k places of each row of `x` ``(N, V)``, sorted, and their indices. *Changed*: `values`, `indices`.

    Parameters
    ----------
    x
        ``(N, V)``.
    largest
        Whether the largest element comes first, or the smallest; NaN counts as the largest.
    values, indices
        ``(N, k)``, k at most V. While a row is read they are a heap whose root comes last of the k best so far.
    """
    k = values.shape[1]
    for n in range(x.shape[0] if k else 0):
        best, where = values[n], indices[n]
        for i in range(k):
            best[i], where[i] = x[n, i], i
        for root in range(k // 2 - 1, -1, -1):
            _sift(best, where, root, k, largest)
        for i in range(k, x.shape[1]):
            if _behind(best[0], where[0], x[n, i], i, largest):
                best[0], where[0] = x[n, i], i
                _sift(best, where, 0, k, largest)
        for end in range(k - 1, 0, -1):
            last, index = best[end], where[end]
            best[end], where[end] = best[0], where[0]
            best[0], where[0] = last, index
            _sift(best, where, 0, end, largest)

"""Scatter-add: the gradient of a lookup. Repeated indices add up in order.

The kernel does not check bounds: the caller guarantees that every index is an `intp` in ``[0, len(target))``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .jit import kernel

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]


@kernel
def scatter_add_rows(target: Array, indices: Indices, rows: Array) -> None:
    """Add row k of `rows` ``(K, H)`` to row ``indices[k]`` of `target` ``(V, H)``. *Changed*: `target`."""
    for k in range(indices.size):
        v = indices[k]
        for h in range(rows.shape[1]):
            target[v, h] += rows[k, h]

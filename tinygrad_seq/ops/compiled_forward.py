"""The forward of a row of the table as one compiled loop, where NumPy takes several passes or has no such function."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config

from .primitive import Array

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@functools.cache
def _kernel(name: str) -> Callable[..., None]:
    """Return a kernel of `kernels.pointwise`, imported at first use because that takes 20 ms."""
    from ..kernels import pointwise

    return getattr(pointwise, name)  # type: ignore[no-any-return]


@functools.cache
def row_kernel(name: str) -> Callable[..., None]:
    """Return a kernel of `kernels.rowwise`, imported at first use."""
    from ..kernels import rowwise

    return getattr(rowwise, name)  # type: ignore[no-any-return]


def as_rows(axes: tuple[int, ...], *arrays: Array) -> list[np.ndarray] | None:
    """Return arrays of one shape as a kernel takes them, ``(N, V)`` with V the size of `axes`.

    None where a kernel does not apply: `axes` are not the last ones, another dtype, or there is no compiler.
    """
    first = arrays[0]
    lead = first.ndim - len(axes)
    if config.DISABLE_JIT or first.dtype not in _DTYPES or axes != tuple(range(lead, first.ndim)):
        return None
    shape = math.prod(first.shape[:lead]), math.prod(first.shape[lead:])
    rowwise = []
    for array in arrays:
        if array.__class__ is not np.ndarray or array.dtype != first.dtype or array.shape != first.shape:
            return None
        rowwise.append(writable(array).reshape(shape))
    return rowwise


def writable(array: np.ndarray) -> np.ndarray:
    """Return `array`, or a copy if it is not contiguous or read-only, for which Numba would compile once more."""
    return array if array.flags.carray else array.copy()


def compiled(name: str, otherwise: Callable[[Array], Any] | None = None) -> Any:
    """Return a forward that changes a copy by the kernel `name`; other dtypes go to `otherwise`, or become float64.

    Without the compiler, everything goes to `otherwise` where there is one.
    """
    if config.DISABLE_JIT and otherwise is not None:
        return otherwise

    def forward(x: Array) -> Any:
        if x.__class__ is not np.ndarray or x.dtype not in _DTYPES:
            if otherwise is not None:
                return otherwise(x)
            x = np.asarray(x, np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64)
        y = x.copy()
        _kernel(name)(y.reshape(-1))
        return y

    return forward


def compiled_pair(name: str, otherwise: Callable[[Array, Array], Any]) -> Any:
    """Return a forward of two arrays of one shape and dtype by the kernel `name`; others go to `otherwise`."""
    if config.DISABLE_JIT:
        return otherwise

    def forward(a: Array, b: Array) -> Any:
        if (
            a.__class__ is not np.ndarray
            or b.__class__ is not np.ndarray
            or a.dtype not in _DTYPES
            or a.dtype != b.dtype
            or a.shape != b.shape
        ):
            return otherwise(a, b)
        y = a.copy()
        _kernel(name)(y.reshape(-1), b.copy().reshape(-1))
        return y

    return forward

"""The error function and its relatives, element by element and in place: NumPy has none of them.

Each is the C library's ``erf`` or ``erfc``, correct to 1 ulp in glibc, macOS and Microsoft's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .jit import kernel

Array = npt.NDArray[Any]


@kernel
def erf(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``erf(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = math.erf(x[i])


@kernel
def erfc(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``1 - erf(x)``, accurate where that is tiny. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = math.erfc(x[i])


@kernel
def ndtr(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by the standard normal distribution function. *Changed*: `x`.

    The relative error for x < 0 is below ``(2 + x²) * eps``: the rounding of ``x / √2``, magnified by the tail.
    """
    half, root = x.dtype.type(0.5), x.dtype.type(np.sqrt(0.5))
    for i in range(x.size):
        x[i] = half * math.erfc(-x[i] * root)

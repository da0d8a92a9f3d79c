"""Vectorised in-place loops over the functions of scalar.py.

All arrays are 1-D and contiguous, of one dtype, float32 or float64.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import scalar
from .jit import kernel

Array = npt.NDArray[Any]


@kernel
def sigmoid(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``sigmoid(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.sigmoid(x[i])


@kernel
def silu(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``silu(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.silu(x[i])


@kernel
def gelu(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``gelu(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.gelu(x[i])


@kernel
def gelu_tanh(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``gelu_tanh(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.gelu_tanh(x[i])


@kernel
def softplus(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``softplus(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.softplus(x[i])


@kernel
def log_sigmoid(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``log_sigmoid(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.log_sigmoid(x[i])


@kernel
def erf(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``erf(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.erf(x[i])


@kernel
def erfc(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``erfc(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.erfc(x[i])


@kernel
def ndtr(x: Array) -> None:
    """Replace each of `x` ``(M,)`` by ``ndtr(x)``. *Changed*: `x`."""
    for i in range(x.size):
        x[i] = scalar.ndtr(x[i])


@kernel
def logaddexp(a: Array, b: Array) -> None:
    """Replace each of `a` ``(M,)`` by ``logaddexp(a, b)``. *Changed*: `a`."""
    for i in range(a.size):
        a[i] = scalar.logaddexp(a[i], b[i])

"""How one source becomes machine code for float32 and for float64, inlined where it is used so that loops vectorise.

A function under `inlined` has no branches: a condition only chooses between two values, which LLVM does for all lanes
of a vector at once. What differs between the two dtypes comes from `by_dtype`, chosen while compiling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.extending import overload

# A multiply and an add may become one fused instruction: the one licence that changes neither inf nor nan nor -0.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}
_UNROLLED = 12  # LLVM leaves longer loops as they are, and then no loop around them vectorises


Scalar = Any
"""A NumPy scalar, float32 or float64."""
Function = Callable[..., Any]


def inlined(function: Function) -> Function:
    """Return `function` as a part of the kernels that call it; under ``NUMBA_DISABLE_JIT=1`` the function itself."""
    return function if config.DISABLE_JIT else njit(**_OPTIONS)(function)


def by_dtype(single: Function, double: Function) -> Function:
    """Return a function that is `single` where its first argument has 32 bits, and `double` where it has 64."""

    def chosen(x: Scalar, *others: Any) -> Any:
        return (single if x.itemsize == 4 else double)(x, *others)

    if config.DISABLE_JIT:
        return chosen
    of_single, of_double = inlined(single), inlined(double)

    def choose(x: Any, *others: Any) -> Function:  # noqa: ARG001 (Numba wants one signature)
        function = of_single if x == types.float32 else of_double
        return lambda x, *others: function(x, *others)  # noqa: PLW0108 (Numba wants a plain function)

    overload(chosen, jit_options=_OPTIONS, strict=False)(choose)
    return chosen


def constant(single: Any, double: Any) -> Function:
    """Return a function of a scalar whose value is the one number or the other, whatever the scalar."""
    return by_dtype(lambda _x: single, lambda _x: double)


def real_constant(single: float, double: float) -> Function:
    """Return a `constant` that has the dtype of the scalar."""
    return constant(np.float32(single), np.float64(double))


def polynomial(single: tuple[float, ...], double: tuple[float, ...]) -> Function:
    """Return a polynomial by Horner's rule; the coefficients stand with the highest power first."""
    return by_dtype(_horner(np.float32, single), _horner(np.float64, double))


def _horner(dtype: type, coefficients: tuple[float, ...]) -> Function:
    if len(coefficients) == 1:
        constant_term = dtype(coefficients[0])
        return lambda _x: constant_term
    count = min(_UNROLLED, len(coefficients) - 1)
    start, last = inlined(_horner(dtype, coefficients[:-count])), tuple(dtype(c) for c in coefficients[-count:])

    def evaluate(x: Scalar) -> Scalar:
        y = start(x)
        for c in last:
            y = y * x + c
        return y

    return evaluate


# ------------------------------------------------------------------------------------------------------ bits of floats

unsigned = by_dtype(lambda _x, w: np.uint32(w), lambda _x, w: np.uint64(w))
unsigned.__doc__ = "Return an integer as an unsigned one of the size of the float `x`: sums of them are wider in Numba."
word = by_dtype(lambda x: np.float32(x).view(np.uint32), lambda x: np.float64(x).view(np.uint64))
word.__doc__ = "Return the bits of a float."
real = by_dtype(lambda _x, w: np.uint32(w).view(np.float32), lambda _x, w: np.uint64(w).view(np.float64))
real.__doc__ = "Return the float of the dtype of `x` that has these bits."
exponent_bits = constant(np.uint32(23), np.uint64(52))
mantissa = constant(np.uint32(0x7FFFFF), np.uint64(0xFFFFFFFFFFFFF))
one_bit = constant(np.uint32(1), np.uint64(1))
upper_half = constant(np.uint32(0xFFFFF000), np.uint64(0xFFFFFFFFF8000000))


@inlined
def power(x: Scalar, exponent: Any) -> Scalar:
    """Return ``2**(exponent - bias)`` in the dtype of `x`; higher bits of the exponent fall away."""
    return real(x, unsigned(x, exponent) << exponent_bits(x))


@inlined
def halved(x: Scalar, exponent: Any) -> Any:
    """Return the unsigned integer divided by 2, rounded down."""
    return unsigned(x, exponent) >> one_bit(x)


@inlined
def upper(x: Scalar) -> Scalar:
    """Return `x` cut to half its digits, so that its square is exact."""
    return real(x, word(x) & upper_half(x))

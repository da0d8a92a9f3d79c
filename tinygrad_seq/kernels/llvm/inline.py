"""Inlined functions: one source for float32 and float64, inlined into kernels so that loops vectorise.

A function under `inlined` has no branches: a condition selects one of two values, which LLVM does for all lanes of a
vector at once. Parts that differ between the dtypes are emitted into the caller as LLVM instructions: a separate
function would cost Numba about 40 ms, and a cell uses dozens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, from_dtype, njit, types
from numba.extending import intrinsic

from ..jit import cached

# Allow fused multiply-add, the one relaxation that changes neither inf nor nan nor -0.
_FASTMATH = ("contract",)
# Only kernels call these functions, so the entry points for Python and C (half of the compile time) are omitted.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": set(_FASTMATH),
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

Scalar = Any
"""A NumPy scalar, float32 or float64."""
Function = Callable[..., Any]


def inlined(function: Function) -> Function:
    """Return `function` for inlining into kernels; under ``NUMBA_DISABLE_JIT=1`` the function itself."""
    return function if config.DISABLE_JIT else cached(njit(**_OPTIONS)(function))


def constant(single: Any, double: Any) -> Function:
    """Return a function of a scalar that returns `single` for float32 and `double` for float64."""
    if config.DISABLE_JIT:
        return lambda x: single if x.itemsize == 4 else double

    @intrinsic
    def write(typing, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
        value = single if x == types.float32 else double
        kind = from_dtype(value.dtype)
        return kind(x), lambda context, *_: context.get_constant(kind, value)

    return write  # type: ignore[no-any-return]


def real_constant(single: float, double: float) -> Function:
    """Return a `constant` with the dtype of the scalar."""
    return constant(np.float32(single), np.float64(double))


def polynomial(single: tuple[float, ...], double: tuple[float, ...]) -> Function:
    """Return a polynomial evaluated by Horner's rule; coefficients start with the highest power."""

    def evaluate(x: Scalar) -> Scalar:
        y, *others = (type(x)(c) for c in (single if x.itemsize == 4 else double))
        for c in others:
            y = y * x + c
        return y

    if config.DISABLE_JIT:
        return evaluate

    @intrinsic
    def write(typing, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
        def generate(context, builder, _, values):  # type: ignore[no-untyped-def]
            dtype, numbers = (np.float32, single) if x == types.float32 else (np.float64, double)
            y, *others = (context.get_constant(x, dtype(c)) for c in numbers)
            for c in others:
                y = builder.fadd(builder.fmul(y, values[0], flags=_FASTMATH), c, flags=_FASTMATH)
            return y

        return x(x), generate

    return write  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------------ bits of floats


def _unsigned_of(x: Any) -> Any:
    return types.uint32 if x == types.float32 else types.uint64


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _unsigned(typing, x, w):  # type: ignore[no-untyped-def]  # noqa: ARG001
    kind = _unsigned_of(x)
    return kind(x, w), lambda context, builder, _, values: context.cast(builder, values[1], w, kind)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _word(typing, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    kind = _unsigned_of(x)
    return kind(x), lambda context, builder, _, values: builder.bitcast(values[0], context.get_value_type(kind))


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _real(typing, x, w):  # type: ignore[no-untyped-def]  # noqa: ARG001
    def generate(context, builder, _, values):  # type: ignore[no-untyped-def]
        word = context.cast(builder, values[1], w, _unsigned_of(x))
        return builder.bitcast(word, context.get_value_type(x))

    return x(x, w), generate


def unsigned(x: Scalar, w: Any) -> Any:
    """Return an integer as unsigned with the size of the float `x`, since Numba widens sums."""
    return np.dtype(f"u{x.itemsize}").type(w)


def word(x: Scalar) -> Any:
    """Return the bits of a float."""
    return x.view(f"u{x.itemsize}")


def real(x: Scalar, w: Any) -> Scalar:
    """Return the float with the dtype of `x` and these bits."""
    return unsigned(x, w).view(x.dtype)


if not config.DISABLE_JIT:
    unsigned, word, real = _unsigned, _word, _real
exponent_bits = constant(np.uint32(23), np.uint64(52))
mantissa = constant(np.uint32(0x7FFFFF), np.uint64(0xFFFFFFFFFFFFF))
one_bit = constant(np.uint32(1), np.uint64(1))
sign_bit = constant(np.uint32(0x80000000), np.uint64(0x8000000000000000))
upper_half = constant(np.uint32(0xFFFFF000), np.uint64(0xFFFFFFFFF8000000))


@inlined
def power(x: Scalar, exponent: Any) -> Scalar:
    """Return ``2**(exponent - bias)`` in the dtype of `x`; higher bits of the exponent are dropped."""
    return real(x, unsigned(x, exponent) << exponent_bits(x))


@inlined
def halved(x: Scalar, exponent: Any) -> Any:
    """Return the unsigned integer divided by 2, rounded down."""
    return unsigned(x, exponent) >> one_bit(x)


@inlined
def upper(x: Scalar) -> Scalar:
    """Return `x` truncated to half its significant bits, so that its square is exact."""
    return real(x, word(x) & upper_half(x))


@inlined
def signed(x: Scalar, like: Scalar) -> Scalar:
    """Return the non-negative `x` with the sign of `like`."""
    return real(x, word(x) | (word(like) & sign_bit(x)))

"""Sums and maxima of one row in independent accumulators (strands); Numba would add the elements one by one.

Element i belongs to strand ``i % STRANDS``. A strand adds its elements in order, and the strands are combined pairwise,
so the order does not depend on the register width. Sums are float64 for any dtype of the row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import kernel
from .llvm.simd import Writer

Row = npt.NDArray[Any]
"""1-D and contiguous, float32 or float64; two rows of one call have one dtype and length."""

STRANDS = 32

# Emits one step: (writer for the result, strands, vector of x, vector of y) -> strands.
Step = Callable[[Writer, Any, Any, Any], Any]
# Emits the combination of two vectors of strands.
Join = Callable[[ir.IRBuilder, Any, Any], Any]


def _reduction(start: float, wide: bool, step: Step, join: Join) -> Any:
    """Return an intrinsic that reduces two rows to a float64 if `wide`, else to their dtype."""

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def reduction(typing, x, y):  # type: ignore[no-untyped-def]  # noqa: ARG001
        signature = (types.float64 if wide else x.dtype)(x, y)

        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            rows = [
                context.make_array(kind)(context, builder, v) for kind, v in zip(signature.args, values, strict=True)
            ]
            size = cgutils.unpack_tuple(builder, rows[0].shape)[0]
            reader = Writer(builder, x.dtype, STRANDS)
            result = Writer(builder, signature.return_type, STRANDS)
            strands = _write_loop(reader, result, [row.data for row in rows], size, start, step)
            return _write_joins(builder, strands, join)

        return signature, generate

    return reduction


def _write_loop(reader: Writer, result: Writer, rows: list[Any], size: Any, start: float, step: Step) -> Any:
    """Emit the loop over whole vectors and one masked step for the remainder; return the strands."""
    builder, number = reader.builder, size.type
    before = builder.block
    loop, body, rest = (builder.append_basic_block(name) for name in ("loop", "body", "rest"))
    whole = builder.and_(size, number(-STRANDS))

    def vectors(i: Any, mask: Any = None) -> list[Any]:
        loaded = [reader.load(reader.move(row, (i, number(reader.size))), mask) for row in rows]
        return loaded if reader.size == result.size else [builder.fpext(vector, result.vector) for vector in loaded]

    builder.branch(loop)
    builder.position_at_end(loop)
    i, strands = builder.phi(number), builder.phi(result.vector)
    builder.cbranch(builder.icmp_signed("<", i, whole), body, rest)
    builder.position_at_end(body)
    following = builder.add(i, number(STRANDS)), step(result, strands, *vectors(i))
    builder.branch(loop)
    first = number(0), ir.Constant(result.vector, [start] * STRANDS)
    for phi, initial, later in zip((i, strands), first, following, strict=True):
        phi.add_incoming(initial, before)
        phi.add_incoming(later, body)
    builder.position_at_end(rest)
    mask = reader.below(builder.sub(size, whole))
    return builder.select(mask, step(result, strands, *vectors(whole, mask)), strands)


def _write_joins(builder: ir.IRBuilder, strands: Any, join: Join) -> Any:
    number, half = ir.IntType(32), STRANDS // 2
    while half:
        lower, upper = (
            builder.shuffle_vector(strands, strands, ir.Constant(ir.VectorType(number, half), list(range(n, n + half))))
            for n in (0, half)
        )
        strands = join(builder, lower, upper)
        half //= 2
    return builder.extract_element(strands, number(0))


def _larger(builder: ir.IRBuilder, strands: Any, x: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, strands), x, strands)


_top = _reduction(-np.inf, False, lambda result, strands, x, _y: _larger(result.builder, strands, x), _larger)
_total = _reduction(0.0, True, lambda result, strands, x, _y: result.builder.fadd(strands, x), ir.IRBuilder.fadd)
_dot = _reduction(0.0, True, lambda result, strands, x, y: result.multiply_add(x, y, strands), ir.IRBuilder.fadd)


def _reduces(otherwise: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that inlines a function into calling kernels; without the compiler it returns `otherwise`."""
    return lambda function: otherwise if config.DISABLE_JIT else njit(nogil=True, forceinline=True)(function)


@_reduces(lambda x: np.max(x[~np.isnan(x)], initial=x.dtype.type(-np.inf)))
def top(x: Row) -> Any:
    """Return the largest element of `x` that is not nan, in its dtype; -inf if there is none."""
    return _top(x, x)


@_reduces(lambda x: np.sum(x, dtype=np.float64))
def total(x: Row) -> Any:
    """Return the sum of `x`, a float64."""
    return _total(x, x)


@_reduces(lambda x, y: np.sum(np.multiply(x, y, dtype=np.float64)))
def dot(x: Row, y: Row) -> Any:
    """Return the sum of the products of `x` and `y`, a float64."""
    return _dot(x, y)


@kernel
def sum_of_squares(x: Row) -> float:
    """Return the sum of the squares of `x`; relative error below ``(x.size / STRANDS + 6) * 2**-53``."""
    return dot(x, x)  # type: ignore[no-any-return]

"""Integers and masks in a compiled loop: NumPy's dtypes and values, at the ends of each dtype.

The first operand travels through the carry, so that each operation is computed inside the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tinygrad_seq.base.tree import flatten

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
COMPARISONS = [ts.less, ts.less_equal, ts.greater, ts.greater_equal, ts.equal, ts.not_equal]
NUMBERS = [0, 1, -1, 127, 128, -129, 255, 256, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, True, 0.5]
REDUCTIONS = [ts.sum, ts.prod, ts.max, ts.min, ts.any, ts.all]


def ends(dtype: str, shift: int = 0) -> ts.Tensor:
    """Return values ``(4, 2, 6)`` of an integer dtype, the least and the largest among them."""
    bounds = np.iinfo(dtype)
    values = [bounds.min, bounds.max, 0, 1, bounds.min + 3, bounds.max - 5, 7, 100, bounds.max // 2 + 1]
    return ts.tensor(np.resize(np.roll(np.array(values, dtype), shift), (4, 2, 6)))


def agree(operations: Callable[..., Any], *xs: ts.Tensor) -> None:
    """Fail unless `operations` of the first of `xs`, by way of the carry, and the others are alike on both paths."""

    def step(carry: ts.Tensor, x: tuple[ts.Tensor, ...]) -> tuple[ts.Tensor, Any]:
        carry = ts.bitwise_xor(carry, x[0])
        return carry, operations(carry, *x[1:])

    init = ts.zeros(xs[0].shape[1:], dtype=xs[0].dtype)
    want, got = (flatten(ts.scan(step, init, xs, compile=compile))[0] for compile in (False, True))
    for at, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.dtype == b.dtype, f"result {at} is {a.dtype}, not {b.dtype}"
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=f"result {at}")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_comparisons_with_any_number(dtype: str) -> None:
    agree(lambda v: [compare(v, number) for compare in COMPARISONS for number in NUMBERS], ends(dtype))


@pytest.mark.parametrize("dtypes", [("int64", "uint64"), ("uint64", "int64"), ("int8", "uint64"), ("int32", "uint32")])
def test_comparisons_of_signed_with_unsigned(dtypes: tuple[str, str]) -> None:
    agree(lambda a, b: [compare(a, b) for compare in COMPARISONS], ends(dtypes[0]), ends(dtypes[1], 2))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_operations_whose_source_is_for_floats(dtype: str) -> None:
    def operations(a: ts.Tensor, b: ts.Tensor) -> Any:
        rounded = [rounding(a) for rounding in (ts.floor, ts.ceil, ts.round, ts.trunc)]
        return rounded, ts.fmod(a, b), ts.remainder(a, b), ts.floor_divide(a, b), ts.sign(a), abs(a), a**2, a**3

    agree(operations, ends(dtype), ends(dtype, 2))


def test_masks() -> None:
    x = ts.tensor(np.resize([True, False, False], (4, 2, 6)))
    agree(lambda a, b: [ts.fmod(a, b), ts.remainder(a, b), a + b, a * b, a**2, ts.less(a, b)], x, ~x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_as_integers(dtype: str) -> None:
    values = np.array([-300.7, -1.5, -0.5, 0.5, 300.7, 70000.0, 2.0**31, 2.0**33], dtype)
    xs = ts.tensor(np.stack([values, values[::-1]]))

    def step(carry: ts.Tensor, x: ts.Tensor) -> Any:
        return x - carry * 0, [ts.astype(x - carry * 0, name) for name in INTEGERS]

    want, got = (flatten(ts.scan(step, xs[0], xs, compile=compile))[0] for compile in (False, True))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.skipif(config.DISABLE_JIT, reason="NumPy runs the loop, and raises its own error")
def test_a_power_of_integers_that_may_fail_is_refused() -> None:
    xs = ts.ones((3, 2), dtype="int64")
    with pytest.raises(ts.CompileError, match="exponents that cannot be negative"):
        ts.scan(lambda n, x: (n * x, x**n), xs[0], xs, compile=True)
    _, ys = ts.scan(lambda n, x: (n * x, 2 ** ts.astype(n, "uint8")), xs[0], xs, compile=True)
    assert (ys == 2).all()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float64"])
@pytest.mark.parametrize("rank", [0, 2])
def test_reductions_over_no_axes(dtype: str, rank: int) -> None:
    xs = ts.tensor(np.resize([0, 1, 3], (4, *(2, 3)[:rank])).astype(dtype))

    def step(carry: ts.Tensor, x: ts.Tensor) -> Any:
        x = ts.maximum(carry, x)
        return x, [reduce(x, axis=() if rank else None) for reduce in REDUCTIONS]

    init = ts.zeros(xs.shape[1:], dtype=dtype)
    want, got = (flatten(ts.scan(step, init, xs, compile=compile))[0] for compile in (False, True))
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("number", [2**64, -(10**30)])
def test_numbers_beyond_all_integers(number: int) -> None:
    xs = ts.tensor(np.linspace(-1, 1, 6).reshape(2, 3))

    def run(compile: bool) -> np.ndarray:
        return ts.scan(lambda h, x: (h + x, h * number + x), ts.zeros(3, dtype="float64"), xs, compile=compile)[
            1
        ].numpy()

    np.testing.assert_array_equal(run(True), run(False))

"""Sums and maxima of a row: exact to a few roundings of float64, in a fixed order, whatever the size."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import config

from tinygrad_seq.kernels import strands
from tinygrad_seq.kernels.jit import kernel

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel
def reductions(x, y):
    return strands.top(x), strands.total(x), strands.dot(x, y)


@every_dtype
@given(size=st.integers(0, 200), offset=st.integers(0, 3), seed=st.integers(0, 99))
def test_reductions_of_any_size(dtype, size, offset, seed):
    """The row begins anywhere, and what surrounds it takes no part."""
    x, y = np.random.default_rng(seed).standard_normal((2, size + 2 * offset)).astype(dtype)
    x[:offset] = x[offset + size :] = y[:offset] = y[offset + size :] = np.nan
    x, y = x[offset : offset + size], y[offset : offset + size]
    top, total, dot = reductions(x, y)
    assert top == max(x, default=-math.inf)
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    assert total == pytest.approx(math.fsum(wide_x), abs=1e-15 * (1 + np.abs(wide_x).sum()))
    assert dot == pytest.approx(math.fsum(wide_x * wide_y), abs=1e-15 * (1 + np.abs(wide_x * wide_y).sum()))


def test_the_order_of_additions_is_the_one_written_down(rng):
    """Element i goes to strand i % STRANDS; strands are joined by halves."""
    x = rng.standard_normal(5 * strands.STRANDS + 7)
    padded = np.zeros(6 * strands.STRANDS)
    padded[: x.size] = x
    sums = np.zeros(strands.STRANDS)
    for part in padded.reshape(6, -1):
        sums = sums + part
    while sums.size > 1:
        half = sums.size // 2
        sums = sums[:half] + sums[half:]
    total = reductions(x, x)[1]
    if config.DISABLE_JIT:
        assert total == pytest.approx(sums[0], rel=1e-14)
    else:
        assert total == sums[0]


@every_dtype
@pytest.mark.parametrize("place", [0, 40, 69])
def test_nan_and_infinity(dtype, place):
    x = np.full(70, -3, dtype)
    x[place] = np.nan
    top, total, dot = reductions(x, x)
    assert top == -3
    assert math.isnan(total)
    assert math.isnan(dot)
    x[place] = -np.inf
    assert reductions(x, x) == (-3, -math.inf, math.inf)
    x[:] = -np.inf
    assert reductions(x, x)[0] == -math.inf


@every_dtype
@pytest.mark.parametrize("size", [0, 1, 7, 130])
def test_sum_of_squares(size, dtype, rng):
    x = rng.standard_normal(size).astype(dtype)
    assert strands.sum_of_squares(x) == pytest.approx(math.fsum(float(v) ** 2 for v in x), rel=1e-14)


def test_the_sum_of_squares_of_a_large_float32_array_is_not_lost_in_rounding():
    array = np.full(2_000_001, 0.1, np.float32)
    exact = array.size * float(array[0]) ** 2
    assert strands.sum_of_squares(array) == pytest.approx(exact, rel=1e-10)


def test_squares_beyond_the_range_of_float32_are_summed():
    assert strands.sum_of_squares(np.full(3, 1e30, np.float32)) == pytest.approx(3e60, rel=1e-6)

"""One row times a matrix whose columns lie side by side: the bits of the product by tiles."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config

from tinygrad_seq.kernels.gemm.matmul import multiply
from tinygrad_seq.kernels.gemm.one_row import multiply_row

SHAPES = [(1, 1), (3, 5), (16, 16), (17, 33), (250, 70), (512, 64), (1000, 130)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_of_the_product_by_tiles(dtype, rng) -> None:
    for K, N in SHAPES:
        wide = np.full((N, K + 3), np.nan, dtype)
        wide[:, :K] = rng.standard_normal((N, K))
        a, b = rng.standard_normal((1, K)).astype(dtype), wide[:, :K].T
        c, around, expected = np.empty((1, N), dtype), np.full(N + 2, 7, dtype), np.empty((1, N), dtype)
        c = around[1:-1]
        multiply_row(a, b, c)
        multiply(a, b, expected)
        if config.DISABLE_JIT:
            np.testing.assert_allclose(c, expected[0], rtol=1e-4, atol=1e-4)
        else:
            np.testing.assert_array_equal(c, expected[0])
        np.testing.assert_array_equal(around[[0, -1]], 7)
        assert np.isnan(wide[:, K:]).all()


def test_values_that_are_no_numbers_reach_their_column_only(rng) -> None:
    a, weight = rng.standard_normal((1, 20)), rng.standard_normal((5, 20))
    weight[1, 19], weight[3, 0] = np.inf, np.nan
    c = np.empty(5)
    multiply_row(a, weight.T, c)
    assert np.isinf(c[1])
    assert np.isnan(c[3])
    assert np.isfinite(c[[0, 2, 4]]).all()

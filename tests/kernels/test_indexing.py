"""Scatter-add against np.add.at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.kernels import scatter

SIZES = st.integers(0, 40)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(rows=SIZES, width=st.integers(0, 19), table=st.integers(1, 10), seed=st.integers(0, 99))
def test_rows_add_up_in_order(dtype, rows, width, table, seed):
    rng = np.random.default_rng(seed)
    target = rng.standard_normal((table, width)).astype(dtype)
    indices = rng.integers(0, table, rows)
    values = rng.standard_normal((rows, width)).astype(dtype)
    expected = target.copy()
    np.add.at(expected, indices, values)
    scatter.scatter_add_rows(target, indices, values)
    assert target.dtype == dtype
    np.testing.assert_array_equal(target, expected)

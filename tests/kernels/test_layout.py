"""Transposed matrices made contiguous, against NumPy."""

import numpy as np
import pytest

from tinygrad_seq.kernels.transposition import SMALL, contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(5, 7), (64, 65), (65, 64), (2, SMALL), (130, 650), (256, 32)], ids=str)
@pytest.mark.parametrize("readonly", [False, True])
def test_a_transposed_matrix_is_copied(rng, dtype, shape, readonly):
    x = (100 * rng.standard_normal(shape)).astype(dtype)
    x.flags.writeable = not readonly
    copy = contiguous(x.T)
    assert copy.flags.c_contiguous
    assert copy.flags.owndata
    np.testing.assert_array_equal(copy, x.T)


def test_parts_of_a_transposed_matrix_are_copied(rng):
    x = rng.standard_normal((200, 100))
    np.testing.assert_array_equal(contiguous(x.T[3:90, 5:180]), x.T[3:90, 5:180])
    np.testing.assert_array_equal(contiguous(x[:, ::2].T), x[:, ::2].T)


def test_what_is_contiguous_is_not_copied(rng):
    x = rng.standard_normal((100, 100))
    assert contiguous(x) is x

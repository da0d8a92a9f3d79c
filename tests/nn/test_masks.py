from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError


def test_the_mask_is_true_before_the_end() -> None:
    lengths = [2, 4, 1]
    mask = ts.nn.sequence_mask(lengths, 5)
    assert mask.shape == (5, 3)
    assert mask.dtype == bool
    for n, length in enumerate(lengths):
        assert mask[:, n].tolist() == [True] * length + [False] * (5 - length)
    np.testing.assert_array_equal(ts.nn.sequence_mask(ts.tensor(lengths), 5, batch_first=True), mask.T)
    assert ts.nn.sequence_mask(lengths).shape == (4, 3)


@pytest.mark.parametrize(
    ("lengths", "T", "error", "message"),
    [
        ([[1, 2]], 3, ShapeError, r"\(N,\), got \(1, 2\)"),
        ([], 3, ShapeError, r"got \(0,\)"),
        ([1.0, 2.0], 3, DtypeError, "float32"),
        ([True], 3, DtypeError, "bool"),
        ([1, 0], 3, IndexRangeError, "got 0 for sequence 1"),
        ([4, 1], 3, IndexRangeError, "1 to T=3, got 4 for sequence 0"),
        ([1], 0, ArgumentError, "T to be an integer >= 1, got 0"),
        ([1], 2.0, ArgumentError, r"got 2\.0"),
    ],
)
def test_bad_input_is_refused(lengths, T, error, message) -> None:
    with pytest.raises(error, match=message):
        ts.nn.sequence_mask(lengths, T)

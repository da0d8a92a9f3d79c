from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_seq.metrics import accuracy


def test_the_mask_is_true_before_the_end() -> None:
    lengths = [2, 4, 1]
    mask = ts.nn.sequence_mask(lengths, 5)
    assert mask.shape == (5, 3)
    assert mask.dtype == bool
    for n, length in enumerate(lengths):
        assert mask[:, n].tolist() == [True] * length + [False] * (5 - length)
    np.testing.assert_array_equal(ts.nn.sequence_mask(ts.tensor(lengths), 5, batch_first=True), mask.T)
    assert ts.nn.sequence_mask(lengths).shape == (4, 3)
    assert ts.nn.sequence_mask([0, 0]).shape == (0, 2)
    assert ts.nn.sequence_mask([0, 1], 2).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(
    ("lengths", "T", "error", "message"),
    [
        ([[1, 2]], 3, ShapeError, r"shape \(2,\), integers, got \(1, 2\)"),
        ([], 3, ShapeError, r"got \(0,\)"),
        ([1.0, 2.0], 3, DtypeError, "float32"),
        ([True], 3, DtypeError, "bool"),
        ([1, -1], 3, ArgumentError, "got -1 for sequence 1"),
        ([4, 1], 3, ArgumentError, "0 to 3, got 4 for sequence 0"),
        ([1], -1, ArgumentError, "T to be an integer >= 0, got -1"),
        ([1], 2.0, ArgumentError, r"got 2\.0"),
    ],
)
def test_bad_input_is_refused(lengths, T, error, message) -> None:
    with pytest.raises(error, match=message):
        ts.nn.sequence_mask(lengths, T)


T, N, K = 4, 2, 3
XS, CLASSES = np.zeros((T, N, K), np.float32), np.zeros((T, N), int)
CALLS: dict[str, Callable[..., Any]] = {
    "GRU": ts.nn.GRU(K, K),
    "Recurrent": ts.nn.Recurrent(ts.nn.GRUCell(K, K)),
    "CRF.decode": ts.nn.CRF(K).decode,
    "DotAttention": lambda xs, **given: ts.nn.DotAttention(K, K)(xs, xs, **given),
    "sequence_cross_entropy": lambda xs, **given: ts.nn.functional.sequence_cross_entropy(xs, CLASSES, **given),
    "accuracy": lambda xs, **given: accuracy(xs, CLASSES, **given),
}


@pytest.mark.parametrize("caller", CALLS)
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"lengths": [1, 5]}, ArgumentError, "expected lengths from 0 to 4, got 5 for sequence 1"),
        ({"lengths": [1]}, ShapeError, r"expected lengths of shape \(2,\), integers, got \(1,\) int64"),
        ({"lengths": "ab"}, DtypeError, "expected real numbers"),
        ({"mask": np.ones((N, T), bool)}, ShapeError, r"expected mask of shape \(T, N\) = \(4, 2\) bool, got \(2, 4\)"),
        ({"mask": np.ones((T, N))}, DtypeError, r"got \(4, 2\) float64; compare, e.g. mask > 0"),
        ({"mask": np.ones((T, N), bool), "lengths": [1, 1]}, ArgumentError, "expected lengths or mask, got both"),
    ],
)
def test_all_who_take_lengths_refuse_the_same(caller, given, error, message) -> None:
    with pytest.raises(error, match=rf"{caller}(\.lengths)?: .*{message}"):
        CALLS[caller](XS, **given)

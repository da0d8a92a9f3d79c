from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import AnomalyError, ArgumentError, DtypeError, ShapeError
from tinygrad_seq.metrics import accuracy

FOUND = np.array([[0, 1, 2], [0, 1, 0], [5, 1, 0], [5, 5, 2]])
TARGET = np.array([[0, 1, 1], [2, 1, 0], [5, 1, 5], [5, 5, 5]])  # right in 1 of 2, 3 of 3 and 1 of 2 valid steps
LENGTHS = [2, 3, 2]


def test_padding_does_not_count() -> None:
    assert accuracy(FOUND, TARGET) == 8 / 12
    assert accuracy(FOUND, TARGET, LENGTHS) == 5 / 7
    assert accuracy(FOUND.T, TARGET.T, LENGTHS, batch_first=True) == 5 / 7
    assert accuracy(FOUND, TARGET, mask=FOUND == TARGET) == 1


def test_the_greatest_score_counts(rng) -> None:
    scores = rng.normal(size=(*FOUND.shape, 6))
    np.put_along_axis(scores, FOUND[..., None], 10, axis=-1)
    logits = ts.tensor(scores, requires_grad=True)
    assert accuracy(logits, ts.tensor(TARGET), LENGTHS) == 5 / 7
    assert accuracy(scores[0], TARGET[0]) == 2 / 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((FOUND, TARGET.T), ShapeError, r"\(3, 4\).*got \(4, 3\)"),
        ((FOUND * 0.5, TARGET), DtypeError, "got float64 and int64"),
        ((FOUND, TARGET, [2, 3, 5]), ArgumentError, "got 5 for sequence 2"),
        ((FOUND, TARGET, [2, 3]), ShapeError, r"got \(2,\)"),
        ((FOUND[0], TARGET[0], [1]), ShapeError, r"\(T, N\) with lengths or a mask, got \(3,\)"),
        ((FOUND, TARGET, LENGTHS, FOUND > 0), ArgumentError, "got both"),
        ((FOUND, TARGET, None, np.zeros((4, 3), bool)), ArgumentError, "got none"),
        ((FOUND[:0], TARGET[:0]), ArgumentError, "got none"),
    ],
)
def test_bad_input_is_refused(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        accuracy(*arguments)


def test_scores_that_cannot_be_compared() -> None:
    scores = np.zeros((2, 2, 3))
    scores[1, 1, 2] = np.nan
    assert accuracy(scores, np.zeros((2, 2), int), lengths=[2, 1]) == 1
    with pytest.raises(AnomalyError, match="got NaN for 1 of 4 classes"):
        accuracy(scores, np.zeros((2, 2), int))

"""MASE by its definition; the seasonal naive forecast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DataError, DtypeError, ShapeError
from tinygrad_seq.metrics import mase, seasonal_naive


def test_the_mean_of_scaled_errors() -> None:
    history = [[1.0, 4.0, 2.0, 6.0], [0.0, 10.0, 0.0]]
    assert mase([[3.0, 5.0], [2.0]], [[2.0, 9.0], [0.0]], history) == pytest.approx((2.5 / 3 + 2 / 10) / 2)
    assert mase([[3.0]], [[2.0]], history[:1], season=2) == pytest.approx(1 / 1.5)


def test_the_naive_forecast_of_one_step_has_a_mase_of_about_1(rng: np.random.Generator) -> None:
    walks = rng.normal(size=(500, 60)).cumsum(axis=1)
    found = np.stack([seasonal_naive(walk[:-1], 1) for walk in walks])
    assert mase(found, walks[:, -1:], walks[:, :-1]) == pytest.approx(1, abs=0.1)
    assert mase(ts.tensor(found), walks[:, -1:], walks[:, :-1]) == mase(found, walks[:, -1:], walks[:, :-1])


def test_the_last_season_is_repeated() -> None:
    assert seasonal_naive([1.0, 2.0, 3.0], 5, 2).tolist() == [2.0, 3.0, 2.0, 3.0, 2.0]
    assert seasonal_naive([[1, 2], [3, 4]], 2).tolist() == [[3, 4], [3, 4]]


ONE = [[1.0, 2.0, 4.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mase(ONE, ONE, ONE * 2), ShapeError, "equally many series in all arguments, got 1, 1, 2"),
        (lambda: mase([], [], []), DataError, "at least one series"),
        (lambda: mase(ONE, [[1.0]], ONE), ShapeError, r"\(3,\) and \(1,\) for series 0"),
        (lambda: mase(ONE, ONE, ONE, season=3), DataError, "longer than a season of 3, got 3 values for series 0"),
        (lambda: mase(ONE, ONE, [[1.0, 1.0]]), DataError, "changes from season to season"),
        (lambda: mase(ONE, ONE, [[1.0, np.nan]]), DataError, r"history\[0\]"),
        (lambda: mase(ONE[0], ONE, ONE), ShapeError, r"found\[0\]"),
        (lambda: mase([["a"]], ONE, ONE), DtypeError, "expected real numbers"),
        (lambda: mase(3, ONE, ONE), ShapeError, "got 3"),  # type: ignore[arg-type]
        (lambda: mase(ONE, ONE, ONE, season=0), ArgumentError, "season"),
        (lambda: seasonal_naive([1], 0), ArgumentError, "horizon"),
        (lambda: seasonal_naive([1], 1, 2), DataError, "at least a season, 2 steps"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

"""Forecasts of time series: the mean absolute scaled error, and the seasonal naive forecast as a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..autograd.conversion import to_array
from ..autograd.tensor import Tensor
from ..data.sizes import positive_int
from ..errors import DataError, DtypeError, ShapeError

Series = Sequence[ArrayLike] | NDArray[Any] | Tensor


def mase(found: Series, expected: Series, history: Series, season: int = 1) -> float:
    """Return the mean absolute scaled error of the forecasts of N series (Hyndman and Koehler, 2006).

    The absolute error of each series is divided by that of the seasonal naive forecast inside its history: each value
    is that of one season before. Below 1 a forecast is better than this, over one step. The result is the mean over the
    series.

    Parameters
    ----------
    found : sequence of array_like
        N forecasts, each (H,); or an array (N, H).
    expected : sequence of array_like
        What came, of the same shapes.
    history : sequence of array_like
        The N series up to the forecast, each (T,); T may differ and is greater than `season`.
    season : int, default 1
        The number of steps of a season, e.g. 7 for days with a weekly pattern.

    Returns
    -------
    float
        0 or more.

    Raises
    ------
    ArgumentError
        If `season` is not an integer >= 1.
    ShapeError, DtypeError
        If the numbers of series differ, or a series does not have one axis of numbers.
    DataError
        If there is no series, one is too short, has a value that is not finite, or repeats its seasons exactly, so that
        nothing can be divided by its error.

    Examples
    --------
    >>> from tinygrad_seq.metrics import mase
    >>> mase([[4.0, 6.0]], [[5.0, 6.0]], [[1.0, 2.0, 3.0, 4.0]])
    0.5
    """
    season = positive_int("mase", "season", season)
    given = {"found": found, "expected": expected, "history": history}
    series = [_series("mase", name, values) for name, values in given.items()]
    sizes = [len(values) for values in series]
    if len(set(sizes)) > 1:
        counts = ", ".join(map(str, sizes))
        raise ShapeError(f"mase: expected equally many series in all arguments, got {counts}; pass one of each.")
    if not sizes[0]:
        raise DataError("mase: expected at least one series, got none; pass some.")
    scaled = []
    for n, (ours, theirs, past) in enumerate(zip(*series, strict=True)):
        if ours.shape != theirs.shape or not ours.size:
            raise ShapeError(
                f"mase: expected a forecast of the shape of what came, got {ours.shape} and {theirs.shape} for series "
                f"{n}; cut both to the horizon."
            )
        if len(past) <= season:
            raise DataError(
                f"mase: expected a history longer than a season of {season}, got {len(past)} values for series {n}; "
                "leave the series out, or pass a shorter season."
            )
        scale = np.abs(past[season:] - past[:-season]).mean()
        if not scale:
            raise DataError(
                f"mase: expected a history that changes from season to season, got none for series {n}; leave it out."
            )
        scaled.append(np.abs(ours - theirs).mean() / scale)
    return float(np.mean(scaled))


def seasonal_naive(history: ArrayLike, horizon: int, season: int = 1) -> NDArray[Any]:
    """Return the last season of a series, repeated: the forecast to beat.

    Parameters
    ----------
    history : array_like, shape (T, ...)
        The series up to the forecast.
    horizon : int
        H, the number of steps to forecast.
    season : int, default 1
        The number of steps of a season; 1 repeats the last value.

    Returns
    -------
    ndarray, shape (H, ...)
        The forecast, with the dtype of the series.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1.
    DataError
        If the series is shorter than a season.

    Examples
    --------
    >>> from tinygrad_seq.metrics import seasonal_naive
    >>> seasonal_naive([1, 2, 3, 4, 5], horizon=4, season=3)
    array([3, 4, 5, 3])
    """
    horizon = positive_int("seasonal_naive", "horizon", horizon)
    season = positive_int("seasonal_naive", "season", season)
    past = to_array("seasonal_naive", history)
    if not past.ndim or len(past) < season:
        raise DataError(
            f"seasonal_naive: expected a history of at least a season, {season} steps, got shape {past.shape}; pass a "
            "shorter season."
        )
    return past[np.arange(len(past) - season, len(past))[np.arange(horizon) % season]]


def _series(caller: str, name: str, values: Series) -> list[NDArray[np.float64]]:
    """Return the rows of an argument as arrays of one axis."""
    if not hasattr(values, "__len__"):
        raise ShapeError(f"{caller}: expected a list of series as {name}, got {values!r:.40}; pass one per series.")
    rows = [to_array(caller, row) for row in values]
    for n, row in enumerate(rows):
        if row.ndim != 1:
            raise ShapeError(f"{caller}: expected series (T,), got {row.shape} for {name}[{n}]; pass a list of series.")
        if row.dtype.kind not in "fiu":
            raise DtypeError(f"{caller}: expected numbers, got {row.dtype} for {name}[{n}]; cast it.")
        if not np.isfinite(row).all():
            raise DataError(f"{caller}: expected finite values, got others in {name}[{n}]; fill in missing ones.")
    return [row.astype(np.float64) for row in rows]

"""Forecasts: the windows, the held-out steps, the scores, and the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, CheckpointError, DataError
from tinygrad_seq.tasks import Forecaster, ForecastSettings, fit_forecast
from tinygrad_seq.tasks.forecasting import _Windows

SMALL: dict[str, Any] = {"season": 4, "hidden_size": 4, "epochs": 2, "log": None}


@pytest.fixture
def series(rng: np.random.Generator) -> list[np.ndarray]:
    return [10 * n + np.sin(np.arange(40) * 1.3 + n) + rng.normal(0, 0.1, 40) for n in range(3)]


def test_every_window_of_the_training_part_once(series: list[np.ndarray]) -> None:
    """A window is the standardised context, the season that repeats, and the steps that follow."""
    settings = ForecastSettings(horizon=3, season=4, batch_size=5)
    windows = _Windows([np.arange(30.0), np.arange(24.0) + 100], settings, [27, 22])
    found = [
        (context[:, n, 0], naive[n], targets[n])
        for (context, naive), targets in windows.epoch()
        for n in range(len(targets))
    ]
    T = settings.steps_read
    assert T == 16
    assert len(found) == (27 - T - 3 + 1) + (22 - T - 3 + 1)
    scale = np.arange(T).std()
    for context, naive, targets in found:  # all windows of a straight line are alike
        np.testing.assert_allclose(context, (np.arange(T) - (T - 1) / 2) / scale, rtol=1e-5)
        np.testing.assert_array_equal(naive, context[-4:-1])
        np.testing.assert_allclose(targets, (np.arange(T, T + 3) - (T - 1) / 2) / scale, rtol=1e-5)


def test_the_held_out_steps_are_not_trained_on(series: list[np.ndarray]) -> None:
    with ts.disable_compile():
        one = fit_forecast(series, 3, **SMALL)
        changed = [np.concatenate([values[:-3], values[-3:] + 100]) for values in series]
        other = fit_forecast(changed, 3, **SMALL)
        kept = fit_forecast(changed, 3, hold_out=False, **SMALL)
        np.testing.assert_array_equal(one.predict(series), other.predict(series))
        assert (one.predict(series) != kept.predict(series)).any()


def test_the_unit_of_the_series_changes_nothing(series: list[np.ndarray]) -> None:
    with ts.disable_compile():
        found = fit_forecast(series, 3, **SMALL).predict(series)
        for unit in (2.0**-50, 2.0**700):
            scaled = [values * unit for values in series]
            np.testing.assert_array_equal(fit_forecast(scaled, 3, **SMALL).predict(scaled), found * unit)


def test_scores(series: list[np.ndarray]) -> None:
    with ts.disable_compile():
        forecaster = fit_forecast(series, 3, **SMALL)
        score = forecaster.evaluate(series)
        history, expected = [values[:-3] for values in series], np.stack([values[-3:] for values in series])
        found = forecaster.predict(history)
        assert (np.diff(found, axis=-1) >= 0).all()
        assert score.mae == pytest.approx(np.abs(found[..., 1] - expected).mean())
        assert score.mase == pytest.approx(ts.metrics.mase(found[..., 1], expected, history, 4))
        assert score.coverage == np.mean((found[..., 0] <= expected) & (expected <= found[..., 2]))
        assert forecaster.evaluate([*series, np.ones(40)]).unscaled == 1
        moved = forecaster.predict([5 * values + 7 for values in history])
        np.testing.assert_allclose(moved, 5 * found + 7, rtol=1e-5)


def test_a_run_folder(series: list[np.ndarray], tmp_path: Path) -> None:
    with ts.disable_compile():
        whole = fit_forecast(series, 3, **SMALL, run=tmp_path / "a", facts={"x": 1})
        fit_forecast(series, 3, **SMALL | {"epochs": 1}, run=tmp_path / "b")
        again = fit_forecast(series, 3, **SMALL, run=tmp_path / "b", resume=True)
        opened = Forecaster.open(tmp_path / "a")
        np.testing.assert_array_equal(opened.predict(series), whole.predict(series))
        np.testing.assert_array_equal(again.predict(series), whole.predict(series))
        assert opened.settings == whole.settings
        assert opened.facts["x"] == 1
        with pytest.raises(ArgumentError, match="got another hidden_size"):
            fit_forecast(series, 3, **SMALL | {"hidden_size": 5}, run=tmp_path / "a", resume=True)
        with pytest.raises(CheckpointError, match="an existing run"):
            fit_forecast(series, 3, **SMALL, run=tmp_path / "a")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"season": 0}, ArgumentError, "season"),
        ({"context": 3}, ArgumentError, "a context of at least a season, 4 steps, got 3"),
        ({"quantiles": (0.9, 0.5)}, ArgumentError, "rising quantiles"),
        ({"quantiles": (0.1, 0.9)}, ArgumentError, "0.5 among them"),
        ({"lr": 0}, ArgumentError, "lr > 0"),
        ({"patience": -1}, ArgumentError, "patience"),
        ({"colour": 1}, ArgumentError, "got colour"),
        ({"cell": "no"}, ArgumentError, "cell"),
        ({"context": 36}, DataError, "at least 45 steps per series, got 40 for series 0"),
    ],
)
def test_bad_settings(options: Any, error: type[Exception], message: str, series: list[np.ndarray]) -> None:
    with pytest.raises(error, match=message):
        fit_forecast(series, 3, **SMALL | options)


@pytest.mark.parametrize("series", [[], [np.ones((40, 1))], [np.full(40, np.nan)], [["a"] * 40]])
def test_bad_series(series: Any) -> None:
    with pytest.raises(DataError, match="expected"):
        fit_forecast(series, 3, **SMALL)

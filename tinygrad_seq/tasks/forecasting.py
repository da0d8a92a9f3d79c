"""Forecast time series: quantiles of the next values of each series, by one model for all of them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import nn, optim
from ..autograd.creation import asarray
from ..autograd.tensor import Tensor
from ..base import settings as package
from ..base.modes import no_grad
from ..data.sizes import positive_int
from ..distributed import world
from ..errors import ArgumentError, CheckpointError, DataError
from ..functional import expand_dims, pinball_loss, reshape, transpose
from ..metrics import mase, seasonal_naive
from ..nn import evaluating
from ..train import History, RunFolder, fit
from .columns import moments
from .task_settings import cell_of

KIND = "forecast"
_CALLER = "fit_forecast"
_EVALUATED_AT_ONCE = 512
_CHANGEABLE = ("epochs", "patience")  # when a run is resumed


@dataclass(frozen=True)
class ForecastSettings:
    """The settings of a forecast.

    Attributes
    ----------
    horizon : int
        H, the number of steps to forecast.
    season : int, default 1
        The number of steps of a season, e.g. 7 for days with a weekly pattern.
    context : int, default 0
        The number of steps that the model reads; 0 for four seasons, or two horizons if that is more.
    quantiles : tuple of float, default (0.1, 0.5, 0.9)
        The quantiles to forecast, rising; 0.5 is among them.
    cell : str, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, the name of another cell of `nn`, or ``"FILE.py:Class"``.
    hidden_size, num_layers : int, default 32, 1
        Size and number of recurrent layers.
    dropout : float, default 0.0
        Dropout probability between recurrent layers.
    batch_size : int, default 64
        Windows per update.
    epochs : int, default 20
        Maximum number of passes over the windows.
    patience : int, default 5
        Stop after this many passes without a lower loss on the held-out steps; 0 means never.
    lr, weight_decay, clip_norm : float, default 0.003, 0.0, 1.0
        Learning rate and decoupled weight decay of AdamW, and the maximum norm of the gradient.
    precision : str, default "float32"
        ``"bfloat16"`` to train inside `autocast`.
    seed : int, default 0
        The same seed gives the same model.

    Raises
    ------
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> from tinygrad_seq.tasks import ForecastSettings
    >>> ForecastSettings(horizon=14, season=7).steps_read
    28
    """

    horizon: int
    season: int = 1
    context: int = 0
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    cell: str = "gru"
    hidden_size: int = 32
    num_layers: int = 1
    dropout: float = 0.0
    batch_size: int = 64
    epochs: int = 20
    patience: int = 5
    lr: float = 3e-3
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("horizon", "season", "hidden_size", "num_layers", "batch_size", "epochs"):
            positive_int(_CALLER, name, getattr(self, name))
        for name in ("context", "patience", "seed"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ArgumentError(f"{_CALLER}: expected {name} to be an integer >= 0, got {getattr(self, name)!r}.")
        quantiles = self.quantiles
        if sorted(set(quantiles)) != list(quantiles) or not all(0 < q < 1 for q in quantiles) or 0.5 not in quantiles:
            raise ArgumentError(
                f"{_CALLER}: expected rising quantiles between 0 and 1 with 0.5 among them, got {quantiles}; pass e.g. "
                "(0.1, 0.5, 0.9)."
            )
        for name in ("lr", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ArgumentError(f"{_CALLER}: expected {name} > 0, got {getattr(self, name)!r}; pass e.g. 0.01.")
        if self.context and self.context < self.season:
            raise ArgumentError(
                f"{_CALLER}: expected a context of at least a season, {self.season} steps, got {self.context}; pass "
                "more."
            )

    @property
    def steps_read(self) -> int:
        """The number of steps that the model reads."""
        return self.context or max(4 * self.season, 2 * self.horizon)


class ForecastModel(nn.Module):
    """The seasonal naive forecast, corrected by linear layers of the context and of a recurrent network's output."""

    def __init__(self, settings: ForecastSettings) -> None:
        self.settings = settings
        cell = cell_of(settings.cell)
        sizes = [1] + [settings.hidden_size] * (settings.num_layers - 1)
        cells = [cell(size, settings.hidden_size) for size in sizes]
        self.recurrent = nn.Recurrent(cells, dropout=settings.dropout)
        outputs = settings.horizon * len(settings.quantiles)
        self.readout = nn.Linear(settings.hidden_size, outputs)
        self.direct = nn.Linear(settings.steps_read, outputs, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(self, context: ArrayLike, naive: ArrayLike) -> Tensor:
        """Return quantiles (N, H, Q) of standardised series: the context (T, N, 1), their naive forecast (N, H)."""
        context = asarray(context)
        outputs, _ = self.recurrent(context)
        corrections = self.readout(outputs[-1]) + self.direct(transpose(context[..., 0]))
        shape = (-1, self.settings.horizon, len(self.settings.quantiles))
        return reshape(corrections, shape) + expand_dims(naive, -1)


@dataclass(frozen=True)
class ForecastScore:
    """How good forecasts are.

    Attributes
    ----------
    mase : float
        The mean absolute scaled error of the medians; below `naive_mase` they are better than the last season.
    naive_mase : float
        That of the seasonal naive forecast.
    mae : float
        The mean absolute error of the medians.
    naive_mae : float
        That of the seasonal naive forecast.
    coverage : float
        The fraction of values between the lowest and the highest quantile.
    expected_coverage : float
        What it would be if the quantiles were right.
    unscaled : int
        The number of series that the two MASE leave out, because they repeat their seasons exactly.

    Examples
    --------
    >>> from tinygrad_seq.tasks import ForecastScore
    >>> score = ForecastScore(0.8, 1.0, 5.0, 6.25, 0.75, 0.8, 0)
    >>> score.mase < score.naive_mase
    True
    """

    mase: float
    naive_mase: float
    mae: float
    naive_mae: float
    coverage: float
    expected_coverage: float
    unscaled: int


@dataclass(frozen=True)
class Forecaster:
    """A model of time series; `fit_forecast` returns one, and `Forecaster.open` reads it from a run folder.

    Attributes
    ----------
    settings : ForecastSettings
        The settings.
    model : ForecastModel
        The network.
    history : History, optional
        The course of the training.
    facts : dict
        Further facts of the run, as JSON values.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.tasks import fit_forecast
    >>> series = [np.sin(np.arange(60) / 2 + n) for n in range(4)]
    >>> forecaster = fit_forecast(series, horizon=2, season=12, epochs=1, hidden_size=4, log=None)
    >>> forecaster.predict(series).shape  # series, steps, quantiles
    (4, 2, 3)
    """

    settings: ForecastSettings
    model: ForecastModel
    history: History | None = field(default=None, compare=False)
    facts: dict[str, Any] = field(default_factory=dict, compare=False)

    def predict(self, series: Sequence[ArrayLike]) -> NDArray[np.float64]:
        """Return quantiles of the next values of each series.

        Parameters
        ----------
        series : sequence of array_like
            N series (T,) that end where the forecast begins, each at least as long as the context.

        Returns
        -------
        ndarray, shape (N, H, Q)
            The quantiles, in their order.

        Raises
        ------
        DataError
            If there is no series, one is too short, or a value is not finite.
        """
        arrays = _checked("Forecaster.predict", series, self.settings.steps_read)
        contexts = np.stack([values[-self.settings.steps_read :] for values in arrays])
        inputs, mean, scale = _standardised(contexts, self.settings)
        found = []
        with evaluating(self.model), no_grad():
            for start in range(0, len(contexts), _EVALUATED_AT_ONCE):
                part = slice(start, start + _EVALUATED_AT_ONCE)
                found.append(self.model(inputs[0][:, part], inputs[1][part]).numpy().astype(np.float64))
        return np.sort(np.concatenate(found), axis=-1) * scale[:, None, None] + mean[:, None, None]

    def evaluate(self, series: Sequence[ArrayLike]) -> ForecastScore:
        """Forecast the last H values of each series from those before, and return the scores.

        Parameters
        ----------
        series : sequence of array_like
            N series (T,), each at least H steps longer than the context.

        Returns
        -------
        ForecastScore
            The scores.

        Raises
        ------
        DataError
            If there is no series, one is too short, or a value is not finite.
        """
        H, season, quantiles = self.settings.horizon, self.settings.season, self.settings.quantiles
        arrays = _checked("Forecaster.evaluate", series, self.settings.steps_read + H)
        history, expected = [values[:-H] for values in arrays], np.stack([values[-H:] for values in arrays])
        found = self.predict(history)
        median = found[..., quantiles.index(0.5)]
        naive = np.stack([seasonal_naive(values, H, season) for values in history])
        inside = (found[..., 0] <= expected) & (expected <= found[..., -1])
        rows = [n for n, values in enumerate(history) if (values[season:] != values[:-season]).any()]
        past, known = [history[n] for n in rows], expected[rows]
        return ForecastScore(
            mase=mase(median[rows], known, past, season) if rows else math.nan,
            naive_mase=mase(naive[rows], known, past, season) if rows else math.nan,
            mae=float(np.abs(median - expected).mean()),
            naive_mae=float(np.abs(naive - expected).mean()),
            coverage=float(inside.mean()),
            expected_coverage=quantiles[-1] - quantiles[0],
            unscaled=len(arrays) - len(rows),
        )

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the forecaster of a run folder, with the best weights.

        Parameters
        ----------
        folder : str or path-like
            The run folder.

        Returns
        -------
        Forecaster
            What `fit_forecast` wrote.

        Raises
        ------
        CheckpointError
            If the folder is not that of a forecast, or cannot be read.
        """
        run = RunFolder.open(folder, KIND)
        try:
            settings = ForecastSettings(**{**run.config, "quantiles": tuple(run.config["quantiles"])})
            model = ForecastModel(settings)
        except (TypeError, KeyError, ArgumentError) as error:
            raise CheckpointError(
                f"Forecaster.open: expected the settings of a forecast in '{folder}', got others ({error!r:.200}); "
                "train again with --force."
            ) from error
        run.load_weights(model)
        return cls(settings, model, facts=run.facts)


def fit_forecast(
    series: Sequence[ArrayLike],
    horizon: int,
    *,
    hold_out: bool = True,
    run: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    minutes: float | None = None,
    facts: dict[str, Any] | None = None,
    log: Any = None,
    progress: Any = None,
    **settings: Any,
) -> Forecaster:
    """Train one model that forecasts all series.

    The model reads the last steps of a series, standardised, and corrects the seasonal naive forecast. Its loss is the
    pinball loss of the quantiles. The last H steps of each series are the test part, the H steps before decide when to
    stop, and all windows before are trained on.

    Parameters
    ----------
    series : sequence of array_like
        N series (T,); their lengths may differ.
    horizon : int
        H, the number of steps to forecast.
    hold_out : bool, default True
        Whether to leave out the last H steps as a test part; else they are part of the training data.
    run : str or path-like, optional
        The run folder; see `ts.fit` for `resume`, `force` and `minutes`.
    resume, force, minutes
        As for `ts.fit`.
    facts : dict, optional
        Further facts for the run folder, as JSON values.
    log, progress
        As for `ts.fit`.
    **settings
        See `ForecastSettings`: season, context, quantiles, the cell, sizes, the seed, ...

    Returns
    -------
    Forecaster
        The model of the best epoch.

    Raises
    ------
    ArgumentError
        If a setting is out of range.
    DataError
        If there is no series, one is too short, or a value is not finite.
    CheckpointError
        If the run folder cannot be written or resumed.
    AnomalyError
        If the loss is no longer finite.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.tasks import fit_forecast
    >>> generator = np.random.default_rng(0)
    >>> series = [10 + np.sin(np.arange(90) * 2 * np.pi / 7 + n) + generator.normal(0, 0.1, 90) for n in range(8)]
    >>> forecaster = fit_forecast(series, horizon=7, season=7, epochs=12, hidden_size=8, log=None)
    >>> score = forecaster.evaluate(series)
    >>> bool(score.mase < score.naive_mase)
    True
    """
    chosen = _settings(horizon, settings)
    parts = 3 if hold_out else 2
    arrays = _checked(_CALLER, series, chosen.steps_read + parts * chosen.horizon)
    ends = [len(values) - chosen.horizon * (parts - 1) for values in arrays]
    training = _Windows(arrays, chosen, ends)
    latest = [np.array([end + (part + 1) * chosen.horizon for end in ends]) for part in range(parts - 1)]
    every = np.arange(len(arrays))
    rows = [every[start : start + _EVALUATED_AT_ONCE] for start in range(0, len(every), _EVALUATED_AT_ONCE)]
    held_out = [[training.batch(part, stops[part]) for part in rows] for stops in latest]
    with package.drawing_from(np.random.default_rng(chosen.seed)):
        model = ForecastModel(chosen)
        folder = None
        if run is not None:
            config = {**dataclasses.asdict(chosen), "quantiles": list(chosen.quantiles)}
            if not resume and world().is_writer:
                RunFolder.create(run, KIND, config, facts, force=force)
            world().broadcast(None)  # the folder is there
            folder = RunFolder.open(run, KIND)
            changed = [name for name, value in config.items() if folder.config.get(name) != value]
            if changed := [name for name in changed if name not in _CHANGEABLE]:
                raise ArgumentError(
                    f"{_CALLER}: expected the settings that the run was started with, got another "
                    f"{', '.join(changed)}; leave it out, or start a new run."
                )
        history = fit(
            model,
            training.epoch,
            lambda outputs, targets: (
                pinball_loss(outputs, targets, chosen.quantiles),
                float(len(targets)),
            ),
            optimizer=optim.AdamW(model.parameters(), lr=chosen.lr, weight_decay=chosen.weight_decay),
            epochs=chosen.epochs,
            minutes=minutes,
            validation=held_out[0],
            test=held_out[1] if hold_out else None,
            patience=chosen.patience,
            clip_norm=chosen.clip_norm,
            precision=chosen.precision,
            run=folder,
            resume=resume,
            log=log,
            progress=progress,
        )
    return Forecaster(chosen, model, history, facts or {})


def _settings(horizon: int, given: dict[str, Any]) -> ForecastSettings:
    names = [each.name for each in dataclasses.fields(ForecastSettings)]
    if unknown := [name for name in given if name not in names]:
        raise ArgumentError(
            f"{_CALLER}: expected settings among {', '.join(names)}, got {', '.join(unknown)}; correct the name."
        )
    return ForecastSettings(horizon, **given)


Batch = tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[Any]]


class _Windows:
    """All windows of the training parts of the series, a batch at a time in random order."""

    def __init__(self, arrays: list[NDArray[np.float64]], settings: ForecastSettings, ends: list[int]) -> None:
        self._settings, self._arrays = settings, arrays
        first = settings.steps_read + settings.horizon
        counts = [end - first + 1 for end in ends]
        self._series = np.repeat(np.arange(len(arrays)), counts)
        self._stops = np.concatenate([np.arange(first, end + 1) for end in ends])

    def epoch(self) -> Iterator[Batch]:
        """Yield all windows once."""
        order = package.generator().permutation(len(self._stops))
        for start in range(0, len(order), self._settings.batch_size):
            rows = order[start : start + self._settings.batch_size]
            rows = rows[world().share(len(rows))]
            yield self.batch(self._series[rows], self._stops[rows])

    def batch(self, series: NDArray[np.int64], stops: NDArray[np.int64]) -> Batch:
        """Return the windows of `series` whose targets end before the steps `stops`, as inputs and targets (N, H)."""
        size = self._settings.steps_read + self._settings.horizon
        rows = np.stack([self._arrays[n][stop - size : stop] for n, stop in zip(series, stops, strict=True)])
        inputs, mean, scale = _standardised(rows[:, : self._settings.steps_read], self._settings)
        targets = (rows[:, self._settings.steps_read :] - mean[:, None]) / scale[:, None]
        return inputs, targets.astype(package.default_dtype())


def _standardised(
    contexts: NDArray[np.float64], settings: ForecastSettings
) -> tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[np.float64], NDArray[np.float64]]:
    """Return what the model reads of contexts (N, T), standardised each by its own mean and deviation, and these."""
    mean, scale = moments(contexts.T)
    rows = (contexts - mean[:, None]) / scale[:, None]
    naive = seasonal_naive(rows.T, settings.horizon, settings.season).T
    dtype = package.default_dtype()
    return (np.ascontiguousarray(rows.T[:, :, None], dtype), naive.astype(dtype)), mean, scale


def _checked(caller: str, series: Sequence[ArrayLike], least: int) -> list[NDArray[np.float64]]:
    """Return the series as arrays (T,) of at least `least` finite values."""
    arrays = [np.asarray(values) for values in series]
    if not arrays:
        raise DataError(f"{caller}: expected at least one series, got none; pass some.")
    for n, values in enumerate(arrays):
        if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise DataError(
                f"{caller}: expected series (T,) of finite numbers, got {values.shape} {values.dtype} for series {n}; "
                "fill in missing values."
            )
        if len(values) < least:
            raise DataError(
                f"{caller}: expected at least {least} steps per series, got {len(values)} for series {n}; leave it "
                "out, or reduce the horizon or the context."
            )
    return [values.astype(np.float64) for values in arrays]

"""Forecast: three seasons of each series ──► quantiles of the next season, by a GRU with the pinball loss.

The series are levels with a season of 12 steps that drifts, and noise. One model learns from all of them. Its median is
compared with the seasonal naive forecast, which repeats the last season, by the mean absolute scaled error (MASE).
"""

from __future__ import annotations

import argparse

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.metrics import mase, seasonal_naive

SEASON, HORIZON, CONTEXT = 12, 12, 36
QUANTILES = [0.1, 0.5, 0.9]


def make_series(count: int, length: int) -> np.ndarray:
    """Return series (N, T): a level, times a season whose strength drifts, and noise."""
    draw = ts.manual_seed(0)
    steps = np.arange(length)
    level = draw.uniform(20, 200, (count, 1))
    season = draw.normal(0, 0.2, (count, SEASON))[:, steps % SEASON]
    drift = 1 + 0.3 * np.sin(steps / 40 + draw.uniform(0, 6.28, (count, 1)))
    return level * (1 + season * drift + 0.08 * draw.normal(size=(count, length)))


class Forecaster(nn.Module):
    """Read a standardised context (T, N, 1) and return quantiles (N, H, Q) of what follows."""

    def __init__(self, hidden_size: int) -> None:
        self.gru = nn.GRU(1, hidden_size)
        self.readout = nn.Linear(hidden_size, HORIZON * len(QUANTILES))
        self.direct = nn.Linear(CONTEXT, HORIZON * len(QUANTILES), bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(self, context: ts.Tensor) -> ts.Tensor:
        states, _ = self.gru(context)
        season = context[-SEASON:, :, 0].T  # what the seasonal naive forecast says
        corrections = self.readout(states[-1]) + self.direct(context[..., 0].T)
        return corrections.reshape(-1, HORIZON, len(QUANTILES)) + season[..., None]


def windows(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all windows of the series, standardised by their contexts: contexts (W, T, 1) and targets (W, H)."""
    cut = np.lib.stride_tricks.sliding_window_view(series, CONTEXT + HORIZON, axis=1).reshape(-1, CONTEXT + HORIZON)
    context, target = cut[:, :CONTEXT], cut[:, CONTEXT:]
    mean, scale = context.mean(axis=1, keepdims=True), context.std(axis=1, keepdims=True)
    return ((context - mean) / scale)[..., None].astype("float32"), ((target - mean) / scale).astype("float32")


def forecast(model: Forecaster, history: np.ndarray) -> np.ndarray:
    """Return quantiles (N, H, Q) of what follows histories (N, T)."""
    context = history[:, -CONTEXT:]
    mean, scale = context.mean(axis=1, keepdims=True), context.std(axis=1, keepdims=True)
    with ts.no_grad():
        found = model(ts.tensor(((context - mean) / scale).T[..., None].astype("float32"))).numpy()
    return np.sort(found, axis=-1) * scale[..., None] + mean[..., None]


def main(short: bool = False) -> dict[str, float]:
    """Train, and return the MASE of the model and of the seasonal naive forecast."""
    series = make_series(count=20 if short else 60, length=150 if short else 240)
    history, expected = series[:, :-HORIZON], series[:, -HORIZON:]
    model = Forecaster(hidden_size=16 if short else 32)
    optimizer = ts.optim.Adam(model.parameters(), lr=5e-3)
    contexts, targets = windows(history)
    epochs = 4 if short else 12
    for epoch in range(1, epochs + 1):
        order, losses = ts.manual_seed(epoch).permutation(len(contexts)), []
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            context = ts.tensor(np.ascontiguousarray(contexts[rows].swapaxes(0, 1)))
            loss = ts.pinball_loss(model(context), targets[rows], QUANTILES)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(max_norm=1.0)
            losses.append(loss.item())
        print(f"epoch {epoch}: pinball loss {np.mean(losses):.4f}")
    found = forecast(model, history)
    naive = np.stack([seasonal_naive(row, HORIZON, SEASON) for row in history])
    scores = {
        "model": mase(found[..., 1], expected, history, SEASON),
        "seasonal naive": mase(naive, expected, history, SEASON),
        "coverage": float(((found[..., 0] <= expected) & (expected <= found[..., 2])).mean()),
    }
    print(f"MASE {scores['model']:.3f}, seasonal naive {scores['seasonal naive']:.3f}")
    print(f"{scores['coverage']:.0%} of the values lie between the quantiles 0.1 and 0.9")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="Train for a few seconds only.")
    main(parser.parse_args().short)

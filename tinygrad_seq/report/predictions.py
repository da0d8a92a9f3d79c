"""Pictures of predictions: confusion matrices, predicted over true numbers, forecasts of series."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.files import write_atomically
from .curve import figures, finish

_BLUE, _ORANGE = "#1f77b4", "#d95f02"
_MOST_NAMED = 40  # classes whose names and numbers can be read


def save_confusion(confusion: NDArray[np.int64], classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Save a confusion matrix (true, predicted) as a PNG file, coloured by the fraction of the true class.

    Raises
    ------
    ArgumentError
        If matplotlib, the extra ``plot``, is not installed.
    CheckpointError
        If the file cannot be written.
    """
    count = len(classes)
    figure = figures("save_confusion")(*[min(12.0, 2.5 + 0.55 * count)] * 2)
    axes = figure.add_subplot()
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if count <= _MOST_NAMED:
        names = [name if len(name) <= 20 else f"{name[:19]}…" for name in classes]
        place = {"rotation": 45, "ha": "right"} if count > 4 else {}
        axes.set_xticks(range(count), names, parse_math=False, **place)
        axes.set_yticks(range(count), names, parse_math=False)
        for (i, j), value in np.ndenumerate(confusion):
            if value:
                color = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, f"{value:,}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    accuracy = np.trace(confusion) / max(confusion.sum(), 1)
    axes.set_title(f"accuracy {accuracy:.3f} of {confusion.sum():,}", loc="left", fontsize=11)
    _save(figure, path, "save_confusion")


def save_scatter(found: NDArray[Any], expected: NDArray[Any], path: str | os.PathLike[str]) -> None:
    """Save predicted over true numbers as a PNG file. Raises as `save_confusion`."""
    figure = figures("save_scatter")(5.5, 5.5)
    axes = figure.add_subplot()
    low, high = float(min(found.min(), expected.min())), float(max(found.max(), expected.max()))
    axes.plot([low, high], [low, high], color="grey", linewidth=1, label="predicted = true")
    axes.plot(expected, found, "o", markersize=3, alpha=0.5, color=_BLUE, label=f"{len(expected):,} rows")
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    finish(axes, "medium")
    _save(figure, path, "save_scatter")


def save_forecasts(
    series: Mapping[str, NDArray[np.float64]],
    forecasts: NDArray[np.float64],
    path: str | os.PathLike[str],
    quantiles: Sequence[float],
) -> None:
    """Save forecasts (N, H, Q) of the last H steps of N series as a PNG file. Raises as `save_confusion`."""
    columns = min(2, len(series))
    rows = -(-len(series) // columns)
    figure = figures("save_forecasts")(5.0 * columns, 0.7 + 2.2 * rows)
    for k, (name, values) in enumerate(series.items()):
        axes = figure.add_subplot(rows, columns, k + 1)
        H, found = forecasts.shape[1], forecasts[k]
        steps = np.arange(len(values)) - (len(values) - H) + 1
        axes.plot(steps, values, color="black", linewidth=1, label="series")
        band = f"{quantiles[0]:g} to {quantiles[-1]:g} quantile"
        axes.fill_between(steps[-H:], found[:, 0], found[:, -1], color=_ORANGE, alpha=0.25, linewidth=0, label=band)
        axes.plot(steps[-H:], found[:, list(quantiles).index(0.5)], color=_ORANGE, linewidth=1.5, label="forecast")
        axes.set_title(name if len(name) <= 40 else f"{name[:39]}…", loc="left", fontsize=9, parse_math=False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if k == 0:
            handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.supxlabel("steps after the forecast was made", fontsize=9)
    _save(figure, path, "save_forecasts")


def _save(figure: Any, path: str | os.PathLike[str], caller: str) -> None:
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150), caller)

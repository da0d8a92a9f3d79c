"""Plot states and gates over time and the reach of the gradient, for several layers side by side, as PNG."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from ..base.files import write_atomically
from ..errors import ArgumentError, IndexRangeError
from ..nn.recurrence.inspection import Inspection, PassInspection
from .curve import figures, finish

_GATES, _SIGNED = "viridis", "RdBu_r"
BAD = "magenta"
"""The colour of NaN and infinity."""


def time_xray(
    inspections: Mapping[str, Inspection | PassInspection],
    path: str | os.PathLike[str],
    *,
    row: int = 0,
    title: str = "",
) -> None:
    """Plot states, gates and gradients of recurrent layers to a PNG file; needs matplotlib, the extra ``plot``.

    Each layer has a column of heat maps, time on x and units on y, of every state and tagged value of one sequence:
    values in [0, 1], such as gates, from dark to bright, others from blue (negative) over white (0) to red. NaN and
    infinity are magenta. The lowest plot shows the norm of dL/dh_t, where h is all states together, averaged over the
    sequences. Its x-axis is the distance in time from the start of the backward pass; the norm is relative to the norm
    there.

    Parameters
    ----------
    inspections : mapping of str to Inspection or PassInspection
        By name, what `layer.inspect` returned for one layer and direction, or ``inspection.one(layer, direction)``,
        after a backward pass from a loss of the last step only.
    path : str or path-like
        The file to write or replace.
    row : int, default 0
        The batch element to show.
    title : str, default ""
        Title of the figure.

    Raises
    ------
    ArgumentError
        If matplotlib is not installed, there is nothing to plot, or an inspection has several layers.
    IndexRangeError
        If there is no such sequence.
    GraphError
        If there was no backward pass.
    CheckpointError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> from tinygrad_seq.report import time_xray
    >>> xs, found = ts.randn(20, 2, 3), {}
    >>> for layer in (ts.nn.RNN(3, 8), ts.nn.GRU(3, 8)):
    ...     inspection = found[type(layer).__name__] = layer.inspect(xs)
    ...     inspection.ys[-1].sum().backward()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     time_xray(found, f"{folder}/xray.png")
    """
    make_figure = figures("time_xray")
    from matplotlib import colormaps

    if not isinstance(inspections, Mapping):
        raise ArgumentError(
            f"time_xray: expected inspections by name, got {type(inspections).__name__}; "
            "pass {'LSTM': lstm.inspect(xs)}."
        )
    passes = {name: _one("time_xray", found) for name, found in inspections.items()}
    if not passes:
        raise ArgumentError("time_xray: expected at least one inspection, got none; pass {'LSTM': lstm.inspect(xs)}.")
    panels = {name: heat_maps(one, row) for name, one in passes.items()}
    norms = {name: gradient_reach(one) for name, one in passes.items()}
    height = 1.15 * max(map(len, panels.values()))
    figure = make_figure(3.4 * len(passes) + 0.6, height + 3.2)
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.add_gridspec(2, len(passes), height_ratios=[height, 2.6])
    for column, (name, values) in enumerate(panels.items()):
        lines = grid[0, column].subgridspec(len(values), 1)
        for line, (label, value) in enumerate(values.items()):
            axes = figure.add_subplot(lines[line])
            low, high, colours = colour_scale(value)
            axes.imshow(
                np.ma.masked_invalid(value.T),
                aspect="auto",
                interpolation="nearest",
                cmap=colormaps[colours].with_extremes(bad=BAD),
                vmin=low,
                vmax=high,
            )
            axes.set_title(f"{name}: {label}" if line == 0 else label, fontsize=8, loc="left", pad=2)
            axes.set_title(f"{low:.2g} to {high:.2g}", fontsize=6, loc="right", pad=2)
            axes.tick_params(labelsize=6, labelbottom=line == len(values) - 1)
    axes = figure.add_subplot(grid[1, :])
    for name, norm in norms.items():
        axes.semilogy(norm / (norm[0] or 1.0), label=name)
    axes.set_xlabel("distance in time from the last step", fontsize=8)
    axes.set_ylabel(r"$\|\partial L/\partial h_t\|$, relative", fontsize=8)
    axes.tick_params(labelsize=7)
    finish(axes, 8)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110), "time_xray")


def gradient_reach(inspection: Inspection | PassInspection) -> np.ndarray:
    """Return the norm of dL/dh_t, averaged over the sequences, by distance in time from the start of the backward pass.

    Parameters
    ----------
    inspection : Inspection or PassInspection
        What `layer.inspect` returned for one layer and direction, after a backward pass.

    Returns
    -------
    ndarray, shape (T,)
        Element d is the norm d steps before the last step that the layer ran.

    Raises
    ------
    ArgumentError
        If `inspection` is not an inspection of one layer.
    GraphError
        If there was no backward pass.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from tinygrad_seq.report import gradient_reach
    >>> inspection = ts.nn.RNN(3, 8).inspect(ts.randn(40, 2, 3))
    >>> inspection.ys[-1].sum().backward()
    >>> reach = gradient_reach(inspection)
    >>> bool(reach[39] < 1e-3 * reach[0])  # the notes' vanishing gradients
    True
    """
    one = _one("gradient_reach", inspection)
    norm: np.ndarray = one.total_gradient_norm().mean(axis=1)
    return norm if one.reverse else norm[::-1]


def _one(caller: str, found: Inspection | PassInspection) -> PassInspection:
    if isinstance(found, Inspection):
        return found.one()
    if not isinstance(found, PassInspection):
        raise ArgumentError(f"{caller}: expected an inspection, got {type(found).__name__}; pass layer.inspect(xs).")
    return found


def colour_scale(value: np.ndarray) -> tuple[float, float, str]:
    """Return the limits of the colour map, and the colour map."""
    finite = value[np.isfinite(value)]
    if not (finite < 0).any() and not (finite > 1).any():
        return 0.0, 1.0, _GATES
    bound = float(np.abs(finite).max())
    return -bound, bound, _SIGNED


def heat_maps(one: PassInspection, row: int) -> dict[str, np.ndarray]:
    """Return the heat maps of one layer by name, each (T, units)."""
    found = one.named_states() | dict(one.tags)
    values = {name: value.numpy() for name, value in found.items() if value.dtype.kind == "f"}
    T, rows = next(iter(values.values())).shape[:2]
    if not T:
        raise ArgumentError("time_xray: expected at least one step, got none; pass xs with T >= 1.")
    if row not in range(rows):
        raise IndexRangeError(f"time_xray: expected row from 0 to {rows - 1}, got {row!r}; the batch has {rows} rows.")
    return {name: value[:, row].reshape(len(value), -1) for name, value in values.items() if value.ndim > 1}

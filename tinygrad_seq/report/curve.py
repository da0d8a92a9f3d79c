"""Plot curves as text, with two by four dots per character, or as PNG."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..base.files import write_atomically
from ..errors import ArgumentError

Curve = Sequence[tuple[float, float]]
"""Points (x, y), sorted by x."""

_BRAILLE = 0x2800
_MARKED = 50
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column within one character


def draw_curves(curves: Mapping[str, Curve], *, width: int = 72, height: int = 16, x_label: str = "step") -> str:
    """Plot curves as text with labelled axes; each character shows two by four dots.

    All curves share the axes. A legend shows the first and last value of each. Points that are not finite are left out.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        Points (x, y), sorted by x, by name.
    width : int, default 72
        Width of the area inside the axes, in characters, >= 2.
    height : int, default 16
        Height of the area inside the axes, in characters, >= 2.
    x_label : str, default "step"
        Label of the x-axis.

    Returns
    -------
    str
        The lines of the plot.

    Raises
    ------
    ArgumentError
        If the area is smaller than 2 x 2, or no curve has a finite point.

    Examples
    --------
    >>> print(draw_curves({"loss": [(0, 4.0), (5, 1.0), (10, 1.0)]}, width=12, height=3))
     4.00 ┤⠑⢄
          │  ⠑⠤⡀
     1.00 ┤    ⠈⠢⣀⣀⣀⣀⣀⣀
          └┬───────────┬
           0          10  step
    loss: 4.00 → 1.00
    """
    if width < 2 or height < 2:
        raise ArgumentError(f"draw_curves: expected at least 2 x 2 characters, got {width} x {height}; use more.")
    finite = {name: [(x, y) for x, y in curve if math.isfinite(x + y)] for name, curve in curves.items()}
    points = [point for curve in finite.values() for point in curve]
    if not points:
        raise ArgumentError("draw_curves: expected at least one finite point, got none; train for some steps first.")
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    cells = [[0] * width for _ in range(height)]
    for curve in finite.values():
        dots = [
            (_scaled(x, left, right, 2 * width - 1), 4 * height - 1 - _scaled(y, low, high, 4 * height - 1))
            for x, y in curve
        ]
        for start, end in zip(dots, dots[1:] or dots, strict=False):
            for column, row in _line(start, end):
                cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    labels = {0: _number(high), height - 1: _number(low)}
    margin = max(map(len, labels.values())) + 1
    lines = []
    for number, row_cells in enumerate(cells):
        text = "".join(chr(_BRAILLE + cell) if cell else " " for cell in row_cells)
        axis = "┤" if number in labels else "│"
        lines.append(f"{labels.get(number, ''):>{margin}} {axis}{text}".rstrip())
    first, last = f"{left:g}", f"{right:g}"
    lines.append(" " * margin + " └┬" + "─" * (width - 1) + "┬")
    lines.append(" " * (margin + 2) + first + f"{last:>{max(width + 1 - len(first), len(last) + 1)}}  {x_label}")
    lines += [_summary(name, curve) for name, curve in finite.items() if curve]
    return "\n".join(lines)


def save_curves(
    curves: Mapping[str, Curve],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    x_label: str = "step",
    y_label: str = "",
) -> None:
    """Plot curves to a PNG file of 1200 x 675 pixels; needs matplotlib, the extra ``plot``.

    The legend shows the first and last value of each curve. The points of curves with few points are marked.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        Points (x, y), sorted by x, by name.
    path : str or path-like
        The file to write or replace.
    title : str, default ""
        Title of the plot.
    x_label : str, default "step"
        Label of the x-axis.
    y_label : str, default ""
        Label of the y-axis.

    Raises
    ------
    ArgumentError
        If matplotlib is not installed, or there are no points.
    CheckpointError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from tinygrad_seq.report import save_curves
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_curves({"loss": [(0, 4.0), (10, 1.0)]}, f"{folder}/loss.png", y_label="nats")
    """
    make_figure = figures("save_curves")
    if not any(curves.values()):
        raise ArgumentError("save_curves: expected at least one point, got none; train for some steps first.")
    figure = make_figure(8, 4.5)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        if not curve:
            continue
        marker = "o" if len(curve) <= _MARKED else ""
        axes.plot(*zip(*curve, strict=True), label=_summary(name, curve), marker=marker, markersize=4)
    axes.set_title(title, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    finish(axes, "large")
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150), "save_curves")


def figures(caller: str) -> Callable[[float, float], Any]:
    """Return a function that creates a figure of the given width and height in inches; `caller` prefixes the error."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ArgumentError(
            f"{caller}: expected matplotlib to be installed, got none; run pip install 'tinygrad-seq[plot]'."
        ) from error
    return lambda width, height: FigureCanvasAgg(Figure(figsize=(width, height), layout="constrained")).figure


def finish(axes: Any, legend_size: float | str) -> None:
    """Add the grid and the legend."""
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=legend_size)


def _scaled(value: float, low: float, high: float, steps: int) -> int:
    """Map `value` from the interval [low, high] to an integer in [0, steps]."""
    return round((value - low) / (high - low) * steps) if high > low else steps // 2


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the dots of a straight line, including both ends."""
    (x0, y0), (x1, y1) = start, end
    count = max(abs(x1 - x0), abs(y1 - y0), 1)
    return [(x0 + round((x1 - x0) * i / count), y0 + round((y1 - y0) * i / count)) for i in range(count + 1)]


def _summary(name: str, curve: Curve) -> str:
    return f"{name}: {_number(curve[0][1])} → {_number(curve[-1][1])}"


def _number(value: float) -> str:
    return f"{value:.2f}" if 0.01 <= abs(value) < 10_000 else f"{value:.3g}"

"""The figures of a report: curves, heat maps, the reach of the gradient, a map of vectors."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..nn.recurrence.inspection import PassInspection
from .markup import Markup, element
from .series import PARTS, Metric, finite
from .svg import FAINT, SERIES, Figures
from .time_xray import BAD, colour_scale, heat_maps

_LEFT, _RIGHT = 0.135, 0.975
"""Where the axes begin and end, as fractions of the width."""
_MARKED = 30
_ORDERS = 20
"""A quantity that is positive, and whose values differ by this factor, gets a logarithmic axis, if it is no loss."""
_STEPS, _UNITS, _PANELS = 32, 48, 8
"""The most steps, units and arrays that the heat maps of a layer show."""
_LABELLED, _CHARACTERS = 120, 320
"""The most labels of a map, and the most characters of them all."""
_CUT = 16
_COLOURS = dict(zip(PARTS, SERIES, strict=False))


def number(value: float) -> str:
    """Return a number as people write it.

    Examples
    --------
    >>> [number(value) for value in (0.00123456, 1.41421356, 1234567.8, 5, 1e12)]
    ['0.001235', '1.414', '1,234,568', '5', '1e+12']
    """
    if 1000 <= abs(value) < 1e9 or (abs(value) < 1e9 and value == int(value)):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def legend(entries: Mapping[str, str]) -> Markup:
    """Return a legend: a colour for each text."""
    return element("span", *[_entry(text, colour) for text, colour in entries.items()], class_="legend")


def _entry(text: str, colour: str) -> Markup:
    swatch = element("i", style=f"background: var(--series-{SERIES.index(colour)})")
    return element("span", swatch, text)


def draw_metric(figures: Figures, metric: Metric, position: str, unit: str) -> Markup:
    """Return the curves of a quantity in `unit` by part of the data; what is not finite is left out, and named."""
    one = [*metric.curves] == ["training"] and not metric.is_result
    colours = {part: SERIES[3] if one else _COLOURS[part] for part in metric.curves}
    shown = {part: finite(points) for part, points in metric.curves.items()}
    dropped = [x for part, points in metric.curves.items() for x, y in points if not math.isfinite(y)]
    notes = []
    if dropped:
        which = ", ".join([number(x) for x in sorted(set(dropped))[:5]]) + (", …" if len(set(dropped)) > 5 else "")
        count = "1 value is" if len(dropped) == 1 else f"{len(dropped)} values are"
        notes.append(f"{count} not finite, and left out ({position} {which}). ")
    values = [y for points in shown.values() for _, y in points]
    if not values:
        return element("figure", element("figcaption", element("b", metric.title)), element("p", *notes))
    if len({x for points in shown.values() for x, _ in points}) == 1:
        notes.append("There is one point so far.")
    logarithmic = not metric.is_result and min(values) > 0 and max(values) > _ORDERS * min(values)

    def paint(figure: Any) -> None:
        axes = figure.add_axes((_LEFT, 0.18, _RIGHT - _LEFT, 0.73))
        for part, points in metric.curves.items():
            marker = "o" if len(points) <= _MARKED else ""
            xs = [x for x, _ in points]
            ys = [y if math.isfinite(y) else math.nan for _, y in points]  # a gap in the line
            size = 5 if part == "test" else 3
            axes.plot(xs, ys, color=colours[part], marker=marker, markersize=size)
        if logarithmic:
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_formatter(lambda value, _: number(value))
        _label(axes, position, "" if unit == metric.title.lower() else unit)

    entries = (
        {}
        if one
        else {f"{PARTS[part]} {number(points[-1][1])}": colours[part] for part, points in shown.items() if points}
    )
    return figures.draw(2.3, paint, metric.title, *notes, legend=legend(entries) if entries else "")


def _label(axes: Any, x: str, y: str) -> None:
    axes.margins(x=0.02)
    axes.tick_params(length=0)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(x, parse_math=False)
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.yaxis.set_label_coords(0.0, 1.02)
    axes.set_ylabel(y, rotation=0, ha="left", va="bottom", parse_math=False)


def draw_states(figures: Figures, place: str, one: PassInspection, labels: Sequence[str] | None) -> list[Markup]:
    """Return the heat maps of the states and of the tagged values of the first sequence of an inspection."""
    found, states = heat_maps(one, 0), one.named_states()
    parts = {
        f"{place}: states": {name: value for name, value in found.items() if name in states},
        f"{place}: gates and other named values": {name: value for name, value in found.items() if name not in states},
    }
    return [_draw_panels(figures, label, panels, labels) for label, panels in parts.items() if panels]


def _draw_panels(
    figures: Figures, label: str, panels: Mapping[str, np.ndarray], labels: Sequence[str] | None
) -> Markup:
    left_out = f" The first {_PANELS} of {len(panels)} are shown." if len(panels) > _PANELS else ""
    panels = dict([*panels.items()][:_PANELS])
    steps = min(_STEPS, len(next(iter(panels.values()))))
    labels = None if labels is None else labels[:steps]
    units = max(value.shape[1] for value in panels.values())
    each, gap = 0.62, 0.24
    wide = labels is not None and max(map(len, labels)) > 1
    foot = 0.55 if wide else 0.2
    height = len(panels) * (each + gap) + foot

    def paint(figure: Any) -> None:
        from matplotlib import colormaps

        for place, (name, value) in enumerate(panels.items()):
            bottom = height - (place + 1) * (each + gap)
            axes = figure.add_axes((0.02, bottom / height, 0.96, each / height))
            shown = value[:steps, :_UNITS]
            low, high, colours = colour_scale(value)
            axes.imshow(
                np.ma.masked_invalid(shown.T),
                aspect="auto",
                interpolation="none",
                cmap=colormaps[colours].with_extremes(bad=BAD),
                vmin=low,
                vmax=high,
            )
            axes.set_title(name, fontsize=8, loc="left", pad=3, parse_math=False)
            axes.set_title(f"{number(low)} to {number(high)}", fontsize=7, loc="right", pad=3)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0, labelsize=6.5, labelbottom=place == len(panels) - 1)
            axes.set_yticks([])
            axes.xaxis.get_major_locator().set_params(integer=True)
            if labels is not None:
                axes.set_xticks(range(steps), labels, rotation=90 if wide else 0, parse_math=False)

    left_out += f" The first {_UNITS} of {units} units are shown." if units > _UNITS else ""
    return figures.draw(height, paint, label, *[left_out.strip()] * bool(left_out))


def draw_reach(figures: Figures, reaches: Mapping[str, np.ndarray]) -> Markup:
    """Return the norm of the gradient of the states by distance from the last step, one curve per layer."""
    colours = {name: SERIES[at % len(SERIES)] for at, name in enumerate(reaches)}
    relative = {name: reach / (reach[0] or 1.0) for name, reach in reaches.items()}

    def paint(figure: Any) -> None:
        axes = figure.add_axes((_LEFT, 0.18, _RIGHT - _LEFT, 0.73))
        for name, curve in relative.items():
            axes.plot(curve, color=colours[name], marker="o" if len(curve) == 1 else "", markersize=3)
        if any((curve > 0).any() for curve in relative.values()):
            axes.set_yscale("log")
        _label(axes, "steps before the last one", "norm of dL/dh, relative to the last step")

    notes = [f"{name}: {_fall(curve)} " for name, curve in relative.items()]
    return figures.draw(2.3, paint, "Reach of the gradient", *notes, legend=legend(colours))


def _fall(curve: np.ndarray) -> str:
    """Return where a curve falls below a hundredth."""
    if not np.isfinite(curve).all():
        return "the gradient is not finite."
    below = np.flatnonzero(curve < 0.01)
    if not len(below):
        return f"above 1 % of its value at the last step over all {len(curve):,} steps."
    return f"below 1 % of its value at the last step from {below[0]:,} steps before it."


def draw_map(figures: Figures, vectors: np.ndarray, labels: Sequence[str]) -> Markup:
    """Return the vectors in the plane of their two main directions, with labels at the first ones."""
    points, shares = principal(vectors)
    kinds = [_kind(label) for label in labels]
    colours = {kind: SERIES[at % len(SERIES)] for at, kind in enumerate(dict.fromkeys(kinds))}
    count = int((np.cumsum([len(label[:_CUT]) for label in labels]) <= _CHARACTERS)[:_LABELLED].sum())

    def paint(figure: Any) -> None:
        axes = figure.add_axes((0.06, 0.075, 0.92, 0.88))
        rest = points[count:]
        axes.plot(*points[:count].T, linestyle="", color=FAINT)  # sets the limits
        if len(rest):
            axes.plot(*rest.T, linestyle="", marker="o", markersize=2, color=FAINT)
        for (x, y), label, kind in zip(points[:count], labels, kinds, strict=False):
            place = {"ha": "center", "va": "center", "fontsize": 8, "parse_math": False}
            axes.text(x, y, label[:_CUT], color=colours[kind], **place)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.margins(0.06)
        axes.set_xlabel(f"first component, {shares[0]:.0%} of the variance", parse_math=False)
        axes.set_ylabel(f"second component, {shares[1]:.0%}", parse_math=False)

    caption = f"The labels are those of the first {count} of {len(points):,} rows." if count < len(points) else ""
    return figures.draw(4.0, paint, "Embedding table", *[caption] * bool(caption), legend=legend(colours))


def principal(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of vectors, (rows, 2), and their shares of the variance, (2,).

    The sign of a component is such that its largest entry is positive.
    """
    centred = np.asarray(vectors, np.float64) - np.mean(vectors, axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(values)[::-1][:2]
    main = directions[:, order]
    main = main * np.where(main[np.abs(main).argmax(axis=0), range(len(order))] < 0, -1, 1)
    found = np.zeros((2, len(centred)))
    found[: len(order)] = (centred @ main).T
    shares = np.zeros(2)
    shares[: len(order)] = values[order].clip(0) / (values.clip(0).sum() or 1.0)
    return found.T, shares


def _kind(label: str) -> str:
    """Return what a token is made of."""
    if len(label) > 1 and label[0] == "<" and label[-1] == ">":
        return "special token"
    letters = [unicodedata.category(character)[0] for character in label.lstrip("␣")]
    if all(kind == "N" for kind in letters) and letters:
        return "digits"
    if "L" not in letters:
        return "punctuation and spaces"
    first = next(character for character in label if character.isalpha())
    return "upper case" if first.isupper() else "lower case"

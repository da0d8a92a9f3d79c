"""Rows of metrics as curves: which numbers belong together, what they are called, and what cannot be shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..base.files import parse_json, read_regular
from ..errors import CheckpointError

Row = Mapping[str, Any]

PARTS = {"training": "training", "validation": "held out", "test": "test"}
"""The parts of the data, as they begin the names of metrics, and in words."""
_PREFIXES = {"train_": "training", "training_": "training", "validation_": "validation", "test_": "test"}
_POSITIONS = ("step", "epoch")
_COUNTERS = {*_POSITIONS, "passes", "seconds", "tokens", "weight"}

_TITLES = {
    "loss": "Loss",
    "bits_per_character": "Bits per character",
    "gradient_norm": "Norm of the gradient, before clipping",
    "lr": "Learning rate",
    "tokens_per_second": "Speed",
}
_UNITS = {
    "loss": "loss",
    "bits_per_character": "bits per character",
    "gradient_norm": "norm",
    "lr": "learning rate",
    "tokens_per_second": "tokens per second",
}


class Metric(NamedTuple):
    """A measured quantity.

    Attributes
    ----------
    name
        Without the part of the data: ``loss`` for ``validation_loss``.
    curves
        By part of the data the points (position, value); a value may be NaN or infinite.
    """

    name: str
    curves: dict[str, list[tuple[float, float]]]

    @property
    def title(self) -> str:
        """The name in words."""
        words = self.name.replace("_", " ").strip()
        return _TITLES.get(self.name) or words[:1].upper() + words[1:] or "(no name)"

    @property
    def unit(self) -> str:
        """The label of the axis."""
        return _UNITS.get(self.name) or self.name.replace("_", " ").strip() or "(no name)"

    @property
    def is_result(self) -> bool:
        """Whether it says how good the model is: the loss, and what is measured on held-out data."""
        return self.name == "loss" or not self.curves.keys().isdisjoint({"validation", "test"})


def split_name(name: str) -> tuple[str, str]:
    """Return the part of the data and the quantity that a key of a row names.

    Examples
    --------
    >>> split_name("validation_loss"), split_name("lr")
    (('validation', 'loss'), ('training', 'lr'))
    """
    for prefix, part in _PREFIXES.items():
        if name.startswith(prefix) and name != prefix:
            return part, name.removeprefix(prefix)
    return "training", name


def is_number(value: Any) -> bool:
    """Return whether a value of a row can be plotted."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def position_of(row: Row, number: int) -> float:
    """Return where a row stands on the horizontal axis: its step or epoch, or else its `number`."""
    return next((row[name] for name in _POSITIONS if is_number(row.get(name))), number)


def position_name(rows: Iterable[Row]) -> str:
    """Return the name of the horizontal axis."""
    rows = list(rows)
    return next((name for name in _POSITIONS if any(is_number(row.get(name)) for row in rows)), "row")


def metrics_of(rows: Iterable[Row]) -> list[Metric]:
    """Return the quantities of the rows, in the order in which they appear."""
    found: dict[str, Metric] = {}
    for number, row in enumerate(rows, 1):
        for key, value in row.items():
            part, name = split_name(key)
            if is_number(value) and name not in _COUNTERS:
                at = row.get(f"{part}_step", position_of(row, number))  # the test part is measured on the best step
                found.setdefault(name, Metric(name, {})).curves.setdefault(part, []).append((at, float(value)))
    return list(found.values())


def finite(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points whose value is finite."""
    return [(x, y) for x, y in points if math.isfinite(y)]


def read_all(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of a metrics file that can be read, NaN included, and what is wrong with the others."""
    try:
        lines = read_regular(path, "report").split(b"\n")[:-1]
    except CheckpointError:
        there = "is missing" if not path.exists() else "cannot be read"
        return [], [f"The metrics are not shown: the file {path.name} {there}."]
    rows: list[Row] = []
    bad: list[int] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(parse_json(line, "report", path.name))
        except CheckpointError:
            bad.append(number)
    if not bad:
        return rows, []
    which = f"line {bad[0]} of {path.name} is" if len(bad) == 1 else f"{len(bad)} lines of {path.name} are"
    return rows, [f"Some metrics are not shown: {which} not a JSON object."]

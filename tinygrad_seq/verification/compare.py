"""Compare two evaluations: `Evaluation`, `Finding` and the differences between arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]

# Two orders of adding the same float64 numbers differ by rounding: a few eps times the number of terms.
ROUNDING = 1e-10
# Derivatives of higher order and finite differences: their own error is about 1e-9 (see `differences`).
DIFFERENCES = 1e-6
# Bits must be equal.
NONE = 0.0

# Differences are relative to the largest element of an array, but at least to this.
_LEAST_SCALE = 1e-3


class Evaluation(NamedTuple):
    """The results of a run.

    Attributes
    ----------
    values : dict
        The outputs by name.
    gradients : dict
        The gradients of a fixed random weighting of the floating-point outputs, by name of the leaf.
    """

    values: Arrays
    gradients: Arrays


class Finding(NamedTuple):
    """The result of one comparison.

    Attributes
    ----------
    where : str
        The array, e.g. ``gradient of 'weight_hh'``.
    figure : float
        The largest difference; infinite if a number is not finite, or the shape or dtype differs.
    tolerance : float
        The largest difference allowed.
    detail : str
        The number found and the number expected.
    place : tuple of int
        The index of the largest difference.
    """

    where: str
    figure: float
    tolerance: float
    detail: str = ""
    place: tuple[int, ...] = ()

    @property
    def passed(self) -> bool:
        return self.figure <= self.tolerance

    @property
    def badness(self) -> float:
        """The figure in units of the tolerance, for comparing findings."""
        return self.figure / self.tolerance if self.tolerance else (np.inf if self.figure else 0.0)


def compare(
    got: Evaluation, want: Evaluation, tolerance: float, gradient_tolerance: float | None = None, prefix: str = ""
) -> Iterator[Finding]:
    """Yield one finding per array of two evaluations; with a tolerance of 0 the bits must be equal."""
    for name in want.values | got.values:
        yield closeness(prefix + name, got.values.get(name), want.values.get(name), tolerance)
    tolerance = tolerance if gradient_tolerance is None else gradient_tolerance
    for name in want.gradients | got.gradients:
        label = f"{prefix}gradient of {name}"
        yield closeness(label, got.gradients.get(name), want.gradients.get(name), tolerance)


def closeness(name: str, got: np.ndarray | None, want: np.ndarray | None, tolerance: float) -> Finding:
    """Return the largest difference between an array and the expected one, and its position."""
    if got is None or want is None:
        return Finding(name, np.inf, tolerance, f"{'missing' if got is None else 'not expected'}")
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        detail = f"expected {want.shape} {want.dtype}, got {got.shape} {got.dtype}"
        return Finding(name, np.inf, tolerance, detail)
    if not got.size:
        return Finding(name, 0.0, tolerance)
    if got.dtype.kind != "f" or tolerance == NONE:
        same = (got == want) | ((got != got) & (want != want))
        apart = np.where(same, 0.0, np.abs(np.nan_to_num(got.astype(np.float64) - want.astype(np.float64), nan=np.inf)))
        apart = np.where(~same & (apart == 0), np.inf, apart)
    else:
        largest = np.abs(want).max()
        scale = max(float(largest), _LEAST_SCALE) if np.isfinite(largest) else 1.0
        with np.errstate(all="ignore"):
            apart = np.abs(got.astype(np.float64) - want) / scale
        apart = np.where(np.isfinite(got) & np.isfinite(want), apart, np.inf)
    index = tuple(map(int, np.unravel_index(int(np.argmax(apart)), apart.shape)))
    figure = float(apart[index])
    detail = f"got {got[index]:.10g}, expected {want[index]:.10g}" if figure > tolerance else ""
    return Finding(name, figure, tolerance, detail, index)


def finiteness(name: str, got: np.ndarray) -> Finding:
    """Return a finding whose figure is the number of elements that are not finite."""
    bad = np.argwhere(~np.isfinite(got)) if got.dtype.kind == "f" else np.empty((0, 0))
    if not len(bad):
        return Finding(name, 0.0, NONE)
    index = tuple(map(int, bad[0]))
    return Finding(name, float(len(bad)), NONE, f"got {got[index]}, expected a finite number", index)


def place_of(finding: Finding, axes: tuple[str, ...]) -> str:
    """Return the position of a finding as text; `axes` are the names of the first axes of inputs and outputs."""
    words = []
    rest = finding.place
    if finding.where.rpartition(" of ")[2].rpartition(": ")[2].partition(" ")[0] in ("xs", "ys"):
        words = [f"{axis} {position}" for axis, position in zip(axes, rest, strict=False)]
        rest = rest[len(axes) :]
    if rest:
        words.append(f"index {rest if len(rest) > 1 else rest[0]}")
    return f"{finding.where} at {', '.join(words)}" if words else finding.where

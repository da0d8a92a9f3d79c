"""Numbers beside numbers: `Evaluation`, `Finding` and how far two evaluations are apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]

# Two ways to add the same float64 numbers differ by rounding: a few eps times the number of terms.
ROUNDING = 1e-10
# Derivatives of higher order and finite differences: their own error is about 1e-9 (see `differences`).
DIFFERENCES = 1e-6
# The same bits.
NONE = 0.0

# Differences are relative to the largest element of an array, or to this if all are smaller.
_LEAST_SCALE = 1e-3


class Evaluation(NamedTuple):
    """What a run gave.

    Attributes
    ----------
    values
        The outputs by name.
    gradients
        The gradients, of a fixed random weighting of the floating-point outputs, by the name of the leaf.
    """

    values: Arrays
    gradients: Arrays


class Finding(NamedTuple):
    """One comparison.

    Attributes
    ----------
    where
        In which array: ``gradient of 'weight_hh'``.
    figure
        How far it is off; infinite if it is not finite or has another shape or dtype.
    tolerance
        How far it may be.
    detail
        What was found and expected there.
    place
        The index of the worst element.
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
        """The figure in units of the tolerance, to find the worst of several."""
        return self.figure / self.tolerance if self.tolerance else (np.inf if self.figure else 0.0)


def compare(
    got: Evaluation, want: Evaluation, tolerance: float, gradient_tolerance: float | None = None, prefix: str = ""
) -> Iterator[Finding]:
    """Yield one finding for each array of two evaluations; with a tolerance of 0 the bits must be the same."""
    for name in want.values | got.values:
        yield closeness(prefix + name, got.values.get(name), want.values.get(name), tolerance)
    tolerance = tolerance if gradient_tolerance is None else gradient_tolerance
    for name in want.gradients | got.gradients:
        label = f"{prefix}gradient of {name}"
        yield closeness(label, got.gradients.get(name), want.gradients.get(name), tolerance)


def closeness(name: str, got: np.ndarray | None, want: np.ndarray | None, tolerance: float) -> Finding:
    """Return how far an array is from the one expected, and where it is farthest."""
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
    """Return whether all of an array is finite; its figure is how many elements are not."""
    bad = np.argwhere(~np.isfinite(got)) if got.dtype.kind == "f" else np.empty((0, 0))
    if not len(bad):
        return Finding(name, 0.0, NONE)
    index = tuple(map(int, bad[0]))
    return Finding(name, float(len(bad)), NONE, f"got {got[index]}, expected a finite number", index)


def place_of(finding: Finding, axes: tuple[str, ...]) -> str:
    """Return where the worst element is as text; `axes` are what the first axes of inputs and outputs are called."""
    words = []
    rest = finding.place
    if finding.where.rpartition(" of ")[2].rpartition(": ")[2].partition(" ")[0] in ("xs", "ys"):
        words = [f"{axis} {position}" for axis, position in zip(axes, rest, strict=False)]
        rest = rest[len(axes) :]
    if rest:
        words.append(f"index {rest if len(rest) > 1 else rest[0]}")
    return f"{finding.where} at {', '.join(words)}" if words else finding.where

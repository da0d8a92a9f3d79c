"""Derivatives along a line by finite differences, with a step that is chosen by the estimated error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# Each is tried with its half and quarter, from which the error of order 2 and 4 is extrapolated away.
_STEPS = (1e-3, 1e-4, 1e-2, 1e-5)


class Slope(NamedTuple):
    """A numeric derivative, and how far the last two extrapolations are apart."""

    value: np.ndarray
    error: float


def slope(line: Callable[[float], np.ndarray], enough: float) -> Slope:
    """Return the derivative of `line`, arrays of any shape, at 0.

    Central differences with three steps are extrapolated (Richardson). Steps of other sizes are tried until the
    estimated error, relative to the largest element, is at most `enough`; then the one with the least error counts.
    The error of the result is about 1e-10 where the function is smooth.

    Parameters
    ----------
    line
        A function of the distance.
    enough
        The relative error that is good enough.
    """
    best = Slope(np.asarray(np.nan), np.inf)
    for step in _STEPS:
        central = [(line(h) - line(-h)) / (2 * h) for h in (step, step / 2, step / 4)]
        first = [(4 * fine - coarse) / 3 for coarse, fine in pairwise(central)]
        value = (16 * first[1] - first[0]) / 15
        if not np.all(np.isfinite(value)):
            continue
        error = float(np.max(np.abs(value - first[1]), initial=0.0))
        if error < best.error:
            best = Slope(np.asarray(value), error)
        if error <= enough * max(1e-3, float(np.max(np.abs(value), initial=0.0))):
            break
    return best

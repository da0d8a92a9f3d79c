"""Finite differences along a line, with a step size chosen by the estimated error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# Each is used with its half and quarter, so that extrapolation removes the errors of order 2 and 4.
_STEPS = (1e-3, 1e-4, 1e-2, 1e-5)


class Slope(NamedTuple):
    """A numeric derivative, and the difference between the last two extrapolations."""

    value: np.ndarray
    error: float


def slope(line: Callable[[float], np.ndarray], enough: float) -> Slope:
    """Return the derivative at 0 of `line`, a function with array values of any shape.

    Central differences with three step sizes are extrapolated (Richardson). Further step sizes are tried until the
    estimated error, relative to the largest element, is at most `enough`; the result with the smallest error is
    returned. For smooth functions its error is about 1e-10.

    Parameters
    ----------
    line : callable
        A function of the distance from the point.
    enough : float
        The relative error that is small enough.
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

"""A line search by the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .pieces import Array


class Point(NamedTuple):
    """The loss at a point, and its gradient as one vector."""

    loss: float
    gradient: Array


class _Trial(NamedTuple):
    """A point on the line: its distance from the start, and the slope of the loss there."""

    t: float
    point: Point
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    direction: Array,
    slope: float,
    t: float,
    tolerance: float,
    budget: int,
    decrease: float = 1e-4,
    curvature: float = 0.9,
) -> tuple[float, Point]:
    """Return how far to go along `direction`, and the point there.

    Parameters
    ----------
    evaluate
        Returns the point at a distance.
    start, slope
        The point at distance 0, and the slope of the loss there, below 0.
    t
        The distance to try first.
    tolerance
        The search ends when no parameter would move by more.
    budget
        The largest number of further trials after the first.
    decrease, curvature
        The constants c1 and c2 of the conditions.
    """

    def at(t: float) -> _Trial:
        point = evaluate(t)
        return _Trial(t, point, float(point.gradient @ direction))

    def is_high(trial: _Trial) -> bool:
        return trial.point.loss > start.loss + decrease * trial.t * slope

    begin = before = _Trial(0.0, start, slope)
    trial, trials = at(t), 0
    while trials < budget:  # until the lowest point lies between two trials
        if is_high(trial) or (trials > 1 and trial.point.loss >= before.point.loss):
            break
        if abs(trial.slope) <= -curvature * slope:
            return trial.t, trial.point
        if trial.slope >= 0:
            break
        bounds = trial.t + 0.01 * (trial.t - before.t), 10 * trial.t
        before, trial = trial, at(_minimum(before, trial, bounds))
        trials += 1
    ends = [before if trials < budget else begin, trial]
    low = 0 if ends[0].point.loss <= ends[1].point.loss else 1
    largest, stalled = float(np.abs(direction).max()), False
    while trials < budget and abs(ends[1].t - ends[0].t) * largest >= tolerance:
        left, right = sorted((ends[0].t, ends[1].t))
        t = _minimum(ends[0], ends[1], (left, right))
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too close to an end
            if stalled or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        trial = at(t)
        trials += 1
        if is_high(trial) or trial.point.loss >= ends[low].point.loss:
            ends[1 - low] = trial
            low = 0 if ends[0].point.loss <= ends[1].point.loss else 1
            continue
        if abs(trial.slope) <= -curvature * slope:
            return trial.t, trial.point
        if trial.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = trial
    return ends[low].t, ends[low].point


def _minimum(a: _Trial, b: _Trial, bounds: tuple[float, float]) -> float:
    """Return where the cubic through two trials is lowest, within bounds; their middle if it has no minimum."""
    least, most = bounds
    a, b = (a, b) if a.t <= b.t else (b, a)
    mean = a.slope + b.slope - 3 * (a.point.loss - b.point.loss) / (a.t - b.t)
    square = mean * mean - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    root = math.sqrt(square)
    t = b.t - (b.t - a.t) * (b.slope + root - mean) / (b.slope - a.slope + 2 * root)
    return min(max(t, least), most)

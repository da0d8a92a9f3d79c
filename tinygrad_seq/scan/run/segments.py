"""Rematerialisation by segments: only the first carry of each segment is saved.

remember="all"    forward  ───────────────▶   backward ◀───────────────        the residuals of all steps are saved
remember=4        forward  ───▶───▶───▶───▶   then, for the last segment first:   forward ───▶   backward ◀───
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NamedTuple

import numpy as np

from ...errors import ArgumentError

Remember = Literal["all", "sqrt"] | int


class Run(NamedTuple):
    """The options of one call.

    Attributes
    ----------
    T, reverse, window
        As in `scan`.
    segment
        The number of steps after which the carry is saved; the residuals in between are rematerialised for the
        backward loop. None: all residuals are saved.
    start
        The number of steps that were run before these.
    """

    T: int
    reverse: bool
    window: int | None
    segment: int | None = None
    start: int = 0


class Part(NamedTuple):
    """A segment of a run: its options, and its slice of the arrays over time."""

    run: Run
    times: slice


@functools.lru_cache(1024)
def parts_of(run: Run) -> tuple[Part, ...]:
    """Return the segments of a run, in the order of its steps."""
    length = run.segment or run.T
    parts = []
    for start in range(0, run.T, length):
        stop = min(start + length, run.T)
        times = slice(run.T - stop, run.T - start) if run.reverse else slice(start, stop)
        parts.append(Part(run._replace(T=stop - start, start=start), times))
    return tuple(parts)


def run_of(T: int, reverse: bool, window: int | None, remember: Remember) -> Run:
    """Return the options of a call of `scan`."""
    if isinstance(remember, str):
        return Run(T, reverse, window, None if remember == "all" else math.isqrt(T - 1) + 1)
    return Run(T, reverse, window, int(remember))


def check_remember(name: str, remember: Any) -> None:
    """Validate `remember`; `name` prefixes the error."""
    count = isinstance(remember, int | np.integer) and not isinstance(remember, bool)
    if (remember < 1) if count else (not isinstance(remember, str) or remember not in {"all", "sqrt"}):
        raise ArgumentError(
            f"{name}: expected remember to be 'all', 'sqrt' or an integer >= 1, got {remember!r}; a number is that of "
            "steps after which the carry is kept."
        )

"""One pass over many arrays on all threads: they are cut into pieces of one length, whatever the number of threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.pool import Task, run_all, workers

Array = npt.NDArray[Any]

PIECE = 1 << 18
"""Elements per piece: its pass takes about ten times as long as the call."""
BYTES_PER_SECOND = 3e10
"""Bytes per second that one thread reads and writes."""


def pieces(size: int) -> list[slice]:
    """Return the pieces of a flat array with `size` elements."""
    return [slice(start, start + PIECE) for start in range(0, size, PIECE)]


def run_pieces(tasks: Sequence[Task], nbytes: int) -> None:
    """Run tasks that read and write `nbytes` in all, on as many threads as pay off."""
    if workers(nbytes / BYTES_PER_SECOND) > 1:
        run_all(tasks)
        return
    for task in tasks:
        task()


def over_pieces(kernel: Callable[..., object], array: Array, *others: Any) -> list[Task]:
    """Return one task per piece: `kernel` of the piece of `array`, those of other flat arrays, and the numbers.

    An array without elements is passed as it is.
    """
    tasks: list[Task] = []
    for piece in pieces(array.size):
        cut = [other[piece] if isinstance(other, np.ndarray) else other for other in others]
        tasks.append(partial(kernel, array[piece], *cut))
    return tasks


def sum_of_squares(arrays: Sequence[Array]) -> float:
    """Return the sum of the squares of all elements, with the same bits for any number of threads."""
    from ..kernels import strands  # imported on first use, because LLVM takes long to import

    sums: dict[int, float] = {}

    def add(number: int, piece: Array) -> None:
        sums[number] = strands.sum_of_squares(piece)

    flat = [array.ravel(order="K") for array in arrays]
    cuts = [array[piece] for array in flat for piece in pieces(array.size)]
    run_pieces([partial(add, number, cut) for number, cut in enumerate(cuts)], sum(cut.nbytes for cut in cuts))
    return math.fsum(sums.values())

"""One pass over many arrays on all threads: they are cut into pieces of one length, whatever the number of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

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


def cut_pieces(x: Array) -> list[tuple[slice, Array]]:
    """Return the pieces of `x` in C order, each with its place in the flat array; those of a transposed `x` are views.

    Copying a transposed matrix piece by piece stays in the cache.
    """
    if x.flags.c_contiguous:
        flat = x.reshape(-1)
        return [(piece, flat[piece]) for piece in pieces(x.size)]
    width = x.size // len(x)
    rows = max(1, PIECE // width)
    return [(slice(n * width, (n + rows) * width), x[n : n + rows]) for n in range(0, len(x), rows)]


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

"""Run a batch of sequences of different lengths and remove finished sequences from the loop.

Sequences are sorted by length, the longest first. Time is cut into segments at points where more sequences have ended;
each segment runs only on the sequences that are left::

    sequence 0   ████████████████████████     segment 1: all sequences
    sequence 1   ███████████████              segment 2: sequences 0 to 3
    sequence 2   ██████████████               segment 3: sequences 0 and 1 ...
    sequence 3   ███████
    sequence 4   ████        the step's mask holds sequences that end inside a segment
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import numpy as np

from ...autograd.tensor import Tensor
from ...base.tree import Tree, flatten, map_leaves
from ...ops.indexing import take
from ...ops.joining import concat, split
from ...ops.shape import broadcast_to
from ..masks import Lengths
from .transforms.inputs import take_steps

PARTS = 16
"""The number of different batch sizes of segments; each one that occurs needs its own compiled program."""
SEGMENT = 32e6
"""The overhead of a segment (one or two milliseconds of Python), as a number of multiply-adds."""


class Segment(NamedTuple):
    """The steps from `start` to `stop` (exclusive), run on the first `rows` sequences."""

    start: int
    stop: int
    rows: int


def plan_segments(lengths: Lengths, T: int, window: int | None, reverse: bool, weights: int) -> list[Segment]:
    """Return the cheapest segments, in time order, for a batch with these lengths, sorted in descending order.

    `weights` is the number of weights of the cell, and so of multiplications per step and sequence. With a `window`,
    segments begin and end where gradients are cut anyway, counted from the end if `reverse`.
    """
    N = len(lengths)
    ends = -(-lengths // window) * window if window else lengths
    if reverse and window:
        ends = T - (T - lengths) // window * window
    last = min(int(ends[0]), T)
    group = -(-N // PARTS)
    rows_from = {0: N} | {int(ends[rows]): rows for rows in range(N - group, 0, -group) if ends[rows] < last}
    times, rows = [*rows_from, last], [*rows_from.values()]
    price = SEGMENT / max(weights, 1)
    least, before = [0.0], [0]  # up to each time: the cost in steps of a row, and where the last segment begins
    for end, stop in enumerate(times[1:], 1):
        costs = [least[k] + (stop - times[k]) * rows[k] + price for k in range(end)]
        before.append(int(np.argmin(costs)))
        least.append(costs[before[-1]])
    segments = [Segment(last, T, 0)] if last < T else []
    end = len(times) - 1
    while end:
        segments.insert(0, Segment(times[before[end]], times[end], rows[before[end]]))
        end = before[end]
    return segments


def run_segments(
    run: Callable[[Tree, Tree, Tree], Generator[Any, Any, tuple[Tree, Tree]]],
    segments: list[Segment],
    carry: Tree,
    varying: Tree,
    fixed: Tree,
    fill: Callable[[Tree, Tree], Tree],
    reverse: bool,
    cut: bool,
) -> Generator[Any, Any, tuple[Tree, Tree]]:
    """Return the last carry (N, ...) and the outputs (T, N, ...) of a scan in segments.

    Parameters
    ----------
    run
        ``run(carry, varying, fixed)`` is a generator that returns ``(carry, ys)`` for a range of steps and sequences;
        this one yields what it yields.
    carry, varying, fixed
        The initial carry (N, ...), the inputs with a time axis (T, N, ...) and those without (N, ...).
    fill
        ``fill(ys, carry)`` returns the output (N, ...) of a step that leaves `carry` unchanged, in the structure of
        `ys`.
    reverse
        Whether time runs backwards.
    cut
        Whether no gradient flows from one segment into another.
    """
    leaves, rebuild = flatten(varying)
    cuts = tuple([segment.start for segment in segments[1:]])
    pieces = [split(leaf, cuts) for leaf in leaves]
    N = flatten(carry)[0][0].shape[0]
    done: list[tuple[Segment, Tree, Tree]] = []
    for number in reversed(range(len(segments))) if reverse else range(len(segments)):
        n, ys = segments[number].rows, None
        if cut and done:
            carry = map_leaves(Tensor.detach, carry)
        rest = _rows(carry, n, N)
        if n:
            part = rebuild([_part(piece[number], n, N) for piece in pieces])
            last, ys = yield from run(_rows(carry, 0, n), part, _rows(fixed, 0, n))
            carry = last if n == N else _joined([last, rest], 0)
        done.append((segments[number], ys, rest))
    like = next(ys for segment, ys, _ in done if segment.rows)
    parts = [_with_rest(segment, ys, fill(like, rest), N) for segment, ys, rest in done]
    return carry, _joined(parts[::-1] if reverse else parts, 0)


def reorder_rows(tree: Tree, order: np.ndarray) -> Tree:
    """Return arrays (N, ...) with the sequences in another order."""
    return map_leaves(lambda x: take(x, order, axis=0), tree)


def reorder_steps(x: Any, order: np.ndarray) -> Any:
    """Return an array (T, N, ...) with the sequences in another order."""
    T, N = x.shape[:2]
    return take_steps(x, np.arange(T)[:, None] * N + order)


def _part(x: Any, n: int, N: int) -> Any:
    return x if n == N else x[:, :n]


def _rows(tree: Tree, start: int, stop: int) -> Tree:
    return map_leaves(lambda x: x if (start, stop) == (0, x.shape[0]) else x[start:stop], tree)


def _joined(trees: list[Tree], axis: int) -> Tree:
    columns = zip(*[flatten(tree)[0] for tree in trees], strict=True)
    return flatten(trees[0])[1]([column[0] if len(column) == 1 else concat(column, axis) for column in columns])


def _with_rest(segment: Segment, ys: Tree, rest: Tree, N: int) -> Tree:
    """Return a segment's outputs for all sequences; `rest` is the output of the finished ones at each step."""
    if segment.rows == N:
        return ys
    steps = segment.stop - segment.start
    filled = map_leaves(lambda x: broadcast_to(x[None], (steps, *x.shape)), rest)
    return _joined([ys, filled], 1) if segment.rows else filled

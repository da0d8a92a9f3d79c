"""Replace padding, so that no step, score or embedding computes with it.

A step runs on every sequence of the batch, including those whose step is masked, and `where` drops the masked results.
That is not enough: the gradient of a dropped value is 0, and a cell that is singular at its inputs turns this into
``0 * inf = NaN``, which reaches every weight. So a masked step reads the inputs and the state of the first valid step
of its sequence, where the cell is evaluated anyway.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd.tensor import Tensor
from ...base.modes import no_grad
from ...base.switches import Switch
from ...base.tree import Tree, flatten, map_leaves
from ...errors import CompileError
from ...ops.comparison import where
from ...ops.primitive import is_traced
from ...ops.reduction import sum
from ...ops.shape import expand_dims, reshape
from ..masks import Mask
from .transforms.inputs import per_row, take_steps

Indices = NDArray[np.intp]


def first_steps(valid: Mask, reverse: bool = False) -> tuple[Indices, Indices]:
    """Return the first valid step of each sequence, for a mask (T, N) with at least one valid step.

    Parameters
    ----------
    valid
        (T, N), true at valid steps.
    reverse
        Whether the first step is the last in time.

    Returns
    -------
    rows, steps
        (N,) each: ``rows[n]`` is n, or the first sequence with a valid step if sequence n has none; ``steps[n]`` is the
        first valid step of that sequence.
    """
    counts = valid.any(axis=0)
    rows = np.where(counts, np.arange(valid.shape[1]), counts.argmax())
    first = len(valid) - 1 - valid[::-1].argmax(axis=0) if reverse else valid.argmax(axis=0)
    return rows, first[rows]


def hold_padding(
    tree: Tree, valid: Mask, reverse: bool = False, window: int | None = None, before: Sequence[Any] | None = None
) -> Tree:
    """Fill the padding of arrays (T, N, ...) with the values of the last valid step before it; zeros if there is none.

    The gradient of padding flows to the step that its values come from, unless a window cuts it off.

    Parameters
    ----------
    tree
        Arrays (T, N, ...).
    valid
        (T, N), true at valid steps.
    reverse
        Whether time runs backwards.
    window
        No gradient flows from one block of `window` steps into the one before; None for no such limit.
    before
        Arrays (N, ...) to use instead of zeros before the first valid step.
    """
    if is_traced(valid):
        raise CompileError(
            "masked_output: expected 'zeros' in a model that is traced, got 'held'; build the layer with the default."
        )
    order = slice(None, None, -1 if reverse else 1)
    T, N = valid.shape
    number = np.arange(1, T + 1)[:, None]  # from 1, in the order of the run; 0 where no step has counted yet
    last = np.maximum.accumulate(np.where(valid[order], number, 0), axis=0)
    reached = None
    if window is not None:
        reached = (last > (number - 1) // window * window)[order]
    last = last[order]
    steps = T - last if reverse else last - 1
    places = np.where(last > 0, steps, 0) * N + np.arange(N)

    def held(x: Any, first: Any) -> Any:
        found = take_steps(x, places)
        if reached is not None:
            found = where(per_row(reached, found), found, found.detach())
        return where(per_row(last > 0, x), found, first)

    arrays, rebuild = flatten(tree)
    firsts = before or [np.zeros((), x.dtype) for x in arrays]
    return rebuild([held(*pair) for pair in zip(arrays, firsts, strict=True)])


def fill_padding(tree: Tree, valid: Mask, axis: int = 0, reverse: bool = False) -> Tree:
    """Fill the padding of each sequence with the values of its first valid step; zeros if no step is valid.

    No gradient flows from padding, neither to the original values nor to the step that replaces them.

    Parameters
    ----------
    tree
        Arrays (T, N, ...), or (N, T, ...) if `axis` is 1.
    valid
        The mask of valid steps, with the same first two axes.
    axis
        The axis of time, 0 or 1.
    reverse
        Whether the first step is the last in time.
    """
    if is_traced(valid):  # a model is traced for inference: no gradient reads padding
        return map_leaves(lambda x: where(per_row(valid, x), x, np.zeros((), x.dtype)), tree)
    if valid.all() and valid.size:
        return tree
    by_time = valid if axis == 0 else valid.T
    if not by_time.any():
        return map_leaves(lambda x: where(per_row(valid, x), x, np.zeros((), x.dtype)), tree)
    rows, steps = first_steps(by_time, reverse)
    places = np.ravel_multi_index((steps, rows) if axis == 0 else (rows, steps), valid.shape)

    def filled(x: Any) -> Any:
        return where(per_row(valid, x), x, expand_dims(take_steps(x.detach(), places), axis))

    return map_leaves(filled, tree)


@contextmanager
def unchecked() -> Iterator[None]:
    """Run something only for its shapes: no gradient is recorded, and anomalies are not reported."""
    with no_grad(), Switch(anomaly=False):
        yield


def send_zeros(tree: Tree, sources: Iterable[Any]) -> Tree:
    """Return the same arrays, whose backward pass also sends zeros to all floating-point Tensors of `sources`.

    If no step is valid, nothing is computed; with this, each parameter still gets a gradient.
    """
    tensors = [x for x in sources if isinstance(x, Tensor) and x.dtype.kind == "f"]
    zero = builtins.sum([sum(reshape(x, (-1,))[:0]) for x in tensors])  # reads no value
    return map_leaves(lambda x: where(np.True_, x, zero).astype(x.dtype) if x.dtype.kind == "f" else x, tree)

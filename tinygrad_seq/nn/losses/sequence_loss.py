"""Losses over padded sequences: only the steps that are there count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd.creation import asarray, zeros
from ...errors import ArgumentError, ShapeError
from ...functional import cross_entropy, index_add
from ...ops.primitive import Array
from ..masks import Mask, check_flags

_REDUCTIONS = ("mean", "sum", "none")


def sequence_loss(
    loss: Callable[..., Array],
    prediction: Array,
    target: Array,
    lengths: Any = None,
    mask: Any = None,
    reduction: str = "mean",
    batch_first: bool = False,
    **options: Any,
) -> Array:
    """Return any loss, over the valid steps of sequences.

    The other steps are taken out before the loss is computed: what they hold, NaN included, has no effect, their
    gradient is exactly zero, and they cost nothing.

    Parameters
    ----------
    loss
        A function ``loss(prediction, target, reduction=...)``, such as those of `nn.functional`.
    prediction, target
        (T, N, ...), as `loss` wants them behind the first two axes.
    lengths
        (N,) integers from 0 to T: the steps from there on are left out.
    mask
        Instead of lengths, (T, N) bool: the steps that count.
    reduction
        ``"mean"`` over the valid steps of all sequences, 0 if there is none; ``"sum"``: over time, and averaged over
        the N sequences, as in the course notes; or ``"none"``: the losses (T, N, ...), 0 at the steps that are left
        out.
    batch_first
        Whether prediction, target, mask and losses are (N, T, ...).
    **options
        Passed on to `loss`; to weight steps, multiply the losses of ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If lengths and a mask are given, a length is outside 0 to T, or the reduction is unknown.
    ShapeError, DtypeError
        If target, lengths or mask do not fit the prediction; and what `loss` raises.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> prediction, target = [[1.0, 2.0], [4.0, ts.nan]], [[0.0, 0.0], [0.0, 0.0]]
    >>> ts.nn.functional.sequence_loss(ts.nn.functional.l1_loss, prediction, target, lengths=[2, 1], reduction="sum")
    tensor(3.5)
    """
    if not callable(loss):
        raise ArgumentError(f"sequence_loss: expected a loss function, got {loss!r}; pass e.g. ts.cross_entropy.")
    return _over_valid_steps("sequence_loss", loss, prediction, target, lengths, mask, reduction, batch_first, options)


def sequence_cross_entropy(
    logits: Array,
    target: Array,
    lengths: Any = None,
    mask: Any = None,
    reduction: str = "mean",
    batch_first: bool = False,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    """Return the cross entropy of targets and logits, over the valid steps of sequences.

    Parameters
    ----------
    logits
        Unnormalised log-probabilities (T, N, V).
    target
        Class indices (T, N), of any value at the steps that are left out; or probabilities (T, N, V).
    lengths, mask, reduction, batch_first
        As in `sequence_loss`.
    weight, ignore_index, label_smoothing
        As in `cross_entropy`; a mean is weighted by the classes too.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError, IndexRangeError
        If target, lengths or mask do not fit the logits, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> logits, target = ts.zeros((3, 2, 4)), [[1, 3], [2, -1], [0, -1]]
    >>> ts.nn.functional.sequence_cross_entropy(logits, target, lengths=[3, 1])  # ln 4
    tensor(1.3862944)
    >>> ts.nn.functional.sequence_cross_entropy(logits, target, lengths=[3, 1], reduction="sum")  # (3 + 1) / 2 ln 4
    tensor(2.7725887)
    """
    options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    return _over_valid_steps(
        "sequence_cross_entropy", cross_entropy, logits, target, lengths, mask, reduction, batch_first, options
    )


def _over_valid_steps(
    caller: str,
    loss: Callable[..., Array],
    prediction: Array,
    target: Array,
    lengths: Any,
    mask: Any,
    reduction: str,
    batch_first: bool,
    options: dict[str, Any],
) -> Array:
    if reduction not in _REDUCTIONS:
        raise ArgumentError(f"{caller}: expected reduction to be one of {_REDUCTIONS}, got {reduction!r}; choose one.")
    prediction, target = asarray(prediction), asarray(target)
    axes = "(N, T, ...)" if batch_first else "(T, N, ...)"
    if prediction.ndim < 2 or target.shape[:2] != prediction.shape[:2]:
        raise ShapeError(
            f"{caller}: expected predictions and targets of shape {axes} with equal N and T, got {prediction.shape} "
            f"and {target.shape}; one sequence is a batch of N = 1."
        )
    T, N = reversed(prediction.shape[:2]) if batch_first else prediction.shape[:2]
    valid = check_flags(caller, T, N, batch_first, lengths, mask).valid(T)
    if valid is not None:
        valid = valid.T if batch_first else valid
        prediction, target = prediction[valid], target[valid]
    steps = prediction.shape[0] if valid is not None else T * N
    if reduction == "mean" and not steps:
        reduction = "sum"  # of nothing: 0, and a gradient of zeros
    losses = loss(prediction, target, reduction=reduction, **options)
    if reduction == "sum":
        return losses / max(N, 1)
    return losses if reduction == "mean" or valid is None else _put_back(losses, valid)


def _put_back(losses: Array, valid: Mask) -> Array:
    """Return the losses of valid steps at their steps, and 0 elsewhere."""
    rest = losses.shape[1:]
    nothing = zeros((valid.size, *rest), dtype=losses.dtype)
    return index_add(nothing, 0, np.flatnonzero(valid), losses).reshape(valid.shape + rest)

"""Losses of padded sequences: only valid steps contribute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.creation import as_tensor, zeros
from ...autograd.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...functional import cross_entropy, index_add
from ..masks import Mask, check_flags

_REDUCTIONS = ("mean", "sum", "none")


def sequence_loss(
    loss: Callable[..., Tensor],
    prediction: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    batch_first: bool = False,
    **options: Any,
) -> Tensor:
    """Return a loss over the valid steps of padded sequences.

    Padding is removed before the loss is computed: its values, even NaN, have no effect, its gradient is exactly 0, and
    it costs no time.

    Parameters
    ----------
    loss : callable
        A function ``loss(prediction, target, reduction=...)``, such as those of `nn.functional`.
    prediction, target : array_like
        (T, N, ...), with the trailing axes that `loss` expects.
    lengths : array_like of int, optional
        (N,), from 0 to T: how many steps of each sequence are valid.
    mask : array_like of bool, optional
        (T, N), the valid steps. Pass lengths or a mask, not both.
    reduction : {"mean", "sum", "none"}, default "mean"
        ``"mean"`` over the valid steps of all sequences, 0 if there are none; ``"sum"`` over time, averaged over the N
        sequences, as in the course notes; ``"none"``, the losses (T, N, ...), 0 on padding.
    batch_first : bool, default False
        Whether prediction, target, mask and losses are (N, T, ...) instead.
    **options
        More arguments of `loss`. To weight steps, multiply the losses of ``reduction="none"``.

    Returns
    -------
    Tensor
        A scalar; (T, N, ...) if the reduction is ``"none"``.

    Raises
    ------
    ArgumentError
        If lengths and a mask are given, a length is outside 0 to T, or the reduction is unknown.
    ShapeError, DtypeError
        If target, lengths or mask do not fit the prediction; and any error of `loss`.

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
    logits: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    batch_first: bool = False,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy of logits and targets over the valid steps of padded sequences.

    Parameters
    ----------
    logits : array_like
        (T, N, V), unnormalised log-probabilities.
    target : array_like
        (T, N), class indices, with any value on padding; or (T, N, V), probabilities.
    lengths, mask, reduction, batch_first
        As in `sequence_loss`.
    weight, ignore_index, label_smoothing
        As in `cross_entropy`; ``"mean"`` is weighted by `weight`.

    Returns
    -------
    Tensor
        A scalar; (T, N) if the reduction is ``"none"``.

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
    loss: Callable[..., Tensor],
    prediction: Any,
    target: Any,
    lengths: Any,
    mask: Any,
    reduction: str,
    batch_first: bool,
    options: dict[str, Any],
) -> Tensor:
    if reduction not in _REDUCTIONS:
        raise ArgumentError(f"{caller}: expected reduction to be one of {_REDUCTIONS}, got {reduction!r}; choose one.")
    prediction, target = as_tensor(caller, prediction), as_tensor(caller, target)
    axes = "(N, T, ...)" if batch_first else "(T, N, ...)"
    if prediction.ndim < 2 or target.shape[:2] != prediction.shape[:2]:
        raise ShapeError(
            f"{caller}: expected predictions and targets of shape {axes} with equal N and T, got {prediction.shape} "
            f"and {target.shape}; pass one sequence as a batch of N = 1."
        )
    T, N = reversed(prediction.shape[:2]) if batch_first else prediction.shape[:2]
    valid = check_flags(caller, T, N, batch_first, lengths, mask).valid(T)
    if valid is not None:
        valid = valid.T if batch_first else valid
        prediction, target = prediction[valid], target[valid]
    steps = prediction.shape[0] if valid is not None else T * N
    if reduction == "mean" and not steps:
        reduction = "sum"  # of no losses: 0, with a gradient of zeros
    losses = loss(prediction, target, reduction=reduction, **options)
    if reduction == "sum":
        return losses / max(N, 1)
    return losses if reduction == "mean" or valid is None else _put_back(losses, valid)


def _put_back(losses: Tensor, valid: Mask) -> Tensor:
    """Return the losses with the valid steps in their places and 0 elsewhere."""
    rest = losses.shape[1:]
    nothing = zeros((valid.size, *rest), dtype=losses.dtype)
    return index_add(nothing, 0, np.flatnonzero(valid), losses).reshape(valid.shape + rest)

"""Connectionist temporal classification: the likelihood of labels whose alignment in time is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.conversion import to_array
from ...autograd.creation import as_tensor
from ...autograd.tensor import Tensor
from ...base.tree import Tree
from ...errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from ...ops.comparison import isinf, where
from ...ops.exponential import logaddexp
from ...ops.gathering import take_along_axis
from ...ops.joining import concat
from ...ops.reduction import logsumexp, mean, sum
from ...scan import scan
from ..checks import check_switches
from ..masks import Lengths, check_lengths
from ..module.module import Module

Labels = NDArray[np.int64]


def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return ``-ln P(target)``, where P sums over all alignments of the labels with the steps (Graves et al., 2006).

    An alignment is one class per step. Merging equal neighbours and then dropping blanks gives its labels: ``--aa-b-``
    and ``-a-bbb--`` both give ``ab``. With the target between blanks, ``l = (-, t_1, -, t_2, ..., t_S, -)``, the
    alignments that have reached l_s at step t have the log-probability ::

        alpha_t(s) = ln(e^alpha_(t-1)(s) + e^alpha_(t-1)(s-1) [+ e^alpha_(t-1)(s-2)]) + log_probs_t(l_s)

    the last term only if l_s is a label other than l_(s-2). This is a compiled scan in logarithms. Its gradient is
    minus the probability of each class at each step, given the target. (PyTorch's gradient is only right if the input
    comes from `log_softmax`; then both agree.)

    Parameters
    ----------
    log_probs : array_like
        (T, N, C), log-probabilities of the classes, such as `log_softmax` returns; -inf is allowed. (T, C) is one
        sequence.
    targets : array_like of int
        (N, S), of which the first `target_lengths` of each sequence are read; or (sum of target_lengths,), all labels
        concatenated. Without blanks.
    input_lengths : array_like of int, optional
        (N,), from 0 to T: how many steps of each sequence are valid; T by default. The values of the other steps have
        no effect, and their gradient is 0. With 0 steps the loss of an empty target is 0, and of any other inf.
    target_lengths : array_like of int, optional
        (N,), from 0 to S: how many labels each target has; S by default.
    blank : int, default 0
        The class that is not a label.
    reduction : {"none", "sum", "mean"}, default "mean"
        ``"mean"`` divides each loss by the length of its target first, as in PyTorch.
    zero_infinity : bool, default False
        Whether a target with more labels than steps allow has the loss 0 instead of inf. Its gradient is 0 in any case.

    Returns
    -------
    Tensor
        A scalar; (N,) if the reduction is ``"none"``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError
        If targets or lengths do not fit `log_probs` or each other, or a target contains a blank.

    Examples
    --------
    Of the four alignments of two steps and two classes, three give the label 1:

    >>> import tinygrad_seq as ts
    >>> log_probs = ts.log(ts.tensor([[[0.5, 0.5]], [[0.5, 0.5]]]))
    >>> ts.exp(-ts.nn.functional.ctc_loss(log_probs, [[1]])).item()
    0.75
    """
    scores = as_tensor("ctc_loss", log_probs)
    check_switches("ctc_loss", zero_infinity=zero_infinity)
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"ctc_loss: expected reduction none, mean or sum, got {reduction!r}; pass one of them.")
    single = scores.ndim == 2
    if single:
        scores = scores[:, None]
    ends = check_log_probs("ctc_loss", scores, input_lengths, blank)
    _, N, C = scores.shape
    targets = to_array("ctc_loss.targets", targets)
    S = targets.shape[-1] if targets.ndim else 0
    joined = targets.ndim == 1 and not single
    counts = _lengths("ctc_loss", "target_lengths", target_lengths, N, S, None if joined else S)
    labels = _labels(targets[None] if single and targets.ndim == 1 else targets, counts, joined, C, blank)
    last = _last_alpha(scores, labels, ends, blank)
    places = 2 * counts[:, None] - np.array([[1, 0]])  # the last label and the blank after it
    finals = take_along_axis(last, np.maximum(places, 0), axis=1)
    losses = -logsumexp(where(places >= 0, finals, -np.inf), axis=1)
    if zero_infinity:
        losses = where(isinf(losses), 0, losses)
    if reduction == "none":
        return losses[0] if single else losses
    return sum(losses) if reduction == "sum" else mean(losses / np.maximum(counts, 1).astype(losses.dtype))


class CTCLoss(Module):
    """Connectionist temporal classification (Graves et al., 2006); see `ctc_loss`.

    Parameters
    ----------
    blank : int, default 0
        The class that is not a label.
    reduction : {"none", "sum", "mean"}, default "mean"
        ``"mean"`` divides each loss by the length of its target first, as in PyTorch.
    zero_infinity : bool, default False
        Whether a target with more labels than steps allow has the loss 0 instead of inf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> log_probs = ts.log_softmax(ts.zeros((6, 2, 4)))
    >>> loss = ts.nn.CTCLoss()(log_probs, [[1, 2], [3, 0]], input_lengths=[6, 3], target_lengths=[2, 1])
    >>> loss.shape
    ()
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        self.blank, self.reduction, self.zero_infinity = blank, reduction, zero_infinity

    def forward(
        self,
        log_probs: ArrayLike,
        targets: ArrayLike,
        input_lengths: ArrayLike | None = None,
        target_lengths: ArrayLike | None = None,
    ) -> Tensor:
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


def _last_alpha(log_probs: Tensor, labels: Labels, ends: Lengths, blank: int) -> Tensor:
    """Return the log-probabilities (N, 2S + 1) of having reached each label or blank at the last valid step."""
    (T, N, _), S = log_probs.shape, labels.shape[1]
    spoken = np.full((N, 2 * S + 1), blank)
    spoken[:, 1::2] = labels
    skips = np.zeros(spoken.shape, bool)
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    scores = take_along_axis(log_probs, spoken[None], axis=-1)
    counts = (np.arange(T)[:, None] < ends)[:, :, None]
    nowhere = np.full((N, 2), -np.inf, log_probs.dtype)
    start = np.full(spoken.shape, -np.inf, log_probs.dtype)
    start[:, 0] = 0

    def step(alpha: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tree]:
        score, on = x
        padded = concat([nowhere, alpha], axis=1)
        skipped = where(skips, padded[:, :-2], -np.inf)
        moved = logaddexp(logaddexp(alpha, padded[:, 1:-1]), skipped) + score
        return where(on, moved, alpha), None

    alpha, _ = scan(step, start, (scores, counts))
    return alpha


def check_log_probs(caller: str, log_probs: Any, input_lengths: Any, blank: Any) -> Lengths:
    """Raise unless `log_probs` are (T, N, C) and `blank` is one of the C classes; return the checked lengths (N,)."""
    if log_probs.ndim != 3 or not log_probs.size or log_probs.dtype.kind != "f":
        raise ShapeError(
            f"{caller}: expected floating-point log_probs (T, N, C), got {log_probs.shape} {log_probs.dtype}; "
            "pass log_softmax of the logits, time first."
        )
    T, N, C = log_probs.shape
    if isinstance(blank, bool) or not isinstance(blank, int | np.integer) or not 0 <= blank < C:
        raise IndexRangeError(f"{caller}: expected blank to be one of {C} classes, got {blank!r}; pass e.g. 0.")
    return _lengths(caller, "input_lengths", input_lengths, N, T, T)


def _lengths(caller: str, name: str, given: Any, N: int, default: int, longest: int | None) -> Lengths:
    """Return checked lengths (N,); a single number is the length of one sequence."""
    if given is None:
        return np.full(N, default)
    return check_lengths(caller, name, np.atleast_1d(to_array(caller, given)), N, longest, 0)


def _labels(targets: Any, counts: Lengths, joined: bool, C: int, blank: int) -> Labels:
    """Return labels (N, S), S >= 1, padded with blanks."""
    if targets.size and targets.dtype.kind not in "iu":
        raise DtypeError(f"ctc_loss: expected integer targets, got {targets.shape} {targets.dtype}; cast them.")
    N = len(counts)
    if joined:
        fits, expected = targets.shape == (counts.sum(),), f"({counts.sum()},), the sum of target_lengths"
    else:
        fits, expected = targets.ndim == 2 and len(targets) == N, f"({N}, S)"
    if not fits:
        raise ShapeError(
            f"ctc_loss: expected targets of shape {expected}, got {targets.shape} {targets.dtype}; "
            "pass targets padded to one length, or all labels concatenated with target_lengths."
        )
    labels = np.full((N, max(int(counts.max()), 1)), blank, np.int64)
    known = np.arange(labels.shape[1]) < counts[:, None]
    labels[known] = targets if joined else targets[:, : labels.shape[1]][known[:, : targets.shape[1]]]
    said = labels[known]
    if said.size and (said.min() < 0 or said.max() >= C or (said == blank).any()):
        wrong = said[(said < 0) | (said >= C) | (said == blank)][0]
        raise IndexRangeError(
            f"ctc_loss: expected labels in [0, {C}) other than the blank {blank}, got {wrong}; "
            "check the vocabulary, and give target_lengths if targets are padded."
        )
    return labels

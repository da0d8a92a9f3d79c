"""Connectionist temporal classification: the likelihood of labels whose places in time are not known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd.conversion import to_array
from ...autograd.creation import asarray
from ...base.tree import Tree
from ...errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from ...ops.comparison import isinf, where
from ...ops.exponential import logaddexp
from ...ops.gathering import take_along_axis
from ...ops.joining import concat
from ...ops.primitive import Array
from ...ops.reduction import logsumexp, mean, sum
from ...scan import scan
from ..checks import check_switches
from ..masks import Lengths, check_lengths
from ..module.module import Module

Labels = NDArray[np.int64]


def ctc_loss(
    log_probs: Array,
    targets: Any,
    input_lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """Return ``-ln P(target)``, where P adds up all ways to say the labels in time (Graves et al., 2006).

    A way is one class for each step; equal neighbours are one label, and then blanks are left out: ``--aa-b-`` and
    ``-a-bbb--`` both say ``ab``. With the target between blanks, ``l = (-, t_1, -, t_2, ..., t_S, -)``, the ways that
    have come to l_s at step t have the log-probability ::

        alpha_t(s) = ln(e^alpha_(t-1)(s) + e^alpha_(t-1)(s-1) [+ e^alpha_(t-1)(s-2)]) + log_probs_t(l_s)

    the last term where l_s is a label other than l_(s-2). It is a scan in logarithms, compiled, and its gradient comes
    by itself: minus the probability that step t says a class, given the target. (PyTorch returns the gradient that only
    a `log_softmax` before it makes right; through one both are the same.)

    Parameters
    ----------
    log_probs
        (T, N, C), log-probabilities of the classes, as `log_softmax` returns them; -inf is allowed. (T, C) is one row.
    targets
        (N, S) integers, of which the first `target_lengths` of each row are read, or all of them in one row
        (sum of lengths,); no blanks.
    input_lengths
        (N,), from 0 to T: how many steps of each row count; by default all. The others are not computed with, and no
        gradient reaches them. In 0 steps only the empty target can be said: its loss is 0, that of any other inf.
    target_lengths
        (N,), from 0 to S; by default S.
    blank
        The class that is no label.
    reduction
        ``"none"`` (N,), ``"sum"``, or ``"mean"``: of each loss divided by its target's length, as in PyTorch.
    zero_infinity
        Take 0 for the loss of a target that cannot be said in so few steps, instead of inf. Its gradient is 0 in any
        case.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError
        If targets or lengths do not fit `log_probs` or each other, or a target has a blank.

    Examples
    --------
    Of the four ways through two steps and two classes, three say "1":

    >>> import tinygrad_seq as ts
    >>> log_probs = ts.log(ts.tensor([[[0.5, 0.5]], [[0.5, 0.5]]]))
    >>> ts.exp(-ts.nn.functional.ctc_loss(log_probs, [[1]])).item()
    0.75
    """
    log_probs = asarray(log_probs)
    check_switches("ctc_loss", zero_infinity=zero_infinity)
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"ctc_loss: expected reduction none, mean or sum, got {reduction!r}; pass one of them.")
    if log_probs.ndim not in (2, 3) or not log_probs.size or log_probs.dtype.kind != "f":
        raise ShapeError(
            f"ctc_loss: expected floating-point log_probs (T, N, C), got {log_probs.shape} {log_probs.dtype}; "
            "pass log_softmax of the logits, time first."
        )
    single = log_probs.ndim == 2
    if single:
        log_probs = log_probs[:, None]
    T, N, C = log_probs.shape
    ends = _lengths("input_lengths", input_lengths, N, T, T)
    targets = to_array("ctc_loss.targets", targets)
    S = targets.shape[-1] if targets.ndim else 0
    joined = targets.ndim == 1 and not single
    counts = _lengths("target_lengths", target_lengths, N, S, None if joined else S)
    labels = _labels(targets[None] if single and targets.ndim == 1 else targets, counts, joined, C, blank)
    last = _last_alpha(log_probs, labels, ends, blank)
    places = 2 * counts[:, None] - np.array([[1, 0]])  # the last label and the blank after it
    finals = take_along_axis(last, np.maximum(places, 0), axis=1)
    losses = -logsumexp(where(places >= 0, finals, -np.inf), axis=1)
    if zero_infinity:
        losses = where(isinf(losses), 0, losses)
    if reduction == "none":
        return losses[0] if single else losses
    return sum(losses) if reduction == "sum" else mean(losses / np.maximum(counts, 1).astype(losses.dtype))


class CTCLoss(Module):
    """Connectionist temporal classification; see `ctc_loss`.

    Parameters
    ----------
    blank, reduction, zero_infinity
        As in `ctc_loss`.

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

    def forward(self, log_probs: Array, targets: Any, input_lengths: Any = None, target_lengths: Any = None) -> Array:
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


def _last_alpha(log_probs: Array, labels: Labels, ends: Lengths, blank: int) -> Array:
    """Return the logarithms (N, 2S + 1) of having come to each place among labels and blanks at the last step."""
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

    def step(alpha: Array, x: tuple[Array, Array]) -> tuple[Array, Tree]:
        score, on = x
        padded = concat([nowhere, alpha], axis=1)
        skipped = where(skips, padded[:, :-2], -np.inf)
        moved = logaddexp(logaddexp(alpha, padded[:, 1:-1]), skipped) + score
        return where(on, moved, alpha), None

    alpha, _ = scan(step, start, (scores, counts))
    return alpha


def _lengths(name: str, given: Any, N: int, default: int, longest: int | None) -> Lengths:
    """Return lengths (N,) of 0 or more, checked; a number is that of one row."""
    if given is None:
        return np.full(N, default)
    return check_lengths("ctc_loss", name, np.atleast_1d(to_array("ctc_loss", given)), N, longest, 0)


def _labels(targets: Any, counts: Lengths, joined: bool, C: int, blank: Any) -> Labels:
    """Return labels (N, S), S >= 1, blanks where there are none."""
    if isinstance(blank, bool) or not isinstance(blank, int | np.integer) or not 0 <= blank < C:
        raise IndexRangeError(f"ctc_loss: expected blank to be one of {C} classes, got {blank!r}; pass e.g. 0.")
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
            "pass rows that are padded to one length, or all labels in one row with target_lengths."
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

"""Searches for the labels that a layer trained with CTC gives: of the likeliest alignment, or the likeliest labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.conversion import to_array
from ...errors import AnomalyError, ArgumentError
from ..checks import check_sizes
from ..losses.ctc import check_log_probs
from ..masks import Lengths
from .beam import Hypotheses
from .decoding import Decoded

Floats = NDArray[np.float64]
Prefix = tuple[int, ...]


def ctc_greedy_search(log_probs: ArrayLike, input_lengths: ArrayLike | None = None, *, blank: int = 0) -> Decoded:
    """Return the labels of the likeliest alignment: take the likeliest class per step, merge equal ones, drop blanks.

    Other labels may be likelier, because they have more alignments; `ctc_beam_search` adds these up.

    Parameters
    ----------
    log_probs : array_like
        (T, N, C), log-probabilities of the classes, such as `log_softmax` returns.
    input_lengths : array_like of int, optional
        (N,), from 0 to T: how many steps of each sequence are valid; T by default.
    blank : int, default 0
        The class that is not a label.

    Returns
    -------
    Decoded
        Tokens (N, L), padded with `blank`, lengths, and the log-probability of each alignment.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError
        If an argument has another shape, dtype or range.
    AnomalyError
        If a log-probability is NaN or inf.

    Examples
    --------
    The likeliest classes are 2, 2, blank, 1:

    >>> import tinygrad_seq as ts
    >>> log_probs = ts.log_softmax(ts.one_hot([[2], [2], [0], [1]], 3))
    >>> ts.nn.ctc_greedy_search(log_probs).tokens
    array([[2, 1]])
    """
    scores, ends = _checked("ctc_greedy_search", log_probs, input_lengths, blank)
    T, N, _ = scores.shape
    valid = np.arange(T)[:, None] < ends
    best = np.where(valid, scores.argmax(axis=-1), blank)
    changed = np.concatenate([np.ones((1, N), bool), best[1:] != best[:-1]])
    said = changed & (best != blank)
    lengths = said.sum(axis=0)
    tokens = np.full((N, lengths.max()), blank)
    tokens[np.arange(lengths.max()) < lengths[:, None]] = best.T[said.T]
    return Decoded(tokens, lengths, np.where(valid, scores.max(axis=-1), 0).sum(axis=0))


def ctc_beam_search(
    log_probs: ArrayLike,
    input_lengths: ArrayLike | None = None,
    *,
    blank: int = 0,
    beam_size: int = 10,
    num_best: int = 1,
) -> Hypotheses:
    """Search the likeliest labels by prefix beam search (Graves, 2012; Hannun et al., 2014).

    Each step keeps the `beam_size` likeliest prefixes of labels. The probability of a prefix is the sum over its
    alignments, separately for those that end with a blank and with a label. A beam that holds all prefixes gives
    ``-ctc_loss`` as the score.

    Parameters
    ----------
    log_probs, input_lengths, blank
        As in `ctc_greedy_search`.
    beam_size : int, default 10
        The number of prefixes per sequence.
    num_best : int, default 1
        The number of sequences of labels to return for each of the N, at most `beam_size`.

    Returns
    -------
    Hypotheses
        Tokens (N, num_best, L), padded with `blank`, lengths, and scores ``ln P``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError, AnomalyError
        As in `ctc_greedy_search`.

    Examples
    --------
    In each of two steps the blank has 0.6 and label 1 has 0.4. The likeliest alignment is two blanks, with 0.36, but
    three alignments give label 1, with 0.64 in total:

    >>> import tinygrad_seq as ts
    >>> log_probs = ts.log(ts.tensor([[[0.6, 0.4]], [[0.6, 0.4]]]))
    >>> ts.nn.ctc_greedy_search(log_probs).lengths, ts.nn.ctc_beam_search(log_probs).tokens
    (array([0]), array([[[1]]]))
    """
    scores, ends = _checked("ctc_beam_search", log_probs, input_lengths, blank)
    check_sizes("ctc_beam_search", beam_size=beam_size, num_best=num_best)
    if num_best > beam_size:
        raise ArgumentError(
            f"ctc_beam_search: expected num_best <= beam_size, got {num_best} and {beam_size}; widen the beam."
        )
    found = [_search(scores[:end, n], blank, beam_size)[:num_best] for n, end in enumerate(ends)]
    lengths = np.zeros((len(found), num_best), np.int64)
    totals = np.full(lengths.shape, -np.inf)
    longest = max((len(labels) for row in found for labels, _ in row), default=0)
    tokens = np.full((*lengths.shape, longest), blank, np.int64)
    for n, row in enumerate(found):
        for place, (labels, total) in enumerate(row):
            tokens[n, place, : len(labels)], lengths[n, place], totals[n, place] = labels, len(labels), total
    return Hypotheses(tokens, lengths, totals)


def _checked(caller: str, log_probs: ArrayLike, input_lengths: ArrayLike | None, blank: int) -> tuple[Floats, Lengths]:
    """Return log-probabilities (T, N, C) in float64 and lengths (N,)."""
    scores = to_array(caller, log_probs)
    ends = check_log_probs(caller, scores, input_lengths, blank)
    valid = (np.arange(len(scores))[:, None] < ends)[:, :, None]
    wrong = np.argwhere(valid & ~(scores < np.inf))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise AnomalyError(
            f"{caller}: expected log-probabilities, got {scores[place]} at {place}; look for damaged weights or "
            "a layer that overflows."
        )
    return scores.astype(np.float64), ends


def _search(scores: Floats, blank: int, beam_size: int) -> list[tuple[Prefix, float]]:
    """Return the likeliest labels of scores (T, C) with their log-probabilities, the best first."""
    prefixes: list[Prefix] = [()]
    after_blank, after_label = np.zeros(1), np.full(1, -np.inf)  # by how the alignments of each prefix end
    for score in scores:
        total = np.logaddexp(after_blank, after_label)
        last = np.array([prefix[-1] if prefix else blank for prefix in prefixes], int)
        longer = total[:, None] + score
        each = np.arange(len(prefixes))
        longer[each, last] = after_blank + score[last]  # a label twice in turn needs a blank between
        longer[:, blank] = -np.inf
        same_blank, same_label = total + score[blank], after_label + score[last]
        index = {prefix: place for place, prefix in enumerate(prefixes)}
        for place, prefix in enumerate(prefixes):
            if prefix and (parent := index.get(prefix[:-1])) is not None:  # the longer prefix is in the beam already
                same_label[place] = np.logaddexp(same_label[place], longer[parent, prefix[-1]])
                longer[parent, prefix[-1]] = -np.inf
        every = np.concatenate([np.logaddexp(same_blank, same_label), longer.ravel()])
        best = np.argsort(-every, kind="stable")[:beam_size]
        best = best[every[best] > -np.inf]
        same, (parents, added) = best < len(prefixes), np.divmod(best - len(prefixes), len(score))
        parents = np.where(same, best, parents)
        prefixes = [
            prefixes[parent] if stays else (*prefixes[parent], int(label))
            for stays, parent, label in zip(same, parents, added, strict=True)
        ]
        after_blank = np.where(same, same_blank[parents], -np.inf)
        after_label = np.where(same, same_label[parents], every[best])
    return list(zip(prefixes, np.logaddexp(after_blank, after_label).tolist(), strict=True))

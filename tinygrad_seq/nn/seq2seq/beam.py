"""Beam search: the likeliest sequences, searched among the best few prefixes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.creation import asarray
from ...base.modes import no_grad
from ...base.tree import Tree, map_leaves
from ...errors import ArgumentError
from ...ops.indexing import take
from ...ops.normalisation import log_softmax
from ..checks import check_numbers, check_sizes
from .decoding import Step, Tokens, check_search, first_tokens, scores_of

Floats = NDArray[np.float64]
LengthPenalty = float | Callable[[Tokens], Any]


class Hypotheses(NamedTuple):
    """The best sequences of a beam search, the best first.

    Attributes
    ----------
    tokens : ndarray of int64
        (N, num_best, L), padded with `eos`. L is the length of the longest sequence including its end.
    lengths : ndarray of int64
        (N, num_best), the number of tokens before the end.
    scores : ndarray of float64
        (N, num_best), ``ln P / penalty``; -inf if fewer than num_best sequences exist.
    """

    tokens: Tokens
    lengths: Tokens
    scores: Floats


def beam_search(
    step: Step,
    state: Tree,
    start: ArrayLike,
    *,
    max_length: int,
    eos: int | None = None,
    beam_size: int = 5,
    num_best: int = 1,
    length_penalty: LengthPenalty = 0.0,
) -> Hypotheses:
    """Search the likeliest sequences, keeping the `beam_size` best prefixes at every length.

    ::

        score(Y) = ln P(Y) / |Y| ** length_penalty           (|Y| is the number of tokens, including the end)

    Prefixes are compared by their scores too. A finished sequence stays in the beam until better prefixes displace it,
    and is returned if no better sequence is found after that. The search ends when no prefix in the beam can become
    better than the sequences found. Of sequences with equal scores, the one found first is returned first.

    A beam of 1 is `greedy_search`; a beam that holds all prefixes is exhaustive search.

    Parameters
    ----------
    step, state, start, max_length, eos
        As in `greedy_search`. `step` gets ``N * beam_size`` tokens, and a state reordered like their prefixes.
    beam_size : int, default 5
        The number of prefixes per sequence.
    num_best : int, default 1
        The number of sequences to return for each of the N, at most `beam_size`.
    length_penalty : float or callable, default 0.0
        >= 0. 0 compares probabilities, which favours short sequences; 1 compares the mean log-probability per token;
        0.7 is usual. Or a function of lengths, an array of integers >= 1, that returns what to divide ``ln P`` by:
        ``lambda n: ((5 + n) / 6) ** 0.6`` is the penalty of Wu et al. (2016).

    Returns
    -------
    Hypotheses
        Tokens, lengths and scores.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError, AnomalyError
        As in `greedy_search`; or if `length_penalty` does not return positive numbers, one per length.

    Examples
    --------
    The likeliest first token (0.6) does not begin the likeliest sequence (0.4 * 1 > 0.6 * 0.5):

    >>> import tinygrad_seq as ts
    >>> table = ts.log(ts.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.6, 0.4, 0.0]]))
    >>> model = lambda tokens, state: (table[tokens], state)
    >>> ts.nn.greedy_search(model, None, start=2, max_length=2).tokens
    array([[0, 0]])
    >>> ts.nn.beam_search(model, None, start=2, max_length=2, beam_size=2).tokens
    array([[[1, 2]]])
    """
    check_search("beam_search", step, max_length, eos)
    check_sizes("beam_search", beam_size=beam_size, num_best=num_best)
    penalties = _penalties(length_penalty, max_length)
    if num_best > beam_size:
        raise ArgumentError(
            f"beam_search: expected num_best <= beam_size, got {num_best} and {beam_size}; widen the beam."
        )
    with no_grad():
        first = first_tokens("beam_search", state, start)
        N, B = len(first), beam_size
        state = _in_order(state, np.repeat(np.arange(N), B))
        last = np.repeat(first, B)
        tokens = np.empty((N, B, 0), np.int64)
        total = np.where(np.arange(B) == 0, 0.0, -np.inf) + np.zeros((N, 1))
        lengths = np.zeros((N, B), np.int64)
        ended = np.zeros((N, B), bool)
        found = Hypotheses(tokens[:, :0], lengths[:, :0], total[:, :0])
        for size in range(1, max_length + 1):
            unread = (ended | np.isneginf(total)).ravel()
            scores, state = scores_of("beam_search", step, last, state, eos, unread)
            log_p = np.asarray(log_softmax(np.where(unread[:, None], 0, scores))).reshape(N, B, -1)
            V = log_p.shape[2]
            if eos is not None:
                log_p[ended] = np.where(np.arange(V) == eos, 0, -np.inf)
            reached = total[:, :, None] + log_p
            ranked = reached / penalties[np.where(ended, lengths + 1, size)][:, :, None]
            best = np.stack([_best(row, B) for row in ranked.reshape(N, B * V)])
            rows, parents = np.arange(N)[:, None], best // V
            total, chosen = reached.reshape(N, B * V)[rows, best], best % V
            tokens = np.concatenate([tokens[rows, parents], chosen[:, :, None]], axis=2)
            before, lengths = ended[rows, parents], lengths[rows, parents]
            ended = before if eos is None else before | (chosen == eos)
            lengths = np.where(ended, lengths, size)
            new = ~before & (ended | (size == max_length))
            found = _merged(found, tokens, lengths, np.where(new, total / penalties[size], -np.inf), num_best, eos)
            hope = np.where(ended, -np.inf, total).max(axis=1) / penalties[size:].max()
            if (hope <= found.scores[:, -1]).all():
                break
            state, last = _in_order(state, (rows * B + parents).ravel()), chosen.ravel()
    exists = ~np.isneginf(found.scores)
    lengths = np.where(exists, found.lengths, 0)
    tokens = np.where(exists[:, :, None], found.tokens, 0 if eos is None else eos)
    return Hypotheses(tokens[:, :, : lengths.max() + 1], lengths, found.scores)


def _penalties(length_penalty: LengthPenalty, max_length: int) -> Floats:
    """Return what the log-probability of a sequence is divided by, for lengths from 0, which is not used, up."""
    counts = np.arange(1, max_length + 1)
    if not callable(length_penalty):
        check_numbers("beam_search", 0, np.inf, length_penalty=length_penalty)
        return np.append(1.0, counts ** float(length_penalty))
    given = np.asarray(length_penalty(counts))
    if given.shape != counts.shape or given.dtype.kind not in "iuf" or not (np.isfinite(given) & (given > 0)).all():
        raise ArgumentError(
            f"beam_search: expected length_penalty to return {max_length} finite numbers above 0 for the lengths 1 to "
            f"{max_length}, got {given.shape} {given.dtype} {given.ravel()[:3]}; return e.g. lengths ** 0.7."
        )
    return np.append(1.0, given.astype(np.float64))


def _merged(
    found: Hypotheses, tokens: Tokens, lengths: Tokens, scores: Floats, count: int, eos: int | None
) -> Hypotheses:
    """Return the best `count` of the sequences found and of new ones, in order; before it is found a score is -inf."""
    longer = tokens.shape[2] - found.tokens.shape[2]
    padded = np.pad(found.tokens, ((0, 0), (0, 0), (0, longer)), constant_values=0 if eos is None else eos)
    every = [np.concatenate(pair, axis=1) for pair in ((padded, tokens), (found.lengths, lengths))]
    ranked = np.concatenate([found.scores, scores], axis=1)
    rows, best = np.arange(len(ranked))[:, None], np.argsort(-ranked, axis=1, kind="stable")[:, :count]
    return Hypotheses(every[0][rows, best], every[1][rows, best], ranked[rows, best])


def _best(scores: Floats, count: int) -> Tokens:
    """Return the indices of the largest scores in order, the first of equal ones first."""
    least = np.partition(scores, -count)[-count]
    found = np.flatnonzero(scores >= least)
    return found[np.argsort(-scores[found], kind="stable")][:count]


def _in_order(state: Tree, rows: Tokens) -> Tree:
    """Return the state with every array reordered along the batch axis."""
    return map_leaves(lambda leaf: take(asarray(leaf), rows, axis=0), state)

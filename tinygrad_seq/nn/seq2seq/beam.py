"""Beam search: the likeliest sequences, searched among the best few prefixes."""

from __future__ import annotations

from typing import NamedTuple

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
    length_penalty: float = 0.0,
) -> Hypotheses:
    """Search the likeliest sequences, keeping the `beam_size` best prefixes at every length.

    ::

        score(Y) = ln P(Y) / ((5 + |Y|) / 6) ** length_penalty           (Wu et al., 2016; |Y| counts the end)

    A finished sequence stays in the beam until better ones displace it. A beam of 1 is `greedy_search`; a beam that
    holds all prefixes is exhaustive search.

    Parameters
    ----------
    step, state, start, max_length, eos
        As in `greedy_search`. `step` gets ``N * beam_size`` tokens, and a state reordered like their prefixes.
    beam_size : int, default 5
        The number of prefixes per sequence.
    num_best : int, default 1
        The number of sequences to return for each of the N, at most `beam_size`.
    length_penalty : float, default 0.0
        >= 0. 0 compares probabilities, which favours short sequences; 1 is close to their geometric mean per token;
        0.6 to 1 is usual.

    Returns
    -------
    Hypotheses
        Tokens, lengths and scores.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError, AnomalyError
        As in `greedy_search`.

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
    check_numbers("beam_search", 0, np.inf, length_penalty=length_penalty)
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
        ended, lengths = np.zeros((N, B), bool), np.zeros((N, B), np.int64)
        while tokens.shape[2] < max_length and not _is_over(ended, total, num_best if length_penalty == 0 else B):
            unread = (ended | np.isneginf(total)).ravel()
            scores, state = scores_of("beam_search", step, last, state, eos, unread)
            log_p = np.asarray(log_softmax(np.where(unread[:, None], 0, scores))).reshape(N, B, -1)
            V = log_p.shape[2]
            if eos is not None:
                log_p[ended] = np.where(np.arange(V) == eos, 0, -np.inf)
            reached = total[:, :, None] + log_p
            size = tokens.shape[2] + 1
            counted = np.where(ended, lengths + 1, size)  # including the end
            ranked = reached / ((5 + counted[:, :, None]) / 6) ** length_penalty
            best = np.stack([_best(row, B) for row in ranked.reshape(N, B * V)])
            rows, parents = np.arange(N)[:, None], best // V
            total, chosen = reached.reshape(N, B * V)[rows, best], best % V
            tokens = np.concatenate([tokens[rows, parents], chosen[:, :, None]], axis=2)
            ended, lengths = ended[rows, parents], lengths[rows, parents]
            going = ~ended if eos is None else ~ended & (chosen != eos)
            lengths, ended = np.where(going, size, lengths), ~going
            state, last = _in_order(state, (rows * B + parents).ravel()), chosen.ravel()
    counted = np.where(ended, lengths + 1, lengths)
    shown = np.s_[:, :num_best]
    return Hypotheses(tokens[shown], lengths[shown], (total / ((5 + counted) / 6) ** length_penalty)[shown])


def _is_over(ended: NDArray[np.bool_], total: Floats, count: int) -> bool:
    """Return whether the first `count` sequences of each beam have ended or do not exist."""
    return bool((ended | np.isneginf(total))[:, :count].all())


def _best(scores: Floats, count: int) -> Tokens:
    """Return the indices of the largest scores in order, the first of equal ones first."""
    least = np.partition(scores, -count)[-count]
    found = np.flatnonzero(scores >= least)
    return found[np.argsort(-scores[found], kind="stable")][:count]


def _in_order(state: Tree, rows: Tokens) -> Tree:
    """Return the state with every array reordered along the batch axis."""
    return map_leaves(lambda leaf: take(asarray(leaf), rows, axis=0), state)

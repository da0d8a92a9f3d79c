"""Beam search: the likeliest sequences, looked for among the best few beginnings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd.creation import asarray
from ...base.modes import no_grad
from ...base.tree import Tree, map_leaves
from ...errors import ArgumentError
from ...ops.choice import refuse_scores
from ...ops.indexing import take
from ...ops.normalisation import log_softmax
from ..checks import check_sizes
from .decoding import Step, Tokens, check_writing, first_tokens, scores_of

Floats = NDArray[np.float64]


class Hypotheses(NamedTuple):
    """The best sequences that were found, the best first.

    Attributes
    ----------
    tokens
        (N, num_best, L) int64; after the end of a sequence, `eos`. L is the longest with its end.
    lengths
        (N, num_best): how many tokens of each come before its end.
    scores
        (N, num_best) float64: ``ln P / penalty``; -inf where there are not so many sequences.
    """

    tokens: Tokens
    lengths: Tokens
    scores: Floats


def beam_search(
    step: Step,
    state: Tree,
    start: Any,
    *,
    max_length: int,
    eos: int | None = None,
    beam_size: int = 5,
    num_best: int = 1,
    length_penalty: float = 0.0,
) -> Hypotheses:
    """Return the best sequences of each row, searched with the `beam_size` best beginnings at every length.

    ::

        score(Y) = ln P(Y) / ((5 + |Y|) / 6) ** length_penalty           (Wu et al., 2016; |Y| counts the end)

    A sequence that has ended keeps its place in the beam until better ones take it. A beam of 1 is `greedy_search`; one
    that holds all beginnings finds the best of all.

    Parameters
    ----------
    step, state, start, max_length, eos
        As of `greedy_search`; `step` is given ``N * beam_size`` rows, and a state whose rows have been put in the order
        of the beginnings that they belong to.
    beam_size
        How many beginnings are kept for each row.
    num_best
        How many sequences are returned for each row, at most `beam_size`.
    length_penalty
        0 compares probabilities, which favour the short; 1 nearly their geometric means; 0.6 to 1 is usual.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError, AnomalyError
        As `greedy_search`.

    Examples
    --------
    The likeliest first token (0.6) is not the beginning of the likeliest sequence (0.4 * 1 > 0.6 * 0.5):

    >>> import tinygrad_seq as ts
    >>> table = ts.log(ts.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.6, 0.4, 0.0]]))
    >>> model = lambda tokens, state: (table[tokens], state)
    >>> ts.nn.greedy_search(model, None, start=2, max_length=2).tokens
    array([[0, 0]])
    >>> ts.nn.beam_search(model, None, start=2, max_length=2, beam_size=2).tokens
    array([[[1, 2]]])
    """
    check_writing("beam_search", step, max_length, eos)
    check_sizes("beam_search", beam_size=beam_size, num_best=num_best)
    if num_best > beam_size or not (
        isinstance(length_penalty, int | float | np.number) and 0 <= length_penalty < np.inf
    ):
        raise ArgumentError(
            f"beam_search: expected num_best <= beam_size and a length_penalty >= 0, got {num_best} > {beam_size} or "
            f"{length_penalty!r}; widen the beam, or correct the penalty."
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
            scores, state = scores_of("beam_search", step, last, state, eos)
            log_p = _log_probabilities(scores, (ended | np.isneginf(total)).ravel()).reshape(N, B, -1)
            V = log_p.shape[2]
            if eos is not None:
                log_p[ended] = np.where(np.arange(V) == eos, 0, -np.inf)
            reached = total[:, :, None] + log_p
            size = tokens.shape[2] + 1
            counted = np.where(ended, lengths + 1, size)  # with the end
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
    """Return whether the first `count` of each beam have ended, or do not exist."""
    return bool((ended | np.isneginf(total))[:, :count].all())


def _log_probabilities(scores: Floats, unread: NDArray[np.bool_]) -> Floats:
    """Return the logarithms of softmax; rows that are not read may hold anything."""
    if not (scores[~unread].max(axis=1, initial=-np.inf) < np.inf).all() or np.isneginf(scores[~unread]).all(1).any():
        refuse_scores(scores.shape)
    return np.asarray(log_softmax(np.where(unread[:, None], 0, scores)))


def _best(scores: Floats, count: int) -> Tokens:
    """Return the indices of the greatest scores in order, of equal ones the first."""
    least = np.partition(scores, -count)[-count]
    found = np.flatnonzero(scores >= least)
    return found[np.argsort(-scores[found], kind="stable")][:count]


def _in_order(state: Tree, rows: Tokens) -> Tree:
    """Return the rows of all arrays of a state in another order."""
    return map_leaves(lambda leaf: take(asarray(leaf), rows, axis=0), state)

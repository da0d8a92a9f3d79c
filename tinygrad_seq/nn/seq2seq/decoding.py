"""Generate sequences one token at a time: the likeliest, or a random one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.conversion import to_array
from ...autograd.creation import asarray
from ...autograd.tensor import Tensor
from ...base import settings
from ...base.modes import no_grad
from ...base.tree import Tree, map_leaves
from ...errors import AnomalyError, ArgumentError, DtypeError, IndexRangeError, ShapeError
from ...ops.choice import categorical, check_drawing
from ...ops.normalisation import log_softmax
from ...scan.ir.leaves import name_of, named_leaves
from ..checks import check_sizes

Step = Callable[[Tensor, Tree], tuple[Tensor, Tree]]
"""``step(tokens (N,), state) -> (logits (N, V), state)``; the first axis of each state array is the batch."""
Tokens = NDArray[np.int64]


class Decoded(NamedTuple):
    """Generated sequences.

    Attributes
    ----------
    tokens : ndarray of int64
        (N, L), padded with `eos`. L is the length of the longest sequence including its end, at most `max_length`.
    lengths : ndarray of int64
        (N,), the number of tokens before the end.
    log_probabilities : ndarray of float64
        (N,), of each sequence including its end, at temperature 1.
    """

    tokens: Tokens
    lengths: Tokens
    log_probabilities: NDArray[np.float64]


def greedy_search(step: Step, state: Tree, start: ArrayLike, *, max_length: int, eos: int | None = None) -> Decoded:
    """Generate sequences by taking the likeliest token at every step.

    Parameters
    ----------
    step : callable
        ``step(tokens, state) -> (logits, state)``, with the scores (N, V) of the tokens that follow `tokens` (N,), such
        as ``Seq2Seq.step``. Forbid a token with -inf. Gradients are not recorded.
    state : tree of array
        The initial state of `step`, whose arrays begin with the batch axis (N), or None.
    start : int or array_like of int
        The first tokens given to `step`: (N,), or one for all sequences.
    max_length : int
        The largest number of tokens per sequence.
    eos : int, optional
        The token that ends a sequence; without it every sequence has `max_length` tokens.

    Returns
    -------
    Decoded
        Tokens, lengths and log-probabilities of the N sequences.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError
        If an argument has another shape, dtype or range, or `step` does not return logits (N, V).
    AnomalyError
        If the logits of a sequence have NaN, or no finite value.

    Examples
    --------
    A model that counts:

    >>> import tinygrad_seq as ts
    >>> count = lambda tokens, state: (ts.one_hot((tokens + 1) % 5, 5), state)
    >>> ts.nn.greedy_search(count, None, start=[0, 2], max_length=6, eos=4).tokens
    array([[1, 2, 3, 4],
           [3, 4, 4, 4]])
    """
    return _generate("greedy_search", step, state, start, max_length, eos, 0.0, None, None)


def sample_sequences(
    step: Step,
    state: Tree,
    start: ArrayLike,
    *,
    max_length: int,
    eos: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: np.random.Generator | None = None,
) -> Decoded:
    """Generate sequences by drawing each token with probability ``softmax(logits / temperature)``.

    Parameters
    ----------
    step, state, start, max_length, eos
        As in `greedy_search`.
    temperature : float, default 1.0
        >= 0; 0 takes the likeliest token.
    top_k : int, optional
        Draw only among the `top_k` likeliest tokens.
    generator : numpy.random.Generator, optional
        Draws one number per sequence and step; by default the generator that `manual_seed` seeds.

    Returns
    -------
    Decoded
        Tokens, lengths and log-probabilities of the N sequences.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError, AnomalyError
        As in `greedy_search`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> coin = lambda tokens, state: (ts.zeros((len(tokens), 2)), state)
    >>> ts.nn.sample_sequences(coin, None, start=[0, 0, 0], max_length=8).tokens.shape
    (3, 8)
    """
    return _generate("sample_sequences", step, state, start, max_length, eos, temperature, top_k, generator)


def _generate(
    caller: str,
    step: Step,
    state: Tree,
    start: ArrayLike,
    max_length: int,
    eos: int | None,
    temperature: float,
    top_k: int | None,
    generator: np.random.Generator | None,
) -> Decoded:
    check_search(caller, step, max_length, eos)
    check_drawing(caller, temperature, top_k)
    with no_grad():
        tokens = first_tokens(caller, state, start)
        N, state = len(tokens), map_leaves(asarray, state)
        written: list[Tokens] = []
        running, lengths, total = np.ones(N, bool), np.zeros(N, np.int64), np.zeros(N)
        while len(written) < max_length and running.any():
            scores, state = scores_of(caller, step, tokens, state, eos)
            uniforms = settings.generator(generator).random(N) if temperature else np.zeros(N)
            drawn = np.asarray(categorical(scores, uniforms, temperature, top_k))
            tokens = drawn if eos is None else np.where(running, drawn, eos)
            total += np.where(running, log_softmax(scores)[np.arange(N), tokens], 0)
            running = running & (tokens != eos)
            lengths += running
            written.append(tokens)
    return Decoded(np.stack(written, axis=1), lengths, total)


def check_search(caller: str, step: Any, max_length: Any, eos: Any) -> None:
    """Raise unless `step` is callable, `max_length` an integer >= 1, and `eos` a token or None."""
    if not callable(step):
        raise ArgumentError(
            f"{caller}: expected a step (tokens, state) -> (logits, state), got {type(step).__name__}; pass e.g. "
            "model.step of a Seq2Seq."
        )
    check_sizes(caller, max_length=max_length)
    if eos is not None and (isinstance(eos, bool) or not isinstance(eos, int | np.integer) or eos < 0):
        raise ArgumentError(f"{caller}: expected eos to be a token or None, got {eos!r}; pass its index.")


def first_tokens(caller: str, state: Tree, start: ArrayLike) -> Tokens:
    """Return the first tokens (N,); a single one is repeated for each sequence of the state."""
    leaves = {name_of("state", path): np.shape(leaf) for path, leaf in named_leaves(state)}
    tokens = to_array(caller, start)
    if tokens.dtype.kind not in "iu" or tokens.ndim > 1 or not tokens.size:
        raise DtypeError(
            f"{caller}: expected start to be a token or tokens (N,), got {tokens.shape} {tokens.dtype}; "
            "pass the token that begins a sequence."
        )
    N = len(tokens) if tokens.ndim else next((shape[0] for shape in leaves.values() if shape), 1)
    for name, shape in leaves.items():
        if shape[:1] != (N,):
            raise ShapeError(
                f"{caller}: expected a state of {N} sequences, got {name} of shape {shape}; "
                "put the batch on the first axis of every array."
            )
    return np.broadcast_to(tokens, (N,)).astype(np.int64)


def scores_of(
    caller: str, step: Step, tokens: Tokens, state: Tree, eos: int | None, unread: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], Tree]:
    """Return the logits (N, V) after `tokens` in float64, checked except where `unread` is true, and the next state."""
    logits, state = step(asarray(tokens), state)
    scores = logits.numpy() if isinstance(logits, Tensor) else np.asarray(logits)
    if scores.ndim != 2 or len(scores) != len(tokens) or scores.dtype.kind != "f":
        raise ShapeError(
            f"{caller}: expected step to return floating-point logits ({len(tokens)}, V), got {scores.shape} "
            f"{scores.dtype}; return one row of scores per token."
        )
    if eos is not None and eos >= scores.shape[1]:
        raise IndexRangeError(
            f"{caller}: expected eos to be one of {scores.shape[1]} tokens, got {eos}; check the vocabulary."
        )
    scores = scores.astype(np.float64)
    largest = scores.max(axis=1, initial=-np.inf)
    wrong = np.flatnonzero(~np.isfinite(largest) & (True if unread is None else ~unread))
    if len(wrong):
        raise AnomalyError(
            f"{caller}: expected finite logits, or -inf for some tokens, got a largest logit of {largest[wrong[0]]} in "
            f"row {wrong[0]}; look for damaged weights or a step that overflows."
        )
    return scores, state

"""Writing with a model one token at a time: the likeliest, or a drawn one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd.conversion import to_array
from ...autograd.creation import asarray
from ...autograd.tensor import Tensor
from ...base import settings
from ...base.modes import no_grad
from ...base.tree import Tree, map_leaves
from ...errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from ...ops.choice import categorical, check_drawing
from ...ops.normalisation import log_softmax
from ...ops.primitive import Array
from ...scan.ir.leaves import name_of, named_leaves
from ..checks import check_sizes

Step = Callable[[Tensor, Tree], tuple[Array, Tree]]
"""``step(tokens (N,), state) -> (logits (N, V), state)``; every array of the state has N rows."""
Tokens = NDArray[np.int64]


class Decoded(NamedTuple):
    """What was written.

    Attributes
    ----------
    tokens
        (N, L) int64; after the end of a row, `eos`. L is the longest row with its end, at most `max_length`.
    lengths
        (N,): how many tokens of each row come before its end.
    log_probabilities
        (N,) float64: of each row with its end, under the model as it is.
    """

    tokens: Tokens
    lengths: Tokens
    log_probabilities: NDArray[np.float64]


def greedy_search(step: Step, state: Tree, start: Any, *, max_length: int, eos: int | None = None) -> Decoded:
    """Return what a model writes if it takes the likeliest token at every step.

    Parameters
    ----------
    step
        ``step(tokens, state) -> (logits, state)``: the scores (N, V) of what comes after `tokens` (N,), such as
        ``Seq2Seq.step``. Tokens that must not come get -inf. No gradient is recorded.
    state
        What `step` takes at first: a tree of arrays with N rows, or None.
    start
        The first tokens that `step` is given: (N,), or one for all rows.
    max_length
        The greatest number of tokens of a row.
    eos
        The token that ends a row; None: all rows are `max_length` long.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError
        If an argument does not fit, or `step` does not return logits for all rows.
    AnomalyError
        If a row of logits has NaN, or nothing finite.

    Examples
    --------
    A model that counts upwards:

    >>> import tinygrad_seq as ts
    >>> count = lambda tokens, state: (ts.one_hot((tokens + 1) % 5, 5), state)
    >>> ts.nn.greedy_search(count, None, start=[0, 2], max_length=6, eos=4).tokens
    array([[1, 2, 3, 4],
           [3, 4, 4, 4]])
    """
    return sample_sequences(step, state, start, max_length=max_length, eos=eos, temperature=0)


def sample_sequences(
    step: Step,
    state: Tree,
    start: Any,
    *,
    max_length: int,
    eos: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: np.random.Generator | None = None,
) -> Decoded:
    """Return what a model writes if each token is drawn with probability ``softmax(logits / temperature)``.

    Parameters
    ----------
    step, state, start, max_length, eos
        As of `greedy_search`.
    temperature
        0 takes the likeliest.
    top_k
        How many of the likeliest tokens may come; None allows all.
    generator
        What draws, one number for each row and step; by default the generator that `manual_seed` seeds.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError, IndexRangeError, AnomalyError
        As `greedy_search`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> coin = lambda tokens, state: (ts.zeros((len(tokens), 2)), state)
    >>> ts.nn.sample_sequences(coin, None, start=[0, 0, 0], max_length=8).tokens.shape
    (3, 8)
    """
    check_writing("sample_sequences", step, max_length, eos)
    check_drawing("sample_sequences", temperature, top_k)
    with no_grad():
        tokens = first_tokens("sample_sequences", state, start)
        N, state = len(tokens), map_leaves(asarray, state)
        written: list[Tokens] = []
        running, lengths, total = np.ones(N, bool), np.zeros(N, np.int64), np.zeros(N)
        while len(written) < max_length and running.any():
            scores, state = scores_of("sample_sequences", step, tokens, state, eos)
            uniforms = settings.generator(generator).random(N) if temperature else np.zeros(N)
            drawn = np.asarray(categorical(scores, uniforms, temperature, top_k))
            tokens = drawn if eos is None else np.where(running, drawn, eos)
            total += np.where(running, log_softmax(scores)[np.arange(N), tokens], 0)
            running = running & (tokens != eos)
            lengths += running
            written.append(tokens)
    return Decoded(np.stack(written, axis=1), lengths, total)


def check_writing(caller: str, step: Any, max_length: Any, eos: Any) -> None:
    """Refuse steps, lengths and ends that are none."""
    if not callable(step):
        raise ArgumentError(
            f"{caller}: expected a step (tokens, state) -> (logits, state), got {type(step).__name__}; pass e.g. the "
            "method step of a Seq2Seq."
        )
    check_sizes(caller, max_length=max_length)
    if eos is not None and (isinstance(eos, bool) or not isinstance(eos, int | np.integer) or eos < 0):
        raise ArgumentError(f"{caller}: expected eos to be a token or None, got {eos!r}; pass its index.")


def first_tokens(caller: str, state: Tree, start: Any) -> Tokens:
    """Return the first tokens (N,); N is that of the state if `start` is one for all."""
    leaves = {name_of("state", path): np.shape(leaf) for path, leaf in named_leaves(state)}
    tokens = to_array(caller, start)
    if tokens.dtype.kind not in "iu" or tokens.ndim > 1 or not tokens.size:
        raise DtypeError(
            f"{caller}: expected start to be a token or tokens (N,), got {tokens.shape} {tokens.dtype}; "
            "pass the index of the token that begins a sequence."
        )
    N = len(tokens) if tokens.ndim else next((shape[0] for shape in leaves.values() if shape), 1)
    for name, shape in leaves.items():
        if shape[:1] != (N,):
            raise ShapeError(
                f"{caller}: expected a state with a row for each of {N} sequences, got {name} of shape {shape}; "
                "put the batch on the first axis of every array."
            )
    return np.broadcast_to(tokens, (N,)).astype(np.int64)


def scores_of(
    caller: str, step: Step, tokens: Tokens, state: Tree, eos: int | None
) -> tuple[NDArray[np.float64], Tree]:
    """Return the logits (N, V) after `tokens` in float64, and the next state."""
    logits, state = step(asarray(tokens), state)
    scores = logits.numpy() if isinstance(logits, Tensor) else np.asarray(logits)
    if scores.ndim != 2 or len(scores) != len(tokens) or scores.dtype.kind != "f":
        raise ShapeError(
            f"{caller}: expected step to return floating-point logits ({len(tokens)}, V), got {scores.shape} "
            f"{scores.dtype}; return one row of scores for each token."
        )
    if eos is not None and eos >= scores.shape[1]:
        raise IndexRangeError(
            f"{caller}: expected eos to be one of {scores.shape[1]} tokens, got {eos}; check the vocabulary."
        )
    return scores.astype(np.float64), state

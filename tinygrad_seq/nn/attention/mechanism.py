"""What all attention has in common: a memory made ready once, weights over it, and the context they pick."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from ...autograd.creation import asarray, zeros
from ...errors import DtypeError, ShapeError
from ...ops.comparison import where
from ...ops.extrema import any
from ...ops.linear import matmul
from ...ops.normalisation import softmax
from ...ops.primitive import Array
from ...ops.shape import expand_dims, swapaxes
from ..checks import check_features, check_tensor
from ..masks import check_flags
from ..module.module import Module
from ..recurrence.padding import fill_padding, send_zeros, unchecked


class Memory(NamedTuple):
    """A memory made ready to be read by many queries: its keys, its values and which positions count.

    It is a tree of arrays with the batch first, so it may be part of a decoder's state.

    Attributes
    ----------
    keys
        (N, S, A), what queries are compared with; (N, heads, S, A) with several heads.
    values
        (N, S, E), what is read; (N, heads, S, A) with several heads. Positions that do not count repeat one that does.
    mask
        (N, S) bool: the positions that count.
    """

    keys: Array
    values: Array
    mask: Array


class Attention(Module):
    """Base of attention: a softmax over the positions of a memory, and the mean of the memory under it.

    ::

        weights_s = softmax_s(score(query, key_s))         0 where the memory is padding
        context   = sum_s weights_s memory_s

    A subclass writes `make_keys(memory)` and `score(query, keys)`. What does not depend on the query is done once, in
    `prepare`; `attend` is what each query costs.

    Attributes
    ----------
    query_size, memory_size, context_size
        Q, E and the size of the context, here E too.
    batch_first
        Whether memory and queries are (N, S, E) and (N, L, Q) instead of (S, N, E) and (L, N, Q).
    """

    query_size: int
    memory_size: int
    batch_first: bool = False

    @property
    def context_size(self) -> int:
        return self.memory_size

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the parameters; None if there are none."""
        return next((parameter.dtype for parameter in self.parameters()), None)

    def make_keys(self, memory: Array) -> Array:
        """Return the keys (N, S, A) of a memory (N, S, E)."""
        raise NotImplementedError

    def score(self, query: Array, keys: Array) -> Array:
        """Return the scores (N, L, S) of queries (N, L, Q) on keys (N, S, A)."""
        raise NotImplementedError

    def forward(self, query: Array, memory: Array, lengths: Any = None, mask: Any = None) -> tuple[Array, Array]:
        """Return ``(context, weights)``.

        Parameters
        ----------
        query
            (N, Q), or (L, N, Q) for L queries of each row.
        memory
            (S, N, E), as a recurrent layer returns it.
        lengths
            (N,), from 0 to S: how much of each memory counts.
        mask
            (S, N) bool: which positions count. Instead of lengths.

        Returns
        -------
        context
            (N, E) or (L, N, E). Of a row in which nothing counts, zeros.
        weights
            (N, S) or (L, N, S), summing to 1 in each row; exactly 0 at positions that do not count, whose values are
            never read and whose gradient is exactly 0.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If query, lengths or mask do not fit the memory.
        """
        query, ready = asarray(query), self.prepare(memory, lengths, mask)
        check_features(type(self).__name__, query, self.query_size, self.dtype)
        single = query.ndim == 2
        rows = expand_dims(query, 1) if single else query if self.batch_first else swapaxes(query, 0, 1)
        if rows.ndim != 3 or rows.shape[0] != ready.mask.shape[0]:
            raise ShapeError(
                f"{type(self).__name__}: expected a query for each of the {ready.mask.shape[0]} rows of the memory, "
                f"(N, Q), {'(N, L, Q)' if self.batch_first else '(L, N, Q)'}, got {query.shape} {query.dtype}; "
                "check batch_first."
            )
        context, weights = self.attend(rows, ready)
        if single:
            return context[:, 0], weights[:, 0]
        return (context, weights) if self.batch_first else (swapaxes(context, 0, 1), swapaxes(weights, 0, 1))

    def prepare(self, memory: Array, lengths: Any = None, mask: Any = None) -> Memory:
        """Return the memory made ready for any number of queries; arguments as of `forward`."""
        values, counts = self._rows_first(memory, lengths, mask)
        values = fill_padding(values, counts, axis=1)
        with nullcontext() if counts.any() else unchecked():
            keys = self.make_keys(values)
        return Memory(keys, values, counts)

    def attend(self, query: Array, memory: Memory) -> tuple[Array, Array]:
        """Return context (N, L, E) and weights (N, L, S) of queries (N, L, Q)."""
        scores = self._no_scores(query, memory, memory.mask, (*query.shape[:2], memory.mask.shape[1]))
        scores = self.score(query, memory.keys) if scores is None else scores
        weights = masked_softmax(scores, expand_dims(memory.mask, 1))
        return matmul(weights, memory.values), weights

    def _no_scores(self, query: Array, memory: Memory, mask: Array, shape: tuple[int, ...]) -> Array | None:
        """Return scores of 0, to which no query and no key is compared, where `mask` is nowhere true; else None."""
        if not isinstance(mask, np.ndarray) or mask.any():
            return None
        return send_zeros(zeros(shape, query.dtype), [query, memory.values, *self.parameters()])

    def _rows_first(self, memory: Any, lengths: Any, mask: Any) -> tuple[Array, np.ndarray]:
        """Return a memory as (N, S, E) and which of its positions count as (N, S), checked."""
        name, memory = type(self).__name__, asarray(memory)
        axes = "(N, S, E)" if self.batch_first else "(S, N, E)"
        if memory.ndim != 3 or memory.shape[-1] != self.memory_size:
            raise ShapeError(
                f"{name}: expected a memory {axes} with E={self.memory_size}, got {memory.shape} {memory.dtype}; "
                "pass the outputs of an encoder, or build the attention with its output size as memory_size."
            )
        if self.dtype is not None:
            check_tensor(name, memory, self.dtype)
        elif memory.dtype.kind != "f":
            raise DtypeError(f"{name}: expected a floating-point memory, got {memory.shape} {memory.dtype}; cast it.")
        rows = memory if self.batch_first else swapaxes(memory, 0, 1)
        N, S = rows.shape[:2]
        valid = check_flags(name, S, N, self.batch_first, lengths, mask).valid(S)
        return rows, np.ones((N, S), bool) if valid is None else valid.T


def masked_softmax(scores: Array, mask: Array) -> Array:
    """Return the softmax over the last axis where `mask` is true; exactly 0 elsewhere, and in rows without any."""
    hidden = where(any(mask, axis=-1, keepdims=True), -np.inf, 0.0).astype(scores.dtype)  # no row of -inf alone
    return where(mask, softmax(where(mask, scores, hidden), axis=-1), 0)

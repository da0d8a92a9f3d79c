"""Base of all attention: a memory is prepared once, then each query gets weights over it and a context."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.creation import asarray, zeros
from ...autograd.tensor import Tensor
from ...errors import DtypeError, ShapeError
from ...ops.linear import matmul
from ...ops.primitive import is_traced
from ...ops.shape import expand_dims, swapaxes
from ..checks import check_features, check_tensor
from ..masks import check_flags
from ..module.module import Module, in_precision
from ..recurrence.padding import fill_padding, send_zeros, unchecked
from ..scaled_dot_product import masked_softmax

Mask = NDArray[np.bool_]


class Memory(NamedTuple):
    """A prepared memory: keys, values and the valid positions. `Attention.prepare` returns it.

    It is a tree of arrays with the batch first, so it may be part of a decoder's state.

    Attributes
    ----------
    keys : Tensor
        (N, S, A), compared with queries; (N, heads, S, A) for several heads.
    values : Tensor
        (N, S, E), averaged to contexts; (N, heads, S, A) for several heads. Padding repeats a valid position.
    mask : array of bool
        (N, S), the valid positions.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | Mask


class Attention(Module):
    """Base of attention: weights over the positions of a memory, and the weighted mean of the memory.

    ::

        weights_s = softmax_s(score(query, key_s))         0 on padding
        context   = sum_s weights_s memory_s

    A subclass sets the sizes and writes `make_keys` and `score`. `prepare` does the work that does not depend on the
    query once; `attend` does the rest for each query.

    Attributes
    ----------
    query_size, memory_size : int
        Q and E.
    batch_first : bool
        Whether memory and queries are (N, S, E) and (N, L, Q) instead of (S, N, E) and (L, N, Q).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> class BilinearAttention(ts.nn.Attention):
    ...     def __init__(self, query_size, memory_size):
    ...         self.query_size, self.memory_size = query_size, memory_size
    ...         self.project = ts.nn.Linear(memory_size, query_size, bias=False)
    ...
    ...     def make_keys(self, memory):
    ...         return self.project(memory)
    ...
    ...     def score(self, query, keys):
    ...         return query @ keys.swapaxes(1, 2)
    >>> context, weights = BilinearAttention(4, 6)(ts.randn(2, 4), ts.randn(5, 2, 6))
    >>> context.shape, weights.shape
    ((2, 6), (2, 5))
    """

    query_size: int
    memory_size: int
    batch_first: bool = False

    @property
    def context_size(self) -> int:
        """The number of features of a context, E by default."""
        return self.memory_size

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the parameters; None if there are none."""
        return next((parameter.dtype for parameter in self.parameters()), None)

    def make_keys(self, memory: Tensor) -> Tensor:
        """Return the keys that queries are compared with; subclasses define this.

        Parameters
        ----------
        memory : Tensor
            (N, S, E), without NaN: padding repeats a valid position.

        Returns
        -------
        Tensor
            (N, S, A), the keys.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method make_keys(memory), got none; write it.")

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return the score of each query for each key; subclasses define this.

        Parameters
        ----------
        query : Tensor
            (N, L, Q).
        keys : Tensor
            (N, S, A), as `make_keys` returned them.

        Returns
        -------
        Tensor
            (N, L, S), the scores.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method score(query, keys), got none; write it.")

    def forward(
        self, query: Tensor, memory: Tensor, lengths: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the contexts and weights of queries on a memory.

        Parameters
        ----------
        query : Tensor
            (N, Q), or (L, N, Q) for L queries per memory.
        memory : Tensor
            (S, N, E), as a recurrent layer returns it.
        lengths : array_like of int, optional
            (N,), from 0 to S: how many positions of each memory are valid.
        mask : array_like of bool, optional
            (S, N), the valid positions. Pass lengths or a mask, not both.

        Returns
        -------
        context : Tensor
            (N, E) or (L, N, E); zeros if a memory has no valid position.
        weights : Tensor
            (N, S) or (L, N, S), with sum 1. On padding they are exactly 0, and its values, even NaN, have no effect.

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
                f"{type(self).__name__}: expected queries for {ready.mask.shape[0]} memories, "
                f"(N, Q) or {'(N, L, Q)' if self.batch_first else '(L, N, Q)'}, got {query.shape} {query.dtype}; "
                "check batch_first."
            )
        context, weights = self.attend(rows, ready)
        if single:
            return context[:, 0], weights[:, 0]
        return (context, weights) if self.batch_first else (swapaxes(context, 0, 1), swapaxes(weights, 0, 1))

    def prepare(self, memory: Tensor, lengths: ArrayLike | None = None, mask: ArrayLike | None = None) -> Memory:
        """Return the memory prepared for `attend`.

        Parameters
        ----------
        memory : Tensor
            (S, N, E), as a recurrent layer returns it.
        lengths : array_like of int, optional
            (N,), from 0 to S: how many positions of each memory are valid.
        mask : array_like of bool, optional
            (S, N), the valid positions. Pass lengths or a mask, not both.

        Returns
        -------
        Memory
            Keys, values and mask, batch first.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If the memory, lengths or mask have another shape or dtype.
        """
        values, counts = self._rows_first(memory, lengths, mask)
        values = fill_padding(values, counts, axis=1)
        with nullcontext() if is_traced(counts) or counts.any() else unchecked():
            keys = in_precision(self, self.make_keys, values)
        return Memory(keys, values, counts)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the contexts and weights of queries on a prepared memory.

        Parameters
        ----------
        query : Tensor
            (N, L, Q).
        memory : Memory
            The result of `prepare`.

        Returns
        -------
        context : Tensor
            (N, L, E).
        weights : Tensor
            (N, L, S).
        """
        scores = self._no_scores(query, memory, memory.mask, (*query.shape[:2], memory.mask.shape[1]))
        scores = in_precision(self, self.score, query, memory.keys) if scores is None else scores
        weights = masked_softmax(scores, expand_dims(memory.mask, 1))
        return matmul(weights, memory.values), weights

    def _no_scores(self, query: Tensor, memory: Memory, mask: Tensor | Mask, shape: tuple[int, ...]) -> Tensor | None:
        """Return scores of 0, with gradients of 0, if no position is valid; otherwise None."""
        if not isinstance(mask, np.ndarray) or mask.any():
            return None
        return send_zeros(zeros(shape, query.dtype), [query, memory.values, *self.parameters()])

    def _rows_first(self, memory: Any, lengths: Any, mask: Any) -> tuple[Tensor, Mask]:
        """Return the memory as (N, S, E) and its valid positions as (N, S), checked."""
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

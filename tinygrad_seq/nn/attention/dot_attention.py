"""Dot-product attention: the score of a query and a key is their dot product."""

from __future__ import annotations

import math

from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops.linear import matmul
from ...ops.shape import swapaxes
from ..checks import check_sizes, check_switches
from ..layers import Linear
from .mechanism import Attention


class DotAttention(Attention):
    """Scaled dot-product attention (Luong et al., 2015; Vaswani et al., 2017): ``score = query . memory_s / sqrt(A)``.

    Parameters
    ----------
    query_size, memory_size : int
        Q and E, equal unless `hidden_size` is given.
    hidden_size : int, optional
        A, to project query and memory to this size first: ``(W_q query) . (W_k memory_s) / sqrt(A)``. By default
        nothing is projected, and A is Q.
    batch_first : bool, default False
        Whether the memory is (N, S, E) instead of (S, N, E), and several queries (N, L, Q) instead of (L, N, Q).

    Attributes
    ----------
    query, key : Linear or None
        W_q (A, Q) and W_k (A, E), without bias.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, the sizes differ without `hidden_size`, or `batch_first` is not a bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> attention = ts.nn.DotAttention(query_size=4, memory_size=6, hidden_size=8)
    >>> context, weights = attention(ts.randn(3, 2, 4), ts.randn(5, 2, 6))
    >>> context.shape, weights.shape
    ((3, 2, 6), (3, 2, 5))
    """

    def __init__(
        self, query_size: int, memory_size: int, hidden_size: int | None = None, batch_first: bool = False
    ) -> None:
        check_sizes("DotAttention", query_size=query_size, memory_size=memory_size)
        if hidden_size is not None:
            check_sizes("DotAttention", hidden_size=hidden_size)
        elif query_size != memory_size:
            raise ArgumentError(
                f"DotAttention: expected a query of the memory's size {memory_size}, got {query_size}; "
                "pass hidden_size=... to project both to one size."
            )
        check_switches("DotAttention", batch_first=batch_first)
        self.query_size, self.memory_size, self.batch_first = query_size, memory_size, batch_first
        self.query = None if hidden_size is None else Linear(query_size, hidden_size, bias=False)
        self.key = None if hidden_size is None else Linear(memory_size, hidden_size, bias=False)

    def make_keys(self, memory: Tensor) -> Tensor:
        return memory if self.key is None else self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        query = query if self.query is None else self.query(query)
        return matmul(query * (1 / math.sqrt(keys.shape[-1])), swapaxes(keys, 1, 2))

"""Additive attention: a small network scores each pair of query and key."""

from __future__ import annotations

from ...autograd.creation import zeros
from ...autograd.tensor import Tensor
from ...ops.reduction import sum
from ...ops.shape import expand_dims
from ...ops.trigonometric import tanh
from ..checks import check_sizes, check_switches
from ..init import uniform_
from ..layers import Linear
from ..module.parameter import Parameter
from .mechanism import Attention


class AdditiveAttention(Attention):
    """Additive attention (Bahdanau, Cho and Bengio, 2015): ``score = v . tanh(W_q query + W_k memory_s)``.

    Parameters
    ----------
    query_size, memory_size : int
        Q and E.
    hidden_size : int, optional
        A, the width of the network; Q by default.
    batch_first : bool, default False
        Whether the memory is (N, S, E) instead of (S, N, E), and several queries (N, L, Q) instead of (L, N, Q).

    Attributes
    ----------
    query, key : Linear
        W_q (A, Q) with a bias, and W_k (A, E) without.
    weight : Parameter
        v, (A,), uniform in ±1/sqrt(A).

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, or `batch_first` not a bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> attention = ts.nn.AdditiveAttention(query_size=4, memory_size=6)
    >>> context, weights = attention(ts.randn(2, 4), ts.randn(5, 2, 6), lengths=[5, 3])
    >>> context.shape, weights.shape
    ((2, 6), (2, 5))
    >>> weights[1, 3:].detach()
    tensor([0., 0.])
    """

    def __init__(
        self, query_size: int, memory_size: int, hidden_size: int | None = None, batch_first: bool = False
    ) -> None:
        hidden_size = query_size if hidden_size is None else hidden_size
        check_sizes("AdditiveAttention", query_size=query_size, memory_size=memory_size, hidden_size=hidden_size)
        check_switches("AdditiveAttention", batch_first=batch_first)
        self.query_size, self.memory_size, self.batch_first = query_size, memory_size, batch_first
        self.query = Linear(query_size, hidden_size)
        self.key = Linear(memory_size, hidden_size, bias=False)
        self.weight = Parameter(zeros(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set v to new initial values; `query` and `key` have their own `reset_parameters`."""
        uniform_(self.weight, -(self.weight.size**-0.5), self.weight.size**-0.5)

    def make_keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        compared = tanh(expand_dims(self.query(query), 2) + expand_dims(keys, 1))
        return sum(compared * self.weight, axis=-1)

"""Multi-head attention, with PyTorch's arguments, parameter names and first values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autograd.creation import asarray, zeros
from ...autograd.tensor import Tensor
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.arithmetic import maximum
from ...ops.comparison import where
from ...ops.linear import linear, matmul
from ...ops.normalisation import dropout as drop
from ...ops.primitive import Array
from ...ops.reduction import mean
from ...ops.shape import permute_dims, reshape, swapaxes
from ..checks import check_features, check_probability, check_sizes, check_switches
from ..init import xavier_uniform_, zeros_
from ..layers import Linear
from ..masks import check_flags
from ..module.parameter import Parameter
from ..recurrence.padding import fill_padding
from .mechanism import Attention, Memory, masked_softmax


class MultiHeadAttention(Attention):
    """Scaled dot-product attention with several heads (Vaswani et al., 2017; `torch.nn.MultiheadAttention`).

    ::

        head_i  = softmax(Q_i K_i^T / sqrt(E / heads)) V_i,      Q_i, K_i, V_i the i-th parts of
        Q, K, V = W_q query + b_q, W_k key + b_k, W_v value + b_v
        output  = W_o [head_1, ..., head_h] + b_o

    It also serves an `AttentionDecoder`, with ``query_size = context_size = embed_dim`` and ``memory_size = kdim``.

    Parameters
    ----------
    embed_dim
        E, the size of queries and outputs.
    num_heads
        How many heads; E is divided among them.
    dropout
        The probability of a weight to be dropped in training.
    bias
        Whether there are biases.
    kdim, vdim
        The sizes of keys and values, by default E.
    batch_first
        Whether arrays are (N, L, E) instead of (L, N, E).

    Attributes
    ----------
    in_proj_weight : Parameter or None
        (3E, E), W_q, W_k and W_v, if keys and values have size E; otherwise
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter or None
        (E, E), (E, kdim), (E, vdim).
    in_proj_bias : Parameter or None
        (3E,).
    out_proj : Linear
        W_o and b_o.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> attention = ts.nn.MultiHeadAttention(8, num_heads=2)
    >>> x = ts.randn(5, 3, 8)
    >>> output, weights = attention(x, x, x, lengths=[5, 4, 2])
    >>> output.shape, weights.shape
    ((5, 3, 8), (3, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        key_size, value_size = (embed_dim if size is None else size for size in (kdim, vdim))
        check_sizes("MultiHeadAttention", embed_dim=embed_dim, num_heads=num_heads, kdim=key_size, vdim=value_size)
        check_switches("MultiHeadAttention", bias=bias, batch_first=batch_first)
        check_probability("MultiHeadAttention", dropout=dropout)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"MultiHeadAttention: expected embed_dim to be a multiple of num_heads, got {embed_dim} and "
                f"{num_heads}; change one of them."
            )
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.query_size, self.memory_size, self.value_size = embed_dim, key_size, value_size
        together = key_size == value_size == embed_dim
        self.in_proj_weight = Parameter(zeros((3 * embed_dim, embed_dim))) if together else None
        self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (
            None if together else Parameter(zeros((embed_dim, size))) for size in (embed_dim, key_size, value_size)
        )
        self.in_proj_bias = Parameter(zeros(3 * embed_dim)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        self.reset_parameters()

    @property
    def dtype(self) -> np.dtype:
        return self.out_proj.weight.dtype

    @property
    def context_size(self) -> int:
        return self.embed_dim

    def reset_parameters(self) -> None:
        """Draw the weights of queries, keys and values anew (Glorot and Bengio, 2010), set all biases to zeros."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                zeros_(bias)

    def forward(  # type: ignore[override]
        self,
        query: Array,
        key: Array,
        value: Array | None = None,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        lengths: Any = None,
    ) -> tuple[Array, Array | None]:
        """Return ``(output, weights)``.

        Parameters
        ----------
        query, key, value
            (L, N, E), (S, N, kdim), (S, N, vdim), or without N; `value` is the key by default.
        key_padding_mask
            (N, S), bool: True where a key does not count (the opposite of `mask` elsewhere); or numbers that are added
            to the scores. -inf, and the lowest finite number of the dtype, hide a key as True does.
        need_weights, average_attn_weights
            Whether weights are returned, and of all heads their mean.
        attn_mask
            (L, S) or (N * heads, L, S), bool: True where a query may not look; or numbers as of `key_padding_mask`. Of
            both masks the numbers are added up: where the sum is as low, the key is hidden too.
        is_causal
            Whether no query may look at keys after its own place; `attn_mask` need not say so.
        lengths
            (N,), from 0 to S: how many keys of each row count.

        Returns
        -------
        output
            (L, N, E). A query that may look nowhere reads zeros, where PyTorch gives NaN.
        weights
            (N, L, S); (N, heads, L, S) if they are not averaged; None if they are not needed. 0 where a query may not
            look; no gradient flows from there.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an array or a mask does not fit.
        """
        switches = {"need_weights": need_weights, "average_attn_weights": average_attn_weights, "is_causal": is_causal}
        check_switches("MultiHeadAttention", **switches)
        query, key = asarray(query), asarray(key)
        value = key if value is None else asarray(value)
        single = query.ndim == 2
        batch = 0 if self.batch_first else 1
        if single:
            query, key, value = (x[None] if self.batch_first else x[:, None] for x in (query, key, value))
        self._check(query, key, value)
        N, S = key.shape[batch], key.shape[1 - batch]
        hides, adds = _as_mask("key_padding_mask", key_padding_mask, self.dtype, (S,) if single else (N, S))
        counts = np.ones((N, S), bool) if hides is None else ~hides.reshape(N, S)
        valid = check_flags("MultiHeadAttention", S, N, False, lengths).valid(S)
        counts = counts if valid is None else counts & valid.T
        rows = [x if self.batch_first else swapaxes(x, 0, 1) for x in (query, key, value)]
        L, heads = rows[0].shape[1], self.num_heads
        stacked = (N * heads, L, S)
        blocks, biases = _as_mask("attn_mask", attn_mask, self.dtype, (L, S), stacked)
        allowed = counts[:, None, None, :]
        for hidden in (blocks, ~np.tri(L, S, dtype=bool) if is_causal else None):
            if hidden is not None:
                allowed = allowed & ~(hidden.reshape(N, heads, L, S) if hidden.ndim == 3 else hidden)
        added: Array | None = None
        if biases is not None:
            added = reshape(biases, (N, heads, L, S)) if biases.ndim == 3 else biases
        if adds is not None:
            adds = reshape(asarray(adds), (N, 1, 1, S))
            added = adds if added is None else added + adds
        if added is not None:
            hidden = _hides(added)
            allowed, added = allowed & ~hidden, where(hidden, 0, added)
        memory = self._make(rows[1], rows[2], counts)
        output, weights = self._read(rows[0], memory, allowed, added)
        output = output if self.batch_first else swapaxes(output, 0, 1)
        shown = None if not need_weights else mean(weights, axis=1) if average_attn_weights else weights
        if single:
            return (output[0] if self.batch_first else output[:, 0]), (None if shown is None else shown[0])
        return output, shown

    def prepare(self, memory: Array, lengths: Any = None, mask: Any = None) -> Memory:
        if self.value_size != self.memory_size:
            raise ArgumentError(
                "MultiHeadAttention.prepare: expected keys and values of one size, which are both the memory, got "
                f"kdim={self.memory_size} and vdim={self.value_size}; build it with kdim = vdim."
            )
        values, counts = self._rows_first(memory, lengths, mask)
        return self._make(values, values, counts)

    def attend(self, query: Array, memory: Memory) -> tuple[Array, Array]:
        context, weights = self._read(query, memory, memory.mask[:, None, None, :])
        return context, mean(weights, axis=1)

    def _make(self, key: Array, value: Array, counts: np.ndarray) -> Memory:
        """Return keys (N, S, kdim) and values (N, S, vdim), projected and divided among the heads."""
        key, value = (fill_padding(x, counts, axis=1) for x in (key, value))
        return Memory(self._project(key, 1), self._project(value, 2), counts)

    def _read(self, query: Array, memory: Memory, allowed: Array, added: Array | None = None) -> tuple[Array, Array]:
        """Return outputs (N, L, E) and the weights (N, heads, L, S) of all heads."""
        q = self._project(query, 0) * (1 / math.sqrt(self.embed_dim // self.num_heads))
        scores = self._no_scores(query, memory, allowed, (*q.shape[:3], memory.mask.shape[1]))
        scores = matmul(q, swapaxes(memory.keys, 2, 3)) if scores is None else scores
        if added is not None:
            scores = maximum(scores + added, np.finfo(self.dtype).min)
        weights = masked_softmax(scores, allowed)
        if self.dropout and self.training:
            weights = drop(weights, self.dropout)
        heads = matmul(weights, memory.values)
        joined = reshape(permute_dims(heads, (0, 2, 1, 3)), query.shape)
        return self.out_proj(joined), weights

    def _project(self, x: Array, which: int) -> Array:
        """Return queries (0), keys (1) or values (2), (N, S, ...), as (N, heads, S, E / heads)."""
        part = slice(which * self.embed_dim, (which + 1) * self.embed_dim)
        apart = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[which]
        weight = self.in_proj_weight[part] if self.in_proj_weight is not None else apart
        bias = None if self.in_proj_bias is None else self.in_proj_bias[part]
        y = linear(x, weight, bias)
        return permute_dims(reshape(y, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)), (0, 2, 1, 3))

    def _check(self, query: Array, key: Array, value: Array) -> None:
        batch = 0 if self.batch_first else 1
        for x, size in ((query, self.embed_dim), (key, self.memory_size), (value, self.value_size)):
            check_features("MultiHeadAttention", x, size, self.dtype)
        shapes = [x.shape for x in (query, key, value)]
        if (
            any(len(shape) != 3 for shape in shapes)
            or shapes[1][:2] != shapes[2][:2]
            or (shapes[0][batch] != shapes[1][batch])
        ):
            axes = "(N, L, E), (N, S, kdim), (N, S, vdim)" if self.batch_first else "(L, N, E), (S, N, ..), (S, N, ..)"
            raise ShapeError(
                f"MultiHeadAttention: expected query, key and value {axes}, got {shapes[0]}, {shapes[1]} and "
                f"{shapes[2]}; pass the same N for all and the same S for key and value."
            )


def _as_mask(
    name: str, given: Any, dtype: np.dtype, *shapes: tuple[int, ...]
) -> tuple[np.ndarray | None, Array | None]:
    """Return where a mask hides and what it adds to the scores."""
    if given is None:
        return None, None
    values = given.numpy() if isinstance(given, Tensor) else np.asarray(given)
    if values.shape not in shapes:
        expected = " or ".join(map(str, shapes))
        raise ShapeError(
            f"MultiHeadAttention: expected {name} of shape {expected}, got {values.shape} {values.dtype}; reshape it."
        )
    if values.dtype == bool:
        return values, None
    if values.dtype != dtype:
        raise DtypeError(
            f"MultiHeadAttention: expected {name} as bool or {dtype}, got {values.shape} {values.dtype}; "
            "cast it: True and -inf hide a key."
        )
    hidden = _hides(values)
    return hidden, where(hidden, 0, given)


def _hides(added: Array) -> np.ndarray:
    """Return where numbers that are added to scores hide a key."""
    values: np.ndarray = added.numpy() if isinstance(added, Tensor) else added
    hidden: np.ndarray = values <= np.finfo(values.dtype).min
    return hidden

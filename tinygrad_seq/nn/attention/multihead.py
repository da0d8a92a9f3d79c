"""Multi-head attention, with PyTorch's arguments, parameter names and initial values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ...autograd.creation import asarray, zeros
from ...autograd.tensor import Tensor
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.arithmetic import maximum
from ...ops.comparison import where
from ...ops.linear import linear, matmul
from ...ops.normalisation import dropout as drop
from ...ops.reduction import mean
from ...ops.shape import expand_dims, permute_dims, reshape, squeeze, swapaxes
from ..checks import check_features, check_probability, check_sizes, check_switches, refuse
from ..init import xavier_uniform_, zeros_
from ..layers import Linear
from ..masks import check_flags
from ..module.module import in_precision
from ..module.parameter import Parameter
from ..module.placement import check_placement
from ..recurrence.padding import fill_padding
from ..scaled_dot_product import masked_softmax
from .mechanism import Attention, Mask, Memory

Shapes = dict[tuple[int, ...], tuple[int, ...]]


class MultiHeadAttention(Attention):
    """Scaled dot-product attention with several heads (Vaswani et al., 2017; `torch.nn.MultiheadAttention`).

    ::

        head_i  = softmax(Q_i K_i^T / sqrt(E / heads)) V_i,      Q_i, K_i, V_i the i-th parts of
        Q, K, V = W_q query + b_q, W_k key + b_k, W_v value + b_v
        output  = W_o [head_1, ..., head_h] + b_o

    An `AttentionDecoder` takes it too, with ``query_size = context_size = embed_dim`` and ``memory_size = kdim``.

    Parameters
    ----------
    embed_dim : int
        E, the size of queries and outputs.
    num_heads : int
        The number of heads, a divisor of E.
    dropout : float, default 0.0
        The probability, in [0, 1], that a weight is dropped in training.
    bias : bool, default True
        Whether there are biases.
    kdim, vdim : int, optional
        The sizes of keys and values; E by default.
    batch_first : bool, default False
        Whether arrays are (N, L, E) instead of (L, N, E).

    Attributes
    ----------
    in_proj_weight : Parameter or None
        (3E, E), in the order W_q, W_k, W_v, Xavier uniform; None if kdim or vdim is not E.
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter or None
        (E, E), (E, kdim) and (E, vdim), Xavier uniform; None if kdim and vdim are E.
    in_proj_bias : Parameter or None
        (3E,), zeros.
    out_proj : Linear
        W_o and b_o.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1, `num_heads` does not divide `embed_dim`, or an option is out of range.

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
        name = type(self).__name__
        key_size, value_size = (embed_dim if size is None else size for size in (kdim, vdim))
        check_sizes(name, embed_dim=embed_dim, num_heads=num_heads, kdim=key_size, vdim=value_size)
        check_switches(name, bias=bias, batch_first=batch_first)
        check_probability(name, dropout=dropout)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"{name}: expected embed_dim to be a multiple of num_heads, got {embed_dim} and "
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
        """The number of features of a context, E."""
        return self.embed_dim

    def reset_parameters(self) -> None:
        """Set the input projections to new initial values (Glorot and Bengio, 2010), and all biases to zeros."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                zeros_(bias)

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None = None,
        key_padding_mask: ArrayLike | None = None,
        need_weights: bool = True,
        attn_mask: ArrayLike | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        lengths: ArrayLike | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the outputs and weights of queries on keys and values.

        Parameters
        ----------
        query : Tensor
            (L, N, E), or (L, E) without a batch.
        key, value : Tensor
            (S, N, kdim) and (S, N, vdim), or without N; `value` is `key` by default.
        key_padding_mask : array_like, optional
            (N, S). A bool mask is True where a key is padding (the opposite of `mask` elsewhere). A floating-point mask
            is added to the scores; -inf and the lowest finite number hide a key like True.
        need_weights : bool, default True
            Whether to return the weights.
        attn_mask : array_like, optional
            (L, S) or (N * heads, L, S), like `key_padding_mask`: True where a query must not see a key, or numbers.
            The numbers of both masks are added; a sum of -inf or the lowest finite number hides a key too.
        average_attn_weights : bool, default True
            Whether to return the mean of the weights over the heads.
        is_causal : bool, default False
            Whether queries see no key after their own position, also without `attn_mask`.
        lengths : array_like of int, optional
            (N,), from 0 to S: how many keys of each sequence are valid.

        Returns
        -------
        output : Tensor
            (L, N, E). It is zero before W_o for a query that sees no key, where PyTorch returns NaN.
        weights : Tensor or None
            (N, L, S), or (N, heads, L, S) if not averaged; None without `need_weights`. Hidden keys have weight 0 and
            gradient 0.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            If an array or a mask has another shape or dtype.
        """
        switches = {"need_weights": need_weights, "average_attn_weights": average_attn_weights, "is_causal": is_causal}
        name = type(self).__name__
        check_switches(name, **switches)
        query, key = asarray(query), asarray(key)
        value = key if value is None else asarray(value)
        single, batch = query.ndim == 2, 0 if self.batch_first else 1
        if single:
            query, key, value = (expand_dims(x, batch) for x in (query, key, value))
        self._check(query, key, value)
        query, key, value = (x if self.batch_first else swapaxes(x, 0, 1) for x in (query, key, value))
        (N, L), S, heads = query.shape[:2], key.shape[1], self.num_heads
        valid = check_flags(name, S, N, False, lengths).valid(S)
        counts = np.ones((N, S), bool) if valid is None else valid.T
        shapes: Shapes = {(S,) if single else (N, S): (N, 1, 1, S)}
        hidden, added = _as_mask(name, "key_padding_mask", key_padding_mask, self.dtype, shapes)
        counts = counts & ~hidden[:, 0, 0]
        shapes = {(L, S): (1, 1, L, S), (N * heads, L, S): (N, heads, L, S)}
        hidden, biases = _as_mask(name, "attn_mask", attn_mask, self.dtype, shapes)
        allowed = counts[:, None, None] & ~hidden
        if is_causal:
            allowed = allowed & np.tri(L, S, dtype=bool)
        added = biases if added is None else added if biases is None else added + biases
        if added is not None:
            hidden = _hides(added)  # the sum may be as low as -inf too
            allowed, added = allowed & ~hidden, where(hidden, 0, added)
        output, weights = self._read(query, self._make(key, value, counts), allowed, added)
        output = output if self.batch_first else swapaxes(output, 0, 1)
        shown = None if not need_weights else mean(weights, axis=1) if average_attn_weights else weights
        if single:
            return squeeze(output, batch), None if shown is None else shown[0]
        return output, shown

    def prepare(self, memory: Tensor, lengths: ArrayLike | None = None, mask: ArrayLike | None = None) -> Memory:
        if self.value_size != self.memory_size:
            raise ArgumentError(
                f"{type(self).__name__}.prepare: expected kdim = vdim, because the memory is both keys and values, got "
                f"{self.memory_size} and {self.value_size}; build it with equal sizes."
            )
        values, counts = self._rows_first(memory, lengths, mask)
        return self._make(values, values, counts)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        context, weights = self._read(query, memory, memory.mask[:, None, None, :])
        return context, mean(weights, axis=1)

    def _make(self, key: Tensor, value: Tensor, counts: Mask) -> Memory:
        """Return keys (N, S, kdim) and values (N, S, vdim), projected and split into heads."""
        key, value = (fill_padding(x, counts, axis=1) for x in (key, value))
        return Memory(self._project(key, 1), self._project(value, 2), counts)

    def _read(
        self, query: Tensor, memory: Memory, allowed: Tensor | Mask, added: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
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

    def _project(self, x: Tensor, which: int) -> Tensor:
        """Return queries (0), keys (1) or values (2), (N, S, ...), as (N, heads, S, E / heads)."""
        part = slice(which * self.embed_dim, (which + 1) * self.embed_dim)
        apart = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[which]
        weight = self.in_proj_weight[part] if self.in_proj_weight is not None else apart
        bias = None if self.in_proj_bias is None else self.in_proj_bias[part]
        y = in_precision(self, linear, x, weight, bias)  # also where a decoder calls `prepare` by itself
        return permute_dims(reshape(y, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)), (0, 2, 1, 3))

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        batch = 0 if self.batch_first else 1
        for x, size in ((query, self.embed_dim), (key, self.memory_size), (value, self.value_size)):
            check_features(type(self).__name__, x, size, self.dtype)
        shapes = [x.shape for x in (query, key, value)]
        if (
            any(len(shape) != 3 for shape in shapes)
            or shapes[1][:2] != shapes[2][:2]
            or (shapes[0][batch] != shapes[1][batch])
        ):
            axes = "(N, L, E), (N, S, kdim), (N, S, vdim)" if self.batch_first else "(L, N, E), (S, N, ..), (S, N, ..)"
            raise ShapeError(
                f"{type(self).__name__}: expected query, key and value {axes}, got {shapes[0]}, {shapes[1]} and "
                f"{shapes[2]}; pass the same N for all and the same S for key and value."
            )


class MultiheadAttention(MultiHeadAttention):
    """`MultiHeadAttention` under PyTorch's name, with its arguments.

    Parameters
    ----------
    embed_dim : int
        E, the size of queries and outputs.
    num_heads : int
        The number of heads, a divisor of E.
    dropout : float, default 0.0
        The probability, in [0, 1], that a weight is dropped in training.
    bias : bool, default True
        Whether there are biases.
    add_bias_kv, add_zero_attn : bool, default False
        False only: keys and values are those that are given.
    kdim, vdim : int, optional
        The sizes of keys and values; E by default.
    batch_first : bool, default False
        Whether arrays are (N, L, E) instead of (L, N, E).
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Raises
    ------
    ArgumentError, DtypeError
        If a size is not an integer >= 1, `num_heads` does not divide `embed_dim`, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.randn(5, 3, 8)
    >>> ts.nn.MultiheadAttention(8, num_heads=2)(x, x, x)[0].shape
    (5, 3, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        advice = "append a key and a value with ts.concat"
        refuse(name, advice, add_bias_kv=add_bias_kv, add_zero_attn=add_zero_attn)
        check_placement(name, device, dtype)
        super().__init__(embed_dim, num_heads, dropout, bias, kdim, vdim, batch_first)
        self.to(dtype=dtype)


def _as_mask(caller: str, name: str, given: Any, dtype: np.dtype, shapes: Shapes) -> tuple[Mask, Tensor | None]:
    """Return where a mask hides keys, and what it adds to the scores, in the shape that `shapes` gives for its own."""
    if given is None:
        return np.zeros((1, 1, 1, 1), bool), None
    values = given.numpy() if isinstance(given, Tensor) else np.asarray(given)
    if values.shape not in shapes:
        expected = " or ".join(map(str, shapes))
        raise ShapeError(
            f"{caller}: expected {name} of shape {expected}, got {values.shape} {values.dtype}; reshape it."
        )
    shape = shapes[values.shape]
    if values.dtype == bool:
        return values.reshape(shape), None
    if values.dtype != dtype:
        raise DtypeError(
            f"{caller}: expected {name} as bool or {dtype}, got {values.shape} {values.dtype}; "
            "cast it: True and -inf hide a key."
        )
    hidden = _hides(values)
    return hidden.reshape(shape), reshape(asarray(where(hidden, 0, given)), shape)


def _hides(added: Tensor | NDArray[Any]) -> Mask:
    """Return where numbers that are added to scores hide a key."""
    values: NDArray[Any] = added.numpy() if isinstance(added, Tensor) else added
    hidden: Mask = values <= np.finfo(values.dtype).min
    return hidden

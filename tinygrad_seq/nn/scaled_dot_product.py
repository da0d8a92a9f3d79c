"""Scaled dot-product attention as a function of queries, keys and values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..autograd.creation import as_tensor
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.comparison import where
from ..ops.extrema import any
from ..ops.joining import repeat
from ..ops.linear import matmul
from ..ops.normalisation import dropout, softmax
from ..ops.shape import swapaxes


def masked_softmax(scores: Tensor, mask: Tensor | np.ndarray) -> Tensor:
    """Return the softmax over the last axis where `mask` is true, and exactly 0 elsewhere."""
    hidden = where(any(mask, axis=-1, keepdims=True), -np.inf, 0.0).astype(scores.dtype)  # avoid rows of only -inf
    return where(mask, softmax(where(mask, scores, hidden), axis=-1), 0)


def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``softmax(query key^T scale + mask) value`` (Vaswani et al., 2017), as PyTorch's function.

    Parameters
    ----------
    query, key, value : array_like
        (..., L, E), (..., S, E) and (..., S, V), of one dtype; the leading axes broadcast.
    attn_mask : array_like, optional
        Broadcasts to (..., L, S). A bool mask is True where a query may see a key, which is the opposite of
        `MultiheadAttention`; a floating-point mask is added to the scores.
    dropout_p : float, default 0.0
        The probability that a weight is dropped, in evaluation too.
    is_causal : bool, default False
        Whether query i sees the keys 0 to i only; without `attn_mask`.
    scale : float, optional
        The factor of the products; ``1 / sqrt(E)`` by default.
    enable_gqa : bool, default False
        Whether keys and values may have fewer heads (axis -3) than queries: each serves as many queries in a row.

    Returns
    -------
    Tensor
        (..., L, V); zeros for a query that sees no key.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the arrays do not fit each other, or both `attn_mask` and `is_causal` are given.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> q, k, v = ts.randn(2, 4, 5, 8), ts.randn(2, 4, 7, 8), ts.randn(2, 4, 7, 3)
    >>> ts.nn.functional.scaled_dot_product_attention(q, k, v).shape
    (2, 4, 5, 3)
    """
    name = "scaled_dot_product_attention"
    q, k, v = (as_tensor(name, each) for each in (query, key, value))
    shapes = f"{q.shape} {q.dtype}, {k.shape} {k.dtype} and {v.shape} {v.dtype}"
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"{name}: expected query (..., L, E), key (..., S, E), value (..., S, V), got {shapes}.")
    if not q.dtype == k.dtype == v.dtype or q.dtype.kind != "f":
        raise DtypeError(f"{name}: expected three floating-point arrays of one dtype, got {shapes}; cast them.")
    if is_causal and attn_mask is not None:
        raise ArgumentError(f"{name}: expected attn_mask or is_causal, got both; put the causal mask into attn_mask.")
    if enable_gqa:
        heads = [each.shape[-3] if each.ndim > 2 else 0 for each in (q, k, v)]
        if not all(heads) or heads[0] % heads[1] or heads[0] % heads[2]:
            raise ShapeError(f"{name}: expected heads of key and value that divide those of query, got {shapes}.")
        k, v = (repeat(each, heads[0] // each.shape[-3], axis=-3) for each in (k, v))
    scores = matmul(q, swapaxes(k, -1, -2)) * (1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale)
    if is_causal:
        weights = masked_softmax(scores, np.tri(*scores.shape[-2:], dtype=bool))
    elif attn_mask is not None:
        mask = as_tensor(name, attn_mask)
        if mask.dtype != bool and mask.dtype != q.dtype:
            raise DtypeError(
                f"{name}: expected attn_mask as bool or {q.dtype}, got {mask.shape} {mask.dtype}; cast it."
            )
        if mask.dtype == bool:
            weights = masked_softmax(scores, mask)
        else:
            added = scores + mask
            weights = masked_softmax(added, added > -np.inf)
    else:
        weights = softmax(scores, axis=-1)
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, v)

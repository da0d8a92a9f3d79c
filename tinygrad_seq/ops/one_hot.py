"""Arrays made from indices."""

from __future__ import annotations

import functools

import numpy as np

from ..errors import ArgumentError
from .casting import as_dtype, astype
from .comparison import equal
from .indexing import as_indices, check_range
from .primitive import TABLE, Array, Primitive
from .public import Public
from .shape import as_shape


def _set_ones(indices: np.ndarray, num_classes: int, dtype: np.dtype) -> np.ndarray:
    flat = check_range("one_hot", indices, num_classes, 0).ravel()
    out = np.zeros((flat.size, num_classes), dtype)
    out[np.arange(flat.size), flat] = 1
    return out.reshape(*indices.shape, num_classes)


_LARGEST_IDENTITY = 1024


def _look_up(indices: Array, num_classes: int, dtype: np.dtype) -> Array:
    """Return rows of the identity matrix; of many classes, compare each index with all of them.

    Both contain a lookup, which checks the indices in the loop too.
    """
    if num_classes <= _LARGEST_IDENTITY:
        return TABLE["one_hot_lookup"](_identity(num_classes, np.dtype(dtype)), indices)
    classes = _classes(num_classes)
    return astype(equal(TABLE["one_hot_lookup"](classes[:, None], indices), classes), dtype)


@functools.cache
def _identity(size: int, dtype: np.dtype) -> np.ndarray:
    return np.eye(size, dtype=dtype)


@functools.cache
def _classes(size: int) -> np.ndarray:
    return np.arange(size)


_one_hot = Primitive("one_hot", _set_ones, (None,), structure=_look_up)


@Public(method=False)
def one_hot(indices: Array, num_classes: int | None = None, dtype: np.typing.DTypeLike = np.float32) -> Array:
    """Return a row of `num_classes` zeros with a one at the index, for each of `indices` ``(...)``: ``(..., C)``.

    Without `num_classes` the greatest index is taken for the last class.

    Parameters
    ----------
    indices : array_like
        Integers ``(...)`` from 0 to C - 1.
    num_classes : int, default None
        C; None for one more than the greatest index.
    dtype : dtype, default float32
        Of the result.

    Returns
    -------
    Tensor
        ``(..., C)``.

    Raises
    ------
    IndexRangeError
        If an index is negative or not below `num_classes`.
    DtypeError
        If `indices` are not integers.
    ArgumentError
        If `num_classes` is not positive.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.one_hot(ts.tensor([2, 0]), 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    checked = as_indices("one_hot", indices)
    if num_classes is None:
        num_classes = int(checked.max()) + 1 if checked.size else 0
    (num_classes,) = as_shape("one_hot", num_classes)
    if num_classes < 1:
        raise ArgumentError(f"one_hot: expected a positive num_classes, got {num_classes}; pass the number of classes.")
    return _one_hot(checked, num_classes=num_classes, dtype=as_dtype("one_hot", dtype))

"""Indexing: views, lookups, and the scattering that is their gradient, as they are the gradient of it.

A key of integers, slices, ellipsis and None is *basic*: the result is a view, and no element is met twice, so that the
gradient is an assignment into zeros. A key with an integer array can meet an element many times: its gradient adds up.
"""

from __future__ import annotations

import math
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from ..errors import DtypeError, IndexRangeError, ShapeError
from ..kernels.scatter import scatter_add_rows
from .axes import normalise_axes, normalise_axis
from .casting import as_array
from .compiled_forward import writable
from .primitive import LEVELS, Array, OpKind, Primitive
from .public import Public
from .shape import broadcast_to, check_matrix, one_axis
from .views import of_slices

_BASIC = frozenset({int, slice, EllipsisType, NoneType})

# ------------------------------------------------------------------------------------------------- forward code


def _pick(x: np.ndarray, key: Any) -> Any:
    try:
        found = x[key]
        # One element is a view too.
        return found if found.__class__ is np.ndarray else x[(*(key if isinstance(key, tuple) else (key,)), ...)]
    except IndexError as error:
        raise IndexRangeError(
            f"index: expected a key that fits shape {x.shape}, got {key!r} for an array of shape {x.shape} {x.dtype} "
            f"({error}); check the key against each axis."
        ) from None


def _place(g: np.ndarray, shape: tuple[int, ...], key: Any) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    out[key] = g
    return out


def _scatter(g: np.ndarray, shape: tuple[int, ...], key: tuple[Any, ...]) -> np.ndarray:
    if not any(isinstance(part, np.ndarray) and part.dtype.kind == "i" for part in key):
        return _place(g, shape, key)  # a mask meets no element twice
    out = np.zeros(shape, g.dtype)
    np.add.at(out, key, g)
    return out


def extent(indices: np.ndarray) -> tuple[int, int]:
    """Return the smallest and the largest of `indices`, ``(0, -1)`` if there are none."""
    if indices.size == 1:  # two reductions take as long as a lookup of one token
        return indices.item(), indices.item()
    if indices.size == 0:
        return 0, -1
    return int(np.minimum.reduce(indices, axis=None)), int(np.maximum.reduce(indices, axis=None))


def check_range(name: str, indices: np.ndarray, size: int, lowest: int) -> np.ndarray:
    """Return `indices` as intp in ``[0, size)``, or raise IndexRangeError if one is not in ``[lowest, size)``."""
    low, high = extent(indices)
    if low < lowest or high >= size:
        raise IndexRangeError(
            f"{name}: expected indices from {lowest} to {size - 1}, got {high if high >= size else low} among indices "
            f"of shape {indices.shape} {indices.dtype} into an axis of size {size}; check the data or the size."
        )
    indices = indices.astype(np.intp, copy=False)
    return indices + (indices < 0) * size if low < 0 else indices


def _take_forward(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    return x.take(check_range("take", indices, x.shape[axis], -x.shape[axis]), axis)


def _add_slices(g: np.ndarray, indices: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Return zeros of `shape` with the slices of `g` added at `indices` along `axis`."""
    size, lead, tail = shape[axis], math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    out = np.zeros((size, lead * tail), g.dtype)
    flat = check_range("index_add", indices, size, -size).ravel()
    rows = g.reshape(lead, flat.size, tail).swapaxes(0, 1).reshape(flat.size, lead * tail)
    scatter_add_rows(out, flat, writable(rows))
    return out.reshape(size, lead, tail).swapaxes(0, 1).reshape(shape)


def _place_diagonal(g: np.ndarray, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    view = out.diagonal(offset, axis1, axis2)
    view.flags.writeable = True
    view[...] = g
    return out


def _add_slice(total: np.ndarray, g: np.ndarray, key: Any) -> None:
    total[key] += g


def _add_rows(total: np.ndarray, g: np.ndarray, indices: np.ndarray) -> None:
    flat = check_range("embedding", indices, len(total), 0).ravel()
    scatter_add_rows(total, flat, writable(g).reshape(flat.size, total.shape[1]))


# -------------------------------------------------------------------- primitives, each the other's gradient in pairs

_index = Primitive(
    "index",
    _pick,
    (lambda g, _y, x_like, key: _index_place(g, shape=x_like.shape, key=key),),
    kind=OpKind.VIEW,
    view=of_slices,
    batched=lambda _T, _lifted, x, key: x[(slice(None), *key)],
    add_into=_add_slice,
)
_index_place = Primitive("index_place", _place, (lambda g, _y, _g, shape, key: _index(g, key=key),))
_lookup = Primitive("lookup", _pick, (lambda g, _y, x_like, key: _lookup_add(g, shape=x_like.shape, key=key),))
_lookup_add = Primitive("lookup_add", _scatter, (lambda g, _y, _g, shape, key: _lookup(g, key=key),))
_take = Primitive(
    "take",
    _take_forward,
    (lambda g, _y, x_like, indices, axis: _take_add(g, indices, shape=x_like.shape, axis=axis), None),
    kind=OpKind.LOOKUP,
    from_end=True,
)
_take_add = Primitive(
    "take_add", _add_slices, (lambda g, _y, _g, indices, shape, axis: _take(g, indices, axis=axis), None)
)


def _lookup_of_rows(name: str) -> Primitive:
    return Primitive(
        name,
        lambda weight, indices: weight.take(check_range(name, indices, weight.shape[0], 0), 0),
        (lambda g, _y, weight_like, indices: _take_add(g, indices, shape=weight_like.shape, axis=0), None),
        kind=OpKind.LOOKUP,
        add_into=_add_rows,
    )


_embedding = _lookup_of_rows("embedding")
_lookup_of_rows("one_hot_lookup")  # what `one_hot` becomes in a compiled step: its errors name it
_diagonal = Primitive(
    "diagonal",
    lambda x, offset, axis1, axis2: x.diagonal(offset, axis1, axis2),
    (lambda g, _y, x_like, **where: _diagonal_place(g, shape=x_like.shape, **where),),
    aliases=True,
)
_diagonal_place = Primitive(
    "diagonal_place", _place_diagonal, (lambda g, _y, _g, shape, **where: _diagonal(g, **where),)
)

# ------------------------------------------------------------------------------------------ indexing by a key


def getitem(x: Array, key: Any) -> Array:
    """Return ``x[key]``: a view for integers, slices, ellipsis and None; a copy where arrays or masks take part.

    A repeated index adds up in the gradient. In a loop over time steps ``for x_t in xs`` (see `unstack`) is about
    twice as fast as ``xs[t]``.

    Raises
    ------
    IndexRangeError
        If an index is outside its axis, or there are more indices than axes.
    DtypeError
        If an index is neither an integer nor a boolean.
    """
    kind = key.__class__
    if kind in _BASIC or (kind is tuple and all(part.__class__ in _BASIC for part in key)):
        return _index(x, key=key)
    if kind in LEVELS and key.dtype.kind in "iu":
        return take(x, key, axis=0)
    parts = tuple([_static(x, part) for part in (key if kind is tuple else (key,))])
    if all(part.__class__ in _BASIC for part in parts):
        return _index(x, key=parts)
    if len(parts) == 1 and parts[0].dtype.kind == "i":
        return take(x, parts[0], axis=0)
    return _lookup(x, key=parts)


def _static(x: Array, part: Any) -> Any:
    """Return one part of a key as a Python integer or an array of our own, which nobody can change later."""
    if part.__class__ in _BASIC or isinstance(part, slice):
        return part
    array = np.array(part.numpy() if hasattr(part, "numpy") else part)
    if array.size == 0 and isinstance(part, list):
        array = array.astype(np.intp)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind not in "iu":
        raise DtypeError(
            f"index: expected integers, slices, ... , None, or integer or boolean arrays, got {array.shape} "
            f"{array.dtype} as an index of an array of shape {x.shape} {x.dtype}; cast it to integers."
        )
    return int(array) if array.ndim == 0 else array.astype(np.intp)


@Public()
def masked_select(x: Array, mask: Array) -> Array:
    """Return the elements of `x` where `mask`, broadcast to the shape of `x`, is true, as one axis.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    mask : array_like
        Booleans that broadcast to the shape of `x`.

    Returns
    -------
    Tensor
        The chosen elements, in row-major order, as one axis.

    Raises
    ------
    DtypeError
        If `mask` is not boolean.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([1.0, 5.0, 3.0])
    >>> ts.masked_select(x, x > 2)
    tensor([5., 3.])
    """
    mask = as_array(mask)
    if mask.dtype.kind != "b":
        raise DtypeError(
            f"masked_select: expected a boolean mask, got {mask.shape} {mask.dtype}; compare it first, as in x > 0."
        )
    return getitem(x, broadcast_to(mask, x.shape))


# ------------------------------------------------------------------------------------------- lookups by index


def as_indices(name: str, indices: Any) -> Array:
    """Return `indices`, an array or nested list; raises DtypeError if they are not integers."""
    indices = as_array(indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: expected integer indices, got shape {indices.shape} {indices.dtype}; cast them to an integer "
            "dtype."
        )
    return indices


@Public()
def take(x: Array, indices: Array, axis: int | None = None) -> Array:
    """Return the slices of `x` at `indices` along `axis`, whose place the axes of `indices` take; None flattens `x`.

    Negative indices count from the end.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    indices : array_like
        Integers of any shape, from ``-n`` to ``n - 1`` for an axis of size n.
    axis : int, default None
        The axis to look up in; None looks up in the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `x`, with the shape of `indices` in place of `axis`.

    Raises
    ------
    IndexRangeError
        If an index is outside the axis.
    DtypeError
        If `indices` are not integers.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.take(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([1, 1, 0]), axis=0)
    tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    indices = as_indices("take", indices)
    x, axis = one_axis("take", x, axis)
    return _take(x, indices, axis=axis)


@Public(method=False)
def embedding(weight: Array, indices: Array) -> Array:
    """Return the row of `weight` ``(V, H)`` for each index of `indices` ``(...)``, as an array ``(..., H)``.

    The gradient is added up row by row, in the order of the indices.

    Parameters
    ----------
    weight : array_like
        ``(V, H)``.
    indices : array_like
        Integers ``(...)`` from 0 to V - 1.

    Returns
    -------
    Tensor
        ``(..., H)``, of the dtype of `weight`.

    Raises
    ------
    IndexRangeError
        If an index is negative or not below V.
    DtypeError
        If `indices` are not integers.
    ShapeError
        If `weight` is not a matrix.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.embedding(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([1, 0]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if weight.ndim != 2:
        raise ShapeError(
            f"embedding: expected a weight of shape (V, H), got {weight.shape} {weight.dtype}; reshape it to one row "
            "per index."
        )
    return _embedding(weight, as_indices("embedding", indices))


@Public()
def index_add(x: Array, axis: int, indices: Array, source: Array, alpha: float = 1) -> Array:
    """Return `x` with slice k of `source` added to slice ``indices[k]`` along `axis`; `indices` ``(K,)`` may repeat.

    Parameters
    ----------
    x : array_like
        The array to add to; it is not changed.
    axis : int
        The axis that `indices` point into.
    indices : array_like
        Integers ``(K,)``, which may repeat.
    source : array_like
        Of the shape of `x` with K along `axis`.
    alpha : float, default 1
        A factor of `source`.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        If `source` is not of the shape of `x` with K along `axis`.
    IndexRangeError
        If an index is outside the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.index_add(ts.zeros(3), 0, ts.tensor([1, 1]), ts.tensor([2.0, 5.0]))
    tensor([0., 7., 0.])
    """
    indices, axis = as_indices("index_add", indices), normalise_axis("index_add", axis, x.ndim)
    source = as_array(source)
    expected = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if indices.ndim != 1 or source.shape != expected:
        raise ShapeError(
            f"index_add: expected 1-d indices and a source of shape {expected}, got {indices.shape} and {source.shape} "
            f"{source.dtype} for an array of shape {x.shape} {x.dtype}; give one slice for each index."
        )
    return x + _take_add(source if alpha == 1 else source * alpha, indices, shape=x.shape, axis=axis)


@Public()
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Return the diagonal of `x` over two of its axes, as the last axis of a view; `offset` counts to the right.

    Parameters
    ----------
    x : array_like
        With two or more axes.
    offset : int, default 0
        Which diagonal: positive ones lie right of the main one, negative ones left of it.
    axis1 : int, default 0
        The axis of the rows.
    axis2 : int, default 1
        The axis of the columns.

    Returns
    -------
    Tensor
        A view without the two axes, with the diagonal as the last axis.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.diagonal(ts.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    check_matrix("diagonal", x)
    one, other = normalise_axes("diagonal", (axis1, axis2), x.ndim)
    return _diagonal(x, offset=offset, axis1=one, axis2=other)

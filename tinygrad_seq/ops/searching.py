"""Where values are, and which there are: results of a size that only the values decide, and searches.

A scan step cannot be compiled with a result whose size depends on values: such a call says so while it is traced.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, ShapeError
from .comparison import equal, isnan, less, less_equal, logical_and, logical_not, logical_or
from .extrema import any
from .indexing import as_indices, take
from .joining import stack
from .primitive import Array, Primitive, is_traced
from .public import Public
from .reduction import sum
from .shape import expand_dims, flatten, reshape


def _of_values(x: Array) -> Array:
    """Return `x`, whose values decide the shape of the result."""
    if is_traced(x):
        x.numpy()  # raises
    return x


_nonzero = Primitive("nonzero", np.nonzero, (None,), multiple=True)


@Public()
def nonzero(x: Array, *, as_tuple: bool | None = None) -> Any:
    """Return the indices of the elements that are not zero, in row-major order.

    NumPy returns one array per axis, PyTorch a matrix with one row per element, so `as_tuple` must say which.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    as_tuple : bool
        Whether the result is a tuple, as in NumPy; otherwise it is a matrix, as `argwhere` returns.

    Returns
    -------
    tuple of Tensor or Tensor
        For each axis the int64 indices ``(n,)``, or all of them as ``(n, x.ndim)``.

    Raises
    ------
    ArgumentError
        If `as_tuple` is not given.
    ShapeError
        If a tuple is asked for and `x` has no axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nonzero(ts.tensor([[0, 5], [3, 0]]), as_tuple=True)
    (tensor([0, 1]), tensor([1, 0]))
    """
    if as_tuple is None:
        raise ArgumentError(
            "nonzero: expected as_tuple=, as NumPy returns one array per axis and PyTorch one matrix, got neither; "
            "write nonzero(x, as_tuple=True) or argwhere(x)."
        )
    return find_nonzero(x) if as_tuple else argwhere(x)


def find_nonzero(x: Array) -> tuple[Array, ...]:
    """Return the indices of the elements that are not zero, one array per axis."""
    if not x.ndim:
        raise ShapeError("nonzero: expected one or more axes, got a 0-d array; reshape it to (1,).")
    return _nonzero(_of_values(x))  # type: ignore[no-any-return]


@Public()
def argwhere(x: Array) -> Array:
    """Return the indices of the elements that are not zero, one row per element, in row-major order.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        ``(n, x.ndim)``, int64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.argwhere(ts.tensor([[0, 5], [3, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    if x.ndim:
        return stack(find_nonzero(x), 1)
    return reshape(_nonzero(_of_values(reshape(x, (1,))))[0], (-1, 1))[:, :0]


# ------------------------------------------------------------------------------------------------ distinct values


class UniqueAll(NamedTuple):
    """The distinct values of an array, and where they are."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """The distinct values of an array, and how often they occur."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """The distinct values of an array, and which of them each element is."""

    values: Array
    inverse_indices: Array


def _distinct(x: np.ndarray) -> tuple[np.ndarray, ...]:
    _, *facts = np.unique(x.ravel(), return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    return tuple(facts)


_unique = Primitive("unique", _distinct, (None,), multiple=True)


@Public(method=False)
def unique_all(x: Array) -> UniqueAll:
    """Return the distinct values of `x` in ascending order, with their first places, their counts and the inverse.

    Every NaN is a value of its own. Gradient flows to the first element of each value.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    UniqueAll
        A named tuple: ``values`` and, in the flattened array, ``indices``, each ``(n,)``; ``inverse_indices`` of the
        shape of `x`; ``counts`` ``(n,)``. The last three are int64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.unique_all([3.0, 1.0, 3.0]).values
    tensor([1., 3.])
    """
    indices, inverse, counts = _unique(_of_values(x))
    return UniqueAll(take(flatten(x), indices), indices, reshape(inverse, x.shape), counts)


@Public(method=False)
def unique_counts(x: Array) -> UniqueCounts:
    """Return the distinct values of `x` in ascending order, and how often each occurs; see `unique_all`.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    UniqueCounts
        A named tuple: ``values`` and ``counts``, each ``(n,)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.unique_counts([3.0, 1.0, 3.0]).counts
    tensor([1, 2])
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


@Public(method=False)
def unique_inverse(x: Array) -> UniqueInverse:
    """Return the distinct values of `x` in ascending order, and the indices that make `x` of them; see `unique_all`.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    UniqueInverse
        A named tuple: ``values`` ``(n,)`` and ``inverse_indices``, of the shape of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.unique_inverse([3.0, 1.0, 3.0]).inverse_indices
    tensor([1, 0, 1])
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


@Public(method=False)
def unique_values(x: Array) -> Array:
    """Return the distinct values of `x` in ascending order; see `unique_all`.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        ``(n,)``, of the dtype of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.unique_values([3.0, 1.0, 3.0])
    tensor([1., 3.])
    """
    return unique_all(x).values


# ------------------------------------------------------------------------------------------------------ searches


def _is_in_by_pairs(a: Array, b: Array, invert: bool) -> Array:
    found = any(equal(expand_dims(a, -1), flatten(b)), -1)
    return logical_not(found) if invert else found


def _count_before(a: Array, b: Array, side: str) -> Array:
    value = expand_dims(b, -1)
    before = (less if side == "left" else less_equal)(a, value)
    if a.dtype.kind == "f" or b.dtype.kind == "f":  # NaN comes last
        nan = isnan(value)
        before = logical_or(before, logical_and(nan, logical_not(isnan(a))) if side == "left" else nan)
    return sum(before, -1)


_isin = Primitive("isin", lambda a, b, invert: np.isin(a, b, invert=invert), (None, None), formula=_is_in_by_pairs)
_searchsorted = Primitive("searchsorted", np.searchsorted, (None, None), formula=_count_before)


@Public()
def isin(a: Array, b: Array, *, invert: bool = False) -> Array:
    """Return which elements of `a` are equal to one of `b`.

    Parameters
    ----------
    a : array_like
        Numbers of any shape.
    b : array_like
        Numbers of any shape.
    invert : bool, default False
        Whether to return which are not.

    Returns
    -------
    Tensor
        Of the shape of `a`, bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.isin([1, 2, 3], [3, 1])
    tensor([ True, False,  True])
    """
    return _isin(a, b, invert=bool(invert))


@Public()
def searchsorted(a: Array, b: Array, *, side: str = "left", sorter: Array | None = None) -> Array:
    """Return for each element of `b` the index at which `a` stays sorted if it is inserted there.

    Parameters
    ----------
    a : array_like
        ``(N,)``, in ascending order unless `sorter` is given; NaN comes last.
    b : array_like
        Numbers of any shape.
    side : {"left", "right"}, default "left"
        Whether the index is before or after equal elements of `a`.
    sorter : array_like, default None
        ``(N,)`` integers, as from ``argsort(a)``, that sort `a`.

    Returns
    -------
    Tensor
        Of the shape of `b`, int64 from 0 to N.

    Raises
    ------
    ArgumentError
        If `side` is another word.
    ShapeError
        If `a` has not exactly one axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.searchsorted([1.0, 3.0, 5.0], [3.0, 4.0])
    tensor([1, 2])
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: expected side 'left' or 'right', got {side!r}; pass one of them.")
    if a.ndim != 1:
        raise ShapeError(
            f"searchsorted: expected a sorted array with one axis, got shape {a.shape} {a.dtype}; search row by row."
        )
    if sorter is not None:
        a = take(a, as_indices("searchsorted", sorter))
    return _searchsorted(a, b, side=side)

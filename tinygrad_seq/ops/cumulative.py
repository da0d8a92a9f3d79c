"""Running sums, products and extremes along one axis (None: of the flattened array), and differences."""

from __future__ import annotations

import operator

import numpy as np

from ..errors import ArgumentError
from .axes import normalise_axis
from .gathering import scatter_add, take_along_axis
from .joining import concat
from .primitive import Array, Primitive
from .public import Public
from .shape import moveaxis, one_axis
from .spelling import Extremes, Meaning, pair_of

# ---------------------------------------------------------------------------------------------------------- sums


def _running_sum(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    if not reverse:
        return np.cumsum(x, axis)
    backwards = (slice(None),) * axis + (slice(None, None, -1),)
    return np.cumsum(x[backwards], axis)[backwards]


_cumsum = Primitive(
    "cumsum",
    _running_sum,
    (lambda g, _y, _x, axis, reverse: _cumsum(g, axis=axis, reverse=not reverse),),
    axes="axis",
)


@Public("cumulative_sum")
def cumsum(x: Array, axis: int | None = None) -> Array:
    """Return the running sums along `axis`.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to accumulate; None accumulates along the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `x`, or one axis of ``x.size`` for None.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.cumsum(ts.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    x, axis = one_axis("cumsum", x, axis)
    return _cumsum(x, axis=axis, reverse=False)


# ------------------------------------------------------------------------------------------------------ products


def _cumprod_rule(g: Array, _y: None, x: Array, axis: int) -> Array:
    """Return ``p[j] * r[j]``, p the product of the elements before j, and ``r[j] = g[j] + x[j+1] * r[j+1]``.

    The recurrence is solved in log2(n) doublings. Nothing is divided, so zeros are exact at every order.
    """
    x, r = moveaxis(x, axis, 0), moveaxis(g, axis, 0)
    n = x.shape[0]
    if n == 0:
        return g
    before = concat([np.ones((1, *x.shape[1:]), x.dtype), _cumprod(x[:-1], axis=0)])
    factor, step = x[1:], 1  # factor[j] = x[j+1] * ... * x[j+step]
    while step < n:
        r = concat([r[:-step] + factor * r[step:], r[-step:]])
        factor = factor[:-step] * factor[step:]
        step *= 2
    return moveaxis(before * r, 0, axis)


_cumprod = Primitive("cumprod", np.cumprod, (_cumprod_rule,), axes="axis")


@Public("cumulative_prod")
def cumprod(x: Array, axis: int | None = None) -> Array:
    """Return the running products along `axis`; gradients are exact where elements are zero.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to accumulate; None accumulates along the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `x`, or one axis of ``x.size`` for None.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.cumprod(ts.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2., 6.])
    """
    x, axis = one_axis("cumprod", x, axis)
    return _cumprod(x, axis=axis)


# ------------------------------------------------------------------------------------------------------ extremes


def _leaders(x: np.ndarray, largest: bool, axis: int, last: bool = False) -> np.ndarray:
    """Return the index along `axis` of the first, or `last`, element so far that has the running extreme's value."""
    y = np.moveaxis((np.maximum if largest else np.minimum).accumulate(x, axis), axis, 0)
    steps = np.arange(y.shape[0]).reshape(-1, *[1] * (y.ndim - 1))
    x = np.moveaxis(x, axis, 0)
    steps = np.where((x[1:] == y[1:]) | (x[1:] != x[1:]) if last else y[1:] != y[:-1], steps[1:], 0)
    index = np.zeros(y.shape, np.int64)
    np.maximum.accumulate(steps, 0, out=index[1:])
    return np.moveaxis(index, 0, axis)


_leader = Primitive("running_extreme_index", _leaders, (None,))


def _running_extreme(name: str, ufunc: np.ufunc) -> Primitive:
    def rule(g: Array, _y: None, x: Array, axis: int) -> Array:
        return scatter_add(np.zeros(x.shape, g.dtype), axis, _leader(x, largest=ufunc is np.maximum, axis=axis), g)

    return Primitive(name, ufunc.accumulate, (rule,))


_cummax = _running_extreme("cummax", np.maximum)
_cummin = _running_extreme("cummin", np.minimum)


def _with_indices(name: str) -> Meaning:
    """Return PyTorch's meaning of ``cummax`` and ``cummin``."""

    def pair(x: Array, axis: int) -> Extremes:
        axis = normalise_axis(name, axis, x.ndim)
        indices = _leader(x, largest=name == "cummax", axis=axis, last=True)
        return Extremes(take_along_axis(x, indices, axis), indices)

    return pair_of(name, pair, "x, ", "the values")


@Public(pytorch=_with_indices("cummax"))
def cummax(x: Array, axis: int | None = None) -> Array:
    """Return the running maximum along `axis`: the values only, as NumPy's ``maximum.accumulate``.

    The gradient of a running maximum goes to the first element that reached it.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to accumulate; None accumulates along the flattened array.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`, or one axis of ``x.size`` for None.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.cummax(ts.tensor([1.0, 3.0, 2.0]))
    tensor([1., 3., 3.])
    """
    x, axis = one_axis("cummax", x, axis)
    return _cummax(x, axis=axis)


@Public(pytorch=_with_indices("cummin"))
def cummin(x: Array, axis: int | None = None) -> Array:
    """Return the running minimum along `axis`: the values only, as NumPy's ``minimum.accumulate``.

    The gradient of a running minimum goes to the first element that reached it.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to accumulate; None accumulates along the flattened array.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`, or one axis of ``x.size`` for None.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.cummin(ts.tensor([2.0, 3.0, 1.0]))
    tensor([2., 2., 1.])
    """
    x, axis = one_axis("cummin", x, axis)
    return _cummin(x, axis=axis)


# --------------------------------------------------------------------------------------------------- differences


@Public()
def diff(x: Array, n: int = 1, axis: int = -1) -> Array:
    """Return the differences of neighbours along `axis`, taken `n` times over: each time one element shorter.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    n : int, default 1
        How many times to take differences.
    axis : int, default -1
        The axis of the neighbours.

    Returns
    -------
    Tensor
        Of the shape of `x`, `n` shorter along `axis`.

    Raises
    ------
    ArgumentError
        If `n` is not an integer >= 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.diff(ts.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    axis = normalise_axis("diff", axis, x.ndim)
    if isinstance(n, bool) or not hasattr(n, "__index__") or operator.index(n) < 0:
        raise ArgumentError(f"diff: expected an integer n >= 0, got {n!r}; pass e.g. n=1.")
    lead = (slice(None),) * axis
    for _ in range(n):
        x = x[(*lead, slice(1, None))] - x[(*lead, slice(None, -1))]
    return x

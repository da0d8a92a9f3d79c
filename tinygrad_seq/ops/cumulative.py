"""Running sums, products and extremes along one axis (None: of the flattened array), and differences."""

from __future__ import annotations

import operator

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from .axes import normalise_axis
from .casting import as_array, astype
from .exponential import as_real, exp
from .gathering import scatter_add, take_along_axis
from .joining import concat
from .limits import difference
from .primitive import Array, Primitive
from .public import Public, named
from .shape import broadcast_to, moveaxis, one_axis
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

    Nothing is divided, so zeros are exact at every order.
    """
    x, g = moveaxis(x, axis, 0), moveaxis(g, axis, 0)
    if x.shape[0] == 0:
        return moveaxis(g, 0, axis)
    before = concat([np.ones((1, *x.shape[1:]), x.dtype), _cumprod(x[:-1], axis=0)])
    return moveaxis(before * _from_the_end(g, x[1:]), 0, axis)


def _from_the_end(r: Array, factor: Array) -> Array:
    """Return the solution of ``r[j] = r[j] + factor[j] * r[j+1]`` along the first axis, in log2(n) doublings."""
    n, step = r.shape[0], 1
    while step < n:  # factor[j] is the product of as many as `step`
        r = concat([r[:-step] + factor * r[step:], r[-step:]])
        factor = factor[:-step] * factor[step:]
        step *= 2
    return r


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


# ---------------------------------------------------------------------------------------- logarithms of sums


def _logcumsumexp_rule(g: Array, y: Array, x: Array, axis: int) -> Array:
    """Return ``exp(x[j] - y[j]) * r[j]`` with ``r[j] = g[j] + exp(y[j] - y[j+1]) * r[j+1]``: no factor exceeds 1."""
    x, y, g = (moveaxis(part, axis, 0) for part in (x, y, g))
    if x.shape[0] == 0:
        return moveaxis(g, 0, axis)
    return moveaxis(exp(difference(x, y)) * _from_the_end(g, exp(difference(y[:-1], y[1:]))), 0, axis)


_logcumsumexp = Primitive(
    "logcumsumexp", lambda x, axis: np.logaddexp.accumulate(as_real(x), axis), (_logcumsumexp_rule,), axes="axis"
)


@Public()
def logcumsumexp(x: Array, axis: int | None = None) -> Array:
    """Return the logarithms of the running sums of ``exp(x)`` along `axis`, without overflow.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to accumulate; None accumulates along the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `x`, or one axis of ``x.size`` for None; floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.logcumsumexp(ts.tensor([1000.0, 1000.0]))
    tensor([1000.    , 1000.6932])
    """
    x, axis = one_axis("logcumsumexp", x, axis)
    return _logcumsumexp(x, axis=axis)


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

    def pair(x: Array, axis: int) -> Extremes[Array]:
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
@named
def diff(x: Array, n: int = 1, axis: int = -1, *, prepend: Array | None = None, append: Array | None = None) -> Array:
    """Return the differences of neighbours along `axis`, taken `n` times over: each time one element shorter.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    n : int, default 1
        How many times to take differences.
    axis : int, default -1
        The axis of the neighbours.
    prepend, append : array_like, default None
        What to put before and after `x` along `axis` first: arrays of the shape of `x` but for that axis, or numbers.

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
    around = [_as_end(prepend, x, axis), x, _as_end(append, x, axis)]
    if prepend is not None or append is not None:
        x = concat([part for part in around if part is not None], axis)
    lead = (slice(None),) * axis
    for _ in range(n):
        x = x[(*lead, slice(1, None))] - x[(*lead, slice(None, -1))]
    return x


def _as_end(part: Array | None, x: Array, axis: int) -> Array | None:
    """Return what `diff` puts at an end of `x`: a number as a slice of size 1."""
    if part is None:
        return None
    array = as_array(part)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"diff: expected numbers before and after `x`, got {part!r}; pass an array or a number.")
    if array is not part or not array.ndim:
        array = astype(array, x.dtype)
    if array.ndim == x.ndim:
        return array
    if array.ndim:
        raise ShapeError(
            f"diff: expected numbers or arrays with {x.ndim} axes before and after `x`, got shape {array.shape}; "
            "reshape them."
        )
    return broadcast_to(array, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))

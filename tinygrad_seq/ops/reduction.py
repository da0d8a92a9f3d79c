"""Sums, means, products and norms over axes: `axis` is None (all), an integer or a tuple; `keepdims` keeps size 1."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .arithmetic import abs, pow, sign, sqrt
from .axes import Axes, Axis, normalise_axes
from .casting import astype
from .comparison import equal, isfinite, isinf, logical_and, logical_not, logical_or, where
from .exponential import as_real, exp, log
from .extrema import max, min
from .joining import concat
from .limits import ratio
from .primitive import Array, Like, OpKind, Primitive
from .public import Public
from .shape import broadcast_to, inverse, kept, permute_dims, reshape
from .spelling import Meaning


def _count(shape: tuple[int, ...], axes: Axes) -> int:
    return math.prod([shape[axis] for axis in axes])


# -------------------------------------------------------------------------------------------------- sum and mean


def _spread_forward(g: Any, shape: tuple[int, ...], axes: Axes) -> Any:
    if g.ndim != len(shape):
        g = g.reshape([1 if axis in axes else size for axis, size in enumerate(shape)])
    return g if g.shape == shape else np.broadcast_to(g, shape)


# The adjoint of a sum: every element gets the cotangent of the sum it went into, as a read-only view.
_spread = Primitive(
    "spread",
    _spread_forward,
    (lambda g, _y, x_like, shape, axes: _sum(g, axes=axes, keepdims=x_like.ndim == g.ndim),),
    structure=lambda g, shape, axes: broadcast_to(kept(g, shape, axes), shape),
)
_sum = Primitive(
    "sum",
    lambda x, axes, keepdims: np.add.reduce(x, axis=axes, keepdims=keepdims),
    (lambda g, _y, x_like, axes, keepdims: _spread(g, shape=x_like.shape, axes=axes),),
    kind=OpKind.REDUCTION,
    linear=True,
    fold=(0, "{total} += {value}"),
)


def _divide(total: Any, count: float) -> Any:
    """Return ``total / count``, and NaN where nothing was counted."""
    return total / count if count > 0 else total * math.nan


def _dropping(formula: Callable[..., Array]) -> Callable[..., Array]:
    """Return a formula that drops the reduced axes unless ``keepdims``, given one that keeps them at size 1."""

    def dropping(x: Array, axes: Axes, keepdims: bool, **options: Any) -> Array:
        y = formula(x, axes, **options)
        return y if keepdims else reshape(y, tuple([n for axis, n in enumerate(x.shape) if axis not in axes]))

    return dropping


def _average(x: Array, axes: Axes) -> Array:
    return _total(x, axes) / builtins.max(_count(x.shape, axes), 1)


def _total(x: Array, axes: Axes) -> Array:
    return _sum(x, axes=axes, keepdims=True) if axes else x


def _greatest(x: Array, axes: Axes) -> Array:
    return max(x, axes, keepdims=True) if axes else x


def _mean_rule(g: Array, _y: None, x_like: Like, axes: Axes, keepdims: bool) -> Array:
    return _spread(g / builtins.max(_count(x_like.shape, axes), 1), shape=x_like.shape, axes=axes)


_mean = Primitive(
    "mean",
    lambda x, axes, keepdims: _divide(np.add.reduce(x, axis=axes, keepdims=keepdims), _count(x.shape, axes)),
    (_mean_rule,),
    formula=_dropping(_average),
)


@Public()
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the sum over `axis`; 0 where it is empty.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; of the dtype of `x`, integers as 64-bit ones.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.sum(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    return _sum(x, axes=normalise_axes("sum", axis, x.ndim), keepdims=keepdims)


@Public()
def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the mean over `axis`; NaN where it is empty.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; floating-point, of the dtype of `x` if it is.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.mean(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    tensor([1.5, 3.5])
    """
    return _mean(x, axes=normalise_axes("mean", axis, x.ndim), keepdims=keepdims)


# ------------------------------------------------------------------------------------------------------- product


def _products_of_others(x: Array) -> Array:
    """Return, for each row of `x` of shape (n, m), the product of all other rows.

    A tree of products: exact where elements are zero, and at every order of differentiation, as it never divides.
    """
    n, m = x.shape
    if n == 1:
        return np.ones(x.shape, x.dtype)
    even = concat([x, np.ones((1, m), x.dtype)]) if n % 2 else x
    pairs = reshape(even, (2, (n + 1) // 2, m))
    others = _products_of_others(pairs[0] * pairs[1])
    return reshape(others * pairs[::-1], even.shape)[:n]


def _prod_rule(g: Array, _y: None, x: Array, axes: Axes, keepdims: bool) -> Array:
    if x.size == 0:
        return np.zeros(x.shape, g.dtype)
    order = axes + tuple([axis for axis in range(x.ndim) if axis not in axes])
    front = permute_dims(x, order)
    others = _products_of_others(reshape(front, (_count(x.shape, axes), -1)))
    return permute_dims(reshape(others, front.shape), inverse(order)) * kept(g, x.shape, axes)


_prod = Primitive(
    "prod",
    lambda x, axes, keepdims: np.multiply.reduce(x, axis=axes, keepdims=keepdims),
    (_prod_rule,),
    kind=OpKind.REDUCTION,
    fold=(1, "{total} *= {value}"),
)


@Public()
def prod(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the product over `axis`, 1 where it is empty; gradients are exact where elements are zero.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; of the dtype of `x`, integers as 64-bit ones.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.prod(ts.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(24.)
    """
    return _prod(x, axes=normalise_axes("prod", axis, x.ndim), keepdims=keepdims)


# ------------------------------------------------------------------------------------------------------ variance


def _deviation(x: Array, axes: Axes) -> Array:
    return x - _mean(x, axes=axes, keepdims=True)


def _variance(x: np.ndarray, axes: Axes, correction: float, keepdims: bool) -> Any:
    squares = np.square(_deviation(x, axes))
    return _divide(_sum(squares, axes=axes, keepdims=keepdims), _count(x.shape, axes) - correction)


def _freedom(x: Array, axes: Axes, correction: float) -> float:
    freedom = _count(x.shape, axes) - correction
    return freedom if freedom > 0 else math.nan


def _var_rule(g: Array, _y: None, x: Array, axes: Axes, correction: float, keepdims: bool) -> Array:
    return _deviation(x, axes) * kept(g * (2 / _freedom(x, axes, correction)), x.shape, axes)


def _std_rule(g: Array, y: Array, x: Array, axes: Axes, correction: float, keepdims: bool) -> Array:
    scale = ratio(g, y * _freedom(x, axes, correction))  # at 0 the gradient and all that follows are 0
    return _deviation(x, axes) * kept(scale, x.shape, axes)


def _variance_formula(x: Array, axes: Axes, correction: float) -> Array:
    deviation = _deviation(x, axes)
    return _total(deviation * deviation, axes) / _freedom(x, axes, correction)


_var = Primitive("var", _variance, (_var_rule,), formula=_dropping(_variance_formula))
_std = Primitive(
    "std",
    lambda x, axes, correction, keepdims: np.sqrt(_variance(x, axes, correction, keepdims)),
    (_std_rule,),
    formula=lambda x, **options: sqrt(_var(x, **options)),
)


def _leaves_correction_open(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return len(args) < 3 and not {"axis", "correction"} & kwargs.keys()


_SAY_CORRECTION = Meaning(
    lambda x, axis=None, correction=1, keepdims=False: var(x, axis, float(correction), keepdims),
    _leaves_correction_open,
    "var(x, axis=1) or correction=0 for that of the population (NumPy), var(x, dim=1) or correction=1 for that of the "
    "sample (PyTorch)",
)


@Public(pytorch=_SAY_CORRECTION)
def var(x: Array, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Array:
    """Return the variance over `axis`: squared deviations from the mean, summed, over ``count - correction``.

    `correction` is NumPy's ``ddof``: 0 for the variance of a population, 1 for the unbiased estimate from a sample. The
    result is NaN where ``count <= correction``.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    correction : float, default 0
        What is subtracted from the count (NumPy's ``ddof``).
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; floating-point, of the dtype of `x` if it is.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.var(ts.tensor([1.0, 3.0]), correction=1)
    tensor(2.)
    """
    return _var(x, axes=normalise_axes("var", axis, x.ndim), correction=correction, keepdims=keepdims)


@Public(
    pytorch=Meaning(
        lambda x, axis=None, correction=1, keepdims=False: std(x, axis, float(correction), keepdims),
        _leaves_correction_open,
        _SAY_CORRECTION.write.replace("var(", "std("),
    )
)
def std(x: Array, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Array:
    """Return the standard deviation, the square root of `var`; its gradient is 0 where all elements are equal.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    correction : float, default 0
        What is subtracted from the count (NumPy's ``ddof``).
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; floating-point, of the dtype of `x` if it is.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.std(ts.tensor([1.0, 3.0]), correction=0)
    tensor(1.)
    """
    return _std(x, axes=normalise_axes("std", axis, x.ndim), correction=correction, keepdims=keepdims)


# ----------------------------------------------------------------------------------------------------- logsumexp


def _softmax_weights(x: np.ndarray, y: np.ndarray, axes: Axes) -> Any:
    """Return softmax over `axes`; where y is +inf the infinite elements share 1, where it is -inf all are 0.

    `y` is the logsumexp. Of large logits it has lost the last digits, so the weights ``exp(x - y)`` are divided by
    their sum: the result is a function of `x` alone.
    """
    infinite = np.isinf(y)
    shifted = x - np.where(infinite, 0, y)
    if infinite.any():
        shifted = np.where(infinite, np.where((x == y) & (y > 0), 0, -np.inf), shifted)
    weights = np.exp(shifted.astype(x.dtype, copy=False))
    total = np.add.reduce(weights, axis=axes, keepdims=True)
    return weights / np.where(total == 0, 1, total)


def _weights_formula(x: Array, y: Array, axes: Axes) -> Array:
    infinite = isinf(y)
    shifted = where(infinite, -math.inf, x - where(infinite, 0, y))
    weights = exp(where(logical_and(infinite, logical_and(equal(x, y), y > 0)), 0, shifted))
    total = _total(weights, axes)
    return weights / where(equal(total, 0), 1, total)


_weights = Primitive(
    "softmax_weights",
    _softmax_weights,
    (lambda g, w, _x, _y, axes: w * (g - _sum(g * w, axes=axes, keepdims=True)), None),
    formula=_weights_formula,
)


def _log_sum_exp(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    x = as_real(x)
    top = np.maximum.reduce(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype, copy=False)
    y = np.log(np.add.reduce(np.exp(x - top), axis=axes, keepdims=True)) + top
    return y if keepdims else y.squeeze(axes)


def _log_sum_exp_rule(g: Array, y: Array, x: Array, axes: Axes, keepdims: bool) -> Array:
    return _weights(x, kept(y, x.shape, axes), axes=axes) * kept(g, x.shape, axes)


def _log_sum_exp_formula(x: Array, axes: Axes) -> Array:
    x = x if x.dtype.kind == "f" else astype(x, "float64")
    if not axes:
        return x
    top = _greatest(x, axes)
    top = where(isfinite(top), top, 0)
    return log(_total(exp(x - top), axes)) + top


_logsumexp = Primitive("logsumexp", _log_sum_exp, (_log_sum_exp_rule,), formula=_dropping(_log_sum_exp_formula))


@Public()
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return ``log(sum(exp(x)))`` over `axis` without overflow; -inf where all elements are -inf, or there are none.

    Its gradient is softmax; 0 for a row of -inf, and shared by the infinite elements of a row with +inf.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; floating-point, of the dtype of `x` if it is.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.logsumexp(ts.tensor([1000.0, 1000.0]))
    tensor(1000.693)
    """
    return _logsumexp(x, axes=normalise_axes("logsumexp", axis, x.ndim), keepdims=keepdims)


# ---------------------------------------------------------------------------------------------------------- norm


SQUARES = 1e-15, 1e15
"""Between these numbers float32 can square and add without overflow and underflow; vectors beyond are scaled first."""


def _euclidean(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    y = np.sqrt(_sum(x * x, axes=axes, keepdims=True))
    least, most = SQUARES
    if not ((y > least) & (y < most)).all():
        top = np.maximum.reduce(np.absolute(x), axis=axes, keepdims=True, initial=0)
        beyond = ((top <= least) | (top >= most)) & (top > 0) & (top < np.inf)
        scale = np.where(beyond, top, 1).astype(y.dtype, copy=False)
        y = np.sqrt(_sum(np.square(x / scale), axes=axes, keepdims=True)) * scale
    return y if keepdims else y.squeeze(axes)


def _euclidean_formula(x: Array, axes: Axes) -> Array:
    least, most = SQUARES
    top = _greatest(abs(x), axes)
    usual = logical_or(logical_and(top > least, top < most), logical_or(equal(top, 0), logical_not(isfinite(top))))
    scale = where(usual, 1, top)
    y = x / scale
    return sqrt(_total(y * y, axes)) * scale


_norm2 = Primitive(
    "norm2",
    _euclidean,
    (lambda g, y, x, axes, keepdims: x * kept(ratio(g, y), x.shape, axes),),
    formula=_dropping(_euclidean_formula),
)


def _power_norm(x: np.ndarray, order: float, axes: Axes, keepdims: bool) -> Any:
    size = np.absolute(x)
    top = np.maximum.reduce(size, axis=axes, keepdims=True, initial=0)
    top = np.where((top > 0) & np.isfinite(top), top, 1).astype(top.dtype, copy=False)
    y = np.add.reduce((size / top) ** order, axis=axes, keepdims=True) ** (1 / order) * top
    return y if keepdims else y.squeeze(axes)


def _power_norm_rule(g: Array, y: Array, x: Array, order: float, axes: Axes, keepdims: bool) -> Array:
    share = abs(ratio(x, kept(y, x.shape, axes)))
    share = where(equal(share, 0), 1, share)  # the sign of 0 is 0: it has neither slope nor curvature
    return sign(x) * pow(share, order - 1) * kept(g, x.shape, axes)


def _power_norm_formula(x: Array, axes: Axes, order: float) -> Array:
    size = abs(x)
    top = _greatest(size, axes)
    top = where(logical_and(top > 0, isfinite(top)), top, 1)
    return _total((size / top) ** order, axes) ** (1 / order) * top


_norm = Primitive("norm", _power_norm, (_power_norm_rule,), formula=_dropping(_power_norm_formula))


@Public()
def norm(x: Array, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the vector norm of order `ord` over `axis`, ``sum(|x|**ord)**(1/ord)``; several axes count as one vector.

    `ord` is any number from 1 up, or ``inf`` for the largest and ``-inf`` for the smallest absolute value. The gradient
    at 0 is 0.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    ord : float, default 2
        The order, from 1 up, or ``inf`` or ``-inf``.
    axis : int or sequence of int, default None
        The axes of the vectors; None takes all elements as one vector.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; floating-point, of the dtype of `x` if it is.

    Raises
    ------
    ArgumentError
        If `ord` is neither ``-inf`` nor at least 1.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.norm(ts.tensor([3.0, 4.0]))
    tensor(5.)
    """
    axes = normalise_axes("norm", axis, x.ndim)
    if not isinstance(ord, int | float) or not (ord >= 1 or ord == -math.inf):
        raise ArgumentError(f"norm: expected an order of at least 1, inf or -inf, got {ord!r}; pass e.g. ord=2.")
    if ord == 2:
        return _norm2(x, axes=axes, keepdims=keepdims)
    if ord == 1:
        return _sum(abs(x), axes=axes, keepdims=keepdims)
    if math.isinf(ord):
        return (max if ord > 0 else min)(abs(x), axes, keepdims)
    return _norm(x, order=ord, axes=axes, keepdims=keepdims)

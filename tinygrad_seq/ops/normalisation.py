"""Softmax, normalisation over features, gated halves and dropout."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np

from ..base.settings import generator as current_generator
from ..errors import ArgumentError, DtypeError, ShapeError
from .arithmetic import sqrt
from .axes import Axes, normalise_axis
from .casting import as_array, astype
from .comparison import where
from .compiled_forward import as_rows, row_kernel, writable
from .exponential import as_real, exp, log, sigmoid
from .extrema import max as greatest
from .limits import ratio, scaled
from .primitive import Array, Like, Primitive
from .public import Public
from .reduction import mean, sum

# ------------------------------------------------------------------------------------------------------- softmax


def _shifted(x: np.ndarray, axis: int) -> np.ndarray:
    """Return ``x - max(x)``, new memory of a floating dtype; NaN where the maximum is infinite."""
    x = as_real(x)
    return x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)


def _softmax_forward(x: np.ndarray, axis: int) -> Any:
    if (rows := as_rows((axis,), x)) is not None:
        return _by_rows("softmax", x.shape, rows)
    y = _shifted(x, axis)
    np.exp(y, out=y)
    y /= np.add.reduce(y, axis=axis, keepdims=True)
    return y


def _log_softmax_forward(x: np.ndarray, axis: int) -> Any:
    if (rows := as_rows((axis,), x)) is not None:
        return _by_rows("log_softmax", x.shape, rows)
    y = _shifted(x, axis)
    y -= np.log(np.add.reduce(np.exp(y), axis=axis, keepdims=True))
    return y


def _softmax_pull_forward(g: np.ndarray, y: np.ndarray, axis: int) -> Any:
    """Return ``y * (g - sum(g * y))``."""
    if (rows := as_rows((axis,), g, y)) is not None:
        return _by_rows("softmax_adjoint", y.shape, rows)
    weighted = g * y
    return weighted - y * np.add.reduce(weighted, axis=axis, keepdims=True)


def _log_softmax_pull_forward(g: np.ndarray, y: np.ndarray, axis: int) -> Any:
    """Return ``g - exp(y) * sum(g)``: `g` itself where it sums to 0, also of a row of NaN."""
    if (rows := as_rows((axis,), g, y)) is not None:
        return _by_rows("log_softmax_adjoint", y.shape, rows)
    return g - scaled.forward(np.add.reduce(g, axis=axis, keepdims=True), np.exp(y))


def _by_rows(kernel: str, shape: tuple[int, ...], rows: list[np.ndarray]) -> np.ndarray:
    out: np.ndarray = np.empty_like(rows[0])
    row_kernel(kernel)(*rows, out)
    return out.reshape(shape)


def _exponents(x: Array, axis: int) -> Array:
    x = x if x.dtype.kind == "f" else astype(x, "float64")
    return x - greatest(x, axis, keepdims=True)


def _softmax_formula(x: Array, axis: int) -> Array:
    e = exp(_exponents(x, axis))
    return e / sum(e, axis, keepdims=True)


def _log_softmax_formula(x: Array, axis: int) -> Array:
    y = _exponents(x, axis)
    return y - log(sum(exp(y), axis, keepdims=True))


# The adjoints are operations of their own, each one pass over memory; their own rules are written with operators.
softmax_pull = Primitive(
    "softmax_adjoint",
    _softmax_pull_forward,
    (
        lambda h, _out, _g, y, axis: softmax_pull(h, y, axis=axis),
        lambda h, _out, g, y, axis: h * (g - sum(g * y, axis, keepdims=True)) - g * sum(h * y, axis, keepdims=True),
    ),
    formula=lambda g, y, axis: y * (g - sum(g * y, axis, keepdims=True)),
)
_log_softmax_pull = Primitive(
    "log_softmax_adjoint",
    _log_softmax_pull_forward,
    (
        lambda h, _out, _g, y, axis: h - sum(h * exp(y), axis, keepdims=True),
        lambda h, _out, g, y, axis: -scaled(sum(g, axis, keepdims=True), h * exp(y)),
    ),
    formula=lambda g, y, axis: g - scaled(sum(g, axis, keepdims=True), exp(y)),
)
_softmax = Primitive(
    "softmax",
    _softmax_forward,
    (lambda g, y, _x, axis: softmax_pull(g, y, axis=axis),),
    formula=_softmax_formula,
)
_log_softmax = Primitive(
    "log_softmax",
    _log_softmax_forward,
    (lambda g, y, _x, axis: _log_softmax_pull(g, y, axis=axis),),
    formula=_log_softmax_formula,
)


@Public()
def softmax(x: Array, axis: int = -1) -> Array:
    """Return ``exp(x) / sum(exp(x))`` along `axis` without overflow.

    Elements of -inf get 0. As in PyTorch the result is NaN where all are -inf, or one is +inf.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default -1
        The axis of the classes.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.softmax(ts.tensor([1000.0, 1000.0]))
    tensor([0.5, 0.5])
    """
    return _softmax(x, axis=_row_axis("softmax", x, axis))


@Public()
def log_softmax(x: Array, axis: int = -1) -> Array:
    """Return the logarithm of `softmax` along `axis`, accurate where softmax underflows to 0.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default -1
        The axis of the classes.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.log_softmax(ts.tensor([0.0, -1000.0]))
    tensor([    0., -1000.])
    """
    return _log_softmax(x, axis=_row_axis("log_softmax", x, axis))


def _row_axis(name: str, x: Array, axis: int) -> int:
    if not x.ndim:
        raise ShapeError(f"{name}: expected an array with at least one axis, got shape () {x.dtype}; reshape it first.")
    return normalise_axis(name, axis, x.ndim)


@Public(method=False)
def glu(x: Array, axis: int = -1) -> Array:
    """Return the gated linear unit ``a * sigmoid(b)``, a and b being the first and second half of `x` along `axis`.

    Parameters
    ----------
    x : array_like
        With an even size along `axis`.
    axis : int, default -1
        The axis to halve.

    Returns
    -------
    Tensor
        Of the shape of `x`, half as large along `axis`.

    Raises
    ------
    ShapeError
        If the axis has an odd size.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.glu(ts.tensor([2.0, 0.0]))
    tensor([1.])
    """
    axis = _row_axis("glu", x, axis)
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ShapeError(
            f"glu: expected an axis of even size to halve, got size {x.shape[axis]} on axis {axis} of {x.shape} "
            f"{x.dtype}; choose another axis."
        )
    lead = (slice(None),) * axis
    return x[(*lead, slice(None, half))] * sigmoid(x[(*lead, slice(half, None))])


# ------------------------------------------------------------------------------------------------- normalisation


def _count(shape: tuple[int, ...], axes: Axes) -> int:
    return max(math.prod([shape[axis] for axis in axes]), 1)


def _standardise_forward(x: np.ndarray, axes: Axes, eps: float, centre: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return `x`, centred over `axes` if `centre`, divided by its root mean square; and one over that."""
    if (rows := as_rows(axes, x)) is not None:
        y, scale = np.empty_like(rows[0]), np.empty(len(rows[0]), x.dtype)
        row_kernel("standardise")(*rows, y, scale, eps, centre)
        return y.reshape(x.shape), scale.reshape(*x.shape[: axes[0]], *(1,) * len(axes))
    count = _count(x.shape, axes)
    y = x - np.add.reduce(x, axis=axes, keepdims=True) / count if centre else x
    scale = 1 / np.sqrt(np.add.reduce(y * y, axis=axes, keepdims=True) / count + eps)
    return np.multiply(y, scale, out=y if centre else None), scale


def _pull_forward(g: np.ndarray, y: np.ndarray, scale: np.ndarray, along: np.ndarray, axes: Axes, centre: bool) -> Any:
    """Return ``scale * (g - mean(g) - y * (mean(g * y) + along))``, without the mean of `g` unless `centre`."""
    if (rows := as_rows(axes, g, y)) is not None:
        out = np.empty_like(rows[0])
        row_kernel("standardise_adjoint")(*rows, writable(scale).reshape(-1), writable(along).reshape(-1), out, centre)
        return out.reshape(g.shape)
    count = _count(g.shape, axes)
    out = g * y
    np.multiply(y, np.add.reduce(out, axis=axes, keepdims=True) / count + along, out=out)
    np.subtract(g, out, out=out)
    if centre:
        out -= np.add.reduce(g, axis=axes, keepdims=True) / count
    out *= scale
    return out


def _pull_rule_y(
    h: Array, _out: None, g: Array, y: Array, scale: Array, along: Array, axes: Axes, centre: bool
) -> Array:
    u = h * scale
    return -u * (mean(g * y, axes, keepdims=True) + along) - g * mean(u * y, axes, keepdims=True)


def _pull_formula(g: Array, y: Array, scale: Array, along: Array, axes: Axes, centre: bool) -> Array:
    out = g - y * (mean(g * y, axes, keepdims=True) + along)
    return (out - mean(g, axes, keepdims=True) if centre else out) * scale


# The adjoint of `_standardise` as one operation: its arrays are large, and each temporary one costs as much as a pass.
_pull = Primitive(
    "standardise_adjoint",
    _pull_forward,
    (
        lambda h, _out, _g, y, scale, along_like, axes, centre: _pull(
            h, y, scale, np.zeros(along_like.shape, along_like.dtype), axes=axes, centre=centre
        ),
        _pull_rule_y,
        lambda h, out, _g, _y, scale, _along, axes, centre: ratio(h * out, scale),
        lambda h, _out, _g, y, scale, _along, axes, centre: -h * scale * y,
    ),
    formula=_pull_formula,
)


def _standardise_rule(
    gs: tuple[Array, Array], ys: tuple[Array, Array], x_like: Like, axes: Axes, eps: float, centre: bool
) -> Array:
    (g, g_scale), (y, scale) = gs, ys
    return _pull(g, y, scale, g_scale * scale / _count(x_like.shape, axes), axes=axes, centre=centre)


def _standardise_formula(x: Array, axes: Axes, eps: float, centre: bool) -> tuple[Array, Array]:
    y = x - mean(x, axes, keepdims=True) if centre else x
    scale = 1 / sqrt(mean(y * y, axes, keepdims=True) + eps)
    return y * scale, scale


_standardise = Primitive(
    "standardise", _standardise_forward, (_standardise_rule,), multiple=True, formula=_standardise_formula
)


@Public(method=False)
def layer_norm(
    x: Array,
    normalized_shape: int | Iterable[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Return ``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes.

    Parameters
    ----------
    x : array_like
        ``(..., *normalized_shape)``.
    normalized_shape : int or iterable of int
        The sizes of the axes to normalise over.
    weight : array_like, default None
        `normalized_shape`, or None.
    bias : array_like, default None
        `normalized_shape`, or None.
    eps : float, default 1e-05
        What is added to the variance.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        If the shapes are not these.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.layer_norm(ts.tensor([1.0, 3.0]), 2)
    tensor([-1.,  1.])
    """
    weight, bias = (None if array is None else as_array(array) for array in (weight, bias))
    axes = _feature_axes("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    y = _standardise(x, axes=axes, eps=eps, centre=True)[0]
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@Public(method=False)
def rms_norm(
    x: Array, normalized_shape: int | Iterable[int], weight: Array | None = None, eps: float | None = None
) -> Array:
    """Return ``x / sqrt(mean(x**2) + eps) * weight`` over the last axes.

    Parameters
    ----------
    x : array_like
        ``(..., *normalized_shape)``.
    normalized_shape : int or iterable of int
        The sizes of the axes to normalise over.
    weight : array_like, default None
        `normalized_shape`, or None.
    eps : float, default None
        None for the machine epsilon of the dtype of `x`, as in PyTorch.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        If the shapes are not these.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.rms_norm(ts.tensor([3.0, -3.0]), 2)
    tensor([ 1., -1.])
    """
    weight = None if weight is None else as_array(weight)
    axes = _feature_axes("rms_norm", x, normalized_shape, weight=weight)
    y = _standardise(x, axes=axes, eps=float(np.finfo(x.dtype).eps) if eps is None else eps, centre=False)[0]
    return y if weight is None else y * weight


def _check_floating(name: str, x: Array) -> None:
    if x.dtype.kind != "f":
        raise DtypeError(
            f"{name}: expected a floating-point array, got {x.shape} {x.dtype}; cast it with astype first."
        )


def _feature_axes(
    name: str, x: Array, normalized_shape: int | Iterable[int], **affine: Array | None
) -> tuple[int, ...]:
    _check_floating(name, x)
    sizes = normalized_shape if isinstance(normalized_shape, Iterable) else (normalized_shape,)
    try:
        shape = tuple(map(operator.index, sizes))
    except TypeError:
        raise ArgumentError(
            f"{name}: expected normalized_shape as an integer or a tuple of them, got {normalized_shape!r}; "
            "pass e.g. x.shape[-1]."
        ) from None
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{name}: expected an array whose last axes are {shape}, got shape {x.shape} {x.dtype}; "
            "pass the sizes of its last axes as normalized_shape."
        )
    for what, array in affine.items():
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{name}: expected {what} of shape {shape}, got {array.shape} {array.dtype}; "
                "pass one value per feature."
            )
    return tuple(range(x.ndim - len(shape), x.ndim))


# ------------------------------------------------------------------------------------------------------- dropout


def _mask_forward(x: np.ndarray, keep: np.ndarray, scale: float) -> np.ndarray:
    y = np.asarray(x * keep)
    y *= scale
    return y


_dropout = Primitive(
    "dropout",
    _mask_forward,
    (lambda g, _y, _x, keep, scale: _dropout(g, keep, scale=scale), None),
    structure=lambda x, keep, scale: where(keep, x * scale, 0),
)


@Public(method=False)
def dropout(x: Array, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Array:
    """Return `x` with each element set to 0 with probability `p` and the others divided by ``1 - p``.

    The mean stays the same in expectation, so nothing has to be done when not `training`: `x` is returned as it is.

    Parameters
    ----------
    x : array_like
        Floating-point numbers of any shape.
    p : float, default 0.5
        Probability of an element to be dropped, from 0 to 1.
    training : bool, default True
        Whether anything is dropped.
    generator : numpy.random.Generator, default None
        What the mask is drawn from; the process-wide one of `manual_seed` by default.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ArgumentError
        If `p` is not from 0 to 1.
    DtypeError
        If `x` is not floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.dropout(ts.ones(3), p=0.5, training=False)
    tensor([1., 1., 1.])
    """
    if not (isinstance(p, Real) and 0 <= p <= 1):
        raise ArgumentError(f"dropout: expected a probability p from 0 to 1, got {p!r}; pass e.g. p=0.5.")
    _check_floating("dropout", x)
    if not training or p == 0:
        return x
    keep = np.asarray(current_generator(generator).random(x.shape, np.float32) >= p)
    return _dropout(x, keep, scale=1 / (1 - p) if p < 1 else 0.0)

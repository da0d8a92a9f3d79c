"""Activation functions; `tanh` is in trigonometric.py, the logistic family in exponential.py."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..errors import ArgumentError
from .arithmetic import abs, clip, reciprocal, square
from .comparison import where
from .compiled_forward import compiled
from .exponential import as_real, exp, expm1, sigmoid
from .limits import bounded, ratio
from .primitive import Array, elementwise
from .public import Public
from .special import density, ndtr

relu = elementwise(
    "relu",
    lambda x: np.maximum(x, 0),
    vjp=(lambda g, y, _x: where(y > 0, g, 0),),
    code="{0} if {0} > 0 or {0} != {0} else 0.0",
    cheap=True,
    doc="Return ``max(x, 0)``. The gradient at 0 is 0.",
    public=Public(example="[-1.0, 0.5, 2.0] -> [0. , 0.5, 2. ]"),
)
_leaky_relu = elementwise(
    "leaky_relu",
    lambda x, slope: np.where(x > 0, x, x * slope),
    vjp=(lambda g, _y, x, slope: where(x > 0, g, g * slope), lambda g, _y, x, _slope: where(x > 0, 0, g * x)),
    code="{0} if {0} > 0 else {0} * {1}",
    cheap=True,
)
_elu = elementwise(
    "elu",
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    vjp=(
        lambda g, _y, x, alpha: where(x > 0, g, g * alpha * exp(_nonpositive(x))),
        lambda g, _y, x, _alpha: where(x > 0, 0, g * expm1(_nonpositive(x))),
    ),
    code="{0} if {0} > 0 else {1} * math.expm1({0})",
)


def _nonpositive(x: Array) -> Array:
    """Return ``min(x, 0)``: the branch not taken must not overflow, as its zero gradient times inf is NaN."""
    return where(x > 0, 0, x)


@Public()
def leaky_relu(x: Array, negative_slope: Array = 0.01) -> Array:
    """Return `x` where it is positive and ``negative_slope * x`` elsewhere; the slope may be learned (PReLU).

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    negative_slope : array_like, default 0.01
        The slope for negative `x`, which broadcasts.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.leaky_relu(ts.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1,  2. ])
    """
    return _leaky_relu(x, negative_slope)


@Public()
def elu(x: Array, alpha: Array = 1.0) -> Array:
    """Return `x` where it is positive and ``alpha * (e**x - 1)`` elsewhere.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    alpha : array_like, default 1.0
        The negative of the limit for ``x -> -inf``, which broadcasts.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.elu(ts.tensor([-1.0, 2.0]))
    tensor([-0.63212,  2.     ])
    """
    return _elu(x, alpha)


def _silu(x: Array) -> Array:
    x = as_real(x)
    t = np.exp(np.negative(x))
    t += 1
    return np.maximum(x, -1000) / t


def _silu_rule(g: Array, y: Array, x: Array) -> Array:
    s = sigmoid(x)
    return g * (s + bounded(y) * (1 - s))


silu = elementwise(
    "silu",
    compiled("silu", _silu),
    vjp=(_silu_rule,),
    vectorised=True,
    code="max({0}, -1000.0) / (1 + math.exp(-{0}))",  # -0 at -inf
    doc="Return ``x * sigmoid(x)``, also named swish.",
    public=Public("swish", example="[2.0] -> [1.7616]"),
)
softsign = elementwise(
    "softsign",
    lambda x: ratio.forward(x, np.absolute(x) + 1),
    vjp=(lambda g, _y, x: g * square(reciprocal(abs(x) + 1)),),
    code="math.copysign(1.0, {0}) if math.isinf({0}) else {0} / (1 + abs({0}))",
    doc="Return ``x / (1 + |x|)``.",
    public=Public(example="[-1.0, 0.0, 3.0] -> [-0.5 ,  0.  ,  0.75]"),
)


# ------------------------------------------------------------------------------------------------------------- gelu

# 1 + tanh(u) = 2 sigmoid(2u), which keeps its relative accuracy where tanh(u) is near -1.
_A = 2 * math.sqrt(2 / math.pi)
_B = 0.044715 * _A


def _gelu_rule(g: Array, _y: None, x: Array) -> Array:
    return g * (ndtr(x) + bounded(x) * density(x))


def _gelu_tanh(x: Array) -> Array:
    x = as_real(x)
    t = x * x
    t *= -_B
    t -= _A
    t = np.exp(t * x)
    t += 1
    return np.maximum(x, -1000) / t


def _gelu_tanh_rule(g: Array, _y: None, x: Array) -> Array:
    x = bounded(x)
    square = x * x
    s = sigmoid(x * (square * _B + _A))
    return g * (s + x * (s * (1 - s)) * (square * (3 * _B) + _A))


_gelu = elementwise(
    "gelu",
    compiled("gelu"),
    vjp=(_gelu_rule,),
    code="max({0}, -1000.0) * 0.5 * math.erfc({0} * -0.7071067811865476)",
    vectorised=True,
)
_gelu_by_tanh = elementwise(
    "gelu_tanh",
    compiled("gelu_tanh", _gelu_tanh),
    vjp=(_gelu_tanh_rule,),
    code=f"max({{0}}, -1000.0) / (1 + math.exp(-{{0}} * ({{0}} * {{0}} * {_B!r} + {_A!r})))",
    vectorised=True,
)


@Public()
def gelu(x: Array, approximate: Literal["none", "tanh"] = "none") -> Array:
    """Return ``x * P(Z <= x)`` for a standard normal Z, or its tanh approximation (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    approximate : {"none", "tanh"}, default "none"
        Whether to use the tanh approximation.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ArgumentError
        If `approximate` is neither "none" nor "tanh".

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.gelu(ts.tensor([-1.0, 2.0]))
    tensor([-0.158655,  1.9545  ])
    """
    if approximate == "none":
        return _gelu(x)
    if approximate == "tanh":
        return _gelu_by_tanh(x)
    raise ArgumentError(f"gelu: expected approximate='none' or 'tanh', got {approximate!r}; pass one of the two.")


# ---------------------------------------------------------------------------------------------- piecewise linear forms


@Public(method=False)
def relu6(x: Array) -> Array:
    """Return `x` limited to [0, 6].

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.relu6(ts.tensor([-1.0, 2.0, 8.0]))
    tensor([0., 2., 6.])
    """
    return clip(x, 0, 6)


@Public("hardtanh", method=False)
def hard_tanh(x: Array) -> Array:
    """Return `x` limited to [-1, 1].

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.hard_tanh(ts.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    return clip(x, -1, 1)


@Public("hardsigmoid", method=False)
def hard_sigmoid(x: Array) -> Array:
    """Return ``x / 6 + 1/2`` limited to [0, 1].

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.hard_sigmoid(ts.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    return clip(x / 6 + 0.5, 0, 1)

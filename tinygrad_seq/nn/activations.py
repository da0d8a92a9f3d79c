"""Activation functions as modules, for `Sequential`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

from ..autograd.tensor import Tensor
from ..ops import activation, exponential, normalisation, trigonometric
from .checks import check_numbers, check_tensor
from .module.module import Module

__all__ = [
    "ELU",
    "GELU",
    "Identity",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]


class _Activation(Module):
    """Base of activations: `function` of x and of the attributes that `options` names."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Tensor) -> Tensor:
        check_tensor(type(self).__name__, x)
        return type(self).function(x, *(getattr(self, name) for name in self.options))


class Identity(Module):
    """Return x unchanged.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Identity()(ts.tensor([1.0]))
    tensor([1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x


class Tanh(_Activation):
    """Return tanh(x), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Tanh()(ts.tensor([0.0]))
    tensor([0.])
    """

    function = staticmethod(trigonometric.tanh)


class Sigmoid(_Activation):
    """Return 1 / (1 + exp(-x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Sigmoid()(ts.tensor([0.0]))
    tensor([0.5])
    """

    function = staticmethod(exponential.sigmoid)


class ReLU(_Activation):
    """Return max(x, 0), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ReLU()(ts.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    function = staticmethod(activation.relu)


class LeakyReLU(_Activation):
    """Return x where it is positive and ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        The slope for negative x.

    Raises
    ------
    ArgumentError
        If `negative_slope` is not a finite number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LeakyReLU(0.5)(ts.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    function = staticmethod(activation.leaky_relu)
    options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        check_numbers(type(self).__name__, -math.inf, math.inf, negative_slope=negative_slope)
        self.negative_slope = negative_slope


class ELU(_Activation):
    """Return x where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        The limit for large negative x is -alpha.

    Raises
    ------
    ArgumentError
        If `alpha` is not a finite number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ELU()(ts.tensor([-100.0, 2.0]))
    tensor([-1.,  2.])
    """

    function = staticmethod(activation.elu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        check_numbers(type(self).__name__, -math.inf, math.inf, alpha=alpha)
        self.alpha = alpha


class GELU(_Activation):
    """Return ``x * P(Z <= x)`` for a standard normal Z, elementwise (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        ``"tanh"`` selects the approximation by tanh.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.GELU()(ts.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    function = staticmethod(activation.gelu)
    options = ("approximate",)

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate


class SiLU(_Activation):
    """Return x * sigmoid(x), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.SiLU()(ts.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    function = staticmethod(activation.silu)


class Softplus(_Activation):
    """Return log(1 + exp(x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softplus()(ts.tensor([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """

    function = staticmethod(exponential.softplus)


class Softsign(_Activation):
    """Return x / (1 + abs(x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softsign()(ts.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    function = staticmethod(activation.softsign)


class Softmax(_Activation):
    """Return exp(x) divided by its sum along an axis.

    Parameters
    ----------
    axis : int, default -1
        The axis along which the outputs sum to 1.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softmax()(ts.tensor([1.0, 1.0]))
    tensor([0.5, 0.5])
    """

    function = staticmethod(normalisation.softmax)
    options = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis


class LogSoftmax(_Activation):
    """Return the logarithm of the softmax along an axis.

    Parameters
    ----------
    axis : int, default -1
        The axis along which the exponentials of the outputs sum to 1.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LogSoftmax()(ts.tensor([1.0, 1.0]))
    tensor([-0.6931472, -0.6931472])
    """

    function = staticmethod(normalisation.log_softmax)
    options = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

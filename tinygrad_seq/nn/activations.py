"""Activation functions as modules, for `Sequential`."""

from __future__ import annotations

from typing import Literal

from ..autograd.tensor import Tensor
from ..ops import activation, exponential, normalisation, trigonometric
from .module.module import Module


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


class Tanh(Module):
    """Return tanh(x), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Tanh()(ts.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return trigonometric.tanh(x)


class Sigmoid(Module):
    """Return 1 / (1 + exp(-x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Sigmoid()(ts.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        return exponential.sigmoid(x)


class ReLU(Module):
    """Return max(x, 0), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ReLU()(ts.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return activation.relu(x)


class LeakyReLU(Module):
    """Return x where it is positive and ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        The slope for negative x.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LeakyReLU(0.5)(ts.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return activation.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """Return x where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        The limit for large negative x is -alpha.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ELU()(ts.tensor([-100.0, 2.0]))
    tensor([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return activation.elu(x, self.alpha)


class GELU(Module):
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

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return activation.gelu(x, self.approximate)


class SiLU(Module):
    """Return x * sigmoid(x), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.SiLU()(ts.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return activation.silu(x)


class Softplus(Module):
    """Return log(1 + exp(x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softplus()(ts.tensor([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """

    def forward(self, x: Tensor) -> Tensor:
        return exponential.softplus(x)


class Softsign(Module):
    """Return x / (1 + abs(x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softsign()(ts.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    def forward(self, x: Tensor) -> Tensor:
        return activation.softsign(x)


class Softmax(Module):
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

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return normalisation.softmax(x, self.axis)


class LogSoftmax(Module):
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

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return normalisation.log_softmax(x, self.axis)

"""Activation functions as modules, for `Sequential`."""

from __future__ import annotations

from typing import Literal

from ..autograd.tensor import Tensor
from ..ops import activation, exponential, normalisation, trigonometric
from ..ops.primitive import Array
from .module.module import Module


class Identity(Module):
    """Return x itself."""

    def forward(self, x: Array) -> Tensor:
        return x


class Tanh(Module):
    """Return tanh(x).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Tanh()(ts.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Array) -> Tensor:
        return trigonometric.tanh(x)


class Sigmoid(Module):
    """Return 1 / (1 + exp(-x))."""

    def forward(self, x: Array) -> Tensor:
        return exponential.sigmoid(x)


class ReLU(Module):
    """Return max(x, 0)."""

    def forward(self, x: Array) -> Tensor:
        return activation.relu(x)


class LeakyReLU(Module):
    """Return x where it is positive and ``negative_slope * x`` elsewhere."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Tensor:
        return activation.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """Return x where it is positive and ``alpha * (exp(x) - 1)`` elsewhere."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Tensor:
        return activation.elu(x, self.alpha)


class GELU(Module):
    """Return x times the normal distribution function of x, or its tanh approximation (``approximate="tanh"``)."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Array) -> Tensor:
        return activation.gelu(x, self.approximate)


class SiLU(Module):
    """Return x * sigmoid(x)."""

    def forward(self, x: Array) -> Tensor:
        return activation.silu(x)


class Softplus(Module):
    """Return log(1 + exp(x))."""

    def forward(self, x: Array) -> Tensor:
        return exponential.softplus(x)


class Softsign(Module):
    """Return x / (1 + abs(x))."""

    def forward(self, x: Array) -> Tensor:
        return activation.softsign(x)


class Softmax(Module):
    """Return exp(x) divided by its sum along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Tensor:
        return normalisation.softmax(x, self.axis)


class LogSoftmax(Module):
    """Return the logarithm of the softmax along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Tensor:
        return normalisation.log_softmax(x, self.axis)

"""Activation functions as modules, for `Sequential`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from numpy.typing import DTypeLike

from ..autograd.creation import zeros
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops import activation, exponential, normalisation, trigonometric
from ..ops.comparison import where
from ..ops.shape import reshape
from .checks import IN_PLACE, check_numbers, check_sizes, check_tensor, refuse
from .init import constant_
from .module.module import Module
from .module.parameter import Parameter
from .module.placement import check_placement

__all__ = [
    "ELU",
    "GELU",
    "GLU",
    "Identity",
    "LeakyReLU",
    "LogSoftmax",
    "PReLU",
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


class _InPlace(_Activation):
    """Base of activations that PyTorch can also compute in place."""

    def __init__(self, inplace: bool = False) -> None:
        refuse(type(self).__name__, IN_PLACE, inplace=inplace)


class Identity(Module):
    """Return x unchanged.

    Parameters
    ----------
    *args, **kwargs
        Ignored, so that it can stand in for any layer.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Identity()(ts.tensor([1.0]))
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

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


class ReLU(_InPlace):
    """Return max(x, 0), elementwise.

    Parameters
    ----------
    inplace : bool, default False
        False only: x is not changed.

    Raises
    ------
    ArgumentError
        If `inplace` is not False.

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
    inplace : bool, default False
        False only: x is not changed.

    Raises
    ------
    ArgumentError
        If `negative_slope` is not a finite number, or `inplace` not False.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LeakyReLU(0.5)(ts.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    function = staticmethod(activation.leaky_relu)
    options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        refuse(type(self).__name__, IN_PLACE, inplace=inplace)
        check_numbers(type(self).__name__, -math.inf, math.inf, negative_slope=negative_slope)
        self.negative_slope = negative_slope


class ELU(_Activation):
    """Return x where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        The limit for large negative x is -alpha.
    inplace : bool, default False
        False only: x is not changed.

    Raises
    ------
    ArgumentError
        If `alpha` is not a finite number, or `inplace` not False.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.ELU()(ts.tensor([-100.0, 2.0]))
    tensor([-1.,  2.])
    """

    function = staticmethod(activation.elu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        refuse(type(self).__name__, IN_PLACE, inplace=inplace)
        check_numbers(type(self).__name__, -math.inf, math.inf, alpha=alpha)
        self.alpha = alpha


class GELU(_Activation):
    """Return ``x * P(Z <= x)`` for a standard normal Z, elementwise (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        ``"tanh"`` selects the approximation by tanh.

    Raises
    ------
    ArgumentError
        If `approximate` is another word.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.GELU()(ts.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    function = staticmethod(activation.gelu)
    options = ("approximate",)

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f"GELU: expected approximate 'none' or 'tanh', got {approximate!r}; pass one of them.")
        self.approximate = approximate


class SiLU(_InPlace):
    """Return x * sigmoid(x), elementwise.

    Parameters
    ----------
    inplace : bool, default False
        False only: x is not changed.

    Raises
    ------
    ArgumentError
        If `inplace` is not False.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.SiLU()(ts.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    function = staticmethod(activation.silu)


class Softplus(_Activation):
    """Return ``log(1 + exp(beta x)) / beta``, elementwise; x itself where ``beta x`` is above `threshold`.

    Parameters
    ----------
    beta : float, default 1.0
        How sharp the bend at 0 is.
    threshold : float, default 20.0
        Where the function is taken as linear.

    Raises
    ------
    ArgumentError
        If `beta` or `threshold` is not a finite number, or `beta` 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softplus()(ts.tensor([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        check_numbers("Softplus", -math.inf, math.inf, beta=beta, threshold=threshold)
        if not beta:
            raise ArgumentError("Softplus: expected beta other than 0, got 0; pass e.g. beta=1.0.")
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of x, floating-point and of any shape."""
        check_tensor("Softplus", x)
        if (self.beta, self.threshold) == (1.0, 20.0):  # exact beyond the threshold too
            return exponential.softplus(x)
        scaled = x * self.beta
        return where(scaled > self.threshold, x, exponential.softplus(scaled) / self.beta)


class Softsign(_Activation):
    """Return x / (1 + abs(x)), elementwise.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softsign()(ts.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    function = staticmethod(activation.softsign)


class _AlongOne(_Activation):
    """Base of activations along one axis."""

    def __init__(self, dim: int | None = None, *, axis: int | None = None) -> None:
        self.dim = dim if axis is None else axis

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of x along the axis.

        Parameters
        ----------
        x : Tensor
            Floating-point, of any shape.

        Returns
        -------
        Tensor
            Like x.

        Raises
        ------
        ArgumentError
            If the layer was made without an axis, and x has more than two.
        """
        name = type(self).__name__
        check_tensor(name, x)
        if self.dim is None and x.ndim > 2:
            raise ArgumentError(
                f"{name}: expected dim with an array of {x.ndim} axes, {x.shape} {x.dtype}, got none, which PyTorch "
                f"takes as {0 if x.ndim == 3 else 1}; write nn.{name}(dim=-1) for the last axis."
            )
        return type(self).function(x, axis=-1 if self.dim is None else self.dim)


class Softmax(_AlongOne):
    """Return exp(x) divided by its sum along an axis.

    Parameters
    ----------
    dim : int, optional
        The axis along which the outputs sum to 1; for arrays with one or two axes the last by default.
    axis : int, optional
        Another name of `dim`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.Softmax(dim=-1)(ts.tensor([1.0, 1.0]))
    tensor([0.5, 0.5])
    """

    function = staticmethod(normalisation.softmax)


class LogSoftmax(_AlongOne):
    """Return the logarithm of the softmax along an axis.

    Parameters
    ----------
    dim : int, optional
        The axis along which the exponentials of the outputs sum to 1; for arrays with one or two axes the last by
        default.
    axis : int, optional
        Another name of `dim`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.LogSoftmax(dim=-1)(ts.tensor([1.0, 1.0]))
    tensor([-0.6931472, -0.6931472])
    """

    function = staticmethod(normalisation.log_softmax)


class GLU(Module):
    """Return ``a * sigmoid(b)`` for the halves a and b of x along an axis (Dauphin et al., 2017).

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.GLU()(ts.tensor([3.0, 0.0]))
    tensor([1.5])
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated half of x (..., 2H, ...) as (..., H, ...)."""
        check_tensor("GLU", x)
        return normalisation.glu(x, axis=self.dim)


class PReLU(Module):
    """Return x where it is positive and ``weight * x`` elsewhere, with a learned slope (He et al., 2015).

    Parameters
    ----------
    num_parameters : int, default 1
        1 for one slope, or the number of features on axis 1 for one each.
    init : float, default 0.25
        The initial slope.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight : Parameter
        (num_parameters,).

    Raises
    ------
    ArgumentError, DtypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.PReLU()(ts.tensor([-4.0, 2.0])).detach()
    tensor([-1.,  2.])
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        check_sizes("PReLU", num_parameters=num_parameters)
        check_numbers("PReLU", -math.inf, math.inf, init=init)
        check_placement("PReLU", device, dtype)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(zeros(num_parameters, dtype) + init)

    def reset_parameters(self) -> None:
        """Set the slopes to their initial value."""
        constant_(self.weight, self.init)

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of x.

        Parameters
        ----------
        x : Tensor
            Of any shape for one slope; else with the features on axis 1, or on axis 0 if there is one axis.

        Returns
        -------
        Tensor
            Like x.

        Raises
        ------
        ShapeError, DtypeError
            If x has another number of features, or another dtype than the parameters.
        """
        check_tensor("PReLU", x, self.weight.dtype)
        features = (x.shape[1] if x.ndim > 1 else x.shape[0]) if x.ndim else 1
        if self.num_parameters not in (1, features):
            raise ShapeError(
                f"PReLU: expected {self.num_parameters} features on axis 1, got {x.shape} {x.dtype}; build the layer "
                "with num_parameters=1, or with the size of the data."
            )
        slope = self.weight if x.ndim < 2 else reshape(self.weight, (-1, *(1,) * (x.ndim - 2)))
        return where(x > 0, x, (slope if x.ndim else reshape(slope, ())) * x)

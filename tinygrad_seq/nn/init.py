"""First values of parameters: each function overwrites a tensor in place and returns it.

Values are drawn in float64 and then cast, so float32 and float64 models get the same weights from the same seed.
Weights have shape (fan_out, fan_in); for more than two axes the last ones belong to both fans.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from ..autograd.tensor import Tensor
from ..base.modes import no_grad, quiet
from ..base.settings import generator as current_generator
from ..errors import ArgumentError, ShapeError
from ..ops.primitive import Array
from .checks import check_numbers

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", bound=Tensor)
Generator = np.random.Generator | None

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, slope: float = 0.01) -> float:
    """Return the factor by which weights grow to keep the variance through `nonlinearity`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> round(ts.nn.init.calculate_gain("relu"), 3)
    1.414
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + slope**2))
    if not isinstance(nonlinearity, str) or nonlinearity not in _GAINS:
        raise ArgumentError(
            f"calculate_gain: expected one of {', '.join(_GAINS)}, leaky_relu, got {nonlinearity!r}; pass one."
        )
    return _GAINS[nonlinearity]


def uniform_(x: T, low: float = 0.0, high: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` with values uniform in [low, high)."""
    return _fill(x, current_generator(generator).uniform(low, high, _shape("uniform_", x)))


def normal_(x: T, mean: float = 0.0, std: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` with normal values of the given mean and standard deviation."""
    check_numbers("normal_", 0, np.inf, std=std)
    return _fill(x, current_generator(generator).normal(mean, std, _shape("normal_", x)))


def constant_(x: T, value: float) -> T:
    """Fill `x` with `value`."""
    return _fill(x, value)


def zeros_(x: T) -> T:
    """Fill `x` with zeros."""
    return _fill(x, 0.0)


def ones_(x: T) -> T:
    """Fill `x` with ones."""
    return _fill(x, 1.0)


def xavier_uniform_(x: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` uniform in ±gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans("xavier_uniform_", x)))
    return uniform_(x, -bound, bound, generator)


def xavier_normal_(x: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` with normal values of deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    return normal_(x, 0.0, gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", x))), generator)


def kaiming_uniform_(x: T, nonlinearity: str = "leaky_relu", slope: float = 0.0, generator: Generator = None) -> T:
    """Fill `x` uniform in ±gain sqrt(3 / fan_in) (He et al., 2015); `slope` is that of leaky_relu."""
    fan_in, _ = _fans("kaiming_uniform_", x)
    bound = calculate_gain(nonlinearity, slope) * math.sqrt(3.0 / fan_in)
    return uniform_(x, -bound, bound, generator)


def orthogonal_(x: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Fill `x`, seen as a matrix (first axis, all others), with orthonormal rows or columns times `gain`.

    Saxe et al., 2014; the QR factor of a normal matrix, its signs fixed so that every orthogonal matrix is as likely.
    """
    _fans("orthogonal_", x)
    rows, columns = x.shape[0], x.size // x.shape[0]
    drawn = current_generator(generator).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = quiet().run(np.linalg.qr, drawn)
    q *= np.sign(np.diag(r))
    return _fill(x, gain * (q if rows >= columns else q.T).reshape(x.shape))


def _fill(x: T, values: Array) -> T:
    _shape("init", x)
    with no_grad():
        return x.copy_(values)


def _shape(caller: str, x: Any) -> tuple[int, ...]:
    if not isinstance(x, Tensor):
        raise ArgumentError(
            f"{caller}: expected a Parameter or a Tensor to fill, got {type(x).__name__}; make one first."
        )
    return x.shape


def _fans(caller: str, x: Tensor) -> tuple[int, int]:
    """Return (fan_in, fan_out)."""
    _shape(caller, x)
    if x.ndim < 2 or not x.size:
        raise ShapeError(
            f"{caller}: expected two or more axes, none of them empty, got shape {x.shape} {x.dtype}; "
            "use uniform_, normal_ or zeros_."
        )
    field = x.size // (x.shape[0] * x.shape[1])
    return x.shape[1] * field, x.shape[0] * field

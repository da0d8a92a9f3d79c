"""Initial values of parameters: each function overwrites a tensor in place and returns it.

Values are drawn in float64 and then cast, so float32 and float64 models get the same weights from the same seed.
A weight has shape (fan_out, fan_in); further axes multiply both fans.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from ..autograd.tensor import Tensor
from ..base.modes import no_grad, quiet
from ..base.settings import generator as current_generator
from ..errors import ArgumentError, ShapeError
from .checks import check_numbers

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", bound=Tensor)
Generator = np.random.Generator | None

_GAINS = {"linear": 1.0, "conv1d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, slope: float = 0.01) -> float:
    """Return the factor of the weights' standard deviation that keeps the variance through `nonlinearity`.

    Parameters
    ----------
    nonlinearity : {"linear", "conv1d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"}
        The activation function after the weights.
    slope : float, default 0.01
        The negative slope of ``"leaky_relu"``.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ArgumentError
        If the nonlinearity is not one of those above, or the slope not a number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> round(ts.nn.init.calculate_gain("relu"), 3)
    1.414
    """
    return _gain("calculate_gain", nonlinearity, slope)


def uniform_(
    x: T,
    low: float = 0.0,
    high: float = 1.0,
    generator: Generator = None,
    *,
    a: float | None = None,
    b: float | None = None,
) -> T:
    """Fill `x` with values uniform in [low, high).

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, of any shape.
    low, high : float, default 0.0 and 1.0
        The bounds.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.
    a, b : float, optional
        PyTorch's names of the bounds.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError
        If x is not a Tensor, or not low <= high.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> bool((ts.nn.init.uniform_(ts.zeros(100), -2, -1) < -1).all())
    True
    """
    low, high = low if a is None else a, high if b is None else b
    check_numbers("uniform_", -np.inf, np.inf, low=low)
    check_numbers("uniform_", low, np.inf, high=high)
    return _fill("uniform_", x, current_generator(generator).uniform(low, high, _shape("uniform_", x)))


def normal_(x: T, mean: float = 0.0, std: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` with normal values of the given mean and standard deviation.

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, of any shape.
    mean, std : float, default 0.0 and 1.0
        The mean and the standard deviation, std >= 0.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError
        If x is not a Tensor, or `mean` not a number or `std` not one >= 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.normal_(ts.zeros(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    check_numbers("normal_", -np.inf, np.inf, mean=mean)
    check_numbers("normal_", 0, np.inf, std=std)
    return _fill("normal_", x, current_generator(generator).normal(mean, std, _shape("normal_", x)))


def constant_(x: T, val: float | None = None, *, value: float | None = None) -> T:
    """Fill `x` with a number.

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, of any shape.
    val : float
        The value of every element.
    value : float, optional
        Another name of `val`.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError
        If x is not a Tensor, or the value not a number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.constant_(ts.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    val = val if value is None else value
    if not isinstance(val, int | float | np.number):
        raise ArgumentError(f"constant_: expected value to be a number, got {val!r}; pass e.g. 0.5.")
    return _fill("constant_", x, val)


def zeros_(x: T) -> T:
    """Fill `x` with zeros.

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, of any shape.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError
        If x is not a Tensor.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.zeros_(ts.zeros(2))
    tensor([0., 0.])
    """
    return _fill("zeros_", x, 0.0)


def ones_(x: T) -> T:
    """Fill `x` with ones.

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, of any shape.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError
        If x is not a Tensor.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.ones_(ts.zeros(2))
    tensor([1., 1.])
    """
    return _fill("ones_", x, 1.0)


def xavier_uniform_(x: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` with values uniform in ±gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, (fan_out, fan_in, ...).
    gain : float, default 1.0
        A factor, such as `calculate_gain` returns.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError, ShapeError
        If x is not a Tensor, is empty or has fewer than two axes, or the gain is not a number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> bool((abs(ts.nn.init.xavier_uniform_(ts.zeros((2, 4)))) <= 1).all())
    True
    """
    check_numbers("xavier_uniform_", 0, np.inf, gain=gain)
    bound = gain * math.sqrt(6.0 / sum(_fans("xavier_uniform_", x)))
    return uniform_(x, -bound, bound, generator)


def xavier_normal_(x: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Fill `x` with normal values of standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, (fan_out, fan_in, ...).
    gain : float, default 1.0
        A factor, such as `calculate_gain` returns.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError, ShapeError
        If x is not a Tensor, is empty or has fewer than two axes, or the gain is not a number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.xavier_normal_(ts.zeros((2, 4)), gain=0.0).sum()
    tensor(0.)
    """
    check_numbers("xavier_normal_", 0, np.inf, gain=gain)
    return normal_(x, 0.0, gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", x))), generator)


def kaiming_uniform_(
    x: T,
    a: float | str = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
    *,
    slope: float | None = None,
) -> T:
    """Fill `x` with values uniform in ±gain sqrt(3 / fan) (He et al., 2015).

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, (fan_out, fan_in, ...).
    a : float, default 0.0
        The negative slope of ``"leaky_relu"``. A word stands for `nonlinearity`.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Which fan: that of the forward pass, or of the backward pass.
    nonlinearity : str, default "leaky_relu"
        The activation function, for `calculate_gain`.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.
    slope : float, optional
        Another name of `a`.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError, ShapeError
        If x is not a Tensor, is empty, or has fewer than two axes, or the mode or the nonlinearity is unknown.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> bool((abs(ts.nn.init.kaiming_uniform_(ts.zeros((2, 6)), nonlinearity="relu")) <= 1).all())
    True
    """
    bound = math.sqrt(3.0) * _deviation("kaiming_uniform_", x, a, mode, nonlinearity, slope)
    return uniform_(x, -bound, bound, generator)


def kaiming_normal_(
    x: T,
    a: float | str = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
    *,
    slope: float | None = None,
) -> T:
    """Fill `x` with normal values of mean 0 and standard deviation gain / sqrt(fan) (He et al., 2015).

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, (fan_out, fan_in, ...).
    a : float, default 0.0
        The negative slope of ``"leaky_relu"``. A word stands for `nonlinearity`.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Which fan: that of the forward pass, or of the backward pass.
    nonlinearity : str, default "leaky_relu"
        The activation function, for `calculate_gain`.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.
    slope : float, optional
        Another name of `a`.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError, ShapeError
        If x is not a Tensor, is empty, or has fewer than two axes, or the mode or the nonlinearity is unknown.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.kaiming_normal_(ts.zeros((2, 6)), mode="fan_out", nonlinearity="relu").shape
    (2, 6)
    """
    return normal_(x, 0.0, _deviation("kaiming_normal_", x, a, mode, nonlinearity, slope), generator)


def trunc_normal_(
    x: T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator = None
) -> T:
    """Fill `x` with normal values, drawn again while they lie outside [a, b].

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, of any shape.
    mean, std : float, default 0.0 and 1.0
        The mean and the standard deviation of the normal distribution, std >= 0.
    a, b : float, default -2.0 and 2.0
        The bounds, at most four deviations from the mean.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError
        If x is not a Tensor, or a number is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> bool((abs(ts.nn.init.trunc_normal_(ts.zeros(100), std=3.0)) <= 2).all())
    True
    """
    check_numbers("trunc_normal_", 0, np.inf, std=std)
    check_numbers("trunc_normal_", -np.inf, mean + 4 * std, a=a)
    check_numbers("trunc_normal_", max(a, mean - 4 * std), np.inf, b=b)
    draw = current_generator(generator)
    values = np.full(_shape("trunc_normal_", x), np.inf)
    while (outside := ~((values >= a) & (values <= b))).any():
        values[outside] = draw.normal(mean, std, int(outside.sum()))
    return _fill("trunc_normal_", x, values)


def eye_(x: T) -> T:
    """Fill a matrix with ones on its diagonal and zeros elsewhere.

    Parameters
    ----------
    x : Tensor or Parameter
        The matrix to overwrite.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError, ShapeError
        If x is not a Tensor, or no matrix.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.init.eye_(ts.zeros((1, 2)))
    tensor([[1., 0.]])
    """
    if len(_shape("eye_", x)) != 2:
        raise ShapeError(f"eye_: expected a matrix, got {x.shape} {x.dtype}; reshape it.")
    rows, columns = x.shape
    return _fill("eye_", x, np.eye(rows, columns))


def orthogonal_(x: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Fill `x`, as a matrix (first axis, all others), with orthonormal rows or columns times `gain`.

    Source: Saxe et al., 2014. It is the Q of a normal matrix, with signs that make all orthogonal matrices
    equally likely.

    Parameters
    ----------
    x : Tensor or Parameter
        The tensor to overwrite, (fan_out, fan_in, ...).
    gain : float, default 1.0
        A factor, such as `calculate_gain` returns.
    generator : numpy.random.Generator, optional
        Draws the values; by default the generator that `manual_seed` seeds.

    Returns
    -------
    Tensor
        x.

    Raises
    ------
    ArgumentError, ShapeError
        If x is not a Tensor, is empty or has fewer than two axes, or the gain is not a number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.nn.init.orthogonal_(ts.zeros((2, 3)))
    >>> [round(value, 3) for value in (x @ x.T).flatten().tolist()]
    [1.0, 0.0, 0.0, 1.0]
    """
    check_numbers("orthogonal_", -np.inf, np.inf, gain=gain)
    _fans("orthogonal_", x)
    rows, columns = x.shape[0], x.size // x.shape[0]
    drawn = current_generator(generator).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = quiet().run(np.linalg.qr, drawn)
    q *= np.sign(np.diag(r))
    return _fill("orthogonal_", x, gain * (q if rows >= columns else q.T).reshape(x.shape))


def _gain(caller: str, nonlinearity: str, slope: float) -> float:
    check_numbers(caller, -np.inf, np.inf, slope=slope)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + slope**2))
    if not isinstance(nonlinearity, str) or nonlinearity not in _GAINS:
        raise ArgumentError(
            f"{caller}: expected one of {', '.join(_GAINS)}, leaky_relu, got {nonlinearity!r}; pass one."
        )
    return _GAINS[nonlinearity]


def _deviation(caller: str, x: Tensor, a: float | str, mode: str, nonlinearity: str, slope: float | None) -> float:
    """Return the standard deviation of He's initial values."""
    fans = dict(zip(("fan_in", "fan_out"), _fans(caller, x), strict=True))
    if mode not in fans:
        raise ArgumentError(f"{caller}: expected mode 'fan_in' or 'fan_out', got {mode!r}; pass one of them.")
    if isinstance(a, str):
        nonlinearity, a = a, 0.0
    return _gain(caller, nonlinearity, a if slope is None else slope) / math.sqrt(fans[mode])


def _fill(caller: str, x: T, values: Any) -> T:
    _shape(caller, x)
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

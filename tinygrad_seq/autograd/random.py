"""New tensors with random values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..base.settings import default_dtype
from ..base.settings import generator as current_generator
from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.casting import as_dtype
from ..ops.shape import one_argument
from ..ops.spelling import keywords
from .creation import Shape, check_shape
from .exchange import check_device
from .tensor import Tensor, wrap


def randn(
    *shape: Any,
    dtype: DTypeLike | None = None,
    generator: np.random.Generator | None = None,
    requires_grad: bool = False,
    size: Shape | None = None,
    device: str | None = None,
) -> Tensor:
    """Return random values from the standard normal distribution.

    Parameters
    ----------
    *shape
        The shape: one tuple or several integers.
    dtype
        float32 or float64; by default `default_dtype`.
    generator
        The random generator; by default the one that `manual_seed` seeds.
    requires_grad
        Whether operations on it are recorded.
    size
        PyTorch's name of the shape, as one tuple.
    device
        None or "cpu", the only device.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.randn(2, 3).shape
    (2, 3)
    """
    check_device("randn", device)
    kind = as_dtype("randn", dtype or default_dtype())
    values = current_generator(generator).standard_normal(
        check_shape("randn", one_argument(shape) if shape else size or ())
    )
    return wrap(values.astype(kind), requires_grad)


def rand(
    *shape: Any,
    dtype: DTypeLike | None = None,
    generator: np.random.Generator | None = None,
    requires_grad: bool = False,
    size: Shape | None = None,
    device: str | None = None,
) -> Tensor:
    """Return random values from the uniform distribution on [0, 1).

    Parameters
    ----------
    *shape
        The shape: one tuple or several integers.
    dtype
        float32 or float64; by default `default_dtype`.
    generator
        The random generator; by default the one that `manual_seed` seeds.
    requires_grad
        Whether operations on it are recorded.
    size
        PyTorch's name of the shape, as one tuple.
    device
        None or "cpu", the only device.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.rand(100)
    >>> bool((0 <= x).all() and (x < 1).all())
    True
    """
    check_device("rand", device)
    kind = as_dtype("rand", dtype or default_dtype())
    values = current_generator(generator).random(
        check_shape("rand", one_argument(shape) if shape else size or ()), kind
    )
    return wrap(np.asarray(values), requires_grad)


@keywords
def randint(
    low: int,
    high: Any = None,
    shape: Shape | None = None,
    generator: np.random.Generator | None = None,
    *,
    size: Shape | None = None,
    dtype: DTypeLike = np.int64,
) -> Tensor:
    """Return random integers from the uniform distribution on ``low, ..., high - 1``.

    Parameters
    ----------
    low, high
        Bounds, ``low < high``; ``randint(high, shape)`` starts at 0 (as in PyTorch).
    shape
        The shape: an integer or a tuple of integers >= 0.
    generator
        The random generator; by default the one that `manual_seed` seeds.
    size
        PyTorch's name of `shape`.
    dtype
        An integer dtype.

    Returns
    -------
    Tensor
        Of that shape and `dtype`.

    Raises
    ------
    ArgumentError
        If `high` is not greater than `low`, or no shape is given.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.randint(0, 10, (2, 3)).shape
    (2, 3)
    """
    shape = size if shape is None else shape
    if isinstance(high, tuple | list) and shape is None:
        high, shape = None, tuple(high)
    if high is None:
        low, high = 0, low
    if shape is None:
        raise ArgumentError("randint: expected a shape, got none; write randint(low, high, (2, 3)).")
    if high <= low:
        raise ArgumentError(f"randint: expected low < high, got {low} and {high}; swap them.")
    values = current_generator(generator).integers(low, high, check_shape("randint", shape))
    return wrap(values.astype(as_dtype("randint", dtype), copy=False))


@keywords
def randn_like(x: Tensor, dtype: DTypeLike | None = None, generator: np.random.Generator | None = None) -> Tensor:
    """Return random values from the standard normal distribution, of the shape and dtype of `x`.

    Parameters
    ----------
    x
        A tensor or array.
    dtype
        Another dtype, float32 or float64.
    generator
        The random generator; by default the one that `manual_seed` seeds.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.randn_like(ts.zeros((2, 3))).shape
    (2, 3)
    """
    return randn(tuple(x.shape), dtype=dtype or x.dtype, generator=generator)


@keywords
def rand_like(x: Tensor, dtype: DTypeLike | None = None, generator: np.random.Generator | None = None) -> Tensor:
    """Return random values from the uniform distribution on [0, 1), of the shape and dtype of `x`.

    Parameters
    ----------
    x
        A tensor or array.
    dtype
        Another dtype, float32 or float64.
    generator
        The random generator; by default the one that `manual_seed` seeds.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.rand_like(ts.zeros((2, 3))).shape
    (2, 3)
    """
    return rand(tuple(x.shape), dtype=dtype or x.dtype, generator=generator)


@keywords
def randperm(n: int, generator: np.random.Generator | None = None, *, device: str | None = None) -> Tensor:
    """Return the integers ``0, ..., n - 1`` in random order.

    Parameters
    ----------
    n
        How many, an integer >= 0.
    generator
        The random generator; by default the one that `manual_seed` seeds.
    device
        None or "cpu", the only device.

    Returns
    -------
    Tensor
        ``(n,)``, int64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> sorted(ts.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    check_device("randperm", device)
    (size,) = check_shape("randperm", n)
    return wrap(current_generator(generator).permutation(size))


@keywords
def bernoulli(probabilities: Tensor, generator: np.random.Generator | None = None) -> Tensor:
    """Return 1 with the given probabilities, and 0 otherwise, as numbers of their dtype.

    Parameters
    ----------
    probabilities
        Numbers in [0, 1] of any shape, floating-point.
    generator
        The random generator; by default the one that `manual_seed` seeds.

    Returns
    -------
    Tensor
        Of the shape and dtype of `probabilities`; no gradient flows through it.

    Raises
    ------
    ArgumentError
        If a probability is not in [0, 1].
    DtypeError
        If they are not floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.bernoulli(ts.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    p = _probabilities("bernoulli", probabilities)
    if not ((p >= 0) & (p <= 1)).all():
        raise ArgumentError(f"bernoulli: expected probabilities in [0, 1], got {p.min()} to {p.max()}; clip them.")
    return wrap((current_generator(generator).random(p.shape) < p).astype(p.dtype))


@keywords
def multinomial(
    weights: Tensor,
    num_samples: int,
    replacement: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Return indices drawn with probabilities proportional to `weights`, for each row.

    Parameters
    ----------
    weights
        ``(V,)`` or ``(N, V)``, floating-point numbers >= 0 that are not all 0 in a row.
    num_samples
        How many to draw per row.
    replacement
        Whether an index may be drawn again.
    generator
        The random generator; by default the one that `manual_seed` seeds.

    Returns
    -------
    Tensor
        ``(num_samples,)`` or ``(N, num_samples)``, int64.

    Raises
    ------
    ArgumentError
        If a row of weights is negative, not finite or all 0, or has fewer weights above 0 than are drawn without
        replacement.
    DtypeError
        If `weights` are not floating-point.
    ShapeError
        If they have another number of axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.multinomial(ts.tensor([0.0, 1.0]), 2, replacement=True)
    tensor([1, 1])
    """
    p = _probabilities("multinomial", weights)
    if p.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected weights (V,) or (N, V), got {p.shape} {p.dtype}; reshape them.")
    rows = p.reshape(-1, p.shape[-1]).astype(np.float64)
    positive = (rows > 0).sum(axis=-1).min(initial=rows.shape[-1])
    if not (np.isfinite(rows) & (rows >= 0)).all() or positive < (1 if replacement else num_samples):
        raise ArgumentError(
            f"multinomial: expected finite weights >= 0 of which at least {1 if replacement else num_samples} are "
            f"above 0 in each row, got {rows.min()} to {rows.max()} and {positive} above 0; pass probabilities, or "
            "replacement=True to draw one more often."
        )
    random = current_generator(generator)
    if replacement:
        ends = np.cumsum(rows, axis=-1)
        points = random.random((len(rows), num_samples)) * ends[:, -1:]
        last = rows.shape[-1] - 1 - np.argmax(rows[:, ::-1] > 0, axis=-1)
        found = [np.searchsorted(row, drawn, side="right") for row, drawn in zip(ends, points, strict=True)]
        drawn = np.minimum(np.array(found).reshape(len(rows), num_samples), last[:, None])
    else:  # the first of independent arrivals, whose rates are the weights
        with np.errstate(divide="ignore"):
            times = random.standard_exponential(rows.shape) / rows
        drawn = np.argsort(times, axis=-1, kind="stable")[:, :num_samples]
    return wrap(drawn.astype(np.int64).reshape(*p.shape[:-1], num_samples))


def _probabilities(name: str, given: Tensor) -> np.ndarray:
    array = np.asarray(given.numpy() if isinstance(given, Tensor) else given)
    if array.dtype.kind != "f":
        raise DtypeError(f"{name}: expected floating-point numbers, got {array.shape} {array.dtype}; cast them.")
    return array


for _function in (bernoulli, multinomial):
    setattr(Tensor, _function.__name__, _function)

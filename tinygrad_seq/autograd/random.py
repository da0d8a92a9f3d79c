"""New tensors with random values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..base.settings import default_dtype
from ..base.settings import generator as current_generator
from ..errors import ArgumentError
from ..ops.casting import as_dtype
from ..ops.shape import one_argument
from .creation import Shape, check_shape
from .tensor import Tensor, wrap


def randn(
    *shape: Any,
    dtype: DTypeLike | None = None,
    generator: np.random.Generator | None = None,
    requires_grad: bool = False,
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
    kind = as_dtype("randn", dtype or default_dtype())
    values = current_generator(generator).standard_normal(check_shape("randn", one_argument(shape)))
    return wrap(values.astype(kind), requires_grad)


def rand(
    *shape: Any,
    dtype: DTypeLike | None = None,
    generator: np.random.Generator | None = None,
    requires_grad: bool = False,
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
    kind = as_dtype("rand", dtype or default_dtype())
    values = current_generator(generator).random(check_shape("rand", one_argument(shape)), kind)
    return wrap(np.asarray(values), requires_grad)


def randint(low: int, high: int, shape: Shape, generator: np.random.Generator | None = None) -> Tensor:
    """Return random integers from the uniform distribution on ``low, ..., high - 1``.

    Parameters
    ----------
    low, high
        Bounds, ``low < high``.
    shape
        The shape: an integer or a tuple of integers >= 0.
    generator
        The random generator; by default the one that `manual_seed` seeds.

    Returns
    -------
    Tensor
        int64.

    Raises
    ------
    ArgumentError
        If `high` is not greater than `low`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.randint(0, 10, (2, 3)).shape
    (2, 3)
    """
    if high <= low:
        raise ArgumentError(f"randint: expected low < high, got {low} and {high}; swap them.")
    return wrap(current_generator(generator).integers(low, high, check_shape("randint", shape)))

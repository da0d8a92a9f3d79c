"""New tensors from Python data, from NumPy arrays, from a shape, from a random generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..base.settings import default_dtype
from ..base.settings import generator as current_generator
from ..errors import ArgumentError, ShapeError
from ..ops.casting import as_dtype
from ..ops.primitive import LEVELS, Array
from ..ops.shape import one_argument
from .conversion import to_array
from .tensor import Tensor, wrap

Shape = int | tuple[int, ...]


def tensor(data: Array, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a new tensor with a copy of `data`.

    Parameters
    ----------
    data
        A number, nested lists of numbers, an ndarray, a Tensor or what NumPy reads as an array (pandas, polars, xarray,
        PyTorch, the buffer protocol), of any shape.
    dtype
        By default that of the array, or of the arrays in a list; for Python numbers alone float32 (see
        `set_default_dtype`), int64 or bool.
    requires_grad
        Whether operations on it are recorded.

    Raises
    ------
    DtypeError
        If the values are not real numbers or booleans, or `requires_grad` is asked of integers.
    ShapeError
        If nested lists are ragged.
    GraphError
        If nested lists hold a tensor that requires grad: `stack` keeps its gradient.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """
    return wrap(to_array("tensor", data, dtype), requires_grad)


def asarray(data: Array, dtype: DTypeLike | None = None) -> Tensor:
    """Return `data` as a tensor: a Tensor as it is, an ndarray without a copy, anything else as `tensor` does.

    A shared ndarray may be written to by its owner at any time; graphs keep copies of it.
    """
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == np.dtype(dtype) else data.astype(dtype)
    if isinstance(data, np.ndarray) and data.dtype == as_dtype("asarray", dtype or data.dtype):
        shared = wrap(data)
        shared._exposed = True
        return shared
    return tensor(data, dtype)


# ---------------------------------------------------------------------------------------------- from a shape


def _check_shape(caller: str, shape: Shape) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if not all(isinstance(size, int | np.integer) and size >= 0 for size in sizes):
        raise ShapeError(f"{caller}: expected a shape of integers >= 0, got {shape!r}; pass e.g. (2, 3).")
    return tuple(int(size) for size in sizes)


def full(shape: Shape, value: float, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of `shape` filled with `value`; by default of the dtype `tensor` gives to `value`."""
    sizes = _check_shape("full", shape)
    return wrap(np.full(sizes, to_array("full", value, dtype)), requires_grad)


def zeros(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros of `shape`, by default float32."""
    kind = as_dtype("zeros", dtype or default_dtype())
    return wrap(np.zeros(_check_shape("zeros", shape), kind), requires_grad)


def ones(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones of `shape`, by default float32."""
    kind = as_dtype("ones", dtype or default_dtype())
    return wrap(np.ones(_check_shape("ones", shape), kind), requires_grad)


def zeros_like(x: Array, dtype: DTypeLike | None = None) -> Tensor:
    """Return zeros with the shape and dtype of `x`."""
    x = _shaped(x)
    return zeros(x.shape, dtype or x.dtype)


def ones_like(x: Array, dtype: DTypeLike | None = None) -> Tensor:
    """Return ones with the shape and dtype of `x`."""
    x = _shaped(x)
    return ones(x.shape, dtype or x.dtype)


def full_like(x: Array, value: float, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor with the shape and dtype of `x` filled with `value`."""
    x = _shaped(x)
    return full(x.shape, value, dtype or x.dtype)


def _shaped(x: Array) -> Array:
    """Return `x` as something that has a shape and a dtype: a value of a scan step as it is."""
    return x if x.__class__ in LEVELS else asarray(x)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike | None = None) -> Tensor:
    """Return evenly spaced values from `start` (0 if only one number is given) up to `stop`, without it."""
    if step == 0:
        raise ArgumentError("arange: expected a step other than 0, got 0; pass e.g. 1 or -1.")
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    return tensor(values, dtype or (default_dtype() if values.dtype.kind == "f" else values.dtype))


def linspace(start: float, stop: float, num: int, dtype: DTypeLike | None = None) -> Tensor:
    """Return `num` evenly spaced values from `start` to `stop`, both included."""
    return tensor(np.linspace(start, stop, num), dtype or default_dtype())


def eye(rows: int, columns: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return a matrix of shape (rows, columns) with ones on its diagonal."""
    return wrap(np.eye(rows, columns, dtype=as_dtype("eye", dtype or default_dtype())))


# ---------------------------------------------------------------------------------------------------- random


def randn(
    *shape: Any,
    dtype: DTypeLike | None = None,
    generator: np.random.Generator | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return standard normal values of `shape`, drawn from `generator` or the generator that `manual_seed` seeds.

    The shape is one tuple or several integers.
    """
    kind = as_dtype("randn", dtype or default_dtype())
    values = current_generator(generator).standard_normal(_check_shape("randn", one_argument(shape)))
    return wrap(values.astype(kind), requires_grad)


def rand(
    *shape: Any,
    dtype: DTypeLike | None = None,
    generator: np.random.Generator | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return values uniform in [0, 1) of `shape`, drawn from `generator` or the generator that `manual_seed` seeds.

    The shape is one tuple or several integers.
    """
    kind = as_dtype("rand", dtype or default_dtype())
    values = current_generator(generator).random(_check_shape("rand", one_argument(shape)), kind)
    return wrap(np.asarray(values), requires_grad)


def randint(low: int, high: int, shape: Shape, generator: np.random.Generator | None = None) -> Tensor:
    """Return int64 values of `shape` uniform in [low, high)."""
    if high <= low:
        raise ArgumentError(f"randint: expected low < high, got {low} and {high}; swap them.")
    return wrap(current_generator(generator).integers(low, high, _check_shape("randint", shape)))

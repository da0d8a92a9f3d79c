"""New tensors from Python data, NumPy arrays and shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..base.settings import default_dtype
from ..errors import ArgumentError, ShapeError
from ..ops.casting import as_dtype
from ..ops.primitive import LEVELS, Array, is_traced
from .conversion import to_array
from .tensor import Tensor, wrap

Shape = int | tuple[int, ...]


def tensor(data: ArrayLike, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a new tensor with a copy of `data`.

    Parameters
    ----------
    data
        A number, nested lists of numbers, an ndarray, a Tensor, or any object that NumPy reads as an array (pandas,
        polars, xarray, PyTorch, the buffer protocol), of any shape.
    dtype
        By default the dtype of the array, or of the arrays in a list; for Python numbers alone `default_dtype`, int64
        or bool.
    requires_grad
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        A new leaf; it never shares memory with `data`.

    Raises
    ------
    DtypeError
        If the values are not real numbers or booleans, or `requires_grad` is set for integers.
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


def asarray(data: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return `data` as a tensor: a Tensor unchanged, an ndarray without a copy, anything else as `tensor` does.

    The owner of a shared ndarray may write to it at any time; graphs keep copies of it.

    Parameters
    ----------
    data
        A Tensor, an ndarray, a number, nested lists, or any object that NumPy reads as an array.
    dtype
        By default the dtype of `data`, as in `tensor`.

    Returns
    -------
    Tensor
        `data` itself, or a new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.asarray([1.0, 2.0])
    tensor([1., 2.])
    """
    return as_tensor("asarray", data, dtype)


def as_tensor(caller: str, data: Array, dtype: DTypeLike | None = None) -> Tensor:
    """Return `asarray` of `data`, in the name of `caller`."""
    if isinstance(data, Tensor) or is_traced(data):
        return data if dtype is None or data.dtype == np.dtype(dtype) else data.astype(dtype)  # type: ignore[no-any-return]
    if isinstance(data, np.ndarray) and data.dtype == as_dtype(caller, dtype or data.dtype):
        shared = wrap(data)
        shared._exposed = True
        return shared
    return wrap(to_array(caller, data, dtype))


# ---------------------------------------------------------------------------------------------- from a shape


def check_shape(caller: str, shape: Shape) -> tuple[int, ...]:
    """Return `shape` as a tuple; raise ShapeError in the name of `caller` unless its sizes are integers >= 0."""
    sizes = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if not all(isinstance(size, int | np.integer) and size >= 0 for size in sizes):
        raise ShapeError(f"{caller}: expected a shape of integers >= 0, got {shape!r}; pass e.g. (2, 3).")
    return tuple(int(size) for size in sizes)


def full(shape: Shape, value: float, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of `shape` filled with `value`.

    Parameters
    ----------
    shape
        The shape: an integer or a tuple of integers >= 0.
    value
        A number.
    dtype
        By default the dtype that `tensor` gives to `value`.
    requires_grad
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    sizes = check_shape("full", shape)
    return wrap(np.full(sizes, to_array("full", value, dtype)), requires_grad)


def zeros(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    shape
        The shape: an integer or a tuple of integers >= 0.
    dtype
        float32 or float64 or an integer dtype; by default `default_dtype`.
    requires_grad
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.zeros((2, 3)).shape
    (2, 3)
    """
    kind = as_dtype("zeros", dtype or default_dtype())
    return wrap(np.zeros(check_shape("zeros", shape), kind), requires_grad)


def ones(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones.

    Parameters
    ----------
    shape
        The shape: an integer or a tuple of integers >= 0.
    dtype
        float32 or float64 or an integer dtype; by default `default_dtype`.
    requires_grad
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.ones(3)
    tensor([1., 1., 1.])
    """
    kind = as_dtype("ones", dtype or default_dtype())
    return wrap(np.ones(check_shape("ones", shape), kind), requires_grad)


def zeros_like(x: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return zeros with the shape and dtype of `x`.

    Parameters
    ----------
    x
        A Tensor or array.
    dtype
        By default the dtype of `x`.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.zeros_like(ts.ones(2))
    tensor([0., 0.])
    """
    like = _shaped(x)
    return zeros(like.shape, dtype or like.dtype)


def ones_like(x: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
    """Return ones with the shape and dtype of `x`.

    Parameters
    ----------
    x
        A Tensor or array.
    dtype
        By default the dtype of `x`.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.ones_like(ts.zeros(2))
    tensor([1., 1.])
    """
    like = _shaped(x)
    return ones(like.shape, dtype or like.dtype)


def full_like(x: ArrayLike, value: float, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor with the shape and dtype of `x`, filled with `value`.

    Parameters
    ----------
    x
        A Tensor or array.
    value
        A number.
    dtype
        By default the dtype of `x`.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.full_like(ts.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    like = _shaped(x)
    return full(like.shape, value, dtype or like.dtype)


def _shaped(x: Array) -> Array:
    """Return `x` as an object with a shape and a dtype; values of a scan step pass unchanged."""
    return x if x.__class__ in LEVELS else asarray(x)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike | None = None) -> Tensor:
    """Return the values ``start, start + step, ...`` below `stop`; ``arange(stop)`` starts at 0.

    Parameters
    ----------
    start
        The first value, or `stop` if it is the only number.
    stop
        The end, which is not included.
    step
        The difference of neighbours, not 0.
    dtype
        By default int64 for integers and `default_dtype` for floats.

    Returns
    -------
    Tensor
        Shape (n,).

    Raises
    ------
    ArgumentError
        If `step` is 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.arange(2, 8, 2)
    tensor([2, 4, 6])
    """
    if step == 0:
        raise ArgumentError("arange: expected a step other than 0, got 0; pass e.g. 1 or -1.")
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    return tensor(values, dtype or (default_dtype() if values.dtype.kind == "f" else values.dtype))


def linspace(start: float, stop: float, num: int, dtype: DTypeLike | None = None) -> Tensor:
    """Return `num` evenly spaced values from `start` to `stop`, both included.

    Parameters
    ----------
    start, stop
        The first and the last value.
    num
        How many values, an integer >= 0.
    dtype
        By default `default_dtype`.

    Returns
    -------
    Tensor
        Shape (num,).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.linspace(0, 1, 3)
    tensor([0. , 0.5, 1. ])
    """
    return tensor(np.linspace(start, stop, num), dtype or default_dtype())


def eye(rows: int, columns: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Return a matrix with ones on its diagonal and zeros elsewhere.

    Parameters
    ----------
    rows, columns
        Its shape; `columns` is `rows` by default.
    dtype
        By default `default_dtype`.

    Returns
    -------
    Tensor
        Shape (rows, columns).

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return wrap(np.eye(rows, columns, dtype=as_dtype("eye", dtype or default_dtype())))

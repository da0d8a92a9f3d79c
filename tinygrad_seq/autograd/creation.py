"""New tensors from Python data, NumPy arrays, the memory of other libraries, and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..base.settings import default_dtype
from ..errors import ArgumentError, ShapeError
from ..ops.casting import as_dtype, clone
from ..ops.primitive import LEVELS, Array, is_traced
from ..ops.spelling import keywords
from .conversion import to_array
from .exchange import check_device, import_memory
from .tensor import Tensor, wrap

Shape = int | tuple[int, ...]


@keywords
def tensor(
    data: ArrayLike, dtype: DTypeLike | None = None, requires_grad: bool = False, *, device: str | None = None
) -> Tensor:
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
    device
        None or "cpu", the only device.

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
    check_device("tensor", device)
    return wrap(to_array("tensor", data, dtype), requires_grad)


@keywords
def asarray(
    data: ArrayLike, dtype: DTypeLike | None = None, *, device: str | None = None, copy: bool | None = None
) -> Tensor:
    """Return `data` as a tensor: a Tensor unchanged, an ndarray without a copy, anything else as `tensor` does.

    The owner of a shared ndarray may write to it at any time; graphs keep copies of it.

    Parameters
    ----------
    data
        A Tensor, an ndarray, a number, nested lists, or any object that NumPy reads as an array.
    dtype
        By default the dtype of `data`, as in `tensor`.
    device
        None or "cpu", the only device.
    copy
        True always copies (gradient flows through the copy of a Tensor), False never does, None where it must.

    Returns
    -------
    Tensor
        `data` itself, or a new leaf; a copy of a Tensor that requires grad is recorded.

    Raises
    ------
    ArgumentError
        If `copy` is False and a copy is needed: of anything but Tensors and ndarrays of that dtype.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.asarray([1.0, 2.0])
    tensor([1., 2.])
    """
    check_device("asarray", device)
    shared = as_tensor("asarray", data, dtype)
    if shared is data or shared._exposed:
        if not copy:
            return shared
        return clone(shared) if shared is data else wrap(np.array(shared.numpy()))
    if copy is False:
        raise ArgumentError(
            f"asarray: expected data whose memory can be shared with copy=False, a Tensor or ndarray of the dtype, got "
            f"{type(data).__name__} {getattr(data, 'dtype', '')}; leave out copy=, or share it with ts.from_dlpack."
        )
    return shared


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on the memory of `x`, an array of another library that exports it by DLPack.

    What the other library writes is seen by the tensor; graphs keep copies of it.

    Parameters
    ----------
    x
        An array of NumPy, PyTorch, JAX or any library with ``__dlpack__``, in main memory.
    device
        None or "cpu", the only device.
    copy
        True always copies, False never does, None where the other library must.

    Returns
    -------
    Tensor
        A new leaf, of the shape and dtype of `x`.

    Raises
    ------
    ArgumentError
        If `x` does not export its memory, as because it requires grad, or lies on another device.
    DtypeError
        If `x` has a dtype that a Tensor cannot have.
    GraphError
        If `x` is a Tensor that requires grad.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_seq as ts
    >>> array = np.zeros(2)
    >>> shared = ts.from_dlpack(array)
    >>> array[0] = 5.0
    >>> shared
    tensor([5., 0.], dtype=float64)
    """
    check_device("from_dlpack", device)
    shared = wrap(import_memory(x, copy))
    shared._exposed = True
    return shared


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


@keywords
def full(
    shape: Shape,
    fill_value: float,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
    *,
    device: str | None = None,
) -> Tensor:
    """Return a tensor of `shape` filled with `fill_value`.

    Parameters
    ----------
    shape
        The shape: an integer or a tuple of integers >= 0.
    fill_value
        A number.
    dtype
        By default the dtype that `tensor` gives to `fill_value`.
    requires_grad
        Whether operations on it are recorded.
    device
        None or "cpu", the only device.

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
    check_device("full", device)
    sizes = check_shape("full", shape)
    return wrap(np.full(sizes, to_array("full", fill_value, dtype)), requires_grad)


def _new(
    caller: str,
    make: Any,
    shape: Shape,
    more: tuple[Any, ...],
    dtype: DTypeLike | None,
    requires_grad: bool,
    device: str | None,
) -> Tensor:
    """Return ``make(shape, dtype)``, given ``f((2, 3))``, ``f(2, 3)``, or ``f((2, 3), dtype)``."""
    check_device(caller, device)
    if len(more) == 1 and dtype is None and not isinstance(more[0], int | np.integer):
        dtype, more = more[0], ()
    sizes = check_shape(caller, (shape, *more) if more else shape)  # type: ignore[arg-type]
    return wrap(make(sizes, as_dtype(caller, dtype or default_dtype())), requires_grad)


@keywords
def zeros(
    shape: Shape, *more: Any, dtype: DTypeLike | None = None, requires_grad: bool = False, device: str | None = None
) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    shape, *more
        The sizes, integers >= 0: one integer, one tuple or several integers. A dtype may follow one integer or tuple.
    dtype
        A dtype or its name; by default `default_dtype`.
    requires_grad
        Whether operations on it are recorded.
    device
        None or "cpu", the only device.

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
    return _new("zeros", np.zeros, shape, more, dtype, requires_grad, device)


@keywords
def ones(
    shape: Shape, *more: Any, dtype: DTypeLike | None = None, requires_grad: bool = False, device: str | None = None
) -> Tensor:
    """Return a tensor of ones.

    Parameters
    ----------
    shape, *more
        The sizes, integers >= 0: one integer, one tuple or several integers. A dtype may follow one integer or tuple.
    dtype
        A dtype or its name; by default `default_dtype`.
    requires_grad
        Whether operations on it are recorded.
    device
        None or "cpu", the only device.

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
    return _new("ones", np.ones, shape, more, dtype, requires_grad, device)


@keywords
def empty(
    shape: Shape, *more: Any, dtype: DTypeLike | None = None, requires_grad: bool = False, device: str | None = None
) -> Tensor:
    """Return a tensor whose values are whatever the memory held.

    Parameters
    ----------
    shape, *more
        The sizes, integers >= 0: one integer, one tuple or several integers. A dtype may follow one integer or tuple.
    dtype
        A dtype or its name; by default `default_dtype`.
    requires_grad
        Whether operations on it are recorded.
    device
        None or "cpu", the only device.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.empty((2, 3)).shape
    (2, 3)
    """
    return _new("empty", np.empty, shape, more, dtype, requires_grad, device)


@keywords
def zeros_like(x: ArrayLike, dtype: DTypeLike | None = None, *, device: str | None = None) -> Tensor:
    """Return zeros with the shape and dtype of `x`.

    Parameters
    ----------
    x
        A Tensor or array.
    dtype
        By default the dtype of `x`.
    device
        None or "cpu", the only device.

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
    return zeros(like.shape, dtype=dtype or like.dtype, device=device)


@keywords
def ones_like(x: ArrayLike, dtype: DTypeLike | None = None, *, device: str | None = None) -> Tensor:
    """Return ones with the shape and dtype of `x`.

    Parameters
    ----------
    x
        A Tensor or array.
    dtype
        By default the dtype of `x`.
    device
        None or "cpu", the only device.

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
    return ones(like.shape, dtype=dtype or like.dtype, device=device)


@keywords
def empty_like(x: ArrayLike, dtype: DTypeLike | None = None, *, device: str | None = None) -> Tensor:
    """Return whatever the memory held, with the shape and dtype of `x`.

    Parameters
    ----------
    x
        A Tensor or array.
    dtype
        By default the dtype of `x`.
    device
        None or "cpu", the only device.

    Returns
    -------
    Tensor
        A new leaf.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.empty_like(ts.ones(2)).shape
    (2,)
    """
    like = _shaped(x)
    return empty(like.shape, dtype=dtype or like.dtype, device=device)


@keywords
def full_like(x: ArrayLike, fill_value: float, dtype: DTypeLike | None = None, *, device: str | None = None) -> Tensor:
    """Return a tensor with the shape and dtype of `x`, filled with `fill_value`.

    Parameters
    ----------
    x
        A Tensor or array.
    fill_value
        A number.
    dtype
        By default the dtype of `x`.
    device
        None or "cpu", the only device.

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
    return full(like.shape, fill_value, dtype or like.dtype, device=device)


def _shaped(x: Array) -> Array:
    """Return `x` as an object with a shape and a dtype; values of a scan step pass unchanged."""
    return x if x.__class__ in LEVELS else asarray(x)


@keywords
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: DTypeLike | None = None,
    *,
    device: str | None = None,
) -> Tensor:
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
    device
        None or "cpu", the only device.

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
    check_device("arange", device)
    if step == 0:
        raise ArgumentError("arange: expected a step other than 0, got 0; pass e.g. 1 or -1.")
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    return tensor(values, dtype or (default_dtype() if values.dtype.kind == "f" else values.dtype))


@keywords
def linspace(
    start: float,
    stop: float,
    num: int,
    dtype: DTypeLike | None = None,
    *,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    """Return `num` evenly spaced values from `start` to `stop`, both included.

    Parameters
    ----------
    start, stop
        The first and the last value.
    num
        How many values, an integer >= 0.
    dtype
        By default `default_dtype`.
    device
        None or "cpu", the only device.
    endpoint
        Whether `stop` is the last value; otherwise it would be the next one.

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
    check_device("linspace", device)
    return tensor(np.linspace(start, stop, num, endpoint=endpoint), dtype or default_dtype())


@keywords
def eye(
    rows: int, columns: int | None = None, dtype: DTypeLike | None = None, *, k: int = 0, device: str | None = None
) -> Tensor:
    """Return a matrix with ones on a diagonal and zeros elsewhere.

    Parameters
    ----------
    rows, columns
        Its shape; `columns` is `rows` by default.
    dtype
        By default `default_dtype`.
    k
        Which diagonal: 0 is the main one, positive ones lie above it.
    device
        None or "cpu", the only device.

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
    check_device("eye", device)
    return wrap(np.eye(rows, columns, k, dtype=as_dtype("eye", dtype or default_dtype())))

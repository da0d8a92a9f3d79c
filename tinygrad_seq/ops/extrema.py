"""Largest, smallest, whether any, whether all: reductions that choose or decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .arithmetic import maximum, minimum
from .axes import Axes, Axis, normalise_axes, normalise_axis
from .casting import astype
from .comparison import equal, not_equal, where
from .primitive import TABLE, Array, OpKind, Primitive, Rule
from .public import Public
from .shape import kept
from .spelling import Extremes, Meaning, pair_of


def _share(g: Array, y: Array, x: Array, axes: Axes, keepdims: bool) -> Array:
    """Return the gradient of a choice of one element: an even share of `g` to all that equal `y`."""
    chosen = equal(x, kept(y, x.shape, axes))
    ties = astype(maximum(_count_true(chosen, axes=axes, keepdims=True), 1), g.dtype)
    return where(chosen, kept(g, x.shape, axes) / ties, 0)


_count_true = Primitive(
    "count_nonzero",
    lambda x, axes, keepdims: np.add.reduce(x != 0, axis=axes, keepdims=keepdims, dtype=np.int64),
    (None,),
    formula=lambda x, axes, keepdims: TABLE["sum"](astype(not_equal(x, 0), "int64"), axes=axes, keepdims=keepdims),
)


def _reducer(name: str, ufunc: np.ufunc, rule: Rule | None, start: bool | None, step: str) -> Primitive:
    return Primitive(
        name,
        lambda x, axes, keepdims: ufunc.reduce(x, axis=axes, keepdims=keepdims),
        (rule,),
        kind=OpKind.REDUCTION,
        fold=(start, f"{{total}} = {step}"),
    )


_max = _reducer("max", np.maximum, _share, None, "reduce.largest({total}, {value})")
_min = _reducer("min", np.minimum, _share, None, "reduce.smallest({total}, {value})")
_any = _reducer("any", np.logical_or, None, False, "{total} or {value} != 0")
_all = _reducer("all", np.logical_and, None, True, "{total} and {value} != 0")


def _index_of(name: str, find: Callable[..., Any]) -> Primitive:
    return Primitive(
        name, lambda x, axis, keepdims: np.asarray(find(x, axis, keepdims=keepdims), np.int64), (None,), axes="axis"
    )


_argmax = _index_of("argmax", np.argmax)
_argmin = _index_of("argmin", np.argmin)


def _is_operand(axis: Any) -> bool:
    """Return whether an "axis" is the other operand of ``torch.max(a, b)``, which `maximum` is."""
    return hasattr(axis, "dtype") and (axis.ndim > 0 or axis.dtype.kind == "f")


def _refuse_empty(name: str, x: Array, axes: Axes) -> None:
    if x.size == 0 and 0 not in [size for axis, size in enumerate(x.shape) if axis not in axes]:
        raise ShapeError(
            f"{name}: expected at least one element to choose from, got shape {x.shape} {x.dtype} reduced over axes "
            f"{axes}; skip empty arrays, or reduce over other axes."
        )


def _pair(name: str) -> Meaning:
    """Return PyTorch's meaning of ``max`` and ``min``."""

    def pair(x: Array, axis: int, keepdims: bool = False) -> Extremes[Array]:
        if isinstance(axis, tuple | list):
            raise ArgumentError(
                f"{name}: expected dim to be one axis, got {axis!r}; reduce several at once by a{name}(x, dim=...), "
                "which returns the values only."
            )
        choose, search = (max, argmax) if name == "max" else (min, argmin)
        return Extremes(choose(x, axis, keepdims), search(x, axis, keepdims))

    return pair_of(name, pair, "x, ", "the values")


@Public("amax", pytorch=_pair("max"))
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the largest element over `axis`; equal ones share the gradient evenly.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; of the dtype of `x`.

    Raises
    ------
    ShapeError
        If there is no element to choose.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> x = ts.tensor([1.0, 3.0, 3.0], requires_grad=True)
    >>> ts.max(x).backward()
    >>> x.grad
    tensor([0. , 0.5, 0.5])
    """
    if _is_operand(axis):
        return maximum(x, axis)
    axes = normalise_axes("max", axis, x.ndim)
    _refuse_empty("max", x, axes)
    return _max(x, axes=axes, keepdims=keepdims)


@Public("amin", pytorch=_pair("min"))
def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the smallest element over `axis`; equal ones share the gradient evenly.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; of the dtype of `x`.

    Raises
    ------
    ShapeError
        If there is no element to choose.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.min(ts.tensor([[1.0, 2.0], [3.0, 0.0]]), axis=1)
    tensor([1., 0.])
    """
    if _is_operand(axis):
        return minimum(x, axis)
    axes = normalise_axes("min", axis, x.ndim)
    _refuse_empty("min", x, axes)
    return _min(x, axes=axes, keepdims=keepdims)


def _arg(primitive: Primitive, x: Array, axis: int | None, keepdims: bool) -> Array:
    if axis is not None:
        axis = normalise_axis(primitive.name, axis, x.ndim)
    _refuse_empty(primitive.name, x, tuple(range(x.ndim)) if axis is None else (axis,))
    return primitive(x, axis=axis, keepdims=keepdims)


@Public()
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Return the int64 index of the largest element along `axis` (None: of the flattened array), the first of equals.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis to search; None searches the flattened array.
    keepdims : bool, default False
        Whether the searched axis stays, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without `axis`; int64.

    Raises
    ------
    ShapeError
        If there is no element to choose.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.argmax(ts.tensor([[1.0, 2.0], [3.0, 0.0]]), axis=1)
    tensor([1, 0])
    """
    return _arg(_argmax, x, axis, keepdims)


@Public()
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Return the int64 index of the smallest element along `axis` (None: of the flattened array), the first of equals.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis to search; None searches the flattened array.
    keepdims : bool, default False
        Whether the searched axis stays, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without `axis`; int64.

    Raises
    ------
    ShapeError
        If there is no element to choose.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.argmin(ts.tensor([4.0, 2.0, 3.0]))
    tensor(1)
    """
    return _arg(_argmin, x, axis, keepdims)


@Public()
def any(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return whether any element over `axis` is nonzero; False where it is empty.

    Parameters
    ----------
    x : array_like
        Numbers or booleans of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.any(ts.tensor([0.0, 2.0]))
    tensor(True)
    """
    return _any(x, axes=normalise_axes("any", axis, x.ndim), keepdims=keepdims)


@Public()
def all(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return whether all elements over `axis` are nonzero; True where it is empty.

    Parameters
    ----------
    x : array_like
        Numbers or booleans of any shape.
    axis : int or sequence of int, default None
        The axes to reduce; None reduces all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.all(ts.tensor([0.0, 2.0]))
    tensor(False)
    """
    return _all(x, axes=normalise_axes("all", axis, x.ndim), keepdims=keepdims)


@Public(spread=True)
def count_nonzero(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return how many elements over `axis` are not zero, as int64.

    Parameters
    ----------
    x : array_like
        Numbers or booleans of any shape.
    axis : int or sequence of int, default None
        The axes to count over; None counts all.
    keepdims : bool, default False
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor
        The shape of `x` without the reduced axes; int64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.count_nonzero(ts.tensor([[0.0, 2.0], [1.0, 1.0]]), axis=0)
    tensor([1, 2])
    """
    return _count_true(x, axes=normalise_axes("count_nonzero", axis, x.ndim), keepdims=keepdims)

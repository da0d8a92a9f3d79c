"""Order: which element comes when; gradients go back to where the elements came from. NaN counts as the largest."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from ..errors import ArgumentError
from .axes import normalise_axis
from .compiled_forward import writable
from .gathering import gather_add, take_along_axis
from .primitive import Array, Primitive
from .public import Public
from .shape import as_shape
from .spelling import Extremes, pair_of


def _order(x: np.ndarray, axis: int, descending: bool, stable: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis, stable=stable)
    # Backwards twice, so that equal elements keep their order.
    backwards = np.argsort(np.flip(x, axis), axis, stable=stable)
    order: np.ndarray = x.shape[axis] - 1 - np.flip(backwards, axis)
    return order


@functools.cache
def _select() -> Callable[..., None]:
    """Return the kernel, imported at first use because that takes 20 ms."""
    from ..kernels.selection import select

    return select


def _extremes(x: np.ndarray, k: int, axis: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    last = x.swapaxes(axis, -1)
    lead = last.shape[:-1]
    count = math.prod(lead)
    values, indices = np.empty((count, k), x.dtype), np.empty((count, k), np.int64)
    _select()(writable(last).reshape(count, x.shape[axis]), largest, values, indices)
    return values.reshape(*lead, k).swapaxes(axis, -1), indices.reshape(*lead, k).swapaxes(axis, -1)


_argsort = Primitive("argsort", _order, (None,), axes="axis")
_topk = Primitive(
    "topk",
    _extremes,
    (lambda g, y, x_like, k, axis, largest: gather_add(g[0], y[1], shape=x_like.shape, axis=axis),),
    multiple=True,
)


@Public()
def argsort(x: Array, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Array:
    """Return the indices that sort `x` along `axis`; `stable` keeps equal elements in their order.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int, default -1
        The axis to sort along.
    descending : bool, default False
        Whether the largest comes first.
    stable : bool, default True
        Whether equal elements keep their order.

    Returns
    -------
    Tensor
        Of the shape of `x`; int64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.argsort(ts.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    axis = normalise_axis("argsort", axis, x.ndim)
    return _argsort(x, axis=axis, descending=bool(descending), stable=bool(stable))


def _sorted(x: Array, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Extremes[Array]:
    order = argsort(x, axis, descending=descending, stable=stable)
    return Extremes(take_along_axis(x, order, axis), order)


@Public(pytorch=pair_of("sort", _sorted, "x, ", "the sorted elements", always=True))
def sort(x: Array, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Array:
    """Return `x` sorted along `axis`; `stable` keeps equal elements, and so their gradients, in their order.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int, default -1
        The axis to sort along.
    descending : bool, default False
        Whether the largest comes first.
    stable : bool, default True
        Whether equal elements keep their order.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.sort(ts.tensor([3.0, 1.0, 2.0]), axis=-1, descending=True)
    tensor([3., 2., 1.])
    """
    return take_along_axis(x, argsort(x, axis, descending=descending, stable=stable), axis)


@Public()
def topk(x: Array, k: int, axis: int = -1, largest: bool = True) -> Extremes[Array]:
    """Return the `k` largest (or smallest) elements of `x` along `axis`, best first, and their indices.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    k : int
        How many elements to take.
    axis : int, default -1
        The axis to search.
    largest : bool, default True
        Whether to take the largest or the smallest.

    Returns
    -------
    tuple of Tensor
        ``(values, indices)``: the elements and their int64 indices, each of the shape of `x` with k along `axis`.

    Raises
    ------
    ArgumentError
        If `k` is negative or more than the elements there are.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> values, indices = ts.topk(ts.tensor([3.0, 1.0, 2.0]), 2)
    >>> values, indices
    (tensor([3., 2.]), tensor([0, 2]))
    """
    axis, (k,) = normalise_axis("topk", axis, x.ndim), as_shape("topk", k)
    if not 0 <= k <= x.shape[axis]:
        raise ArgumentError(
            f"topk: expected k from 0 to {x.shape[axis]}, the size of axis {axis}, got {k} for an array of shape "
            f"{x.shape} {x.dtype}; pass a smaller k."
        )
    return Extremes(*_topk(x, k=k, axis=axis, largest=bool(largest)))

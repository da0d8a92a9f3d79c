"""Order: which element comes when; gradients go back to where the elements came from. NaN counts as the largest."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError
from .axes import normalise_axis
from .gathering import take_along_axis
from .primitive import Array, Primitive
from .public import Public
from .shape import as_shape


def _order(x: np.ndarray, axis: int, descending: bool, stable: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis, stable=stable)
    # Backwards twice, so that equal elements keep their order.
    backwards = np.argsort(np.flip(x, axis), axis, stable=stable)
    order: np.ndarray = x.shape[axis] - 1 - np.flip(backwards, axis)
    return order


def _extremes(x: np.ndarray, k: int, axis: int, largest: bool) -> np.ndarray:
    size = x.shape[axis]
    lead = (slice(None),) * axis
    if k in (0, size):
        return _order(x, axis, descending=largest, stable=True)[(*lead, slice(k))]
    partition = np.argpartition(x, size - k if largest else k - 1, axis)
    chosen = partition[(*lead, slice(size - k, None) if largest else slice(k))]
    chosen.sort(axis)  # equal elements in their order
    order = _order(np.take_along_axis(x, chosen, axis), axis, descending=largest, stable=True)
    return np.take_along_axis(chosen, order, axis)


_argsort = Primitive("argsort", _order, (None,), axes="axis")
_argtopk = Primitive("argtopk", _extremes, (None,))


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


@Public()
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
    >>> ts.sort(ts.tensor([3.0, 1.0, 2.0]), descending=True)
    tensor([3., 2., 1.])
    """
    return take_along_axis(x, argsort(x, axis, descending=descending, stable=stable), axis)


@Public()
def topk(x: Array, k: int, axis: int = -1, *, largest: bool = True) -> tuple[Array, Array]:
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
        The elements and their int64 indices, each of the shape of `x` with k along `axis`.

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
    indices = _argtopk(x, k=k, axis=axis, largest=bool(largest))
    return take_along_axis(x, indices, axis), indices

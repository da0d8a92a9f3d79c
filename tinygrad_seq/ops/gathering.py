"""One element for each index, picked along an axis, and the scattering of elements that is its gradient.

Unlike the slices that `take` picks, the indices here have as many axes as the array.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import ShapeError
from .arithmetic import maximum
from .axes import normalise_axis
from .casting import as_array, astype
from .comparison import greater_equal, where
from .indexing import as_indices, check_range, take
from .primitive import Array, Primitive
from .public import Public
from .shape import broadcast_to, flatten


def _open_mesh(name: str, indices: np.ndarray, size: int, axis: int) -> tuple[np.ndarray, ...]:
    """Return the key that picks, at each place of `indices`, the element of that place but ``indices`` along `axis`."""
    last = indices.ndim - 1
    grid = [np.arange(n).reshape(-1, *[1] * (last - at)) for at, n in enumerate(indices.shape)]
    grid[axis] = check_range(name, indices, size, -size)
    return tuple(grid)


def _gather_forward(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    picked: np.ndarray = x[_open_mesh("gather", indices, x.shape[axis], axis)]
    return picked


def _add_elements(g: np.ndarray, indices: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Return zeros of `shape` with the elements of `g` added where `_gather_forward` would read them."""
    out = np.zeros(shape, g.dtype)
    np.add.at(out.reshape(-1), _flat_places("scatter_add", indices, shape, axis), g.ravel())  # ten times faster flat
    return out


def _flat_places(name: str, indices: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Return where in a flat array of `shape` each of `indices` points."""
    key = _open_mesh(name, indices, shape[axis], axis)
    return sum([part * math.prod(shape[at + 1 :]) for at, part in enumerate(key)], np.zeros((), np.intp)).ravel()


_gather = Primitive(
    "gather",
    _gather_forward,
    (lambda g, _y, x_like, indices, axis: gather_add(g, indices, shape=x_like.shape, axis=axis), None),
)
gather_add = Primitive(
    "gather_add", _add_elements, (lambda g, _y, _g, indices, shape, axis: _gather(g, indices, axis=axis), None)
)


@Public()
def take_along_axis(x: Array, indices: Array, axis: int = -1) -> Array:
    """Return the elements of `x` at `indices` along `axis`, the other axes of the two broadcast (as in NumPy).

    With ``indices = argsort(x)`` this sorts; see `gather` for indices that cover a part of the other axes.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    indices : array_like
        Integers with as many axes as `x`; the axes but `axis` broadcast.
    axis : int, default -1
        The axis that the indices point into.

    Returns
    -------
    Tensor
        The broadcast shape, with the size of `indices` along `axis`.

    Raises
    ------
    ShapeError
        If `x` and `indices` have different numbers of axes, or do not broadcast.
    IndexRangeError
        If an index is outside the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.take_along_axis(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([[1], [0]]), axis=1)
    tensor([[2.],
            [3.]])
    """
    indices = as_indices("take_along_axis", indices)
    _check_ranks("take_along_axis", x, indices)
    axis = normalise_axis("take_along_axis", axis, x.ndim)
    sizes, wanted = list(x.shape), list(indices.shape)
    sizes[axis] = wanted[axis] = 1
    if sizes != wanted:
        try:
            common = np.broadcast_shapes(tuple(sizes), tuple(wanted))
        except ValueError:
            raise ShapeError(
                f"take_along_axis: expected indices that broadcast with shape {x.shape} but for axis {axis}, got shape "
                f"{indices.shape} {indices.dtype}; use gather for a part of the other axes."
            ) from None
        x, indices = (
            broadcast_to(array, (*common[:axis], array.shape[axis], *common[axis + 1 :])) for array in (x, indices)
        )
    return _gather(x, indices, axis=axis)


@Public()
def gather(x: Array, axis: int, indices: Array) -> Array:
    """Return, for each place of `indices`, the element of `x` at that place but ``indices`` along `axis`.

    For axis 1 of a matrix, ``y[i, j] = x[i, indices[i, j]]``. Along the other axes `indices` may be smaller than `x`
    (as in PyTorch); nothing broadcasts.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int
        The axis that the indices point into.
    indices : array_like
        Integers with as many axes as `x`, and no larger along the others.

    Returns
    -------
    Tensor
        Of the shape of `indices` and the dtype of `x`.

    Raises
    ------
    ShapeError
        If `indices` have another number of axes, or are larger than `x` along another axis.
    IndexRangeError
        If an index is outside the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.gather(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, ts.tensor([[1, 1, 0]]))
    tensor([[2., 2., 1.]])
    """
    indices = as_indices("gather", indices)
    return _gather(x, indices, axis=_check_places("gather", x, indices, axis))


@Public()
def scatter_add(x: Array, axis: int, indices: Array, source: Array) -> Array:
    """Return `x` with each element of `source` added where `gather` with the same `indices` would read it.

    For axis 1 of a matrix, ``x[i, indices[i, j]] += source[i, j]``, where indices may repeat.

    Parameters
    ----------
    x : array_like
        The array to add to; it is not changed.
    axis : int
        The axis that the indices point into.
    indices : array_like
        Integers with as many axes as `x`, which may repeat.
    source : array_like
        Of the shape of `indices`.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        If `source` and `indices` differ in shape, or are larger than `x` along another axis.
    IndexRangeError
        If an index is outside the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.scatter_add(ts.zeros(3), 0, ts.tensor([2, 2]), ts.tensor([1.0, 4.0]))
    tensor([0., 0., 5.])
    """
    indices = as_indices("scatter_add", indices)
    axis = _check_places("scatter_add", x, indices, axis)
    source = as_array(source)
    _check_source("scatter_add", source, indices)
    return x + gather_add(source, indices, shape=x.shape, axis=axis)


def _last_places(indices: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Return for each element of an array of `shape` which of `indices` points at it last, counted flat, or -1."""
    last = np.full(math.prod(shape), -1)
    last[_flat_places("scatter", indices, shape, axis)] = np.arange(indices.size)
    return last.reshape(shape)


_scattered = Primitive("scattered_from", _last_places, (None,))


@Public()
def scatter(x: Array, axis: int, indices: Array, source: Array) -> Array:
    """Return `x` with each element of `source` written where `gather` with the same `indices` would read it.

    For axis 1 of a matrix, ``x[i, indices[i, j]] = source[i, j]``. Where indices repeat, the last one in row-major
    order wins, and gets all of the gradient.

    Parameters
    ----------
    x : array_like
        The array to write to; it is not changed.
    axis : int
        The axis that the indices point into.
    indices : array_like
        Integers with as many axes as `x`.
    source : array_like
        A number, or an array of the shape of `indices`; it is cast to the dtype of `x`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ShapeError
        If `source` and `indices` differ in shape, or are larger than `x` along another axis.
    IndexRangeError
        If an index is outside the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.scatter(ts.zeros(3), 0, ts.tensor([2, 0]), ts.tensor([1.0, 4.0]))
    tensor([4., 0., 1.])
    """
    indices = as_indices("scatter", indices)
    axis = _check_places("scatter", x, indices, axis)
    source = as_array(source)
    if source.ndim:
        _check_source("scatter", source, indices)
    if 0 in indices.shape:
        return x
    places = _scattered(indices, shape=x.shape, axis=axis)
    written = take(flatten(source), maximum(places, 0)) if source.ndim else source
    return where(greater_equal(places, 0), written if written.dtype == x.dtype else astype(written, x.dtype), x)


def _check_source(name: str, source: Array, indices: Array) -> None:
    if source.shape != indices.shape:
        raise ShapeError(
            f"{name}: expected a source of the shape of the indices, {indices.shape}, got {source.shape} "
            f"{source.dtype}; slice or broadcast it first."
        )


def _check_ranks(name: str, x: Array, indices: Array) -> None:
    if indices.ndim != x.ndim:
        raise ShapeError(
            f"{name}: expected indices with {x.ndim} axes, got shape {indices.shape} {indices.dtype} for an array of "
            f"shape {x.shape} {x.dtype}; use take, or expand_dims on the indices."
        )


def _check_places(name: str, x: Array, indices: Array, axis: int) -> int:
    _check_ranks(name, x, indices)
    axis = normalise_axis(name, axis, x.ndim)
    for other, (size, wanted) in enumerate(zip(x.shape, indices.shape, strict=True)):
        if other != axis and wanted > size:
            raise ShapeError(
                f"{name}: expected indices no larger than shape {x.shape} but for axis {axis}, got {indices.shape} "
                f"{indices.dtype}; slice the indices along axis {other}."
            )
    return axis

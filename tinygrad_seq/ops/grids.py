"""Arrays brought to one shape."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError, ShapeError
from .casting import as_array
from .primitive import Array
from .public import Public
from .shape import broadcast_to, reshape


@Public(method=False, operands="all")
def broadcast_arrays(*arrays: Array) -> tuple[Array, ...]:
    """Return `arrays` repeated along new and size-1 axes to their common shape, as read-only views.

    Parameters
    ----------
    *arrays : array_like
        Arrays whose shapes broadcast.

    Returns
    -------
    tuple of Tensor
        One view per array, of the common shape.

    Raises
    ------
    ArgumentError
        If there are no arrays.
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> [x.shape for x in ts.broadcast_arrays(ts.ones((2, 1)), ts.ones(3))]
    [(2, 3), (2, 3)]
    """
    if not arrays:
        raise ArgumentError("broadcast_arrays: expected one or more arrays, got none; pass each as an argument.")
    arrays = tuple(map(as_array, arrays))
    shapes = [x.shape for x in arrays]
    try:
        common = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"broadcast_arrays: expected shapes that broadcast, got {', '.join(map(str, shapes))}; reshape them first."
        ) from None
    return tuple([x if x.shape == common else broadcast_to(x, common) for x in arrays])


@Public(method=False, operands="all")
def meshgrid(*arrays: Array, indexing: str | None = None) -> tuple[Array, ...]:
    """Return the coordinates of all points of a grid, given those along each axis.

    NumPy's default is ``indexing="xy"``, PyTorch's ``"ij"``, so `indexing` must be given for two arrays or more.

    Parameters
    ----------
    *arrays : array_like
        The coordinates along each axis, each ``(n,)`` or a number.
    indexing : {"xy", "ij"}
        ``"ij"``: axis k of the results belongs to array k; ``"xy"``: the first two axes are exchanged.

    Returns
    -------
    tuple of Tensor
        One read-only view per array, of the shape of the grid.

    Raises
    ------
    ArgumentError
        If there are no arrays, or `indexing` is not given or another word.
    ShapeError
        If an array has more than one axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> rows, columns = ts.meshgrid(ts.arange(2), ts.arange(3), indexing="ij")
    >>> columns
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    if not arrays:
        raise ArgumentError("meshgrid: expected one or more arrays, got none; pass each as an argument.")
    if indexing not in ("xy", "ij") and (indexing is not None or len(arrays) > 1):
        raise ArgumentError(
            f"meshgrid: expected indexing= (NumPy means 'xy', PyTorch 'ij'), got {indexing!r}; pass one of them."
        )
    arrays = tuple(map(as_array, arrays))
    if any(x.ndim > 1 for x in arrays):
        raise ShapeError(
            f"meshgrid: expected arrays with one axis, got shapes {', '.join(str(x.shape) for x in arrays)}; "
            "flatten them first, and pass each as an argument of its own."
        )
    count = len(arrays)
    places = list(range(count))
    if indexing == "xy":
        places[:2] = places[1::-1] if count > 1 else places
    shapes = [[-1 if at == place else 1 for at in range(count)] for place in places]
    return broadcast_arrays(*map(reshape, arrays, shapes))

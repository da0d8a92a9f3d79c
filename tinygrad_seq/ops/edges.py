"""Values around the edges of an array, and zeros in a corner of a matrix."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np

from ..errors import ArgumentError, ShapeError
from .comparison import where
from .indexing import getitem, take
from .primitive import Array, Primitive
from .public import Public
from .shape import check_matrix

Mode = Literal["constant", "reflect", "edge", "wrap"]
Width = int | Iterable[int] | Iterable[Iterable[int]]


def _triangle(x: Array, k: int) -> np.ndarray:
    rows, columns = x.shape[-2:]
    return np.tri(rows, columns, k, dtype=np.bool_)


_pad = Primitive(
    "pad",
    lambda x, widths, value: np.pad(x, widths, constant_values=value),
    (
        lambda g, _y, x_like, widths, value: getitem(
            g, tuple([slice(before, before + size) for (before, _), size in zip(widths, x_like.shape, strict=True)])
        ),
    ),
)
_tril = Primitive(
    "tril",
    lambda x, k: np.tril(x, operator.index(k)),
    (lambda g, _y, _x, k: _tril(g, k=k),),
    structure=lambda x, k: where(_triangle(x, k), x, False),
)
_triu = Primitive(
    "triu",
    lambda x, k: np.triu(x, operator.index(k)),
    (lambda g, _y, _x, k: _triu(g, k=k),),
    structure=lambda x, k: where(_triangle(x, k - 1), False, x),
)


@Public()
def pad(x: Array, pad_width: Width, mode: Mode = "constant", value: float = 0) -> Array:
    """Return `x` with more elements before and after it along its axes.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    pad_width : int or nested tuple of int
        How many: ``((before, after), ...)`` for each axis; ``(before, after)`` or one number for all axes alike.
    mode : {"constant", "edge", "reflect", "wrap"}, default "constant"
        What stands there: ``"constant"`` `value`; ``"edge"`` the last element; ``"reflect"`` the elements mirrored at
        the last one, which is not repeated; ``"wrap"`` those of the other end.
    value : float, default 0
        The constant.

    Returns
    -------
    Tensor
        Each axis is longer by what was added to it.

    Raises
    ------
    ArgumentError
        If `mode` is unknown, or `pad_width` has another form or a negative number.
    ShapeError
        If an axis of size 0 is to be padded with its own elements.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.pad(ts.tensor([1.0, 2.0, 3.0]), (2, 1), mode="reflect")
    tensor([3., 2., 1., 2., 3., 2.])
    """
    if mode not in get_args(Mode):
        raise ArgumentError(f"pad: expected a mode of {', '.join(get_args(Mode))}, got {mode!r}; pass one of these.")
    widths = _widths(pad_width, x)
    if mode == "constant" and widths:
        return _pad(x, widths=widths, value=value)
    for axis, width in enumerate(widths):
        if any(width):
            size = x.shape[axis]
            if size == 0:
                raise ShapeError(
                    f"pad: expected at least one element along axis {axis} for mode {mode!r}, got shape {x.shape} "
                    f"{x.dtype}; use mode='constant'."
                )
            x = take(x, np.pad(np.arange(size), width, mode=mode), axis)
    return x


def _widths(pad_width: Width, x: Array) -> tuple[tuple[int, int], ...]:
    try:
        wide = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
        widths = tuple([(operator.index(before), operator.index(after)) for before, after in wide])
    except (TypeError, ValueError):
        widths = ((-1, -1),)
    if any(width < 0 for pair in widths for width in pair):
        raise ArgumentError(
            f"pad: expected widths of at least 0 as one integer, (before, after), or one such pair for each of the "
            f"{x.ndim} axes, got {pad_width!r} for an array of shape {x.shape} {x.dtype}; slice to make it smaller."
        )
    return widths


@Public()
def tril(x: Array, k: int = 0) -> Array:
    """Return `x` ``(..., M, N)`` with zeros above diagonal `k` of its last two axes; `k` counts to the right.

    Parameters
    ----------
    x : array_like
        ``(..., M, N)``.
    k : int, default 0
        Which diagonal: positive ones lie right of the main one, negative ones left of it.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.tril(ts.ones((2, 3)))
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    check_matrix("tril", x)
    return _tril(x, k=k)


@Public()
def triu(x: Array, k: int = 0) -> Array:
    """Return `x` ``(..., M, N)`` with zeros below diagonal `k` of its last two axes; `k` counts to the right.

    Parameters
    ----------
    x : array_like
        ``(..., M, N)``.
    k : int, default 0
        Which diagonal: positive ones lie right of the main one, negative ones left of it.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.triu(ts.ones((2, 3)), 1)
    tensor([[0., 1., 1.],
            [0., 0., 1.]])
    """
    check_matrix("triu", x)
    return _triu(x, k=k)

"""Axis arguments, checked once: every operation that takes ``axis`` refuses a wrong one before any work."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from ..errors import ArgumentError, IndexRangeError

Axis = int | Sequence[int] | None
Axes = tuple[int, ...]


def normalise_axis(name: str, axis: int, ndim: int) -> int:
    """Return `axis` counted from the front, for the operation `name` on an array of `ndim` dimensions.

    Raises
    ------
    ArgumentError
        If `axis` is not an integer.
    IndexRangeError
        If the array has no such axis.
    """
    if axis.__class__ is not int:
        axis = _integer(name, axis)
    if 0 <= axis < ndim:
        return axis
    if -ndim <= axis < 0:
        return axis + ndim
    allowed = f"from {-ndim} to {ndim - 1}" if ndim else "none, as a 0-d array has no axes"
    raise IndexRangeError(
        f"{name}: expected an axis of a {ndim}-d array ({allowed}), got axis {axis}; pass an axis the array has."
    )


def normalise_axes(name: str, axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return the axes meant by `axis` (None: all of them) counted from the front, in the order given.

    Raises
    ------
    ArgumentError
        If `axis` is no integer or tuple of integers, or names one axis twice.
    IndexRangeError
        If the array has no such axis.
    """
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple | list):
        return (normalise_axis(name, axis, ndim),)  # type: ignore[arg-type]
    axes = tuple([normalise_axis(name, one, ndim) for one in axis])
    if len(set(axes)) != len(axes):
        raise ArgumentError(
            f"{name}: expected each axis once, got {tuple(axis)} of a {ndim}-d array; drop the repeated one."
        )
    return axes


def _integer(name: str, axis: object) -> int:
    try:
        if not isinstance(axis, bool):
            return operator.index(axis)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise ArgumentError(f"{name}: expected an integer axis, got {axis!r} ({type(axis).__name__}); pass e.g. axis=-1.")

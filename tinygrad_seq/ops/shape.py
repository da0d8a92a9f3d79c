"""Changes of shape and of the order of axes or elements; results are views where NumPy gives views."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .axes import Axes, normalise_axes, normalise_axis
from .casting import astype
from .primitive import TABLE, Array, OpKind, Primitive
from .public import Public
from .spelling import Meaning, Several
from .views import of_broadcast, of_permutation, of_reshape

Shape = int | Iterable[int]


def _sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    extra = x.ndim - len(shape)
    if extra:
        x = np.add.reduce(x, axis=tuple(range(extra)) if extra > 1 else 0)
    if x.shape == shape:
        return x
    stretched = tuple([axis for axis, size in enumerate(shape) if size == 1 and x.shape[axis] != 1])
    return np.add.reduce(x, axis=stretched, keepdims=True)


def _broadcast_batched(T: int, _lifted: object, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(x.reshape(T, *[1] * (len(shape) + 1 - x.ndim), *x.shape[1:]), (T, *shape))


def _sum_stretched(x: Array, shape: tuple[int, ...]) -> Array:
    extra = x.ndim - len(shape)
    axes = tuple([axis for axis, size in enumerate(x.shape) if axis < extra or shape[axis - extra] != size])
    return _reshape(TABLE["sum"](x, axes=axes, keepdims=True) if axes else x, shape=shape)


def _reversed(x: Array, axis: tuple[int, ...]) -> Array:
    return x[tuple([slice(None, None, -1) if at in axis else slice(None) for at in range(x.ndim)])]


def _rolled(x: Array, shift: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    for count, at in zip(shift, axis, strict=True):
        size = x.shape[at]
        cut = -count % size if size else 0
        if cut:
            front, back = TABLE["split"](x, cuts=(cut,), axis=at)
            x = TABLE["concat"](back, front, axis=at, ends=(size - cut, size))
    return x


sum_to = Primitive(
    "sum_to",
    _sum_to,
    (lambda g, _y, x_like, shape: _broadcast(g, shape=x_like.shape),),
    structure=_sum_stretched,
    doc="Return `x` summed over the axes that broadcasting from `shape` to ``x.shape`` would add or stretch.",
)
_broadcast = Primitive(
    "broadcast_to",
    np.broadcast_to,
    (lambda g, _y, x_like, shape: sum_to(g, shape=x_like.shape),),
    kind=OpKind.VIEW,
    linear=True,
    structure=lambda x, shape: x if x.shape == shape else _broadcast(x, shape=shape),
    view=of_broadcast,
    batched=_broadcast_batched,
)
_reshape = Primitive(
    "reshape",
    lambda x, shape: x.reshape(shape),
    (lambda g, _y, x_like, shape: _reshape(g, shape=x_like.shape),),
    kind=OpKind.VIEW,
    linear=True,
    structure=lambda x, shape: x if x.shape == shape else _reshape(x, shape=shape),
    view=of_reshape,
    batched=lambda T, _lifted, x, shape: x.reshape(T, *shape),
)
_permute = Primitive(
    "permute_dims",
    lambda x, axes: x.transpose(axes),
    (lambda g, _y, _x, axes: _permute(g, axes=inverse(axes)),),
    kind=OpKind.VIEW,
    linear=True,
    view=of_permutation,
    batched=lambda _T, _lifted, x, axes: x.transpose(0, *[axis + 1 for axis in axes]),
)
_flip = Primitive(
    "flip",
    np.flip,
    (lambda g, _y, _x, axis: _flip(g, axis=axis),),
    kind=OpKind.VIEW,
    structure=_reversed,
    axes="axis",
    aliases=False,
)
_roll = Primitive(
    "roll",
    np.roll,
    (lambda g, _y, _x, shift, axis: _roll(g, shift=tuple([-one for one in shift]), axis=axis),),
    structure=_rolled,
)


def inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the permutation that undoes `axes`."""
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


def kept(y: Array, shape: tuple[int, ...], axes: Axes) -> Array:
    """Return the reduced `y` with the `axes` of the operand's `shape` put back in as size 1."""
    if len(y.shape) == len(shape):
        return y
    return reshape(y, tuple([1 if axis in axes else size for axis, size in enumerate(shape)]))


def one_argument(arguments: tuple[Any, ...]) -> Any:
    """Return what a method was given as ``f((2, 3))`` or as ``f(2, 3)``: one tuple."""
    return arguments[0] if len(arguments) == 1 and not isinstance(arguments[0], int) else arguments


def as_shape(name: str, shape: Shape) -> tuple[int, ...]:
    """Return `shape`, an integer or a sequence of integers, as a tuple of Python integers.

    Raises
    ------
    ArgumentError
        If a size is not an integer.
    """
    if shape.__class__ is int:
        return (shape,)
    try:
        return tuple(map(operator.index, shape))  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        return (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentError(
            f"{name}: expected integer sizes, got {shape!r}; pass an integer or a tuple of integers."
        ) from None


def check_matrix(name: str, x: Array) -> None:
    """Raise ShapeError if `x` has fewer than two axes."""
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected at least two axes, got shape {x.shape} {x.dtype}; reshape it to a matrix.")


def unbroadcast(g: Array, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return the cotangent `g` as that of an operand of `shape` and `dtype`: summed where it was broadcast, cast back.

    Where `g` has fewer axes, as a rule's constant may, it is broadcast.
    """
    if g.shape != shape:
        g = sum_to(g, shape=shape) if len(g.shape) >= len(shape) else broadcast_to(g, shape)
    return g if g.dtype == dtype else astype(g, dtype)


# ------------------------------------------------------------------------------------------------------- shape


@Public()
def broadcast_to(x: Array, shape: Shape) -> Array:
    """Return `x` repeated along new and size-1 axes to `shape`, as a read-only view.

    Parameters
    ----------
    x : array_like
        Of a shape that broadcasts to `shape`.
    shape : int or iterable of int
        The sizes of the result.

    Returns
    -------
    Tensor
        Of shape `shape` and the dtype of `x`.

    Raises
    ------
    ShapeError
        If NumPy's broadcasting cannot make `shape` of ``x.shape``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.broadcast_to(ts.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    shape = as_shape("broadcast_to", shape)
    old = x.shape
    new = len(shape) - len(old)
    if new < 0 or min(shape, default=0) < 0 or [1 for a, b in zip(old, shape[new:], strict=True) if a not in (1, b)]:
        raise ShapeError(
            f"broadcast_to: expected a shape that {old} broadcasts to, got {shape} for an array of shape {old} "
            f"{x.dtype}; sizes are matched from the last axis and only size 1 stretches."
        )
    return _broadcast(x, shape=shape)


@Public(spread=True)
def expand(x: Array, shape: Shape) -> Array:
    """Return `x` repeated along new and size-1 axes to `shape`, in which -1 keeps the size of an axis.

    Parameters
    ----------
    x : array_like
        Of a shape that broadcasts to `shape`.
    shape : int or iterable of int
        The sizes of the result; -1 keeps that of an axis of `x`.

    Returns
    -------
    Tensor
        A read-only view of that shape.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.zeros((3, 1)).expand(-1, 4).shape
    (3, 4)
    """
    sizes = as_shape("expand", shape)
    new = len(sizes) - x.ndim
    return broadcast_to(x, [x.shape[i - new] if size == -1 and i >= new else size for i, size in enumerate(sizes)])


@Public("view", spread=True)
def reshape(x: Array, shape: Shape) -> Array:
    """Return the elements of `x`, in row-major order, in another shape; one size may be -1, to be worked out.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    shape : int or iterable of int
        The new sizes, whose product is ``x.size``.

    Returns
    -------
    Tensor
        Of shape `shape` and the dtype of `x`; a view where the memory allows it.

    Raises
    ------
    ShapeError
        If the sizes do not multiply to ``x.size``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.reshape(ts.arange(6), (2, -1)).shape
    (2, 3)
    """
    shape, size = as_shape("reshape", shape), math.prod(x.shape)
    if shape and min(shape) < 0:
        known = -math.prod(shape)
        if min(shape) == -1 and known > 0 and shape.count(-1) == 1 and size % known == 0:
            shape = tuple([size // known if one == -1 else one for one in shape])
        else:
            raise _cannot_reshape(x, shape)
    elif math.prod(shape) != size:
        raise _cannot_reshape(x, shape)
    return _reshape(x, shape=shape)


def _cannot_reshape(x: Array, shape: tuple[int, ...]) -> ShapeError:
    return ShapeError(
        f"reshape: expected a shape of {x.size} elements with at most one -1, got {shape} for an array of shape "
        f"{x.shape} {x.dtype}; make the sizes multiply to {x.size}."
    )


@Public("ravel")
def flatten(x: Array, start_axis: int = 0, end_axis: int = -1) -> Array:
    """Return `x` with the axes from `start_axis` to `end_axis`, both included, merged into one.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    start_axis : int, default 0
        The first axis to merge.
    end_axis : int, default -1
        The last axis to merge.

    Returns
    -------
    Tensor
        With one axis in place of the merged ones; a view where the memory allows it.

    Raises
    ------
    ArgumentError
        If `start_axis` comes after `end_axis`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.flatten(ts.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    old = x.shape
    if not old:
        return _reshape(x, shape=(1,))
    start, end = (normalise_axis("flatten", axis, len(old)) for axis in (start_axis, end_axis))
    if start > end:
        raise ArgumentError(
            f"flatten: expected start_axis before end_axis, got {start_axis} and {end_axis} for an array of shape "
            f"{old}; swap them."
        )
    return _reshape(x, shape=(*old[:start], math.prod(old[start : end + 1]), *old[end + 1 :]))


def one_axis(name: str, x: Array, axis: int | None) -> tuple[Array, int]:
    """Return the array and the axis of it to work along: of the flattened array for None."""
    if axis is None:
        return flatten(x), 0
    return x, normalise_axis(name, axis, x.ndim)


@Public()
def unflatten(x: Array, axis: int, shape: Shape) -> Array:
    """Return `x` with one axis split into several of the sizes `shape`, of which one may be -1.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int
        The axis to split.
    shape : int or iterable of int
        The sizes of the new axes, whose product is the size of `axis`.

    Returns
    -------
    Tensor
        With the new axes in place of `axis`.

    Raises
    ------
    ShapeError
        If the sizes do not multiply to the size of the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.unflatten(ts.zeros((2, 12)), 1, (3, -1)).shape
    (2, 3, 4)
    """
    old, shape = x.shape, as_shape("unflatten", shape)
    axis = normalise_axis("unflatten", axis, len(old))
    known = math.prod(size for size in shape if size != -1)
    if -1 in shape and known > 0 and old[axis] % known == 0:
        shape = tuple([old[axis] // known if size == -1 else size for size in shape])
    if math.prod(shape) != old[axis] or min(shape, default=0) < 0:
        raise ShapeError(
            f"unflatten: expected sizes of {old[axis]} elements with at most one -1, got {shape} for axis {axis} of an "
            f"array of shape {old} {x.dtype}; make the sizes multiply to {old[axis]}."
        )
    return _reshape(x, shape=(*old[:axis], *shape, *old[axis + 1 :]))


@Public("unsqueeze")
def expand_dims(x: Array, axis: int | Sequence[int]) -> Array:
    """Return `x` with a new axis of size 1 at position `axis` of the result, or one at each of several positions.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int
        Positions in the result; negative ones count from its end.

    Returns
    -------
    Tensor
        A view with one more axis per position.

    Raises
    ------
    ArgumentError
        If a position is named twice.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.expand_dims(ts.zeros((2, 3)), (0, -1)).shape
    (1, 2, 3, 1)
    """
    old = x.shape
    if axis.__class__ is int:
        position = normalise_axis("expand_dims", axis, len(old) + 1)
        return _reshape(x, shape=(*old[:position], 1, *old[position:]))
    ndim = len(old) + (len(axis) if isinstance(axis, Sequence) else 1)
    new = normalise_axes("expand_dims", axis, ndim)
    sizes = iter(old)
    return _reshape(x, shape=tuple([1 if position in new else next(sizes) for position in range(ndim)]))


def _squeeze_ones(x: Array, axis: int | Sequence[int] | None = None) -> Array:
    """Return PyTorch's ``squeeze``: axes of another size stay."""
    ones = [one for one in normalise_axes("squeeze", axis, x.ndim) if x.shape[one] == 1]
    return squeeze(x, ones)


@Public(pytorch=Meaning(_squeeze_ones))
def squeeze(x: Array, axis: int | Sequence[int] | None = None) -> Array:
    """Return `x` without the axes in `axis`, which must have size 1; None drops every axis of size 1.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to drop; None drops each one of size 1.

    Returns
    -------
    Tensor
        A view with fewer axes.

    Raises
    ------
    ShapeError
        If one of the axes has another size.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.squeeze(ts.zeros((1, 3, 1)), -1).shape
    (1, 3)
    """
    old = x.shape
    if axis is None:
        return _reshape(x, shape=tuple([size for size in old if size != 1]))
    axes = normalise_axes("squeeze", axis, len(old))
    for one in axes:
        if old[one] != 1:
            raise ShapeError(
                f"squeeze: expected size 1 along axis {one}, got {old[one]} in an array of shape {old} {x.dtype}; "
                "index or reduce that axis instead, or pass dim= to leave axes of other sizes (as PyTorch does)."
            )
    return _reshape(x, shape=tuple([size for position, size in enumerate(old) if position not in axes]))


# -------------------------------------------------------------------------------------------------------- axes


@Public("permute", spread=True)
def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """Return `x` with its axes in the order `axes`, as a view.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axes : sequence of int
        For each axis of the result, the axis of `x` that it is.

    Returns
    -------
    Tensor
        A view with the sizes in that order.

    Raises
    ------
    ArgumentError
        If `axes` does not name every axis once.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.permute_dims(ts.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    ndim = x.ndim
    order = normalise_axes("permute_dims", axes, ndim)
    if len(order) != ndim or axes is None:
        raise ArgumentError(
            f"permute_dims: expected each of the {ndim} axes once, got {axes} for an array of shape {x.shape}; "
            "name every axis, or use swapaxes or moveaxis."
        )
    return _permute(x, axes=order)


def _swapped(x: Array, axis1: int, axis2: int) -> Array:
    return swapaxes(x, axis1, axis2)


@Public(spread=True, pytorch=Meaning(_swapped))
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """Return `x` with its axes reversed, or in the order `axes`, as a view; see `matrix_transpose` for the last two.

    Two integers, as in ``x.transpose(0, 1)``, are two axes to exchange (as in PyTorch).

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axes : sequence of int, default None
        The order of the axes; None reverses them.

    Returns
    -------
    Tensor
        A view with the sizes in that order.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.transpose(ts.zeros((2, 3, 4))).shape
    (4, 3, 2)
    """
    if isinstance(axes, Several) and len(axes) == 2:
        return swapaxes(x, *axes)
    return _permute(x, axes=tuple(range(x.ndim))[::-1]) if axes is None else permute_dims(x, axes)


@Public(method=False)
def matrix_transpose(x: Array) -> Array:
    """Return `x` ``(..., M, N)`` with its last two axes exchanged, ``(..., N, M)``, as a view.

    Parameters
    ----------
    x : array_like
        ``(..., M, N)``.

    Returns
    -------
    Tensor
        ``(..., N, M)``.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.matrix_transpose(ts.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    ndim = x.ndim
    if ndim == 2:
        return _permute(x, axes=(1, 0))
    check_matrix("matrix_transpose", x)
    return _permute(x, axes=(*range(ndim - 2), ndim - 1, ndim - 2))


@Public("swapdims")
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Return `x` with two axes exchanged, as a view.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis1 : int
        One axis.
    axis2 : int
        The other axis.

    Returns
    -------
    Tensor
        A view with the two sizes exchanged.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.swapaxes(ts.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    one, other = (normalise_axis("swapaxes", axis, x.ndim) for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[one], order[other] = other, one
    return _permute(x, axes=tuple(order))


@Public("movedim")
def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Return `x` with the axes `source` moved to the positions `destination`, the others in their order, as a view.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    source : int or sequence of int
        The axes to move.
    destination : int or sequence of int
        Where each one goes, as positions of the result.

    Returns
    -------
    Tensor
        A view with the axes in the new order.

    Raises
    ------
    ArgumentError
        If `source` and `destination` differ in length.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.moveaxis(ts.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources = normalise_axes("moveaxis", source, x.ndim)
    targets = normalise_axes("moveaxis", destination, x.ndim)
    if len(sources) != len(targets):
        raise ArgumentError(
            f"moveaxis: expected as many destinations as sources, got {source} and {destination} for an array of shape "
            f"{x.shape}; give each axis one place."
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for target, moved in sorted(zip(targets, sources, strict=True)):
        order.insert(target, moved)
    return _permute(x, axes=tuple(order))


# ------------------------------------------------------------------------------------------- order of elements


@Public(spread=True)
def flip(x: Array, axis: int | Sequence[int] | None = None) -> Array:
    """Return `x` with its elements in reverse order along `axis` (None: along every axis), as a view.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int or sequence of int, default None
        The axes to reverse; None reverses all.

    Returns
    -------
    Tensor
        A view of the shape of `x`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.flip(ts.tensor([1.0, 2.0, 3.0]))
    tensor([3., 2., 1.])
    """
    return _flip(x, axis=normalise_axes("flip", axis, x.ndim))


@Public()
def roll(x: Array, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Array:
    """Return `x` with its elements moved on by `shift` places along `axis`, those off the end coming in at the start.

    Without an axis the elements of the flattened array are moved. Tuples give one shift for each axis; the shifts of
    an axis named twice add up.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    shift : int or sequence of int
        By how many places; negative numbers move towards the start.
    axis : int or sequence of int, default None
        The axes that `shift` belongs to; None moves the elements of the flattened array.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ArgumentError
        If there is not one shift per axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.roll(ts.tensor([1.0, 2.0, 3.0]), 1)
    tensor([3., 1., 2.])
    """
    if axis is None:
        return _reshape(roll(_reshape(x, shape=(x.size,)), shift, 0), shape=x.shape)
    axes = tuple([normalise_axis("roll", one, x.ndim) for one in (axis if isinstance(axis, Sequence) else (axis,))])
    shifts = as_shape("roll", shift)
    if len(shifts) == 1:
        shifts *= len(axes)
    if len(shifts) != len(axes):
        raise ArgumentError(
            f"roll: expected one shift for each axis, got shifts {shift} and axes {axis} for an array of shape "
            f"{x.shape}; give as many of one as of the other."
        )
    return _roll(x, shift=shifts, axis=axes)

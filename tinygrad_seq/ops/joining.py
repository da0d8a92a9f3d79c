"""Several arrays into one, one into several, and one repeated."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise

import numpy as np

from ..errors import ArgumentError, ShapeError
from .axes import normalise_axis
from .indexing import take
from .primitive import Array, OpKind, Primitive
from .public import Public, named
from .shape import Shape, as_shape, broadcast_to, expand_dims, flatten, one_axis, reshape
from .spelling import Meaning, without
from .views import of_split


def _pieces(x: np.ndarray, cuts: tuple[int, ...], axis: int) -> tuple[np.ndarray, ...]:
    lead = (slice(None),) * axis
    return tuple([x[(*lead, slice(start, end))] for start, end in pairwise((0, *cuts, x.shape[axis]))])


def _slices(x: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    moved = np.moveaxis(x, axis, 0)
    return tuple([moved[index, ...] for index in range(len(moved))])


def _stacked(*xs: np.ndarray, axis: int) -> np.ndarray:
    new_axis = (*(slice(None),) * axis, None)
    return np.concatenate([x[new_axis] for x in xs], axis)  # takes half the time of np.stack


def _concat_batched(
    T: int,
    lifted: tuple[bool, ...],
    *xs: np.ndarray,
    axis: int,
    ends: tuple[int, ...],
) -> np.ndarray:
    full = [x if over else np.broadcast_to(x, (T, *x.shape)) for x, over in zip(xs, lifted, strict=True)]
    return np.concatenate(full, axis + 1)


def _split_to_unstack(x: Array, axis: int) -> tuple[Array, ...]:
    pieces = _split(x, cuts=tuple(range(1, x.shape[axis])), axis=axis) if x.shape[axis] > 1 else (x,)
    return tuple([reshape(piece, (*x.shape[:axis], *x.shape[axis + 1 :])) for piece in pieces])


_concat = Primitive(
    "concat",
    lambda *xs, axis, ends: np.concatenate(xs, axis),
    lambda g, _y, *_xs, axis, ends: _split(g, cuts=ends[:-1], axis=axis),
    kind=OpKind.JOIN,
    batched=_concat_batched,
)
_stack = Primitive(
    "stack",
    _stacked,
    lambda g, _y, *_xs, axis: _unstack(g, axis=axis),
    kind=OpKind.JOIN,
    structure=lambda *xs, axis: concat([expand_dims(x, axis) for x in xs], axis),
)
_split = Primitive(
    "split",
    _pieces,
    (lambda g, _y, _x, cuts, axis: concat(g, axis),),
    kind=OpKind.VIEW,
    view=of_split,
    axes="axis",
    multiple=True,
)
_unstack = Primitive(
    "unstack",
    _slices,
    (lambda g, _y, _x, axis: _stack(*g, axis=axis),),
    kind=OpKind.VIEW,
    structure=_split_to_unstack,
    multiple=True,
)


# ----------------------------------------------------------------------------------------------------- joining


@Public("concatenate", "cat", method=False, operands="each")
def concat(arrays: Iterable[Array], axis: int | None = 0) -> Array:
    """Return `arrays` joined end to end along `axis`, an axis they have; None joins the flattened arrays.

    Parameters
    ----------
    arrays : iterable of array_like
        A list, a tuple, a generator or any other iterable of arrays, of equal sizes but for `axis`.
    axis : int, default 0
        An axis that they have; None joins the flattened arrays.

    Returns
    -------
    Tensor
        Their sizes along `axis` add up; the dtype is the promoted one.

    Raises
    ------
    ShapeError
        If there are no arrays, or they differ in another axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.concat([ts.zeros((2, 3)), ts.zeros((2, 5))], axis=1).shape
    (2, 8)
    """
    joined = _listed("concat", arrays)
    return _join("concat", [flatten(x) for x in joined] if axis is None else joined, axis or 0)


@Public(method=False, operands="each")
def stack(arrays: Iterable[Array], axis: int = 0) -> Array:
    """Return `arrays`, all of one shape, joined along a new axis at position `axis` of the result.

    Parameters
    ----------
    arrays : iterable of array_like
        A list, a tuple, a generator or any other iterable of arrays of one shape.
    axis : int, default 0
        The position of the new axis in the result.

    Returns
    -------
    Tensor
        With one more axis, whose size is the number of arrays.

    Raises
    ------
    ShapeError
        If there are no arrays, or their shapes differ.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.stack([ts.zeros(3), ts.ones(3)], axis=1).shape
    (3, 2)
    """
    joined = _listed("stack", arrays)
    first = joined[0].shape
    axis = normalise_axis("stack", axis, len(first) + 1)
    for x in joined:
        if x.shape != first:
            raise _mismatch("stack", joined, "equal shapes")
    return _stack(*joined, axis=axis)


@Public(method=False, operands="each")
def hstack(arrays: Iterable[Array]) -> Array:
    """Return `arrays` joined side by side: along axis 1, or axis 0 if they have one axis or none (as in NumPy).

    Parameters
    ----------
    arrays : iterable of array_like
        A list, a tuple, a generator or any other iterable of arrays, of equal sizes but for the axis.

    Returns
    -------
    Tensor
        The joined array.

    Raises
    ------
    ShapeError
        If there are no arrays, or they differ in another axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.hstack([ts.zeros((2, 3)), ts.zeros((2, 1))]).shape
    (2, 4)
    """
    joined = [_at_least(x, 1) for x in _listed("hstack", arrays)]
    return _join("hstack", joined, 0 if joined[0].ndim == 1 else 1)


@Public(method=False, operands="each")
def vstack(arrays: Iterable[Array]) -> Array:
    """Return `arrays` joined one below the other, arrays with one axis being rows (as in NumPy).

    Parameters
    ----------
    arrays : iterable of array_like
        A list, a tuple, a generator or any other iterable of arrays, of equal sizes but for the first axis.

    Returns
    -------
    Tensor
        The joined array, with two or more axes.

    Raises
    ------
    ShapeError
        If there are no arrays, or they differ in another axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.vstack([ts.zeros((2, 3)), ts.zeros(3)]).shape
    (3, 3)
    """
    return _join("vstack", [_at_least(x, 2) for x in _listed("vstack", arrays)], 0)


def _at_least(x: Array, ndim: int) -> Array:
    return reshape(x, (1,) * (ndim - x.ndim) + x.shape) if x.ndim < ndim else x


def _listed(name: str, arrays: Iterable[Array]) -> list[Array]:
    listed = arrays if isinstance(arrays, list) else [*arrays]
    if not listed:
        raise ShapeError(f"{name}: expected one or more arrays, got none; pass at least one array.")
    return listed


def _join(name: str, arrays: list[Array], axis: int) -> Array:
    """Return `arrays` joined end to end along `axis`, in the name of the function `name`."""
    shapes = [x.shape for x in arrays]
    first = shapes[0]
    axis = normalise_axis(name, axis, len(first))
    before, after = first[:axis], first[axis + 1 :]
    for shape in shapes:
        if shape != first and (len(shape) != len(first) or shape[:axis] != before or shape[axis + 1 :] != after):
            raise _mismatch(name, arrays, f"equal shapes but for axis {axis}")
    return _concat(*arrays, axis=axis, ends=tuple(accumulate([shape[axis] for shape in shapes])))


def _mismatch(name: str, arrays: list[Array], expected: str) -> ShapeError:
    got = sorted({f"{x.shape} {x.dtype}" for x in arrays})
    return ShapeError(f"{name}: expected {expected}, got {', '.join(got)}; reshape or slice the odd ones first.")


# --------------------------------------------------------------------------------------------------- splitting


def _of_size(x: Array, indices_or_sections: Shape, axis: int = 0) -> tuple[Array, ...]:
    """Return PyTorch's ``split``: pieces of one size, the last one shorter, or of the sizes in a sequence."""
    axis = normalise_axis("split", axis, x.ndim)
    size, given = x.shape[axis], as_shape("split", indices_or_sections)
    if not isinstance(indices_or_sections, Iterable):
        if given[0] < 1:
            raise ArgumentError(f"split: expected pieces of at least 1 element, got {given[0]}; pass a larger size.")
        given = tuple([min(given[0], size - start) for start in range(0, size, given[0])]) or (0,)
    ends = tuple(accumulate(given))
    if not given or min(given) < 0 or ends[-1] != size:
        raise ShapeError(
            f"split: expected sizes that add up to {size}, got {given} for axis {axis} of an array of shape {x.shape} "
            f"{x.dtype}; PyTorch's sizes are not the places to cut at."
        )
    return _split(x, cuts=ends[:-1], axis=axis)  # type: ignore[no-any-return]


@Public(
    pytorch=Meaning(
        _of_size,
        without("axis", "indices_or_sections"),
        "split(x, 3, axis=0) for 3 equal parts (NumPy), or split(x, 3, dim=0) for parts of 3 elements (PyTorch); "
        "chunk(x, 3) means 3 parts with both",
    )
)
def split(x: Array, indices_or_sections: Shape, axis: int = 0) -> tuple[Array, ...]:
    """Return views of `x` cut along `axis`: into that many equal parts, or at each index of a sequence (as in NumPy).

    The gradient of all parts together is a single `concat`. With ``dim=`` in place of ``axis=`` the number is the size
    of a part, and a sequence holds the sizes of the parts (as in PyTorch).

    Parameters
    ----------
    x : array_like
        With one or more axes.
    indices_or_sections : int or iterable of int
        The number of equal parts, or the indices to cut at, in ascending order.
    axis : int, default 0
        The axis to cut.

    Returns
    -------
    tuple of Tensor
        The parts, as views.

    Raises
    ------
    ShapeError
        If the axis cannot be cut into equal parts.
    ArgumentError
        If the number of parts is not positive, or the indices do not ascend.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> [part.shape for part in ts.split(ts.zeros((2, 6)), 3, axis=1)]
    [(2, 2), (2, 2), (2, 2)]
    >>> [part.shape for part in ts.split(ts.zeros((2, 6)), [1, 4], axis=1)]
    [(2, 1), (2, 3), (2, 2)]
    """
    axis = normalise_axis("split", axis, x.ndim)
    size = x.shape[axis]
    given = as_shape("split", indices_or_sections)
    if not isinstance(indices_or_sections, int) and isinstance(indices_or_sections, Iterable):
        cuts = tuple([slice(index, None).indices(size)[0] for index in given])
        if any(before > after for before, after in pairwise(cuts)):
            raise ArgumentError(
                f"split: expected indices that ascend, got {given} for axis {axis} of an array of shape {x.shape} "
                f"{x.dtype}; sort them, or pass the number of parts."
            )
    else:
        parts = _positive("split", given[0])
        if size % parts:
            raise ShapeError(
                f"split: expected a number of equal parts of {size}, got {parts} for axis {axis} of an array of shape "
                f"{x.shape} {x.dtype}; use chunk, or pass the indices to cut at."
            )
        cuts = tuple(range(size // parts, size, size // parts)) if size else (0,) * (parts - 1)
    return _split(x, cuts=cuts, axis=axis)  # type: ignore[no-any-return]


@Public()
def chunk(x: Array, chunks: int, axis: int = 0) -> tuple[Array, ...]:
    """Return views of `x` cut along `axis` into at most `chunks` parts, equal but for the last (as in PyTorch).

    Parameters
    ----------
    x : array_like
        With one or more axes.
    chunks : int
        The largest number of parts.
    axis : int, default 0
        The axis to cut.

    Returns
    -------
    tuple of Tensor
        The parts, as views.

    Raises
    ------
    ArgumentError
        If `chunks` is not positive.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> [part.shape for part in ts.chunk(ts.zeros(7), 3)]
    [(3,), (3,), (1,)]
    """
    axis = normalise_axis("chunk", axis, x.ndim)
    size = x.shape[axis]
    parts = _positive("chunk", *as_shape("chunk", chunks))
    length = -(-size // parts)
    cuts = tuple(range(length, size, length)) if size else (0,) * (parts - 1)
    return _split(x, cuts=cuts, axis=axis)  # type: ignore[no-any-return]


@Public("unbind")
def unstack(x: Array, axis: int = 0) -> tuple[Array, ...]:
    """Return the slices of `x` along `axis`, without that axis, as views.

    This is how to walk over time steps: ``for x_t in unstack(xs)``, which ``for x_t in xs`` does for a tensor. The
    gradient of all T slices is a single `stack`.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int, default 0
        The axis to walk along.

    Returns
    -------
    tuple of Tensor
        One view per place along `axis`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> [row.tolist() for row in ts.unstack(ts.tensor([[1.0, 2.0], [3.0, 4.0]]))]
    [[1.0, 2.0], [3.0, 4.0]]
    """
    return _unstack(x, axis=normalise_axis("unstack", axis, x.ndim))  # type: ignore[no-any-return]


def _positive(name: str, parts: int) -> int:
    if parts < 1:
        raise ArgumentError(f"{name}: expected a positive number of parts, got {parts}; pass at least 1.")
    return parts


# --------------------------------------------------------------------------------------------------- repeating


@Public(spread=True)
def tile(x: Array, reps: Shape) -> Array:
    """Return `x` laid side by side ``reps[i]`` times along axis i, the axes matched from the last (as in NumPy).

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    reps : int or iterable of int
        How many times along each axis, matched from the last one.

    Returns
    -------
    Tensor
        Each size of `x` times the count of its axis.

    Raises
    ------
    ArgumentError
        If a count is negative.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.tile(ts.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2., 1., 2.],
            [1., 2., 1., 2.]])
    """
    counts = as_shape("tile", reps)
    _check_counts("tile", counts)
    ndim = max(len(counts), x.ndim)
    counts = (1,) * (ndim - len(counts)) + counts
    sizes = (1,) * (ndim - x.ndim) + x.shape
    spread = broadcast_to(
        reshape(x, [part for size in sizes for part in (1, size)]),
        [part for pair in zip(counts, sizes, strict=True) for part in pair],
    )
    return reshape(spread, [count * size for count, size in zip(counts, sizes, strict=True)])


@Public(
    pytorch=Meaning(
        lambda x, **_: repeat(x, 1, 0),
        without("axis"),
        "repeat(x, 2, axis=0), or axis=None for all elements, to repeat each one (NumPy), or tile(x, (2, 1)) to repeat "
        "the array (PyTorch); repeat_interleave(x, 2, dim=0) repeats each element with both",
    )
)
def repeat(x: Array, repeats: Shape, axis: int | None = None) -> Array:
    """Return `x` with each element along `axis` repeated in place; None repeats those of the flattened array.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    repeats : int or iterable of int
        One count for all elements along `axis`, or one count each.
    axis : int, default None
        The axis along which to repeat; None repeats the elements of the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `x`, with the sum of the counts along `axis`.

    Raises
    ------
    ArgumentError
        If a count is negative, or there is not one for each element.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.repeat(ts.tensor([1.0, 2.0]), [2, 1], axis=0)
    tensor([1., 1., 2.])
    """
    x, axis = one_axis("repeat", x, axis)
    counts = as_shape("repeat", repeats)
    _check_counts("repeat", counts)
    size = x.shape[axis]
    if len(counts) == 1:
        (count,) = counts
        spread = expand_dims(x, axis + 1)
        spread = broadcast_to(spread, (*spread.shape[: axis + 1], count, *spread.shape[axis + 2 :]))
        return reshape(spread, (*x.shape[:axis], size * count, *x.shape[axis + 1 :]))
    if len(counts) != size:
        raise ArgumentError(
            f"repeat: expected one count, or one for each of the {size} elements along axis {axis}, got {len(counts)} "
            f"for an array of shape {x.shape} {x.dtype}; pass {size} counts."
        )
    return take(x, np.repeat(np.arange(size), counts), axis)


@Public()
@named
def repeat_interleave(x: Array, repeats: Shape, axis: int | None = None) -> Array:
    """Return `repeat`, by PyTorch's name: each element repeated in place.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    repeats : int or iterable of int
        One count for all elements along `axis`, or one count each.
    axis : int, default None
        The axis along which to repeat; None repeats the elements of the flattened array.

    Returns
    -------
    Tensor
        Of the shape of `x`, with the sum of the counts along `axis`.

    Raises
    ------
    ArgumentError
        If a count is negative, or there is not one for each element.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.repeat_interleave(ts.tensor([1.0, 2.0]), 2)
    tensor([1., 1., 2., 2.])
    """
    return repeat(x, repeats, axis)


def _check_counts(name: str, counts: tuple[int, ...]) -> None:
    if min(counts, default=0) < 0:
        raise ArgumentError(f"{name}: expected counts of at least 0, got {counts}; pass none that is negative.")

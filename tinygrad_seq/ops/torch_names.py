"""Operations under PyTorch's names that are others under a second name, with its checks of ranks."""

from __future__ import annotations

from ..errors import ArgumentError, DtypeError, ShapeError
from .arithmetic import divide, multiply
from .axes import normalise_axis
from .casting import as_array
from .gathering import take_along_axis
from .indexing import as_indices, getitem, take
from .linear import matmul
from .primitive import Array
from .public import Public, named
from .shape import broadcast_to, flatten, permute_dims, reshape


def _check_rank(name: str, what: str, x: Array, ndim: int) -> None:
    if x.ndim != ndim:
        raise ShapeError(
            f"{name}: expected {what} with {ndim} axes, got shape {x.shape} {x.dtype}; use matmul for other ranks."
        )


def _numbers(name: str, x: Array) -> Array:
    x = as_array(x)
    if x.dtype.kind not in "fiub":
        raise DtypeError(f"{name}: expected arrays of numbers, got {x.shape} {x.dtype}; pass tensors.")
    return x


@Public()
def t(x: Array) -> Array:
    """Return a matrix transposed; an array with fewer axes as it is.

    Parameters
    ----------
    x : array_like
        With two axes or fewer.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ShapeError
        If `x` has more than two axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.zeros((2, 3)).t().shape
    (3, 2)
    """
    if x.ndim > 2:
        raise ShapeError(f"t: expected two axes or fewer, got shape {x.shape} {x.dtype}; use transpose(0, 1) or mT.")
    return permute_dims(x, tuple(range(x.ndim))[::-1])


@Public()
@named
def mm(a: Array, b: Array) -> Array:
    """Return the product of two matrices.

    Parameters
    ----------
    a : array_like
        ``(M, K)``.
    b : array_like
        ``(K, N)``.

    Returns
    -------
    Tensor
        ``(M, N)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.mm(ts.ones((2, 3)), ts.ones((3, 1)))
    tensor([[3.],
            [3.]])
    """
    b = as_array(b)
    _check_rank("mm", "matrices", a, 2)
    _check_rank("mm", "matrices", b, 2)
    return matmul(a, b)


@Public()
@named
def bmm(a: Array, b: Array) -> Array:
    """Return the products of the matrices of two stacks of the same length.

    Parameters
    ----------
    a : array_like
        ``(B, M, K)``.
    b : array_like
        ``(B, K, N)``.

    Returns
    -------
    Tensor
        ``(B, M, N)``.

    Raises
    ------
    ShapeError
        If the stacks differ in length.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.bmm(ts.ones((5, 2, 3)), ts.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    b = as_array(b)
    _check_rank("bmm", "stacks of matrices", a, 3)
    _check_rank("bmm", "stacks of matrices", b, 3)
    if a.shape[0] != b.shape[0]:
        raise ShapeError(
            f"bmm: expected stacks of one length, got {a.shape} and {b.shape}; use matmul, which broadcasts them."
        )
    return matmul(a, b)


@Public()
@named
def mv(a: Array, b: Array) -> Array:
    """Return the product of a matrix and a vector.

    Parameters
    ----------
    a : array_like
        ``(M, K)``.
    b : array_like
        ``(K,)``.

    Returns
    -------
    Tensor
        ``(M,)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.mv(ts.ones((2, 3)), ts.ones(3))
    tensor([3., 3.])
    """
    b = as_array(b)
    _check_rank("mv", "a matrix", a, 2)
    _check_rank("mv", "a vector", b, 1)
    return matmul(a, b)


@Public()
@named
def addmm(x: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """Return ``beta * x + alpha * (mat1 @ mat2)``.

    Parameters
    ----------
    x : array_like
        Broadcasts to ``(M, N)``.
    mat1 : array_like
        ``(M, K)``.
    mat2 : array_like
        ``(K, N)``.
    beta, alpha : float, default 1
        Factors of the two terms.

    Returns
    -------
    Tensor
        ``(M, N)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.addmm(ts.ones(1), ts.ones((2, 3)), ts.ones((3, 1)), alpha=2)
    tensor([[7.],
            [7.]])
    """
    mat1, mat2 = as_array(mat1), as_array(mat2)
    _check_rank("addmm", "matrices", mat1, 2)
    _check_rank("addmm", "matrices", mat2, 2)
    product = matmul(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    return product + x if beta == 1 else product + beta * x if beta else product


@Public()
@named
def addcmul(x: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """Return ``x + value * tensor1 * tensor2``.

    Parameters
    ----------
    x, tensor1, tensor2 : array_like
        Numbers whose shapes broadcast.
    value : float, default 1
        The factor of the product.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.addcmul(ts.ones(2), ts.ones(2), ts.tensor([1.0, 2.0]), value=0.5)
    tensor([1.5, 2. ])
    """
    return x + multiply(_numbers("addcmul", tensor1), _numbers("addcmul", tensor2)) * value


@Public()
@named
def addcdiv(x: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """Return ``x + value * tensor1 / tensor2``.

    Parameters
    ----------
    x, tensor1, tensor2 : array_like
        Numbers whose shapes broadcast.
    value : float, default 1
        The factor of the quotient.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.addcdiv(ts.ones(2), ts.ones(2), ts.tensor([1.0, 2.0]), value=-1)
    tensor([0. , 0.5])
    """
    return x + divide(_numbers("addcdiv", tensor1), _numbers("addcdiv", tensor2)) * value


@Public()
@named
def index_select(x: Array, axis: int, indices: Array) -> Array:
    """Return the slices of `x` at `indices`, one axis of integers, along `axis`.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int
        The axis to look up in.
    indices : array_like
        Integers ``(K,)``.

    Returns
    -------
    Tensor
        Of the shape of `x`, with K along `axis`.

    Raises
    ------
    ShapeError
        If `indices` have more than one axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.index_select(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, ts.tensor([1]))
    tensor([[2.],
            [4.]])
    """
    indices = as_indices("index_select", indices)
    if indices.ndim > 1:
        raise ShapeError(
            f"index_select: expected indices with one axis, got shape {indices.shape} {indices.dtype}; use take."
        )
    return take(x, reshape(indices, (-1,)), normalise_axis("index_select", axis, x.ndim))


@Public()
@named
def select(x: Array, axis: int, index: int) -> Array:
    """Return the slice of `x` at one index along `axis`, without that axis.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int
        The axis to look up in.
    index : int
        The place; negative ones count from the end.

    Returns
    -------
    Tensor
        A view with one axis less.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.tensor([[1.0, 2.0], [3.0, 4.0]]).select(1, 0)
    tensor([1., 3.])
    """
    return getitem(x, (*[slice(None)] * normalise_axis("select", axis, x.ndim), index))


@Public()
def narrow(x: Array, axis: int, start: int, length: int) -> Array:
    """Return `length` slices of `x` along `axis` from `start`.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    axis : int
        The axis to cut.
    start : int
        The first slice; a negative one counts from the end.
    length : int
        How many.

    Returns
    -------
    Tensor
        A view of the shape of `x`, with `length` along `axis`.

    Raises
    ------
    ArgumentError
        If the axis has no such slices.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    axis = normalise_axis("narrow", axis, x.ndim)
    size = x.shape[axis]
    first = start + size if start < 0 else start
    if not 0 <= first <= first + length <= size:
        raise ArgumentError(
            f"narrow: expected slices among the {size} of axis {axis}, got start {start} and length {length} for an "
            f"array of shape {x.shape}; pass fewer."
        )
    return getitem(x, (*[slice(None)] * axis, slice(first, first + length)))


@Public()
@named
def expand_as(x: Array, other: Array) -> Array:
    """Return `x` repeated along new and size-1 axes to the shape of `other`.

    Parameters
    ----------
    x : array_like
        Of a shape that broadcasts to that of `other`.
    other : array_like
        Has the wanted shape.

    Returns
    -------
    Tensor
        A read-only view.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.ones((2, 1)).expand_as(ts.zeros((2, 3))).shape
    (2, 3)
    """
    return broadcast_to(x, as_array(other).shape)


@Public("reshape_as")
@named
def view_as(x: Array, other: Array) -> Array:
    """Return the elements of `x` in the shape of `other`.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    other : array_like
        Has the wanted shape.

    Returns
    -------
    Tensor
        A view where the memory allows it.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.arange(6).view_as(ts.zeros((2, 3))).shape
    (2, 3)
    """
    return reshape(x, as_array(other).shape)


@Public()
def take_along_dim(x: Array, indices: Array, axis: int | None = None) -> Array:
    """Return the elements of `x` at `indices` along `axis`, as `take_along_axis`; None looks up in the flattened `x`.

    Parameters
    ----------
    x : array_like
        With one or more axes.
    indices : array_like
        Integers with as many axes as `x`; of any shape for None.
    axis : int, default None
        The axis that the indices point into.

    Returns
    -------
    Tensor
        The broadcast shape, with the size of `indices` along `axis`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.take_along_dim(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([[1], [0]]), dim=1)
    tensor([[2.],
            [3.]])
    """
    if axis is None:
        x, indices, axis = flatten(x), flatten(as_indices("take_along_dim", indices)), 0
    return take_along_axis(x, indices, axis)

"""Products of matrices and vectors.

A product with a matrix, ``x @ w`` or `linear`, may carry a *precision* among its parameters (see `with_precision`); its
rules hand it on to the products of the gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config

from ..errors import ArgumentError, GraphError, IndexRangeError, ShapeError
from .axes import normalise_axes, normalise_axis
from .casting import as_array
from .einsum import LETTERS, einsum
from .primitive import Array, OpKind, Primitive, bind
from .public import Public, named
from .shape import expand_dims, inverse, moveaxis, permute_dims, reshape

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def rows(x: Array) -> Array:
    """Return `x` with all axes but the last flattened: a stack of matrices as one tall matrix."""
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


# -------------------------------------------------------------------------------------------------------- matmul


@functools.cache
def _multiply() -> Callable[..., None]:
    """Return the product of this package, imported at first use because that takes 120 ms."""
    from ..kernels.gemm.matmul import multiply_kept

    return multiply_kept


def _low_product(
    a: np.ndarray, b: np.ndarray, precision: str, kept: dict[Any, Any] | None, largest: float
) -> np.ndarray:
    """Return ``a @ b`` of float32 arrays (..., K) and (K, N), computed in bfloat16 or int8.

    The packed form of `b` is kept in a dict, if one is given. See `matmul_at` for `largest`.
    """
    left = a.reshape(-1, a.shape[-1])
    y = np.empty((left.shape[0], b.shape[1]), np.float32)
    _multiply()(left, b, y, precision, kept, largest)
    return y.reshape(*a.shape[:-1], b.shape[1])


def _matmul(
    a: np.ndarray,
    b: np.ndarray,
    precision: str = "float32",
    kept: dict[Any, Any] | None = None,
    largest: float = 0.0,
) -> Any:
    if precision != "float32":
        return _low_product(a, b, precision, kept, largest)
    if a.__class__ is b.__class__ is np.ndarray and b.ndim == 2 and a.ndim >= 2:
        # ndarray.dot takes half the time of np.matmul on the small matrices of a recurrent step (0.7 against 1.5 us),
        # and one tall product is faster than a stack of small ones.
        return _dot(a, b) if a.ndim == 2 else _dot(rows(a), b).reshape(*a.shape[:-1], b.shape[1])
    return np.matmul(a, b)


LARGE = 1 << 24
"""Multiplications of a product of matrices that the products of this package compute, on its own threads.

Threads of another library would wait for work in a loop, beside those of this package: a training step of a language
model took 1.15 times as long on two threads."""


def _dot(a: np.ndarray, b: np.ndarray) -> Any:
    if a.size * b.shape[1] < LARGE or a.dtype != b.dtype or a.dtype not in _FLOATS or config.DISABLE_JIT:
        return a.dot(b)
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)
    _multiply()(a, b, y, "float32", None)
    return y


def _matmul_rule_a(g: Array, _y: None, a_like: Array, b: Array, precision: str = "float32", **_: float) -> Array:
    if precision != "float32":
        return _gradient_at(g, b.mT, precision)
    if b.ndim == 1:
        return expand_dims(g, -1) * b
    if a_like.ndim == 1:
        return matmul(b, expand_dims(g, -1))[..., 0]
    return matmul(g, b.mT)


def _matmul_rule_b(g: Array, _y: None, a: Array, b_like: Array, precision: str = "float32", **_: float) -> Array:
    if b_like.ndim == 1:
        return g * a if a.ndim == 1 else matmul(reshape(g, (g.size,)), rows(a))
    if a.ndim == 1:
        return expand_dims(a, -1) * expand_dims(g, -2)
    if b_like.ndim == 2:  # one contraction over every row of the batch, never a stack of weight gradients
        return _gradient_at(rows(a).mT, rows(g), precision)
    return matmul(a.mT, g)


matmul = Primitive(
    "matmul",
    _matmul,
    (_matmul_rule_a, _matmul_rule_b),
    kind=OpKind.PRODUCT,
    symbol="@",
    summed=-2,
    doc="""Return the matrix product ``a @ b``.

    The last two axes are matrices and the others broadcast; a 1-d operand is a row on the left, a column on the right.

    Parameters
    ----------
    a : array_like
        ``(..., M, K)``, or ``(K,)``.
    b : array_like
        ``(..., K, N)``, or ``(K,)``.

    Returns
    -------
    Tensor
        ``(..., M, N)``, without the axis of an operand that has one axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.matmul(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """,
    public=Public(operator="matmul"),
)


def matmul_at(a: Array, b: Array, precision: str, largest: float = 0.0) -> Array:
    """Return ``a @ b`` in a precision: see `with_precision`.

    `largest` is the magnitude in `a` that becomes 127 in int8; 0 stands for the largest of each row.
    """
    params: dict[str, Any] = {} if precision == "float32" else {"precision": precision}
    return bind(matmul, (a, b), params | {"largest": largest} if largest else params)


def _gradient_at(a: Array, b: Array, precision: str) -> Array:
    """Return a product of the gradient of one in `precision`."""
    if precision == "int8":
        raise GraphError(
            "quantize: expected an int8 model to run without gradients, got one that a gradient is wanted through; "
            "train the model that it was made from, with ts.autocast('bfloat16') if need be."
        )
    return matmul_at(a, b, precision)


# -------------------------------------------------------------------------------------------------------- linear


def _linear_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    precision: str = "float32",
    kept: dict[Any, Any] | None = None,
    largest: float = 0.0,
) -> Any:
    a, b = rows(x), weight.T
    y = _dot(a, b) if precision == "float32" else _low_product(a, b, precision, kept, largest)
    if bias is not None:
        y = np.add(y, bias, out=y) if bias.dtype == y.dtype else y + bias
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def _linear_rule_x(
    g: Array, _y: None, _x: None, weight: Array, _bias: None = None, precision: str = "float32", **_: float
) -> Array:
    return _gradient_at(g, weight, precision)


def _linear_rule_weight(
    g: Array, _y: None, x: Array, _weight: None, _bias: None = None, precision: str = "float32", **_: float
) -> Array:
    return _gradient_at(rows(g).mT, rows(x), precision)


def _linear_rule_bias(g: Array, _y: None, _x: None, _weight: None, _bias: None, **_options: Any) -> Array:
    return g


def _product(
    x: Array, weight: Array, bias: Array | None = None, precision: str = "float32", largest: float = 0.0
) -> Array:
    y = matmul_at(x, permute_dims(weight, (1, 0)), precision, largest)
    return y if bias is None else y + bias


_linear = Primitive(
    "linear",
    _linear_forward,
    (_linear_rule_x, _linear_rule_weight),
    kind=OpKind.PRODUCT,
    structure=_product,
    summed=-1,
)
_linear_bias = Primitive(
    "linear_bias",
    _linear_forward,
    (_linear_rule_x, _linear_rule_weight, _linear_rule_bias),
    kind=OpKind.PRODUCT,
    structure=_product,
    summed=-1,
)


@Public(method=False)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return ``x @ weight.T + bias``, as one operation.

    Parameters
    ----------
    x : array_like
        ``(..., in)``.
    weight : array_like
        ``(out, in)``.
    bias : array_like, default None
        ``(out,)``, or None.

    Returns
    -------
    Tensor
        ``(..., out)``.

    Raises
    ------
    ShapeError
        If the shapes are not these.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.linear(ts.ones((5, 2, 3)), ts.ones((4, 3)), ts.zeros(4)).shape
    (5, 2, 4)
    """
    weight = as_array(weight)
    bias = None if bias is None else as_array(bias)
    check_linear("linear", x, weight, bias)
    return _linear(x, weight) if bias is None else _linear_bias(x, weight, bias)


def check_linear(caller: str, x: Array, weight: Array, bias: Array | None) -> None:
    """Refuse operands of other shapes than those of a linear layer."""
    if weight.ndim != 2 or not x.ndim or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"{caller}: expected x of shape (..., in) and weight (out, in), got x {x.shape} {x.dtype} and weight "
            f"{weight.shape} {weight.dtype}; the last axis of both must be equal."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"{caller}: expected bias of shape {weight.shape[:1]} for weight {weight.shape}, got {bias.shape} "
            f"{bias.dtype}; pass one value per output."
        )


# ----------------------------------------------------------------------------------------------------- precision

_FLOAT32 = np.dtype(np.float32)


def accepts_precision(primitive: Primitive) -> bool:
    """Return whether an operation has a parameter `precision`."""
    return primitive is matmul or primitive is _linear or primitive is _linear_bias


def with_precision(
    primitive: Primitive,
    operands: tuple[Array, ...],
    params: dict[str, Any],
    precision: str,
    given: tuple[Any, ...] = (),
) -> dict[str, Any]:
    """Return the parameters of an operation as recorded while products are computed in `precision`.

    Products of float32 arrays with one matrix on the right take it: `linear`, and ``x @ w`` with w (K, N). If the
    matrix among the operands as they were `given` has an attribute `largest_input`, that is the magnitude of x that
    becomes 127 in int8.
    """
    if precision == "float32" or not accepts_precision(primitive) or "precision" in params:
        return params
    a, b = operands[:2]
    alike = getattr(a, "dtype", None) == getattr(b, "dtype", None) == _FLOAT32
    if not (alike and a.ndim and b.ndim == 2):
        return params
    largest = getattr(given[1], "largest_input", 0.0) if given and precision == "int8" else 0.0
    return params | {"precision": precision} | ({"largest": largest} if largest else {})


# ------------------------------------------------------------------------------------------------ other products


@Public()
@named
def inner(a: Array, b: Array) -> Array:
    """Return the sums of products over the last axis of both: ``y[i, j] = sum(a[i] * b[j])``.

    Parameters
    ----------
    a : array_like
        ``(..., K)``.
    b : array_like
        ``(..., K)``.

    Returns
    -------
    Tensor
        The axes of `a` but the last, then the axes of `b` but the last.

    Raises
    ------
    ShapeError
        If the last axes differ in size.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.inner(ts.tensor([1.0, 2.0]), ts.tensor([3.0, 4.0]))
    tensor(11.)
    """
    b = as_array(b)
    return tensordot(a, b, axes=(-1, -1)) if a.ndim and b.ndim else a * b


@Public()
@named
def outer(a: Array, b: Array) -> Array:
    """Return ``y[i, j] = a[i] * b[j]`` of the flattened operands.

    Parameters
    ----------
    a : array_like
        Numbers of any shape, M in all.
    b : array_like
        Numbers of any shape, N in all.

    Returns
    -------
    Tensor
        ``(M, N)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.outer(ts.tensor([1.0, 2.0]), ts.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    b = as_array(b)
    return reshape(a, (a.size, 1)) * reshape(b, (1, b.size))


@Public()
def vecdot(a: Array, b: Array, axis: int = -1) -> Array:
    """Return the dot products of the vectors along `axis`; the other axes broadcast.

    Parameters
    ----------
    a : array_like
        With one or more axes.
    b : array_like
        Of a shape that broadcasts with that of `a`.
    axis : int, default -1
        The axis of the vectors.

    Returns
    -------
    Tensor
        The broadcast shape without `axis`.

    Raises
    ------
    ShapeError
        If the operands do not broadcast, or differ in size along `axis`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.vecdot(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    a, b = (moveaxis(x, normalise_axis("vecdot", axis, x.ndim), -1) for x in (a, as_array(b)))
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"vecdot: expected equal sizes along axis {axis}, got {a.shape[-1]} and {b.shape[-1]} ({a.dtype}, "
            f"{b.dtype}); this axis does not broadcast."
        )
    return einsum("...i,...i->...", a, b)


@Public()
@named
def dot(a: Array, b: Array) -> Array:
    """Return NumPy's dot product: sums of products over the last axis of `a` and the last but one of `b`.

    Parameters
    ----------
    a : array_like
        ``(..., K)``, or a number.
    b : array_like
        ``(..., K, N)``, ``(K,)``, or a number.

    Returns
    -------
    Tensor
        The axes of `a` but the last, then the axes of `b` but the second-to-last; the product where one is a number.

    Raises
    ------
    ShapeError
        If the two axes differ in size.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.dot(ts.tensor([1.0, 2.0]), ts.tensor([3.0, 4.0]))
    tensor(11.)
    """
    b = as_array(b)
    if not a.ndim or not b.ndim:
        return a * b
    if b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, axes=(-1, -2))


@Public()
def tensordot(a: Array, b: Array, axes: int | tuple[int | tuple[int, ...], int | tuple[int, ...]] = 2) -> Array:
    """Return the sums of products over the given axes; what is left of `a` comes first, then what is left of `b`.

    Parameters
    ----------
    a : array_like
        Numbers of any shape.
    b : array_like
        Numbers of any shape.
    axes : int or pair of int or tuple of int, default 2
        How many last axes of `a` go with as many first ones of `b`, or a pair: the axes of `a`, the axes of `b`.

    Returns
    -------
    Tensor
        The axes of `a` that are left, then the axes of `b` that are left.

    Raises
    ------
    ArgumentError
        If `axes` is neither.
    ShapeError
        If two paired axes differ in size.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.tensordot(ts.ones((2, 3, 4)), ts.ones((3, 4, 5))).shape
    (2, 5)
    """
    b = as_array(b)
    of_a, of_b = _paired_axes(a, b, axes)
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ShapeError(
            f"tensordot: expected paired axes of equal size, got axes {of_a} of {a.shape} {a.dtype} and {of_b} of "
            f"{b.shape} {b.dtype}; pair other axes."
        )
    letters = iter(LETTERS)
    names_a = [next(letters) for _ in range(a.ndim)]
    names_b = [names_a[of_a[of_b.index(axis)]] if axis in of_b else next(letters) for axis in range(b.ndim)]
    free = [name for axis, name in enumerate(names_a) if axis not in of_a]
    free += [name for axis, name in enumerate(names_b) if axis not in of_b]
    return einsum(f"{''.join(names_a)},{''.join(names_b)}->{''.join(free)}", a, b)


def _paired_axes(a: Array, b: Array, axes: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(axes, int) and not isinstance(axes, bool):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise IndexRangeError(
                f"tensordot: expected 0 to {min(a.ndim, b.ndim)} axes for {a.shape} and {b.shape}, got {axes}; "
                "pass fewer."
            )
        return tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    if not isinstance(axes, tuple | list) or len(axes) != 2:
        raise ArgumentError(
            f"tensordot: expected axes as an integer or a pair (axes of a, axes of b), got {axes!r}; "
            "pass e.g. axes=1 or axes=((0, 1), (1, 0))."
        )
    of_a, of_b = normalise_axes("tensordot", axes[0], a.ndim), normalise_axes("tensordot", axes[1], b.ndim)
    if len(of_a) != len(of_b):
        raise ArgumentError(f"tensordot: expected as many axes of a as of b, got {of_a} and {of_b}; pair them up.")
    return of_a, of_b


@Public()
@named
def kron(a: Array, b: Array) -> Array:
    """Return the Kronecker product: `b` scaled by each element of `a`, laid out in blocks.

    Parameters
    ----------
    a : array_like
        Numbers of any shape.
    b : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        The sizes multiplied axis by axis, matched from the last one.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.kron(ts.tensor([1.0, 10.0]), ts.tensor([1.0, 2.0]))
    tensor([ 1.,  2., 10., 20.])
    """
    b = as_array(b)
    ndim = max(a.ndim, b.ndim)
    sizes_a, sizes_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    blocks = reshape(a, tuple([n for size in sizes_a for n in (size, 1)]))
    inside = reshape(b, tuple([n for size in sizes_b for n in (1, size)]))
    return reshape(blocks * inside, tuple([m * n for m, n in zip(sizes_a, sizes_b, strict=True)]))


# --------------------------------------------------------------------------------------------------------- trace


def _on_diagonal(g: Array, shape: tuple[int, ...], offset: int, axes: tuple[int, int]) -> Array:
    """Return zeros of `shape` with `g` all along the diagonal: the adjoint of `trace`."""
    first, second = axes
    last = expand_dims(g, (-2, -1)) * np.eye(shape[first], shape[second], offset, g.dtype)
    order = (*[axis for axis in range(len(shape)) if axis not in axes], first, second)
    return permute_dims(last, inverse(order))


_trace = Primitive(
    "trace",
    lambda x, offset, axes: np.asarray(np.trace(x, offset, *axes)),
    (lambda g, _y, x_like, offset, axes: _on_diagonal(g, x_like.shape, offset, axes),),
)


@Public()
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Return the sums along the diagonals of the matrices that `axis1` and `axis2` span.

    Parameters
    ----------
    x : array_like
        With two or more axes.
    offset : int, default 0
        Which diagonal: positive ones lie right of the main one, negative ones left of it.
    axis1 : int, default 0
        The axis of the rows.
    axis2 : int, default 1
        The axis of the columns.

    Returns
    -------
    Tensor
        The shape of `x` without the two axes.

    Raises
    ------
    IndexRangeError
        If `x` has no such axes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.trace(ts.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return _trace(x, offset=offset, axes=normalise_axes("trace", (axis1, axis2), x.ndim))

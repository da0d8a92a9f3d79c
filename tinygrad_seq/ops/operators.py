"""The operators and methods that Tensor and Tracer share: each applies primitives at the level of the operand."""

from __future__ import annotations

from typing import Any

from . import (  # noqa: F401 (each file of operations, as importing it puts its operations into PUBLIC)
    activation,
    arithmetic,
    casting,
    choice,
    comparison,
    convolution,
    cumulative,
    edges,
    einsum,
    exponential,
    extrema,
    gathering,
    grids,
    indexing,
    joining,
    linear,
    linear_cross_entropy,
    losses,
    normalisation,
    one_hot,
    reduction,
    searching,
    signs,
    sorting,
    special,
    trigonometric,
)
from . import shape as shapes
from .primitive import Array, Primitive
from .public import PUBLIC


class Operators:
    """Python operators on arrays; a subclass provides ``_apply(primitive, operands, params)``."""

    __slots__ = ()
    shape: Any
    ndim: Any

    def __pos__(self) -> Array:
        return self

    def __getitem__(self, key: Any) -> Array:
        return indexing.getitem(self, key)

    def float(self) -> Array:
        """Return the tensor as float32."""
        return casting.astype(self, "float32")

    def double(self) -> Array:
        """Return the tensor as float64."""
        return casting.astype(self, "float64")

    def long(self) -> Array:
        """Return the tensor as int64, cut off towards zero."""
        return casting.astype(self, "int64")

    to = casting.astype

    def reshape(self, *shape: Any) -> Array:
        """Return the elements, in row-major order, in another shape.

        Parameters
        ----------
        *shape : int or tuple of int
            The new sizes, as one tuple or as several integers; one may be -1.

        Returns
        -------
        Tensor
            Of that shape; a view where the memory allows it.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> ts.zeros((2, 3)).reshape(3, -1).shape
        (3, 2)
        """
        return shapes.reshape(self, shapes.one_argument(shape))

    view = reshape

    def permute_dims(self, *axes: Any) -> Array:
        """Return the tensor with its axes in another order.

        Parameters
        ----------
        *axes : int or tuple of int
            The axes in their new order, as one tuple or as several integers.

        Returns
        -------
        Tensor
            A view with the sizes in that order.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> ts.zeros((2, 3, 4)).permute_dims(2, 0, 1).shape
        (4, 2, 3)
        """
        return shapes.permute_dims(self, shapes.one_argument(axes))

    permute = permute_dims

    def expand(self, *shape: Any) -> Array:
        """Return the tensor repeated along new and size-1 axes.

        Parameters
        ----------
        *shape : int or tuple of int
            The sizes, as one tuple or as several integers; -1 keeps the size of an axis.

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
        sizes = shapes.as_shape("expand", shapes.one_argument(shape))
        new = len(sizes) - self.ndim
        return shapes.broadcast_to(
            self, tuple([self.shape[i - new] if size == -1 and i >= new else size for i, size in enumerate(sizes)])
        )

    def transpose(self, *axes: Any) -> Array:
        """Return the tensor with its axes reversed, or in the order given.

        Parameters
        ----------
        *axes : int or tuple of int
            The axes in their new order, as one tuple or as several integers; none reverses them.

        Returns
        -------
        Tensor
            A view with the sizes in that order.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> ts.zeros((2, 3, 4)).transpose().shape
        (4, 3, 2)
        """
        return shapes.transpose(self, shapes.one_argument(axes) or None)

    @property
    def T(self) -> Array:  # noqa: N802 (NumPy's name)
        """The axes in reverse order."""
        return shapes.transpose(self)

    @property
    def mT(self) -> Array:  # noqa: N802 (NumPy's name)
        """The last two axes swapped."""
        return shapes.matrix_transpose(self)


_NO_PARAMS: dict[str, Any] = {}


def _unary(primitive: Primitive) -> Any:
    return lambda self: self._apply(primitive, (self,), _NO_PARAMS)


def _binary(primitive: Primitive) -> Any:
    return lambda self, other: self._apply(primitive, (self, other), _NO_PARAMS)


def _reflected(primitive: Primitive) -> Any:
    return lambda self, other: self._apply(primitive, (other, self), _NO_PARAMS)


for _name, _operation in PUBLIC.items():
    if _operation.method and _name not in vars(Operators):
        setattr(Operators, _name, _operation.function)
    if _operation.operator:
        _make = _unary if len(_operation.function.rules) == 1 else _binary
        setattr(Operators, f"__{_operation.operator}__", _make(_operation.function))
        if _make is _binary and _operation.operator not in {"lt", "le", "gt", "ge", "eq", "ne"}:
            setattr(Operators, f"__r{_operation.operator}__", _reflected(_operation.function))

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
    torch_names,
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
        setattr(Operators, _name, _operation.spelled[_name])
    if _operation.operator:
        _make = _unary if len(_operation.function.rules) == 1 else _binary
        setattr(Operators, f"__{_operation.operator}__", _make(_operation.function))
        if _make is _binary and _operation.operator not in {"lt", "le", "gt", "ge", "eq", "ne"}:
            setattr(Operators, f"__r{_operation.operator}__", _reflected(_operation.function))

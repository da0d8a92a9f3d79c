"""Python's protocols for tensors: length, iteration, truth, conversion to numbers, printing, copying."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ..errors import DtypeError, ShapeError
from ..ops.joining import unstack
from .tape import Node, Output


class PythonProtocol:
    """Mixed into `Tensor`."""

    __slots__ = ()
    _array: np.ndarray
    _requires_grad: bool
    _source: Any

    def item(self) -> float | int | bool:
        """Return the value of a tensor with one element as a Python scalar.

        Raises
        ------
        ShapeError
            If the tensor has more elements, or none.
        """
        if self._array.size != 1:
            raise ShapeError(
                f"item: expected a tensor with one element, got shape {self._array.shape}; index it or use .tolist()."
            )
        return self._array.item()  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """Return the values as nested Python lists."""
        return self._array.tolist()

    def __len__(self) -> int:
        return first_axis("len", self._array.shape)

    def __iter__(self) -> Iterator[Self]:
        first_axis("iter", self._array.shape)
        return iter(unstack(self))

    def __contains__(self, value: Any) -> bool:
        return bool((self._array == (value._array if isinstance(value, PythonProtocol) else value)).any())

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise ShapeError(
                f"bool: expected one element, got shape {self._array.shape}; write x.all() or x.any(), as in "
                "(a == b).all()."
            )
        return bool(self._array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._array.dtype.kind not in "iu" or self._array.ndim:
            raise DtypeError(
                f"index: expected a 0-d integer tensor, got {self._array.shape} {self._array.dtype}; use int(x)."
            )
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self._array.ndim == 0 else format(str(self), spec)

    def __repr__(self) -> str:
        values = np.array2string(self._array, separator=", ", prefix="tensor(", threshold=200)
        dtype = "" if self._array.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self._array.dtype}"
        how = ""
        source = self._source
        if isinstance(source, Node | Output):
            how = f", from {(source.node if isinstance(source, Output) else source).primitive.name!r}"
        elif self._requires_grad:
            how = ", requires_grad=True"
        return f"tensor({values}{dtype}{how})"

    def __reduce__(self) -> Any:
        return _rebuild, (self.__class__, self._array.copy(), self._requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied: Self = _rebuild(self.__class__, self._array.copy(), self._requires_grad)
        return copied


def _rebuild(kind: type[Any], array: np.ndarray, requires_grad: bool) -> Any:
    """Return a leaf of class `kind`, for pickle and copy.deepcopy."""
    tensor = object.__new__(kind)
    tensor._array, tensor._memory, tensor._source, tensor._requires_grad = array, None, None, requires_grad
    return tensor


def first_axis(name: str, shape: tuple[int, ...]) -> int:
    """Return the size of the first axis; `name` is the Python function named in the error."""
    if not shape:
        raise DtypeError(f"{name}: expected a tensor with at least one axis, got a 0-d tensor; use .item().")
    return shape[0]

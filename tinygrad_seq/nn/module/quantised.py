"""Parameters of quantised models: matrices whose products have a fixed scale, tables held as int8."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.inplace import InPlace
from ...autograd.tensor import Tensor, wrap
from ...ops.casting import astype
from ...ops.indexing import embedding
from .parameter import Parameter

_SLOT: Any = vars(InPlace)["_array"]
"""Where tensors have their array."""


class FixedScale(Parameter):
    """A float32 matrix whose int8 products have one scale for all rows of activations.

    Parameters
    ----------
    values : array_like
        The matrix.
    largest_input : float
        The magnitude of activations that becomes 127; larger ones become 127 too.
    """

    largest_input: float

    def __init__(self, values: ArrayLike, largest_input: float) -> None:
        super().__init__(values, requires_grad=False)
        self.largest_input = largest_input

    def __reduce__(self) -> Any:
        return FixedScale, (self._array.copy(), self.largest_input)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self._array, self.largest_input)


class Int8Table(Parameter):
    """A float32 table (V, H) of embeddings, held as int8 with one scale per row.

    It can be looked up in, read as a whole (`numpy`), copied, saved and overwritten (`copy_`). Anything else, such as
    an operation on it or a write to a part of it, makes it a plain float32 parameter for good.

    Parameters
    ----------
    values : array_like
        The table.
    """

    _held: tuple[Tensor, Tensor] | None  # the numbers (V, H) and the scales (V, 1)

    def __init__(self, values: ArrayLike) -> None:
        super().__init__(values, requires_grad=False)

    def look_up(self, indices: ArrayLike) -> Tensor:
        """Return the rows at `indices` (...), as float32 (..., H)."""
        held = None if self._requires_grad else self._held
        if held is None:
            return embedding(self, indices)
        numbers, scale = held
        rows: Tensor = astype(embedding(numbers, indices), np.float32) * embedding(scale, indices)
        return rows

    def _values(self) -> np.ndarray:
        from ...kernels.gemm.operands import dequantise  # imports Numba

        held = self._held
        if held is None:  # another thread has just made it a plain parameter
            return _SLOT.__get__(self)
        return dequantise(*[part.numpy() for part in held])

    @property
    def _array(self) -> np.ndarray:
        if self._held is not None:
            _SLOT.__set__(self, self._values())
            self._held = None
        self.__class__ = Parameter  # type: ignore[assignment]
        return _SLOT.__get__(self)

    @_array.setter
    def _array(self, values: np.ndarray) -> None:
        from ...kernels.gemm.operands import quantise

        numbers, scale = quantise(values, 1)
        self._held = wrap(numbers), wrap(scale)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape if self._held is None else self._held[0].shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        return 2

    def numpy(self) -> np.ndarray:
        values = self._values().view()
        values.flags.writeable = False
        return values

    def copy_(self, values: ArrayLike) -> Self:
        """Overwrite the table, as `Tensor.copy_`."""
        array = values.numpy() if isinstance(values, Tensor) else np.asarray(values)
        if array.shape != self.shape or self._requires_grad:
            return super().copy_(values)
        self._array = array.astype(np.float32)
        return self

    def __reduce__(self) -> Any:
        if self._held is None:
            return super().__reduce__()
        return _restored, tuple([part.numpy().copy() for part in self._held])

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        rebuild, parts = self.__reduce__()
        copied: Self = rebuild(*parts)
        return copied


def _restored(numbers: np.ndarray, scale: np.ndarray) -> Int8Table:
    table = Int8Table(np.empty((0, numbers.shape[1]), np.float32))
    table._held = wrap(numbers), wrap(scale)
    return table

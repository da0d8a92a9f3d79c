"""Parameters of quantised models: matrices whose products have a fixed scale, tables held as int8."""

from __future__ import annotations

from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.inplace import Stamp
from ...autograd.tensor import Tensor, wrap
from ...base.modes import mode
from ...errors import ArgumentError, GraphError
from ...ops.casting import astype
from ...ops.indexing import embedding
from .parameter import Parameter


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

    Everything but `look_up` sees a float32 array, made anew each time; one that a matrix product has read is kept.

    Parameters
    ----------
    values : array_like
        The table.
    """

    def __init__(self, values: ArrayLike) -> None:
        super().__init__(values, requires_grad=False)

    def look_up(self, indices: ArrayLike) -> Tensor:
        """Return the rows at `indices` (...), as float32 (..., H)."""
        if self._requires_grad and mode.recording:
            raise GraphError(
                "quantize: expected a table of int8 rows to be frozen, got one that requires grad; train the model "
                "that it was made from."
            )
        rows: Tensor = astype(embedding(self._numbers, indices), np.float32) * embedding(self._scale, indices)
        return rows

    @property
    def _array(self) -> np.ndarray:
        from ...kernels.gemm.operands import dequantise  # imports Numba

        if self._whole is not None:
            return self._whole
        table = dequantise(self._numbers.numpy(), self._scale.numpy())
        table.flags.writeable = False
        return table

    @_array.setter
    def _array(self, values: np.ndarray) -> None:
        from ...kernels.gemm.operands import quantise

        numbers, scale = quantise(values, 1)
        self._numbers, self._scale = wrap(numbers), wrap(scale)
        self._whole: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._numbers.shape

    @property
    def dtype(self) -> np.dtype:
        return self._scale.dtype

    @property
    def ndim(self) -> int:
        return self._numbers.ndim

    def _current_stamp(self) -> Stamp | None:
        self._whole = self._array
        return super()._current_stamp()

    def copy_(self, values: ArrayLike) -> Self:
        """Overwrite the table, as `Tensor.copy_`."""
        self._array = np.broadcast_to(np.asarray(values, np.float32), self.shape)
        return self

    def _writable(self) -> NoReturn:
        raise ArgumentError(
            "quantize: expected a table of int8 rows to be read, or overwritten as a whole with .copy_(values), got a "
            "write to a part of it; write to the model that was quantised, and quantize it again."
        )

    def __reduce__(self) -> Any:
        return _restored, (self._numbers.numpy().copy(), self._scale.numpy().copy())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied: Self = _restored(self._numbers.numpy().copy(), self._scale.numpy().copy())
        return copied


def _restored(numbers: np.ndarray, scale: np.ndarray) -> Any:
    table = Int8Table(np.empty((0, numbers.shape[1]), np.float32))
    table._numbers, table._scale = wrap(numbers), wrap(scale)
    return table

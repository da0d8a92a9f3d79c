"""Writing to a tensor: parameters and other leaves change in place, recorded history never does."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..base.modes import mode
from ..errors import GraphError, ShapeError
from ..ops import arithmetic
from ..ops.primitive import Array, Primitive


class InPlace:
    """Mixed into `Tensor`."""

    __slots__ = ()
    numpy: Any
    _array: np.ndarray
    _requires_grad: bool
    _source: Any
    _apply: Any
    _writable: Any

    def copy_(self, values: Array) -> Self:
        """Overwrite the values, broadcasting `values` to this shape, and return the tensor itself."""
        self._refuse_recorded_write("copy_")
        new = values._array if isinstance(values, InPlace) else np.asarray(values)
        try:
            fitted = np.broadcast_to(new, self._array.shape)
        except ValueError:
            raise ShapeError(
                f"copy_: expected values that broadcast to {self._array.shape}, got {new.shape}; reshape them first."
            ) from None
        self._writable()[...] = fitted
        return self

    def __setitem__(self, key: Any, value: Array) -> None:
        self._refuse_recorded_write("assignment to x[...]")
        keys = tuple(k.numpy() if isinstance(k, InPlace) else k for k in (key if isinstance(key, tuple) else (key,)))
        if isinstance(value, InPlace):
            value = np.asarray(value) if mode.recording else value.numpy()
        self._writable()[keys] = value

    def _refuse_recorded_write(self, what: str) -> None:
        if self._source is not None or (self._requires_grad and mode.recording):
            raise GraphError(
                f"{what}: expected a tensor without a recorded history, got one that requires grad; build a new one "
                "with ts.where or ts.concat, or write inside `with ts.no_grad():` if it is a parameter."
            )

    def _update(self, primitive: Primitive, other: Array) -> Array:
        """Return ``x op= other``: a parameter changes in place (under `no_grad`); any other name is bound anew."""
        if not self._requires_grad or self._source is not None:
            return self._apply(primitive, (self, other), {})
        self._refuse_recorded_write("in-place operator on a parameter")
        return self.copy_(self._apply(primitive, (self, other), {}))

    def __iadd__(self, other: Array) -> Array:
        return self._update(arithmetic.add, other)

    def __isub__(self, other: Array) -> Array:
        return self._update(arithmetic.subtract, other)

    def __imul__(self, other: Array) -> Array:
        return self._update(arithmetic.multiply, other)

    def __itruediv__(self, other: Array) -> Array:
        return self._update(arithmetic.divide, other)

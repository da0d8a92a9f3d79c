"""NumPy functions on tensors: a ufunc becomes the primitive with that forward; others run on bare arrays.

A gradient is never lost: functions that only run on bare arrays raise for tensors that require grad.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..errors import GraphError
from ..ops.primitive import TABLE, Array, Primitive

# Ufuncs whose primitive has another forward.
_BY_NAME = {np.matmul: "matmul", np.power: "pow", np.reciprocal: "reciprocal", np.rint: "round"}
# Functions whose result carries no gradient.
_FACTS = {np.shape: "shape", np.ndim: "ndim", np.size: "size"}


@functools.cache
def _primitives() -> dict[np.ufunc, Primitive]:
    same_forward = {row.forward: row for row in TABLE.values() if isinstance(row.forward, np.ufunc)}
    return same_forward | {ufunc: TABLE[name] for ufunc, name in _BY_NAME.items()}


class ArrayProtocol:
    """Mixed into `Tensor`."""

    __slots__ = ()
    _requires_grad: bool
    numpy: Any

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(_bare(self, "np.asarray"), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Array, **options: Any) -> Any:
        row = _primitives().get(ufunc)
        if row is not None and method == "__call__" and not options:
            return row(*operands)
        name = f"np.{ufunc.__name__}"
        return getattr(ufunc, method)(*_bare(operands, name), **_bare(options, name))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _FACTS and len(args) == 1 and not kwargs:
            return getattr(args[0], _FACTS[function])
        name = f"np.{function.__name__}"
        return function(*_bare(args, name), **_bare(kwargs, name))


def _bare(value: Any, name: str) -> Any:
    """Return `value` with all tensors replaced by ndarrays, for the NumPy function `name`."""
    if isinstance(value, ArrayProtocol):
        if value._requires_grad:
            raise GraphError(
                f"{name}: expected tensors that need no gradient, got one that requires grad, and NumPy would drop it; "
                "use the function of tinygrad_seq, or x.detach() or x.numpy() if the gradient may stop here."
            )
        return value.numpy()
    if isinstance(value, tuple | list):
        return type(value)(_bare(item, name) for item in value)
    if isinstance(value, dict):
        return {key: _bare(item, name) for key, item in value.items()}
    return value

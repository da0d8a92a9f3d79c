"""Mixed dtypes: what NumPy makes float64 of integers has the dtype of the floats beside them, or the default dtype.

As in PyTorch and JAX, the kind of number decides first: a float32 and an int64 tensor give float32. Eager operations
and traced ones (`scan.ir.trace`) ask here, so that they agree.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..base.settings import default_dtype
from ..ops.primitive import Array, OpKind, Primitive

WIDER: Final = frozenset("deb")
"""Dtypes of results, by their character code, that may come of integers."""
_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)


def float_of(primitive: Primitive, arrays: Any, params: dict[str, Any], result: np.dtype) -> np.dtype | None:
    """Return the dtype that `result`, NumPy's, should be: None if it is right.

    Parameters
    ----------
    arrays
        The operands: whatever has a dtype, and Python numbers.
    """
    if primitive.kind is OpKind.CAST or "dtype" in params:
        return None
    chars = [array.dtype.char for array in arrays if hasattr(array, "dtype")]
    if result.char == "b":  # int8, NumPy's power of booleans
        return None if "b" in chars else _INT64
    if "d" in chars:
        return None
    wanted = _FLOAT32 if "f" in chars else default_dtype()
    return None if wanted == result else wanted


def as_floats(primitive: Primitive, operands: tuple[Array, ...], dtype: np.dtype) -> tuple[Array, ...]:
    """Return `operands` with the numbers that count towards the result in `dtype`: not a condition, and no indices."""
    rules = primitive.rules * (len(operands) if primitive.variadic else 1)
    return tuple(
        [operand if rule is None else _as_float(operand, dtype) for rule, operand in zip(rules, operands, strict=True)]
    )


def _as_float(operand: Array, dtype: np.dtype) -> Array:
    if isinstance(operand, float | np.generic):
        return np.asarray(operand, dtype)
    if hasattr(operand, "astype"):
        return operand if operand.dtype.kind == "f" and operand.dtype.char != "e" else operand.astype(dtype)
    return operand

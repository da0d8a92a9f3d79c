"""Python data, NumPy arrays and tensors as ndarrays of a dtype that a Tensor can have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .array_protocol import ArrayProtocol
from .config import default_dtype
from .errors import DtypeError, GraphError, ShapeError
from .ops.casting import as_dtype
from .primitive import Array


def to_array(caller: str, data: Array, dtype: DTypeLike | None = None) -> np.ndarray:
    """Return a copy of `data` as an ndarray, Python floats as the default dtype unless `dtype` is given.

    Raises
    ------
    DtypeError
        If the values are not real numbers or booleans, or of a dtype that no Tensor has.
    ShapeError
        If nested lists are ragged.
    GraphError
        If nested lists hold a tensor that requires grad, whose gradient would be dropped.
    """
    wanted = None if dtype is None else as_dtype(caller, dtype)
    if isinstance(data, ArrayProtocol):
        data = data.numpy()
    if isinstance(data, list | tuple):
        data = _bare(caller, data)
    try:
        array = np.array(data)
    except ValueError as error:
        raise ShapeError(f"{caller}: expected nested lists of equal lengths ({error}); pad or split them.") from None
    if array.dtype.kind not in "fiub":
        raise DtypeError(
            f"{caller}: expected real numbers or booleans, got {type(data).__name__} ({array.dtype}); "
            "pass numbers, and text as integers, e.g. from data.Vocabulary."
        )
    if wanted is None:
        plain = not isinstance(data, np.ndarray | np.generic)
        wanted = default_dtype() if plain and array.dtype.kind == "f" else as_dtype(caller, array.dtype)
    return array.astype(wanted, copy=False)


def _bare(caller: str, data: Any) -> Any:
    """Return nested lists with every tensor in them as an ndarray."""
    if isinstance(data, list | tuple):
        return [_bare(caller, item) for item in data]
    if not isinstance(data, ArrayProtocol):
        return data
    if data._requires_grad:
        raise GraphError(
            f"{caller}: expected numbers or tensors that need no gradient, got one in a list that requires grad, which "
            "a new tensor would drop; join them with ts.stack, or use x.detach() if the gradient may stop here."
        )
    return data.numpy()

"""Conversion of Python data, NumPy arrays and tensors to ndarrays of a supported dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..base.settings import default_dtype
from ..errors import DtypeError, GraphError, ShapeError
from ..ops.casting import as_dtype
from ..ops.primitive import Array
from .array_protocol import ArrayProtocol


def to_array(caller: str, data: Array, dtype: DTypeLike | None = None) -> np.ndarray:
    """Return a copy of `data` as an ndarray; with `dtype` None it keeps its dtype.

    ndarrays, NumPy scalars, tensors and every object that NumPy reads as an array (``__array__``,
    ``__array_interface__``, the buffer protocol, ``__dlpack__``: pandas, polars, xarray, PyTorch) have a dtype, also
    inside lists. Python floats have none: in a list they take the dtype of its floating-point arrays; otherwise they
    take the default dtype.

    Raises
    ------
    DtypeError
        If the values are not real numbers or booleans, or have an unsupported dtype.
    ShapeError
        If nested lists are ragged.
    GraphError
        If nested lists hold a tensor that requires grad, whose gradient would be lost.
    """
    wanted = None if dtype is None else as_dtype(caller, dtype)
    found: set[np.dtype] = set()
    if isinstance(data, ArrayProtocol):
        data = data.numpy()  # outside a list, a tensor that requires grad may be copied
    bare = _bare(caller, data, found)
    try:
        array = np.array(bare)
    except ValueError as error:
        raise ShapeError(f"{caller}: expected nested lists of equal lengths ({error}); pad or split them.") from None
    if array.dtype.kind not in "fiub":
        raise DtypeError(
            f"{caller}: expected real numbers or booleans, got {type(data).__name__} ({array.dtype}); "
            "pass numbers, and text as integers, e.g. from data.Vocabulary."
        )
    if wanted is None:
        floating = [kind for kind in found if kind.kind == "f"]
        kept = np.result_type(*floating) if floating else default_dtype()
        wanted = as_dtype(caller, kept if array.dtype.kind == "f" else array.dtype)
    return array.astype(wanted, copy=False)


_PYTHON = frozenset({float, int, bool})
_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__")


def _bare(caller: str, data: Any, found: set[np.dtype]) -> Any:
    """Return nested lists with every item that has a dtype as an ndarray; add these dtypes to `found`."""
    if data.__class__ in _PYTHON:
        return data
    if isinstance(data, list | tuple):
        return [_bare(caller, item, found) for item in data]
    if isinstance(data, ArrayProtocol):
        if data._requires_grad:
            raise GraphError(
                f"{caller}: expected numbers or tensors that need no gradient, got one in a list that requires grad, "
                "which a new tensor would drop; join them with ts.stack, or use x.detach() if the gradient may stop."
            )
        data = data.numpy()
    elif any(hasattr(data, name) for name in _PROTOCOLS) or _is_buffer(data):
        data = np.asarray(data)
    elif hasattr(data, "__dlpack__"):
        data = np.from_dlpack(data)
    if isinstance(data, np.ndarray | np.generic):
        found.add(data.dtype)
    return data


def _is_buffer(data: Any) -> bool:
    try:
        memoryview(data)
    except TypeError:
        return False
    return True

"""The arguments `device` and `dtype` of PyTorch's layers: there is one device, and two dtypes of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ...errors import ArgumentError, DtypeError

_DEVICES = frozenset({"cpu", "cuda", "mps", "xpu", "meta"})


def check_placement(layer: str, device: Any, dtype: DTypeLike | None) -> None:
    """Raise unless `device` is the CPU and `dtype` is float32, float64 or None."""
    if device is not None and str(device) not in ("cpu", "cpu:0"):
        raise ArgumentError(f"{layer}: expected device None or 'cpu', got {device!r}; leave it out.")
    if dtype is not None and _as_dtype(dtype) is None:
        raise DtypeError(f"{layer}: expected dtype 'float32' or 'float64', got {dtype!r}; pass one, or leave it out.")


def dtype_of_placement(caller: str, placement: tuple[Any, ...], device: Any, dtype: Any) -> np.dtype | None:
    """Return the dtype that the arguments of ``module.to(...)`` name: a dtype, the device, both, or a tensor."""
    named: Any = dtype
    for each in placement:
        if str(each).partition(":")[0] in _DEVICES:
            device = each
        elif isinstance(getattr(each, "dtype", None), np.dtype) and not isinstance(each, np.dtype):
            named = each.dtype
        else:
            named = each
    if named is None and placement and device is None:
        raise DtypeError(f"{caller}: expected float32 or float64, got None; pass one of the two.")
    check_placement(caller, device, None)
    if named is None:
        return None
    chosen = _as_dtype(named)
    if chosen is None:
        try:
            given: object = np.dtype(named)
        except TypeError:
            given = repr(named)
        raise DtypeError(f"{caller}: expected float32 or float64, got {given}; pass one of the two.")
    return chosen


def _as_dtype(dtype: Any) -> np.dtype | None:
    """Return the dtype if parameters can have it."""
    try:
        chosen = np.dtype(dtype)
    except TypeError:
        return None
    return chosen if chosen in (np.float32, np.float64) else None

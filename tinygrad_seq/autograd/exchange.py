"""Memory shared with other libraries by DLPack, and the one device that there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, GraphError
from ..ops.casting import SUPPORTED

DEVICE = "cpu"
DLPACK_CPU = (1, 0)  # kDLCPU, and its only number


def check_device(caller: str, device: Any) -> None:
    """Raise ArgumentError in the name of `caller` unless `device` is None or the CPU."""
    if device is not None and str(device) != DEVICE:
        raise ArgumentError(
            f"{caller}: expected device=None or 'cpu', got {device!r}; tensors live in main memory, leave it out."
        )


def check_export(tensor: Any, stream: Any, dl_device: Any) -> None:
    """Raise unless the memory of `tensor` can be exported by DLPack."""
    if tensor.requires_grad:
        raise GraphError(
            f"__dlpack__: expected a tensor that needs no gradient, got {tensor.shape} {tensor.dtype} that requires "
            "grad, and another library would drop it; export x.detach() if the gradient may stop here."
        )
    if stream is not None:
        raise ArgumentError(f"__dlpack__: expected stream=None on the CPU, got {stream!r}; leave it out.")
    if dl_device is not None and tuple(map(int, dl_device)) != DLPACK_CPU:
        raise ArgumentError(
            f"__dlpack__: expected dl_device=None or {DLPACK_CPU}, the CPU, got {dl_device}; copy it there afterwards."
        )


def import_memory(x: Any, copy: bool | None) -> np.ndarray:
    """Return the memory that `x` exports by DLPack as an ndarray, for `from_dlpack`.

    Raises
    ------
    ArgumentError
        If `x` does not export its memory, or cannot without a copy where `copy` is False.
    DtypeError
        If a Tensor cannot have its dtype.
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise ArgumentError(
            f"from_dlpack: expected an array with __dlpack__ and __dlpack_device__, got {type(x).__name__}; use "
            "ts.tensor for data of other kinds."
        )
    device = tuple(map(int, x.__dlpack_device__()))
    if device[0] != DLPACK_CPU[0]:
        raise ArgumentError(
            f"from_dlpack: expected an array in main memory, DLPack device {DLPACK_CPU}, got device {device}; move it "
            "to the CPU first."
        )
    try:
        array = np.from_dlpack(x, copy=copy)
    except (BufferError, RuntimeError, ValueError) as error:
        if isinstance(error, GraphError | ArgumentError):
            raise
        raise ArgumentError(
            f"from_dlpack: expected an array whose memory can be shared as real numbers or booleans, got "
            f"{type(x).__name__} {getattr(x, 'dtype', '')}, which refuses ({error}); call its detach() if it requires "
            "grad, cast it to a dtype that a Tensor has, or leave out copy=False."
        ) from error
    if array.dtype.name not in SUPPORTED:
        raise DtypeError(
            f"from_dlpack: expected one of float32, float64, the integers or bool, got {array.dtype}; cast it first."
        )
    return array

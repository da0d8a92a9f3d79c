"""Named arrays as safetensors files, for `save`, `load` and checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..base.files import write_atomically
from ..errors import ArgumentError, CheckpointError, DtypeError
from ..ops.casting import SUPPORTED
from .tensor import Tensor, wrap

_READABLE = frozenset({"F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL"})


def save(
    tensors: Mapping[str, ArrayLike], path: str | os.PathLike[str], *, metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` to `path` as a safetensors file, atomically.

    Parameters
    ----------
    tensors
        Tensors or ndarrays of any shape by name, such as ``module.state_dict()``.
    path
        The file; an existing one is replaced.
    metadata
        Texts by name, stored in the header of the file.

    Raises
    ------
    ArgumentError
        If `tensors` is not a dict, or a name is not a string or is ``__metadata__``, which the format reserves.
    DtypeError
        If a value is not a Tensor or ndarray of real numbers, integers or booleans.
    CheckpointError
        If the file cannot be written: full disk, missing or unwritable folder. An existing file is untouched.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "weights.safetensors"
    ...     ts.save({"w": ts.tensor([1.0, 2.0])}, path)
    ...     ts.load(path)
    {'w': tensor([1., 2.])}
    """
    from safetensors.numpy import save as encode

    if not isinstance(tensors, Mapping):
        raise ArgumentError(
            f"save: expected tensors by name, got {type(tensors).__name__}; pass e.g. save(module.state_dict(), path)."
        )
    arrays = {_checked_name(name): _as_array(name, value) for name, value in tensors.items()}
    write_atomically(path, encode(arrays, metadata))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a safetensors file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict of Tensor
        The tensors by name; new leaves that do not require grad.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or is not a complete safetensors file.
    DtypeError
        If it holds a dtype that a Tensor cannot have, such as float16.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "weights.safetensors"
    ...     ts.save({"w": ts.tensor([1.0, 2.0])}, path)
    ...     ts.load(path)["w"]
    tensor([1., 2.])
    """
    arrays, _ = read_arrays(path)
    return {name: wrap(array) for name, array in arrays.items()}


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """Return the arrays of the safetensors file `path` by name and its metadata; raises as `load`."""
    from safetensors import SafetensorError, safe_open

    file = _readable(path)
    arrays = {}
    try:
        with safe_open(file, framework="numpy") as content:
            metadata = dict(content.metadata() or {})
            for name in content.keys():  # noqa: SIM118 - not a mapping
                kind = content.get_slice(name).get_dtype()
                if kind not in _READABLE:
                    raise DtypeError(
                        f"load: expected float32, float64, integers or booleans in '{path}', got {kind} for {name!r}; "
                        "convert the file to float32 first."
                    )
                arrays[name] = np.array(content.get_tensor(name))
    except SafetensorError as error:
        raise CheckpointError(
            f"load: expected '{path}' to be a complete safetensors file, got one of {file.stat().st_size:,} bytes that "
            f"is cut short or damaged ({_first_line(error)}); use another copy."
        ) from error
    return arrays, metadata


def _readable(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise CheckpointError(
            f"load: expected a readable file, got '{path}': {error.strerror}; check the path."
        ) from error


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or name == "__metadata__":
        raise ArgumentError(
            f"save: expected names that are strings other than '__metadata__', got {name!r}; rename it."
        )
    return name


def _as_array(name: str, value: object) -> np.ndarray[Any, Any]:
    array = value.numpy() if isinstance(value, Tensor) else value
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.name not in SUPPORTED:
        kind = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(value).__name__
        raise DtypeError(
            f"save: expected a Tensor or ndarray of real numbers, integers or booleans for {name!r}, got {kind}; "
            "convert it first, or save its parts under names of their own."
        )
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

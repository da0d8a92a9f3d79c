"""Checkpoints: the complete state of a training run in one file, written atomically.

A checkpoint is a nested dict. Its arrays become the tensors of a safetensors file, named by their path in the dict
(``optimizer.state.0.exp_avg``). Everything else becomes JSON in the header of the same file, so arrays and metadata
always belong to the same step.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import numpy as np

from ..autograd.serialization import read_arrays, save
from ..autograd.tensor import Tensor
from ..errors import CheckpointError

_FORMAT = "tinygrad_seq.checkpoint"
_VERSION = 1
_ARRAY, _TUPLE = "$array", "$tuple"


def save_checkpoint(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a nested dict to a file.

    The file is written under a temporary name and renamed, so `path` holds either the old or the new checkpoint.

    Parameters
    ----------
    content : dict
        Arrays, tensors, numbers, strings, None, and dicts, lists and tuples of these.
    path : str or path-like
        The file to write or replace.

    Raises
    ------
    CheckpointError
        If the file cannot be written. A file that existed at `path` is unchanged in that case.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.train.save_checkpoint({"step": 3, "weights": (ts.zeros(2),)}, f"{folder}/x.safetensors")
    ...     ts.train.load_checkpoint(f"{folder}/x.safetensors")
    {'step': 3, 'weights': (array([0., 0.], dtype=float32),)}
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    text = json.dumps({"version": _VERSION, "content": _take_out(content, "", arrays)})
    save(arrays, path, metadata={_FORMAT: text, "crc32": _checksum(text, arrays)})


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the nested dict that `save_checkpoint` wrote.

    Parameters
    ----------
    path : str or path-like
        The file to read.

    Returns
    -------
    dict
        The content; tensors are returned as ndarrays.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, damaged in any byte, not a checkpoint, or written by a newer version of the
        package.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.train.save_checkpoint({"step": 3}, f"{folder}/x.safetensors")
    ...     ts.train.load_checkpoint(f"{folder}/x.safetensors")
    {'step': 3}
    """
    arrays, metadata = read_arrays(path)
    text = metadata.get(_FORMAT)
    if text is None:
        raise _refused(path, "a safetensors file without one; read it with ts.load")
    if metadata.get("crc32") != _checksum(text, arrays):
        raise _refused(path, "bytes that do not match their checksum, so the file is damaged; use another checkpoint")
    packed = json.loads(text)
    if packed["version"] != _VERSION:
        raise _refused(path, f"version {packed['version']} (this package reads {_VERSION}); update tinygrad_seq")
    content: dict[str, Any] = _put_back(packed["content"], arrays)
    return content


def _refused(path: str | os.PathLike[str], got: str) -> CheckpointError:
    return CheckpointError(f"load_checkpoint: expected '{path}' to hold a checkpoint, got {got}.")


def _take_out(value: Any, name: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Return `value` as JSON values, with arrays replaced by their names and added to `arrays`."""
    if isinstance(value, Tensor | np.ndarray):
        while name in arrays:  # {"a": {"b": ...}, "a.b": ...}
            name += "'"
        arrays[name] = value.numpy() if isinstance(value, Tensor) else value
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _take_out(item, f"{name}.{key}".lstrip("."), arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_take_out(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    return value


def _put_back(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_TUPLE}:
            return tuple(_put_back(item, arrays) for item in value[_TUPLE])
        return {key: _put_back(item, arrays) for key, item in value.items()}
    return [_put_back(item, arrays) for item in value] if isinstance(value, list) else value


def _checksum(text: str, arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"

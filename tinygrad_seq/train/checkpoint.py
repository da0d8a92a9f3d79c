"""Everything a training run needs to go on, in one file that is there whole or not at all.

A checkpoint is a nested dict. Its arrays become the tensors of a safetensors file, named by their path in the dict
(``optimizer.state.0.exp_avg``); all the rest becomes a JSON text in the head of the same file, so that the two can
never be of different steps.
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
    """Write `content`, a nested dict of arrays, tensors, numbers, texts, lists and tuples, to `path`.

    Parameters
    ----------
    content : dict
        What to write; keys are strings.
    path : str or PathLike
        Where to write; an existing file is replaced.

    Raises
    ------
    CheckpointError
        If it cannot be written. What stood at `path` before is untouched then.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> import tempfile
    >>> path = f"{tempfile.mkdtemp()}/checkpoint"
    >>> ts.train.save_checkpoint({"step": 3}, path)
    >>> ts.train.load_checkpoint(path)
    {'step': 3}
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    text = json.dumps({"version": _VERSION, "content": _take_out(content, "", arrays)})
    save(arrays, path, metadata={_FORMAT: text, "crc32": _checksum(text, arrays)})


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the nested dict that `save_checkpoint` wrote to `path`, with ndarrays where tensors were.

    Parameters
    ----------
    path : str or PathLike
        A file that `save_checkpoint` wrote.

    Returns
    -------
    dict
        The content.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, damaged in any byte, no checkpoint, or of a newer version of the package.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> import tempfile
    >>> path = f"{tempfile.mkdtemp()}/checkpoint"
    >>> ts.train.save_checkpoint({"step": 3, "weight": ts.ones(2)}, path)
    >>> ts.train.load_checkpoint(path)["weight"]
    array([1., 1.], dtype=float32)
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
    """Return `value` in a form JSON can hold, its arrays replaced by their names and put into `arrays`."""
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

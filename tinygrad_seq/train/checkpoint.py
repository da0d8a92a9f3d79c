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
from ..base.files import parse_json
from ..errors import CheckpointError, DtypeError

_FORMAT = "tinygrad_seq.checkpoint"
_VERSION = 2  # 1, which 0.1.0 wrote, has no _DICT
# {"$array": name}, {"$tuple": [...]}; {"$dict": [[key, value], ...]} is a dict with keys that are not strings, or one
# that looks like these three.
_ARRAY, _TUPLE, _DICT = "$array", "$tuple", "$dict"


def save_checkpoint(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a nested dict to a file.

    The file is written under a temporary name and renamed, so `path` holds either the old or the new checkpoint.

    Parameters
    ----------
    content : dict
        Arrays, tensors, numbers, strings, None, and dicts, lists and tuples of these. The keys of dicts are strings or
        integers.
    path : str or path-like
        The file to write or replace.

    Raises
    ------
    CheckpointError
        If the file cannot be written. A file that existed at `path` is unchanged in that case.
    DtypeError
        If a value or key has another type, or the values are nested too deeply.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.train.save_checkpoint({"step": 3, "weights": (ts.zeros(2),)}, f"{folder}/x.safetensors")
    ...     ts.train.load_checkpoint(f"{folder}/x.safetensors")
    {'step': 3, 'weights': (array([0., 0.], dtype=float32),)}
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    try:
        text = json.dumps({"version": _VERSION, "content": _take_out(content, "", arrays)})
    except (TypeError, RecursionError) as error:
        reason = "values nested too deeply" if isinstance(error, RecursionError) else error
        raise DtypeError(
            f"save_checkpoint: expected arrays, numbers, strings, None, and dicts, lists and tuples of these, got "
            f"{reason}; convert it first."
        ) from error
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
    try:
        arrays, metadata = read_arrays(path, "load_checkpoint")
    except DtypeError as error:
        raise _refused(path, f"numbers of another kind ({error})") from error
    text = metadata.get(_FORMAT)
    if text is None:
        raise _refused(path, "a safetensors file without one; read it with ts.load")
    if metadata.get("crc32") != _checksum(text, arrays):
        raise _refused(path, "bytes that do not match their checksum, so the file is damaged; use another checkpoint")
    packed = parse_json(text, "load_checkpoint", f"'{path}'")
    if packed.get("version") not in range(1, _VERSION + 1):
        raise _refused(
            path, f"version {packed.get('version')!r} (this package reads 1 to {_VERSION}); update tinygrad_seq"
        )
    try:
        content = _put_back(packed.get("content"), arrays)
    except (LookupError, TypeError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _refused(path, "a header that save_checkpoint did not write; use another checkpoint")
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
        if wrong := [key for key in value if type(key) not in (str, int)]:
            raise TypeError(f"the key {wrong[0]!r:.50}, which is neither a string nor an integer")
        items = {key: _take_out(item, f"{name}.{key}".lstrip("."), arrays) for key, item in value.items()}
        plain = all(type(key) is str for key in items) and items.keys() not in ({_ARRAY}, {_TUPLE}, {_DICT})
        return items if plain else {_DICT: list(items.items())}
    if isinstance(value, list | tuple):
        parts = [_take_out(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {_TUPLE: parts} if isinstance(value, tuple) else parts
    return value


def _put_back(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_TUPLE}:
            return tuple(_put_back(item, arrays) for item in value[_TUPLE])
        if value.keys() == {_DICT}:
            return {key: _put_back(item, arrays) for key, item in value[_DICT]}
        return {key: _put_back(item, arrays) for key, item in value.items()}
    return [_put_back(item, arrays) for item in value] if isinstance(value, list) else value


def _checksum(text: str, arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"

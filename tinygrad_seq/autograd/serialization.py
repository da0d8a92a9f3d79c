"""Named arrays as safetensors files, for `save`, `load` and checkpoints.

Files come from strangers. The package safetensors checks the header and the offsets before memory is reserved; what it
accepts and NumPy does not (many axes, huge empty ones), and names and metadata, are checked here. The file is read, not
mapped into memory: a mapped file that shrinks kills the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..base.files import parse_json, read_regular, shown, write_atomically
from ..errors import ArgumentError, CheckpointError, DtypeError
from ..ops.casting import SUPPORTED, as_dtype
from .tensor import Tensor, wrap

_Array = np.ndarray[Any, Any]

_LONGEST_HEADER = 100_000_000  # as in the format's own library
_STORED = {
    "F64": "<f8",
    "F32": "<f4",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "|b1",
}


def _from_e4m3(x: _Array) -> _Array:
    """Return numbers with 4 bits of exponent and no infinity, by way of float16, whose exponent has 5 bits."""
    bits = x.astype(np.uint16)
    half = ((bits & 0x80) << 8 | (bits & 0x7F) << 7).view(np.float16)
    return np.where(bits & 0x7F == 0x7F, np.float32(np.nan), half.astype(np.float32) * np.float32(256))


# Numbers with fewer bits than float32: how they are stored, and the function that returns them as float32, exactly.
_NARROW: dict[str, tuple[str, Callable[[_Array], _Array]]] = {
    "F16": ("<f2", lambda x: x.astype(np.float32)),
    "BF16": ("<u2", lambda x: (x.astype(np.uint32) << 16).view(np.float32)),
    "F8_E5M2": ("<u1", lambda x: (x.astype(np.uint16) << 8).view(np.float16).astype(np.float32)),
    "F8_E4M3": ("<u1", _from_e4m3),
}


def save(
    tensors: Mapping[str, ArrayLike], path: str | os.PathLike[str], *, metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` to `path` as a safetensors file, atomically.

    Parameters
    ----------
    tensors
        Tensors or ndarrays of any shape by name, such as ``module.state_dict()``.
    path
        The file; an existing one is replaced and keeps its permissions.
    metadata
        Texts by name, stored in the header of the file.

    Raises
    ------
    ArgumentError
        If `tensors` is not a dict; a name is not a string of whole characters, or is ``__metadata__``, which the format
        reserves; or `metadata` is not a dict of such strings, or too long for a header (100 MB).
    DtypeError
        If a value is not a Tensor or ndarray of real numbers, integers or booleans.
    CheckpointError
        If the file cannot be written: full disk, missing or unwritable folder, a folder or device at `path`. An
        existing file is untouched.

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
    try:
        _check_texts(metadata or {})
        _check_texts(dict.fromkeys(arrays, ""))
    except ValueError as error:
        raise ArgumentError(
            f"save: expected names and metadata that are Unicode texts, got {error}; use str()."
        ) from error
    content = encode(arrays, metadata)
    if (length := int.from_bytes(content[:8], "little")) > _LONGEST_HEADER:
        raise ArgumentError(
            f"save: expected names and metadata of at most {_LONGEST_HEADER:,} bytes, got {length:,}; store long "
            "lists as arrays."
        )
    write_atomically(path, content, "save")


@overload
def load(
    path: str | os.PathLike[str], *, dtype: DTypeLike | None = None, metadata: Literal[False] = False
) -> dict[str, Tensor]: ...


@overload
def load(
    path: str | os.PathLike[str], *, dtype: DTypeLike | None = None, metadata: Literal[True]
) -> tuple[dict[str, Tensor], dict[str, str]]: ...


def load(
    path: str | os.PathLike[str], *, dtype: DTypeLike | None = None, metadata: bool = False
) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file. It is parsed as data only; no file can run code.

    Parameters
    ----------
    path
        The file.
    dtype
        float32 or float64: the dtype of all floating-point tensors, by default as stored. It is needed for float16,
        bfloat16 and the 8-bit formats E4M3 and E5M2, which are widened exactly.
    metadata
        Whether to return the texts in the header too.

    Returns
    -------
    tensors : dict of Tensor
        The tensors by name; new leaves that do not require grad.
    metadata : dict of str
        The `metadata` that was given to `save`; only with ``metadata=True``.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or is not a complete safetensors file; a file of PyTorch, Keras or NumPy is named.
    DtypeError
        If it holds a dtype that a Tensor cannot have, such as float16 without `dtype`, or `dtype` is not float32 or
        float64.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "weights.safetensors"
    ...     ts.save({"w": ts.tensor([1.0, 2.0])}, path, metadata={"by": "me"})
    ...     ts.load(path)["w"]
    ...     ts.load(path, dtype="float64", metadata=True)
    tensor([1., 2.])
    ({'w': tensor([1., 2.], dtype=float64)}, {'by': 'me'})
    """
    wanted = None if dtype is None else as_dtype("load", dtype)
    if wanted is not None and wanted.kind != "f":
        raise DtypeError(f"load: expected dtype='float32' or 'float64', got {wanted}; convert integers with astype.")
    arrays, texts = read_arrays(path, dtype=wanted)
    tensors = {name: wrap(array) for name, array in arrays.items()}
    return (tensors, texts) if metadata else tensors


def read_arrays(
    path: str | os.PathLike[str], caller: str = "load", *, dtype: np.dtype | None = None
) -> tuple[dict[str, _Array], dict[str, str]]:
    """Return the arrays of the safetensors file `path` by name, and its metadata.

    Messages start with `caller`; parameters and errors are those of `load`.
    """
    from safetensors import SafetensorError, deserialize

    content = read_regular(path, caller)
    place = shown(path)
    try:
        entries = deserialize(content)  # type: ignore[no-untyped-call]
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")], caller, f"the header of {place}")
        metadata = header.get("__metadata__") or {}
        _check_texts(metadata)
        _check_texts(dict.fromkeys((name for name, _ in entries), ""))
        arrays = {}
        while entries:  # each is freed as it is used
            name, entry = entries.pop()
            kind = entry["dtype"]
            if kind in _NARROW and dtype is None:
                raise DtypeError(
                    f"{caller}: expected float32, float64, integers or booleans in {place}, got {kind} for {name!r}; "
                    f"write ts.load({place}, dtype='float32') to widen it."
                )
            if kind not in _STORED and kind not in _NARROW:
                raise DtypeError(
                    f"{caller}: expected real numbers of 8 to 64 bits, integers or booleans in {place}, got {kind!r} "
                    f"for {name!r}; convert the file to float32 with the program that wrote it."
                )
            arrays[name] = _decoded(name, kind, entry["data"], dtype).reshape(entry["shape"])
    except (SafetensorError, ValueError, MemoryError) as error:
        if other := kind_of_content(content):
            raise CheckpointError(
                f"{caller}: expected {place} to be a safetensors file, got {other[0]}; {other[1]}."
            ) from error
        raise CheckpointError(
            f"{caller}: expected {place} to be a complete safetensors file, got one of {len(content):,} bytes that is "
            f"cut short or damaged ({ascii(str(error))[1:-1][:200] or 'too little memory'}); use another copy."
        ) from error
    return {name: arrays[name] for name in header if name in arrays}, metadata


def kind_of_content(content: bytes) -> tuple[str, str] | None:
    """Return what a file of another format is, and what to do with it; None if it is none that is known."""
    torch = (
        "a file of PyTorch (torch.save)",
        (
            "read it with ts.interop.from_pytorch(path) where torch is installed, or convert it there once: "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), 'weights.safetensors')"
        ),
    )
    if content[8:9] == b"{":  # the header of a safetensors file after its length
        return None
    if content.startswith(b"PK\x03\x04"):
        head = content[:400]
        if b"config.json" in head or b"metadata.json" in head:
            return "a model of Keras (.keras)", "read it with ts.interop.from_keras(path)"
        if b".npy" in head:
            return "arrays of NumPy (.npz)", "read it with numpy.load(path)"
        return torch if b"data.pkl" in head or b"/version" in head else ("a zip archive", "unpack it first")
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        return "an HDF5 file, as Keras writes", "read it with ts.interop.from_keras(path)"
    if content.startswith(b"\x93NUMPY"):
        return "an array of NumPy (.npy)", "read it with numpy.load(path)"
    if content[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        legacy = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" in content[:40]
        return torch if legacy else ("a pickle, which could run any code", "save the tensors in another format")
    if content.startswith(b"GGUF"):
        return "a GGUF file", "convert it to safetensors"
    return None


def _decoded(name: str, kind: str, data: bytes, dtype: np.dtype | None) -> _Array:
    """Return the numbers in `data` as a flat array of a dtype that a Tensor can have."""
    array: _Array = np.frombuffer(data, _STORED.get(kind) or _NARROW[kind][0])
    if kind == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"{name!r} with booleans other than 0 and 1")
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        if kind in _NARROW:
            array = _NARROW[kind][1](array)
        wanted = dtype if dtype is not None and array.dtype.kind == "f" else array.dtype.newbyteorder("=")
        return np.require(array, wanted, "W")


def _check_texts(texts: Any) -> None:
    """Raise a ValueError unless `texts` is a dict of strings that UTF-8 can hold."""
    if not isinstance(texts, dict):
        raise ValueError(f"metadata of type {type(texts).__name__}")
    for name, text in texts.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise ValueError(f"metadata {name!r}: {text!r:.50}")
        (name + text).encode()


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
            "convert it first, or write numbers, texts and nested dicts with ts.train.save_checkpoint."
        )
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")

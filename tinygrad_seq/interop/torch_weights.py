"""`from_pytorch` and `to_pytorch`: state dicts of PyTorch in and out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import DTypeLike

from ..autograd.serialization import kind_of_content, read_arrays, save
from ..autograd.tensor import Tensor, wrap
from ..base.files import open_regular, read_json, shown, write_atomically
from ..errors import ArgumentError, CheckpointError, DtypeError
from ..nn import ElmanCell, GRUCell, LSTMCell, Module, Recurrent, RNNCell
from ..ops.casting import SUPPORTED, as_dtype

M = TypeVar("M", bound=Module)

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "weights")
_PREFIXES = ("module.", "_orig_mod.")
_CELLS = (LSTMCell, GRUCell, ElmanCell, RNNCell)


@overload
def from_pytorch(source: Any, model: None = None, *, dtype: DTypeLike | None = None) -> dict[str, Tensor]: ...


@overload
def from_pytorch(source: Any, model: M, *, dtype: DTypeLike | None = None) -> M: ...


def from_pytorch(
    source: Any, model: Module | None = None, *, dtype: DTypeLike | None = None
) -> dict[str, Tensor] | Module:
    """Read a state dict of PyTorch, from a file or from an object of PyTorch.

    The prefixes that ``DataParallel`` and ``torch.compile`` add, ``module.`` and ``_orig_mod.``, are removed, and a
    state dict in a larger checkpoint is found. ``.pt`` and ``.pth`` files are read by
    ``torch.load(weights_only=True)``, which runs no code in them; safetensors files need no PyTorch.

    Parameters
    ----------
    source : path, module of PyTorch, or mapping of str to tensors
        A ``.safetensors``, ``.pt`` or ``.pth`` file, an index of several safetensors files
        (``model.safetensors.index.json``), or what holds the tensors; these may require grad.
    model : Module, optional
        A model to load the tensors into. An `nn.Recurrent` of `LSTMCell`, `GRUCell` or `ElmanCell` takes those of
        ``torch.nn.LSTM``, ``GRU`` and ``RNN``.
    dtype : dtype, optional
        float32 or float64: the dtype of all floating-point tensors, by default as stored. Needed for float16 and
        bfloat16, which are widened exactly; by default that of `model`, if there is one.

    Returns
    -------
    dict of Tensor, or Module
        The tensors by name, or `model`.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or holds no state dict.
    ArgumentError
        If the file needs PyTorch, which is not installed, or the names or shapes do not fit `model`.
    DtypeError
        If a tensor is of a dtype that a Tensor cannot have, such as float16 without `dtype`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "weights.safetensors"
    ...     ts.interop.to_pytorch(ts.nn.LSTM(3, 5), path)
    ...     model = ts.nn.Recurrent(ts.nn.LSTMCell(3, 5))
    ...     _ = ts.interop.from_pytorch(path, model)
    >>> model.cells[0].weight_ih.shape
    (20, 3)
    """
    if dtype is None and model is not None:
        dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), None)
    wanted = None if dtype is None else as_dtype("from_pytorch", dtype)
    if wanted is not None and wanted.kind != "f":
        raise DtypeError(f"from_pytorch: expected dtype 'float32' or 'float64', got {wanted}; pass one of the two.")
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    if not isinstance(source, Mapping):
        source = _read(source, wanted)
    tensors = {name: _as_tensor(name, value, wanted) for name, value in _state_of(source).items()}
    tensors = _without_prefixes(tensors)
    if model is None:
        return tensors
    if not isinstance(model, Module):
        raise ArgumentError(f"from_pytorch: expected a Module, got {type(model).__name__}; pass the model itself.")
    ours = {theirs: own for own, theirs in torch_names(model)}
    model.load_state_dict({ours.get(name, name): x for name, x in tensors.items()})
    return model


def _read(path: Any, dtype: np.dtype | None) -> Mapping[str, Any]:
    """Return the content of a file."""
    with open_regular(path, "from_pytorch") as file:
        head = file.read(400)
    place = shown(path)
    if os.fspath(path).endswith(".index.json"):
        shards = read_json(path, "from_pytorch").get("weight_map")
        names = {name for name in shards.values() if isinstance(name, str)} if isinstance(shards, dict) else {""}
        if not all(name and name == Path(name).name for name in names):
            raise CheckpointError(
                f"from_pytorch: expected names of files beside {place}, got others; restore the file."
            )
        found: dict[str, Any] = {}
        for name in sorted(names):
            found |= read_arrays(Path(path).with_name(name), "from_pytorch", dtype=dtype)[0]
        return found
    other = kind_of_content(head)
    if other is None:
        return read_arrays(path, "from_pytorch", dtype=dtype)[0]
    if "PyTorch" not in other[0]:
        raise CheckpointError(f"from_pytorch: expected weights of PyTorch in {place}, got {other[0]}; {other[1]}.")
    try:
        import torch
    except ImportError as error:
        raise ArgumentError(
            f"from_pytorch: expected torch, which reads {place} ({other[0]}), got none; install it, or convert the "
            "file where it is installed: "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), 'weights.safetensors')."
        ) from error
    try:
        content = torch.load(os.fspath(path), map_location="cpu", weights_only=True)
    except Exception as error:
        other_than_tensors = re.search(r"GLOBAL ([\w.]{1,100})", str(error))
        reason = f"one that needs the code of {other_than_tensors[1]}" if other_than_tensors else "one that is damaged"
        raise CheckpointError(
            f"from_pytorch: expected a state dict of tensors in {place}, got {reason}; where you trust it, save "
            "torch.save(model.state_dict(), path) from it."
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"from_pytorch: expected a state dict in {place}, got a {type(content).__name__}; save one with "
            "torch.save(model.state_dict(), path)."
        )
    return content


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray) or (hasattr(value, "detach") and hasattr(value, "dtype"))


def _state_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of a state dict, or of the one in a checkpoint."""
    for _ in range(4):
        if all(isinstance(name, str) and _is_tensor(value) for name, value in content.items()):
            return dict(content)
        inner = [name for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
        if len(inner) != 1:
            break
        content = content[inner[0]]
    others = [f"{name!s:.40}: {type(value).__name__}" for name, value in content.items() if not _is_tensor(value)]
    raise CheckpointError(
        f"from_pytorch: expected tensors by name, got {', '.join(others[:8])}; pass the state dict in it, e.g. "
        "checkpoint['state_dict']."
    )


def _as_tensor(name: str, value: Any, dtype: np.dtype | None) -> Tensor:
    if isinstance(value, Tensor | np.ndarray):
        array = value.numpy() if isinstance(value, Tensor) else value
        narrow = array.dtype.name in ("float16", "bfloat16")
    else:
        kinds = [kind for kind in ("quantized", "meta", "nested") if getattr(value, f"is_{kind}", False)]
        if kinds or str(value.dtype).startswith("torch.complex"):
            raise DtypeError(
                f"from_pytorch: expected real numbers for {name!r}, got {' '.join([*kinds, str(value.dtype)])}; split "
                "or convert the tensor."
            )
        value = value.detach().cpu()
        narrow = str(value.dtype) in ("torch.float16", "torch.bfloat16", "torch.float8_e4m3fn", "torch.float8_e5m2")
        array = (value.float() if narrow else value).to_dense().numpy() if value.layout is not None else value.numpy()
    if narrow and dtype is None:
        raise DtypeError(
            f"from_pytorch: expected float32, float64, integers or booleans for {name!r}, got 16 or 8 bits; pass "
            "dtype='float32' to widen them."
        )
    if array.dtype.kind == "f" and dtype is not None:
        array = array.astype(dtype)
    if array.dtype.name not in SUPPORTED:
        raise DtypeError(f"from_pytorch: expected real numbers for {name!r}, got {array.dtype}; convert the tensor.")
    return wrap(np.array(array, order="C"))


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without the prefixes that wrappers of a module add to every name."""
    found = True
    while found and tensors:
        found = False
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in tensors):
                tensors, found = {name.removeprefix(prefix): x for name, x in tensors.items()}, True
    return {name.replace("._orig_mod.", "."): x for name, x in tensors.items()}


def torch_names(model: Module) -> Iterator[tuple[str, str]]:
    """Yield the names of parameters and buffers that a model of PyTorch has under other names: ours, and theirs."""
    for name, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, Recurrent):
            continue
        prefix = f"{name}." if name else ""
        kinds = {type(cell) for cell in module.cells}
        if len(kinds) != 1 or not kinds <= set(_CELLS) or len({cell.hidden_size for cell in module.cells}) != 1:  # type: ignore[attr-defined]
            continue
        for number, cell in enumerate(module.cells):
            layer, reverse = divmod(number, 1 + module.bidirectional)
            suffix = f"_l{layer}{'_reverse' if reverse else ''}"
            for parameter in cell.state_dict():
                yield f"{prefix}cells.{number}.{parameter}", f"{prefix}{parameter}{suffix}"


def to_pytorch(model: Module | Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the state dict of a model as a file that PyTorch loads.

    Layers have PyTorch's names and shapes already; an `nn.Recurrent` of `LSTMCell`, `GRUCell` or `ElmanCell` gets those
    of ``torch.nn.LSTM``, ``GRU`` and ``RNN``.

    Parameters
    ----------
    model : Module or mapping of str to arrays
        The model, or its state dict.
    path
        ``.safetensors``, to be read by ``safetensors.torch.load_file``; or ``.pt``, ``.pth`` or ``.bin``, which needs
        torch here, to be read by ``torch.load``.

    Raises
    ------
    ArgumentError
        If the path ends otherwise, torch is needed and not installed, or `model` is neither.
    DtypeError, CheckpointError
        As `save`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "weights.safetensors"
    ...     ts.interop.to_pytorch(ts.nn.Recurrent(ts.nn.GRUCell(3, 5)), path)
    ...     sorted(ts.load(path))
    ['bias_hh_l0', 'bias_ih_l0', 'weight_hh_l0', 'weight_ih_l0']
    """
    if isinstance(model, Module):
        renamed = dict(torch_names(model))
        state: dict[str, Any] = {renamed.get(name, name): x for name, x in model.state_dict().items()}
    elif isinstance(model, Mapping):
        state = dict(model)
    else:
        raise ArgumentError(
            f"to_pytorch: expected a Module or a state dict, got {type(model).__name__}; pass the model."
        )
    suffix = Path(os.fspath(path)).suffix
    if suffix == ".safetensors":
        save(state, path, metadata={"format": "pt"})
        return
    if suffix not in (".pt", ".pth", ".bin"):
        raise ArgumentError(
            f"to_pytorch: expected a path that ends in .safetensors, .pt, .pth or .bin, got {shown(path)}; name it so."
        )
    try:
        import torch
    except ImportError as error:
        raise ArgumentError(
            f"to_pytorch: expected torch, which writes {suffix} files, got none; install it, or write .safetensors."
        ) from error
    arrays = {name: np.array(x.numpy() if isinstance(x, Tensor) else x, order="C") for name, x in state.items()}
    write_atomically(
        path, lambda file: torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, file), "to_pytorch"
    )

"""`from_keras` and `to_keras`: models and weights of Keras 3, without Keras."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..base.files import parse_json, read_regular, shown, write_atomically
from ..errors import ArgumentError, CheckpointError, TinygradSeqError
from ..nn import Module
from .keras_files import MODELS, Weights, import_h5py, layers_of, places_of, snake_case
from .keras_layers import READERS, Arrays, Spec, spec_of
from .keras_modules import Chain
from .keras_writing import Described, describe

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LARGEST_CONFIG = 1 << 26
_FAULTS = (
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError, EOFError, zlib.error,
    zipfile.BadZipFile, ArithmeticError,
)  # fmt: skip


def from_keras(path: str | os.PathLike[str], model: Any = None) -> Any:
    """Read a model of Keras, or the weights of one into a model of this package. Keras is not needed, h5py is.

    A file is read if its layers run one after the other: Sequential and functional models of LSTM, GRU (both forms),
    SimpleRNN, RNN of their cells, Bidirectional, Embedding, Masking, Dense, TimeDistributed, LayerNormalization,
    dropout, activations, Conv1D, BatchNormalization, pooling over time, Flatten and RepeatVector. The model that is
    returned takes what the model of Keras takes, batch first, and returns what it returns; masks of padding included.

    Parameters
    ----------
    path
        A ``.keras`` file, a ``.h5`` file of a whole model, or a file of weights such as ``.weights.h5``.
    model : Module or sequence of modules, optional
        A model to set the weights of: one that `to_keras` can write. Needed for a file of weights.

    Returns
    -------
    Module
        The model, in evaluation mode; or `model`, if it was given, in its mode.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged, or its weights do not fit its configuration or `model`.
    ArgumentError
        If h5py is not installed, a layer or an option is not supported, or the file holds weights alone and `model` is
        not given.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import tinygrad_seq as ts
    >>> lstm = ts.nn.LSTM(3, 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.keras"
    ...     ts.interop.to_keras(lstm, path)
    ...     model = ts.interop.from_keras(path)
    >>> model(ts.ones((2, 7, 3))).shape
    (2, 7, 5)
    """
    content = read_regular(path, "from_keras")
    place = shown(path)
    try:
        return _read(content, model)
    except TinygradSeqError as error:
        text = str(error).removeprefix("from_keras: ")
        raise type(error)(f"from_keras: {place}: {text}") from error
    except RecursionError as error:
        raise CheckpointError(
            f"from_keras: expected {place} to be a file of Keras, got one nested too deeply."
        ) from error
    except _FAULTS as error:
        raise CheckpointError(
            f"from_keras: expected {place} to be a whole file of Keras, got one of {len(content):,} bytes that is cut "
            f"short or damaged ({type(error).__name__}: {ascii(str(error))[1:-1][:200]}); use another copy."
        ) from error


def _read(content: bytes, model: Any) -> Any:
    found: tuple[dict[str, Any], bool] | None = None
    if content.startswith(b"PK"):
        archive = zipfile.ZipFile(io.BytesIO(content))
        metadata = parse_json(_member(archive, "metadata.json", _LARGEST_CONFIG), "from_keras", "metadata.json")
        found = (
            parse_json(_member(archive, "config.json", _LARGEST_CONFIG), "from_keras", "config.json"),
            str(metadata.get("keras_version", "3")) < "3",
        )
        content = _member(archive, "model.weights.h5", 200 * len(content) + (1 << 20))
    if not content.startswith(_HDF5):
        raise CheckpointError(
            "expected a .keras or .h5 file, got one of another format; pass ONNX files to from_onnx, and PyTorch's to "
            "from_pytorch."
        )
    weights = Weights(content, "from_keras")
    found = found or weights.config()
    if model is not None:
        described = list(describe(model))
        if found is None:
            given = list(weights.of([Spec(layer.class_name, layer.config) for layer in described]))
        else:  # the configuration tells the order, also of layers in layers
            rest = [array for arrays in weights.of(layers_of(spec_of(*found))) for array in arrays]
            given = []
            for layer in described:
                given.append(rest[: len(layer.arrays)])
                del rest[: len(layer.arrays)]
            given[-1:] = [given[-1] + rest] if given else []
        _load(described, given)
        return model
    if found is None:
        raise ArgumentError(
            "expected the configuration of a model, got weights alone, which do not say the order of the layers and "
            "their activation functions; pass a model of yours to set: from_keras(path, model)."
        )
    top = spec_of(*found)
    if top.class_name not in MODELS:
        raise ArgumentError(f"expected a model of {', '.join(MODELS)}, got {top.class_name[:60]!r}; save such a model.")
    specs = layers_of(top)
    _check_known(specs)
    return _chain(specs, list(weights.of(specs)), whole=True).eval()


def _check_known(specs: Sequence[Spec]) -> None:
    """Raise if there is a layer that has no reader."""
    for spec in specs:
        if spec.class_name in MODELS:
            _check_known(layers_of(spec))
        elif spec.class_name not in READERS:
            raise ArgumentError(
                f"expected layers of {', '.join(READERS)}, got {spec.class_name[:60]!r}; read the weights into a model "
                "of your own with from_keras(path, model)."
            )


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return a file in a zip archive, of at most `limit` bytes."""
    info = archive.getinfo(name)
    if info.file_size > limit:
        raise CheckpointError(f"expected {name} of at most {limit:,} bytes, got {info.file_size:,}; restore the file.")
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise CheckpointError(f"expected {name} of {info.file_size:,} bytes, got others; restore the file.")
    return content


def _chain(specs: Sequence[Spec], weights: Iterable[Arrays], whole: bool) -> Chain:
    """Return layers with their weights; a layer takes them from its list, which is empty then if `whole`."""
    layers: dict[str, Module] = {}
    for spec, arrays in zip(specs, weights, strict=True):
        if spec.class_name in MODELS:
            inner = layers_of(spec)
            layer: Module = _chain(inner, [arrays] * len(inner), whole=False)
        else:
            layer = READERS[spec.class_name](spec, arrays)
        if whole and arrays:
            raise CheckpointError(
                f"layer {spec.name[:80]!r} ({spec.class_name[:40]}): expected fewer weights, got {len(arrays)} more; "
                "the configuration and the weights are of different models."
            )
        name = spec.name
        while name in layers:
            name += "_"
        layers[name] = layer
    return Chain(layers)


def _load(described: Sequence[Described], weights: Sequence[Arrays]) -> None:
    """Set the weights of modules; nothing is written if any does not fit."""
    faults = []
    for number, (layer, arrays) in enumerate(zip(described, weights, strict=True)):
        wanted, given = [x.shape for x in layer.arrays], [x.shape for x in arrays]
        if wanted != given:
            faults.append(f"layer {number} ({layer.class_name}) expected {wanted}, got {given}")
    if faults:
        raise CheckpointError(
            f"expected the weights of the layers of the model, got {'; '.join(faults)[:2000]}; give the model these "
            "layers and sizes, in this order."
        )
    for layer, arrays in zip(described, weights, strict=True):
        if arrays:
            layer.assign(arrays)


# ------------------------------------------------------------------------------------------------------- writing


def to_keras(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model as a file that Keras 3 loads, with the same outputs. Keras is not needed, h5py is.

    Keras's layers are batch first, so ``(N, T)`` indices or ``(N, T, I)`` features are what the model takes there, and
    a recurrent layer returns all its outputs. In Keras, ``load_model(path)`` reads the file, and
    ``model.load_weights(path)`` one that ends in ``.weights.h5``.

    Parameters
    ----------
    model : Module or sequence of modules
        What `from_keras` returned, an `nn.Sequential`, a `train.LanguageModel`, one layer, or the layers in the order
        in which they run, such as ``[model.embedding, model.lstm, model.output]``.
    path
        The file: ``.keras``, or ``.weights.h5`` for the weights alone.

    Raises
    ------
    ArgumentError
        If h5py is not installed, the path ends otherwise, or Keras has no layer that does what a module does.
    CheckpointError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import tinygrad_seq as ts
    >>> layers = [ts.nn.Embedding(10, 4), ts.nn.GRU(4, 8), ts.nn.Linear(8, 10)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ts.interop.to_keras(layers, pathlib.Path(folder) / "model.keras")
    """
    name = os.fspath(path)
    if not str(name).endswith((".keras", ".weights.h5")):
        raise ArgumentError(
            f"to_keras: expected a path that ends in .keras or .weights.h5, got {shown(path)}; name it so."
        )
    described = list(describe(model))
    if not described:
        raise ArgumentError("to_keras: expected a model with layers, got none; pass the layers in order.")
    weights = _weights_file(described)
    if str(name).endswith(".h5"):
        write_atomically(path, weights, "to_keras")
        return
    config = _config(described)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        metadata = {"keras_version": "3.15.0", "date_saved": "2000-01-01@00:00:00"}
        for member, data in (
            ("metadata.json", json.dumps(metadata).encode()),
            ("config.json", json.dumps(config).encode()),
            ("model.weights.h5", weights),
        ):
            archive.writestr(zipfile.ZipInfo(member), data)
    write_atomically(path, buffer.getvalue(), "to_keras")


def _config(described: Sequence[Described]) -> dict[str, Any]:
    """Return the configuration of a Sequential model."""
    inputs = next((layer.inputs for layer in described if layer.inputs is not None), None)
    if inputs is None:
        raise ArgumentError(
            "to_keras: expected a layer with weights, which says the number of inputs, got none; add it."
        )
    steps = any(layer.class_name in (*_OVER_TIME, "Bidirectional") for layer in described)
    dtype = next(str(x.dtype) for layer in described for x in layer.arrays)
    shape: list[int | None] = [None, None] if not inputs else [None, *([None] if steps else []), inputs]
    entries = [
        _entry("InputLayer", {"batch_shape": shape, "dtype": dtype if inputs else "int32", "name": "input_layer"})
    ]
    for layer, name in zip(described, _names(described), strict=True):
        entries.append(_entry(layer.class_name, {"name": name, "dtype": dtype, **layer.config}))
    return _entry("Sequential", {"name": "sequential", "trainable": True, "dtype": dtype, "layers": entries}, "keras")


_OVER_TIME = (
    "AveragePooling1D", "Conv1D", "GRU", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "LSTM", "Masking",
    "MaxPooling1D", "SimpleRNN", "SpatialDropout1D",
)  # fmt: skip


def _entry(class_name: str, config: dict[str, Any], module: str = "keras.layers") -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _names(described: Sequence[Described]) -> list[str]:
    """Return the names of layers as Keras numbers them: ``lstm``, ``lstm_1``, ..."""
    seen: Counter[str] = Counter()
    names = []
    for layer in described:
        stem = snake_case(layer.class_name)
        names.append(f"{stem}_{seen[stem]}" if seen[stem] else stem)
        seen[stem] += 1
    return names


def _weights_file(described: Sequence[Described]) -> bytes:
    """Return the content of model.weights.h5."""
    buffer = io.BytesIO()
    with import_h5py("to_keras").File(buffer, "w") as file:
        file.create_group("vars").attrs["name"] = "sequential"
        for layer, name in zip(described, _names(described), strict=True):
            file.create_group(f"layers/{name}/vars").attrs["name"] = name
            places = places_of(Spec(layer.class_name, layer.config))
            each = len(layer.arrays) // len(places)
            for number, place in enumerate(places):
                group = file.require_group(f"layers/{name}/{place}")
                group.attrs["name"] = place.split("/")[0]
                for k, array in enumerate(layer.arrays[number * each : (number + 1) * each]):
                    group.create_dataset(str(k), data=np.ascontiguousarray(array))
    return buffer.getvalue()

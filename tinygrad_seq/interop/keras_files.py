"""Keras's weights in an HDF5 file, and the order of the layers in its configuration."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..base.files import parse_json
from ..errors import ArgumentError, CheckpointError
from .keras_layers import Arrays, Spec, spec_of

MODELS = ("Sequential", "Functional", "Model")
_WITH_WEIGHTS = (
    *MODELS, "BatchNormalization", "Bidirectional", "Conv1D", "Dense", "Embedding", "GRU", "LSTM", "LayerNormalization",
    "RNN", "SimpleRNN", "TimeDistributed",
)  # fmt: skip


def import_h5py(caller: str) -> Any:
    """Return the package h5py.

    Raises
    ------
    ArgumentError
        If it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ArgumentError(
            f"{caller}: expected the package h5py, which reads Keras's weights, got none; run pip install "
            "'tinygrad-seq[keras]'."
        ) from error
    return h5py


class Weights:
    """The weights in an HDF5 file, by layer."""

    def __init__(self, content: bytes, caller: str) -> None:
        self._h5py = import_h5py(caller)
        self.file = self._h5py.File(io.BytesIO(content), "r")
        root = self.file.get("model_weights", self.file)
        self.legacy = "layer_names" in root.attrs
        self._root = root

    def config(self) -> tuple[dict[str, Any], bool] | None:
        """Return the configuration of a whole model, and whether it is of Keras 1 or 2; None if there is none."""
        text = self.file.attrs.get("model_config")
        if text is None:
            return None
        version = self.file.attrs.get("keras_version", b"2")
        version = version.decode("ascii", "replace") if isinstance(version, bytes) else str(version)
        return parse_json(text if isinstance(text, str | bytes) else b"", "from_keras", "model_config"), version < "3"

    def array(self, group: Any, name: str) -> np.ndarray:
        """Return the array at a path in a group; it must be in this file, and not far larger than its data."""
        for part in name.split("/"):
            link = group.get(part, getlink=True)
            if not isinstance(link, self._h5py.HardLink):
                raise CheckpointError(
                    f"expected the weight {name[:80]!r} in the file itself, got a link; restore the file."
                )
            group = group[part]
        if not isinstance(group, self._h5py.Dataset) or group.is_virtual or group.external:
            raise CheckpointError(f"expected the weight {name[:80]!r} as an array in the file; restore the file.")
        stored = group.id.get_storage_size()
        if group.size * group.dtype.itemsize > 1000 * stored + 4096:
            raise CheckpointError(
                f"expected the data of {name[:80]!r} {group.shape[:8]}, got {stored:,} bytes; the file is damaged, or "
                "made to fill the memory."
            )
        array = np.asarray(group[()])
        if group.attrs.get("dtype") == "bfloat16" and array.dtype.itemsize == 2:
            array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        if array.dtype.kind != "f" or array.dtype.itemsize > 8:
            raise CheckpointError(
                f"expected the weight {name[:80]!r} in floating point, got {array.dtype}; save a model that is not "
                "quantised."
            )
        return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32)

    def of(self, specs: Sequence[Spec]) -> Iterator[Arrays]:
        """Yield the weights of each layer, in Keras's order."""
        if self.legacy:
            yield from self._legacy(specs)
            return
        root = self._root
        places = "_layer_checkpoint_dependencies" if "_layer_checkpoint_dependencies" in root else "layers"
        paths = list(self._paths(root, places, specs))
        others = set(root.get(places, ())) - {path.split("/")[1] for path in paths}
        self._refuse([name for name in sorted(others) if self._has_weights(root[places][name])])
        for spec, path in zip(specs, paths, strict=True):
            yield self._gather(root, path, spec)

    def _has_weights(self, group: Any) -> bool:
        found: list[bool] = []
        if isinstance(group, self._h5py.Group):
            group.visititems(lambda _name, item: found.append(True) if isinstance(item, self._h5py.Dataset) else None)
        return bool(found)

    def _refuse(self, names: Sequence[str]) -> None:
        if names:
            raise CheckpointError(
                f"expected the weights of the layers of one model, got also those of {', '.join(names)[:200]!r}; the "
                "configuration, or the model that was passed, has no such layers."
            )

    def _paths(self, root: Any, prefix: str, specs: Sequence[Spec]) -> Iterator[str]:
        """Yield the group of each layer: those of one class are numbered in the order of the layers."""
        names = list(root[prefix]) if prefix in root else []
        totals = Counter(spec.class_name for spec in specs)
        seen: Counter[str] = Counter()
        for spec in specs:
            stem, number = snake_case(spec.class_name), seen[spec.class_name]
            seen[spec.class_name] += 1
            matching = [name for name in names if re.fullmatch(rf"{re.escape(stem)}(_\d{{1,9}})?", name)]
            matching.sort(key=lambda name: (len(name), name))
            exact = f"{stem}_{number}" if number else stem
            found = matching[number] if len(matching) == totals[spec.class_name] else exact
            yield f"{prefix}/{found}"

    def _gather(self, root: Any, path: str, spec: Spec) -> Arrays:
        """Return the weights of a layer and of those in it."""
        if spec.class_name in MODELS:
            inner = layers_of(spec)
            paths = self._paths(root, f"{path}/layers", inner)
            return [
                array for each, place in zip(inner, paths, strict=True) for array in self._gather(root, place, each)
            ]
        arrays: Arrays = []
        for place in places_of(spec):
            group = root.get(f"{path}/{place}")
            numbers = (
                sorted(int(name) for name in group if name.isdigit()) if isinstance(group, self._h5py.Group) else []
            )
            arrays += [self.array(root, f"{path}/{place}/{number}") for number in numbers]
        return arrays

    def _legacy(self, specs: Sequence[Spec]) -> Iterator[Arrays]:
        """Yield the weights of each layer of a file of Keras 2, by name, or in order if the names are others."""
        root = self._root
        for spec in specs:
            if spec.class_name in MODELS and _reordered(spec):
                raise ArgumentError(
                    f"layer {spec.name[:80]!r}: expected a model in a model whose weights are all trained, got frozen "
                    "ones or BatchNormalization, which .h5 files store in another order; save it as a .keras file."
                )
        names = [_text(name) for name in root.attrs["layer_names"]]
        held = {
            name: [self.array(root, f"{name}/{_text(weight)}") for weight in root[name].attrs["weight_names"]]
            for name in names
        }
        if all(spec.name in held for spec in specs):
            own = {spec.name for spec in specs}
            self._refuse([name for name, arrays in held.items() if arrays and name not in own])
            yield from (held[spec.name] for spec in specs)
            return
        filled = {name: arrays for name, arrays in held.items() if arrays}
        for spec in specs:
            yield filled.pop(next(iter(filled))) if filled and spec.class_name in _WITH_WEIGHTS else []
        self._refuse(list(filled))


def _reordered(model: Spec) -> bool:
    """Return whether a model has weights that are not trained, which come last in files of Keras 2."""
    return any(
        spec.class_name == "BatchNormalization"
        or not spec.config.get("trainable", True)
        or (spec.class_name in MODELS and _reordered(spec))
        for spec in layers_of(model)
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in files: ``SimpleRNN`` is ``simple_rnn``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def places_of(spec: Spec) -> list[str]:
    """Return the groups of the weights of a layer, inside of its own group."""
    if spec.class_name == "Bidirectional":
        forward = spec.inner("layer")
        return [f"{way}_layer/{place}" for way in ("forward", "backward") for place in places_of(forward)]
    if spec.class_name == "TimeDistributed":
        return [f"layer/{place}" for place in places_of(spec.inner("layer"))]
    if spec.class_name == "RNN":
        cell = spec.inner("cell")
        if cell.class_name != "StackedRNNCells":
            return ["cell/vars"]
        seen: Counter[str] = Counter()
        places = []
        for entry in cell.wants("cells", list, []):
            stem = snake_case(spec_of(entry).class_name)
            places.append(f"cell/cells/{stem}{f'_{seen[stem]}' if seen[stem] else ''}/vars")
            seen[stem] += 1
        return places
    return ["cell/vars" if spec.class_name in ("LSTM", "GRU", "SimpleRNN") else "vars"]


def layers_of(model: Spec) -> list[Spec]:
    """Return the layers of a model in the order in which they run, without the input.

    Raises
    ------
    CheckpointError
        If the configuration is not one of a model.
    ArgumentError
        If a functional model is not a chain, or an argument of a layer is an output of another one.
    """
    entries = model.wants("layers", list, [])
    specs = [spec_of(entry, model.legacy) for entry in entries]
    if model.class_name != "Sequential":
        specs = _in_order(model, specs, [entry.get("inbound_nodes", []) for entry in entries])
    return [spec for spec in specs if spec.class_name != "InputLayer"]


def _in_order(model: Spec, specs: Sequence[Spec], nodes: Sequence[Any]) -> list[Spec]:
    """Return the layers of a functional model in the order in which they run."""
    sources = {spec.name: _sources(node) for spec, node in zip(specs, nodes, strict=True)}
    named = {spec.name: spec for spec in specs}
    for mask in {mask for _, masks in sources.values() for mask in masks}:
        for name in _mask_of(mask, named, sources):
            named.pop(name, None)  # the layers pass this mask on by themselves
    starts = [name for name in named if not sources[name][0]]
    after: dict[str, str] = {}
    for name in named:
        if len(sources[name][0]) > 1 or any(source in after for source in sources[name][0]):
            starts.append(name)
        after.update(dict.fromkeys(sources[name][0], name))
    ordered: list[Spec] = []
    current = starts[0] if starts else None
    while current is not None and current in named:
        ordered.append(named.pop(current))
        current = after.get(current)
    if len(starts) != 1 or named or ordered[0].class_name != "InputLayer":
        raise ArgumentError(
            f"from_keras: expected a model whose layers run one after the other, got {len(starts)} starts and "
            f"{len(named)} layers apart in {model.name[:80]!r}; read the weights into a model of your own with "
            "from_keras(path, model)."
        )
    return ordered


def _mask_of(name: str, named: Mapping[str, Spec], sources: Mapping[str, tuple[list[str], list[str]]]) -> list[str]:
    """Return the layers that compute a mask, which must be the one of an Embedding or of Masking of the same input."""
    found = [name]
    if name in named and named[name].class_name == "Any" and sources[name][0]:
        found.append(sources[name][0][0])
    last = found[-1]
    if last in named and named[last].class_name == "NotEqual":
        for other, spec in named.items():
            masks = (spec.class_name == "Embedding" and spec.config.get("mask_zero")) or spec.class_name == "Masking"
            if masks and sources[other][0] == sources[last][0]:
                return found
    raise ArgumentError(
        f"from_keras: expected masks of Embedding(mask_zero=True) or Masking, got {name[:80]!r}; read the weights into "
        "a model of your own with from_keras(path, model)."
    )


def _sources(value: Any, depth: int = 0, mask: bool = False) -> tuple[list[str], list[str]]:
    """Return the layers whose outputs and masks a layer takes: Keras 3 has dicts, and Keras 2 nested lists."""
    if depth > 20:
        raise CheckpointError("from_keras: expected the inputs of a layer, got nested lists; restore the file.")
    data: list[str] = []
    masks: list[str] = []
    parts: list[tuple[Any, bool]] = []
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        (masks if mask else data).append(str(history[0]) if isinstance(history, list) and history else "")
    elif isinstance(value, dict):
        parts = [(each, mask or key == "mask") for key, each in value.items()]
    elif isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str) and isinstance(value[1], int):
        data.append(value[0])
    elif isinstance(value, list):
        parts = [(each, mask) for each in value]
    for each, masked in parts:
        more = _sources(each, depth + 1, masked)
        data += more[0]
        masks += more[1]
    return data, masks

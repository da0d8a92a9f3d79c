"""Keras's layers as modules of this package, and the other way round: one reader per class, one writer per module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..base.modes import no_grad
from ..errors import ArgumentError, CheckpointError
from .general_cells import KINDS, RELU, SIGMOID, TANH, Activation, make_layer, reorder
from .keras_modules import (
    Activate,
    Chain,
    KerasBatchNorm,
    KerasConv,
    KerasEmbedding,
    KerasRecurrent,
    Masking,
    Pool,
    PoolSteps,
    Repeat,
    SpatialDropout,
)

Arrays = list[np.ndarray]

ACTIVATIONS: dict[str, Activation] = {
    "elu": ("elu", 1.0),
    "exponential": ("exponential",),
    "gelu": ("gelu",),
    "hard_sigmoid": ("hard_sigmoid", 1 / 6, 0.5),
    "hard_silu": ("hard_silu", 1 / 6, 0.5),
    "hard_swish": ("hard_silu", 1 / 6, 0.5),
    "hard_tanh": ("hard_tanh",),
    "leaky_relu": ("leaky_relu", 0.2),
    "linear": ("linear",),
    "log_sigmoid": ("log_sigmoid",),
    "log_softmax": ("log_softmax",),
    "mish": ("mish",),
    "relu": RELU,
    "relu6": ("relu6",),
    "selu": ("selu", 1.6732632423543772, 1.0507009873554805),
    "sigmoid": SIGMOID,
    "silu": ("silu",),
    "softmax": ("softmax",),
    "softplus": ("softplus",),
    "softsign": ("softsign",),
    "swish": ("silu",),
    "tanh": TANH,
}
LAYERS = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}
_CELLS = {f"{name}Cell": kind for name, kind in LAYERS.items()}
GATES_OF_KERAS = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "RNN": (0,)}  # GRU: z, r, n there and r, z, n here


@dataclass
class Spec:
    """A layer of a Keras file.

    Attributes
    ----------
    class_name, config
        As in config.json; the config of a layer that is read comes from the file and is not trusted.
    legacy
        Whether it is of Keras 1 or 2, where ``hard_sigmoid`` is another function.
    """

    class_name: str
    config: dict[str, Any]
    legacy: bool = False

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.config.get("name", self.class_name))

    def inner(self, key: str) -> Spec:
        """Return the layer that this one wraps."""
        return spec_of(self.config.get(key), self.legacy)

    def wants(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Return a checked value of the config.

        Raises
        ------
        CheckpointError
            If it is of another type.
        """
        value = self.config.get(key, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise CheckpointError(
                f"layer {self.name[:80]!r}: expected {key} of type {getattr(kind, '__name__', 'float')}, got "
                f"{value!r:.60}; restore the file."
            )
        return value


def spec_of(entry: Any, legacy: bool = False) -> Spec:
    """Return a layer of a config.

    Raises
    ------
    CheckpointError
        If it has no class name, or no config.
    """
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("class_name"), str)
        or not isinstance(entry.get("config"), dict | list)
    ):
        raise CheckpointError(f"expected a layer with class_name and config, got {entry!r:.80}; restore the file.")
    config = entry["config"]
    return Spec(entry["class_name"], {"layers": config} if isinstance(config, list) else config, legacy)


# ---------------------------------------------------------------------------------------------------- reading


def activation_of(spec: Spec, key: str, default: str = "linear") -> Activation:
    """Return an activation function of a layer.

    Raises
    ------
    ArgumentError
        If it is not one of `ACTIVATIONS`.
    """
    value = spec.config.get(key, default)
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    value = "linear" if value is None else value
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected {key} to be one of {', '.join(ACTIVATIONS)}, got {value!r:.80}; read "
            "the weights into a model of your own with from_keras(path, model)."
        )
    if value == "hard_sigmoid" and spec.legacy:
        return ("hard_sigmoid", 0.2, 0.5)
    return ACTIVATIONS[value]


def _take(spec: Spec, arrays: Arrays, *ranks: int) -> Arrays:
    """Take the next arrays, which have these numbers of axes."""
    taken, arrays[: len(ranks)] = arrays[: len(ranks)], []
    if len(taken) < len(ranks) or any(x.ndim != rank for x, rank in zip(taken, ranks, strict=True)):
        raise CheckpointError(
            f"layer {spec.name[:80]!r} ({spec.class_name[:40]}): expected weights with {ranks} axes, got "
            f"{[x.shape for x in taken]}; the configuration and the weights are of different models."
        )
    return taken


def part_of(kind: str, arrays: Arrays, name: str) -> tuple[dict[str, np.ndarray], bool]:
    """Return the weights of a cell by our names, from those of Keras, and whether a GRU resets after the product.

    Raises
    ------
    CheckpointError
        If the shapes are not those of one cell.
    """
    gates, order = KINDS[kind].general.gates, GATES_OF_KERAS[kind]
    kernel, recurrent, *biases = arrays
    H = recurrent.shape[0]
    two = bool(biases) and biases[0].ndim == 2
    shapes = [(kernel.shape[0], gates * H), (H, gates * H), (2, gates * H) if two else (gates * H,)]
    if [x.shape for x in arrays] != shapes[: len(arrays)] or (two and kind != "GRU") or not H:
        raise CheckpointError(
            f"layer {name[:80]!r}: expected weights of shapes {shapes[: len(arrays)]}, got "
            f"{[x.shape for x in arrays]}; the configuration and the weights are of different models."
        )
    part = {"weight_ih": reorder(kernel.T, order), "weight_hh": reorder(recurrent.T, order)}
    if biases:
        both = biases[0] if two else np.stack([biases[0], np.zeros_like(biases[0])])
        part["bias_ih"], part["bias_hh"] = (reorder(bias, order) for bias in both)
    return part, two


def _direction(spec: Spec, arrays: Arrays) -> tuple[str, dict[str, np.ndarray], dict[str, Any]]:
    """Return the kind, the weights and the settings of the cell of one direction."""
    kind = {**LAYERS, **_CELLS}[spec.class_name]
    config = spec.config
    biased = spec.wants("use_bias", bool, True)
    ranks = (2, 2, arrays[2].ndim if len(arrays) > 2 else 1) if biased else (2, 2)
    part, two = part_of(kind, _take(spec, arrays, *ranks), spec.name)
    functions = [activation_of(spec, "activation", "tanh")]
    if kind != "RNN":
        functions.insert(0, activation_of(spec, "recurrent_activation", "sigmoid"))
    settings: dict[str, Any] = {"activations": (*functions, functions[-1]) if kind == "LSTM" else tuple(functions)}
    if kind == "GRU":
        after = bool(config.get("reset_after", two if biased else not spec.legacy))
        if biased and after != two:
            raise CheckpointError(
                f"layer {spec.name[:80]!r}: expected biases for reset_after={after}, got others; restore the file."
            )
        settings["reset_after"] = after
    return kind, part, settings


def _recurrent(spec: Spec, arrays: Arrays, backward: Spec | None = None, merge: Any = None) -> nn.Module:
    """Return a recurrent layer of one direction, or of two with `backward`."""
    if spec.class_name == "RNN":
        cell = spec.inner("cell")
        if cell.class_name == "StackedRNNCells":
            return _stacked(spec, cell, arrays)
        spec = Spec(
            cell.class_name, {**cell.config, **{k: v for k, v in spec.config.items() if k != "cell"}}, spec.legacy
        )
        if backward is not None:
            back = backward.inner("cell")
            backward = Spec(back.class_name, {**back.config, **backward.config}, spec.legacy)
    kinds = {**LAYERS, **_CELLS}
    if spec.class_name not in kinds or (backward is not None and backward.class_name != spec.class_name):
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected a layer or cell of {', '.join(kinds)}, got {spec.class_name[:60]}; "
            "read the weights into a model of your own with from_keras(path, model)."
        )
    for key in ("stateful", "return_state", "time_major"):
        if spec.config.get(key):
            raise ArgumentError(
                f"layer {spec.name[:80]!r}: expected {key}=False, got {spec.config[key]!r:.20}; save the model without "
                "it. Layers of this package take and return their state: read the weights with from_keras(path, model)."
            )
    found = [_direction(each, arrays) for each in (spec, backward) if each is not None]
    zeros = spec.wants("zero_output_for_mask", bool, False)
    sequences = spec.wants("return_sequences", bool, False)
    back = spec.wants("go_backwards", bool, False)
    layer = make_layer(
        found[0][0],
        [part for _, part, _ in found],
        [settings for _, _, settings in found],
        batch_first=True,
        go_backwards=back and backward is None,
        masked_output="zeros" if zeros or backward is not None else "held",
        variational_dropout=spec.wants("dropout", (int, float), 0.0),
        recurrent_dropout=spec.wants("recurrent_dropout", (int, float), 0.0),
    )
    if backward is not None and back:
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected a forward layer first, got go_backwards=True; save the model so."
        )
    return KerasRecurrent(layer, sequences, merge, zeros)


def _stacked(spec: Spec, stack: Spec, arrays: Arrays) -> nn.Module:
    entries = stack.wants("cells", list, [])
    shared = {key: value for key, value in spec.config.items() if key not in ("cell", "name", "return_sequences")}
    layers: dict[str, nn.Module] = {}
    for number, entry in enumerate(entries):
        cell = spec_of(entry, spec.legacy)
        last = number + 1 == len(entries)
        config = {**cell.config, **shared, "return_sequences": not last or spec.wants("return_sequences", bool, False)}
        layers[f"{number}"] = _recurrent(Spec(cell.class_name, config, spec.legacy), arrays)
    return Chain(layers)


def _bidirectional(spec: Spec, arrays: Arrays) -> nn.Module:
    merge = spec.config.get("merge_mode", "concat")
    if merge not in ("concat", "sum", "mul", "ave", None):
        raise CheckpointError(f"layer {spec.name[:80]!r}: expected a merge_mode, got {merge!r:.40}; restore the file.")
    forward = spec.inner("layer")
    backward = spec.inner("backward_layer") if spec.config.get("backward_layer") else forward
    return _recurrent(forward, arrays, backward, merge)


def _embedding(spec: Spec, arrays: Arrays) -> nn.Module:
    (table,) = _take(spec, arrays, 2)
    layer = nn.Embedding(*table.shape).to(table.dtype)
    with no_grad():
        layer.weight.copy_(table)
    return KerasEmbedding(layer, spec.wants("mask_zero", bool, False))


def _dense(spec: Spec, arrays: Arrays) -> nn.Module:
    biased = spec.wants("use_bias", bool, True)
    kernel, *bias = _take(spec, arrays, *((2, 1) if biased else (2,)))
    layer = nn.Linear(kernel.shape[0], kernel.shape[1], biased).to(kernel.dtype)
    _assign(layer, [kernel, *bias])
    return _then(layer, activation_of(spec, "activation"))


def _assign(layer: nn.Linear, arrays: Sequence[np.ndarray]) -> None:
    with no_grad():
        layer.weight.copy_(arrays[0].T)
        if layer.bias is not None:
            layer.bias.copy_(arrays[1])


def _layer_norm(spec: Spec, arrays: Arrays) -> nn.Module:
    scale, centre = spec.wants("scale", bool, True), spec.wants("center", bool, True)
    axis = spec.config.get("axis", -1)
    weights = _take(spec, arrays, *[1] * (scale + centre))
    if not weights or not scale or axis not in (-1, [-1], 2, [2]) or spec.config.get("rms_scaling"):
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected LayerNormalization of the last axis with a scale, got axis "
            f"{axis!r:.20}; read the weights into a model of your own with from_keras(path, model)."
        )
    layer = nn.LayerNorm(weights[0].shape[0], spec.wants("epsilon", float, 1e-3), bias=centre).to(weights[0].dtype)
    with no_grad():
        for parameter, array in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(array)
    return layer


def _one(spec: Spec, key: str, default: int) -> int:
    """Return an option of one axis, which may be a list of one number."""
    value = spec.config.get(key, default)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if type(value) is not int or value < 1:
        raise CheckpointError(f"layer {spec.name[:80]!r}: expected {key} >= 1, got {value!r:.40}; restore the file.")
    return value


def _conv(spec: Spec, arrays: Arrays) -> nn.Module:
    biased, padding = spec.wants("use_bias", bool, True), spec.config.get("padding", "valid")
    kernel, *bias = _take(spec, arrays, *((3, 1) if biased else (3,)))
    size, inner, count = kernel.shape
    groups = _one(spec, "groups", 1)
    if padding not in ("valid", "same", "causal") or spec.config.get("data_format") not in (None, "channels_last"):
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected padding valid, same or causal and channels last, got {padding!r:.40}; "
            "save the model so."
        )
    stride, dilation = _one(spec, "strides", 1), _one(spec, "dilation_rate", 1)
    conv = nn.Conv1d(inner * groups, count, size, stride, 0, dilation, groups, biased).to(kernel.dtype)
    with no_grad():
        for parameter, array in zip(conv.parameters(), [kernel.transpose(2, 1, 0), *bias], strict=True):
            parameter.copy_(array)
    return _then(KerasConv(conv, padding), activation_of(spec, "activation"))


def _batch_norm(spec: Spec, arrays: Arrays) -> nn.Module:
    scale, centre = spec.wants("scale", bool, True), spec.wants("center", bool, True)
    taken = _take(spec, arrays, *[1] * (scale + centre + 2))
    axis, size = spec.config.get("axis", -1), taken[-1].shape[0]
    if axis not in (-1, 2, [-1], [2]):
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected BatchNormalization of the last axis, got {axis!r:.20}."
        )
    momentum = spec.wants("momentum", float, 0.99)
    norm = nn.BatchNorm1d(size, spec.wants("epsilon", float, 1e-3), 1 - momentum).to(taken[-1].dtype)
    gamma = taken[0] if scale else np.ones(size)
    beta = taken[int(scale)] if centre else np.zeros(size)
    targets = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    with no_grad():
        for target, array in zip(targets, (gamma, beta, *taken[-2:]), strict=True):
            target.copy_(array.astype(target.dtype))  # type: ignore[union-attr]
    return KerasBatchNorm(norm)


def _pool(spec: Spec, _arrays: Arrays) -> nn.Module:
    size = _one(spec, "pool_size", 2)
    stride = size if spec.config.get("strides") is None else _one(spec, "strides", size)
    if stride != size or spec.config.get("padding", "valid") != "valid":
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected pooling of separate steps without padding, got strides {stride} of "
            f"{size} and padding {spec.config.get('padding')!r:.20}; save the model so."
        )
    return PoolSteps("max" if spec.class_name.startswith("Max") else "mean", size)


def _then(layer: nn.Module, activation: Activation) -> nn.Module:
    return layer if activation == ("linear",) else Chain({"layer": layer, "activation": Activate(activation)})


def _wrapped(spec: Spec, arrays: Arrays) -> nn.Module:
    inner = spec.inner("layer")
    if inner.class_name not in ("Dense", "Activation", "Dropout", "LayerNormalization"):
        raise ArgumentError(
            f"layer {spec.name[:80]!r}: expected TimeDistributed around Dense, Activation, Dropout or "
            f"LayerNormalization, got {inner.class_name[:60]}; save the model without it."
        )
    return READERS[inner.class_name](inner, arrays)


def _rate(spec: Spec) -> float:
    return float(spec.wants("rate", (int, float), 0.5))


def _relu(spec: Spec, _arrays: Arrays) -> nn.Module:
    top = spec.config.get("max_value")
    if spec.config.get("threshold") or (top is not None and (top != 6 or spec.config.get("negative_slope"))):
        raise ArgumentError(f"layer {spec.name[:80]!r}: expected a ReLU without threshold, or up to 6; save it so.")
    slope = spec.wants("negative_slope", (int, float), 0.0)
    return Activate(("relu6",) if top is not None else ("leaky_relu", float(slope)) if slope else RELU)


def _slope(spec: Spec, key: str, name: str, default: float) -> nn.Module:
    value = spec.config.get(key, spec.config.get("alpha", default))
    return Activate((name, float(value)))


READERS: dict[str, Callable[[Spec, Arrays], nn.Module]] = {
    **dict.fromkeys((*LAYERS, "RNN"), _recurrent),
    "Activation": lambda spec, _: Activate(activation_of(spec, "activation")),
    "AveragePooling1D": _pool,
    "BatchNormalization": _batch_norm,
    "Bidirectional": _bidirectional,
    "Conv1D": _conv,
    "Dense": _dense,
    "Dropout": lambda spec, _: nn.Dropout(_rate(spec)),
    "ELU": lambda spec, _: _slope(spec, "alpha", "elu", 1.0),
    "Embedding": _embedding,
    "Flatten": lambda _spec, _: nn.Flatten(),
    "GlobalAveragePooling1D": lambda _spec, _: Pool("mean"),
    "GlobalMaxPooling1D": lambda _spec, _: Pool("max"),
    "Identity": lambda _spec, _: nn.Identity(),
    "LayerNormalization": _layer_norm,
    "LeakyReLU": lambda spec, _: _slope(spec, "negative_slope", "leaky_relu", 0.3),
    "MaxPooling1D": _pool,
    "Masking": lambda spec, _: Masking(float(spec.wants("mask_value", (int, float), 0.0))),
    "ReLU": _relu,
    "RepeatVector": lambda spec, _: Repeat(spec.wants("n", int, None)),
    "Softmax": lambda _spec, _: Activate(("softmax",)),
    "SpatialDropout1D": lambda spec, _: SpatialDropout(_rate(spec)),
    "TimeDistributed": _wrapped,
}

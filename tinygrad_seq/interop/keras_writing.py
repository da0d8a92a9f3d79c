"""Modules of this package as layers of Keras: one writer per module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import nn
from ..base.modes import no_grad
from ..errors import ArgumentError
from ..nn.cells.gated import GatedCell
from ..nn.recurrence.layer import SequenceLayer
from ..train.language_model import LanguageModel
from .general_cells import KINDS, RELU, Activation, GeneralGRUCell, reorder
from .keras_layers import ACTIVATIONS, GATES_OF_KERAS, LAYERS, part_of
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
Assign = Callable[[Sequence[np.ndarray]], None]


@dataclass
class Described:
    """A module as a layer of Keras.

    Attributes
    ----------
    class_name, config
        For config.json, without the name.
    arrays
        The weights, in the order of Keras.
    assign
        Sets the weights of the module from arrays in this order.
    inputs
        The number of input features; 0 for indices; None if the layer does not say.
    """

    class_name: str
    config: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=list)
    assign: Assign = lambda _arrays: None
    inputs: int | None = None


def describe(model: Any) -> Iterator[Described]:
    """Yield the layers of Keras that do what a model, or a sequence of modules, does.

    Raises
    ------
    ArgumentError
        If there is no such layer for a module, or one of its options.
    """
    if isinstance(model, list | tuple):
        for part in model:
            yield from describe(part)
        return
    writer = next((WRITERS[kind] for kind in type(model).__mro__ if kind in WRITERS), None)
    if writer is None or type(model).forward not in {kind.forward for kind in type(model).__mro__ if kind in WRITERS}:
        raise ArgumentError(
            f"to_keras: expected layers that Keras has too, got {type(model).__name__}; pass the layers of the model "
            "in the order in which they run: to_keras([model.embedding, model.lstm, model.output], path)."
        )
    yield from writer(model)


def _name_of(activation: Activation) -> str:
    for name, known in ACTIVATIONS.items():
        if known == activation:
            return name
    raise ArgumentError(f"to_keras: expected an activation function that Keras names, got {activation}; use another.")


def _activation(activation: Activation) -> Iterator[Described]:
    name, *values = activation
    if activation not in ACTIVATIONS.values() and name == "leaky_relu":
        yield Described("LeakyReLU", {"negative_slope": values[0]})
    elif activation not in ACTIVATIONS.values() and name == "elu":
        yield Described("ELU", {"alpha": values[0]})
    else:
        yield Described("Activation", {"activation": _name_of(activation)})


def _copy(
    parameters: Sequence[tuple[Any, Callable[[np.ndarray], np.ndarray]]],
) -> Assign:
    """Return a function that sets each parameter to what its function makes of the array at its position."""

    def assign(arrays: Sequence[np.ndarray]) -> None:
        with no_grad():
            for (parameter, change), array in zip(parameters, arrays, strict=True):
                parameter.copy_(change(array).astype(parameter.dtype))

    return assign


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _transposed(x: np.ndarray) -> np.ndarray:
    return x.T


def _embedding(layer: nn.Embedding, mask_zero: bool = False) -> Iterator[Described]:
    table = layer.weight.numpy()
    config = {"input_dim": table.shape[0], "output_dim": table.shape[1], "mask_zero": mask_zero}
    yield Described("Embedding", config, [table], _copy([(layer.weight, _same)]), 0)


def _linear(layer: nn.Linear) -> Iterator[Described]:
    parameters: list[Any] = [(layer.weight, _transposed)] + ([(layer.bias, _same)] if layer.bias is not None else [])
    config = {"units": layer.out_features, "use_bias": layer.bias is not None}
    arrays = [change(parameter.numpy()) for parameter, change in parameters]
    yield Described("Dense", config, arrays, _copy(parameters), layer.in_features)


def _layer_norm(layer: nn.LayerNorm) -> Iterator[Described]:
    if layer.weight is None or layer.weight.ndim != 1:
        raise ArgumentError("to_keras: expected LayerNorm of the last axis with a weight, got another; use one.")
    parameters = [each for each in (layer.weight, layer.bias) if each is not None]
    config = {"axis": -1, "epsilon": layer.eps, "center": layer.bias is not None, "scale": True}
    arrays = [parameter.numpy() for parameter in parameters]
    yield Described(
        "LayerNormalization",
        config,
        arrays,
        _copy([(parameter, _same) for parameter in parameters]),
        arrays[0].shape[0],
    )


def _kernel(x: np.ndarray) -> np.ndarray:
    return x.transpose(2, 1, 0)


def _conv(layer: KerasConv) -> Iterator[Described]:
    conv = layer.conv
    config = {
        "filters": conv.out_channels,
        "kernel_size": conv.kernel_size,
        "strides": conv.stride,
        "padding": layer.padding,
        "dilation_rate": conv.dilation,
        "groups": conv.groups,
        "use_bias": conv.bias is not None,
    }
    parameters: list[Any] = [(conv.weight, _kernel)] + ([(conv.bias, _same)] if conv.bias is not None else [])
    arrays = [change(parameter.numpy()) for parameter, change in parameters]
    yield Described("Conv1D", config, arrays, _copy(parameters), conv.in_channels)


def _batch_norm(layer: KerasBatchNorm) -> Iterator[Described]:
    norm: Any = layer.norm
    tensors = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    config = {"axis": -1, "momentum": 1 - norm.momentum, "epsilon": norm.eps}
    arrays = [tensor.numpy() for tensor in tensors]
    assign = _copy([(tensor, _same) for tensor in tensors])
    yield Described("BatchNormalization", config, arrays, assign, arrays[0].shape[0])


# ------------------------------------------------------------------------------------------------- recurrent layers


def _cell(cell: nn.Cell) -> tuple[str, dict[str, Any], Arrays, Assign]:
    """Return a cell as the name of a layer of Keras, its config, its weights, and the function that sets them."""
    kind = next((k for k, each in KINDS.items() if type(cell) in (each.general, each.cell, nn.RNNCell)), None)
    if kind is None or not isinstance(cell, GatedCell):
        raise ArgumentError(
            f"to_keras: expected cells of an LSTM, GRU or RNN, got {type(cell).__name__}; Keras has no such layer: "
            "export the model with to_onnx."
        )
    own = vars(cell)
    for name in ("clip", "input_forget", "peephole", "weight_hr"):
        if own.get(name) is not None and own[name] is not False:
            raise ArgumentError(f"to_keras: expected a cell without {name}, got one with it; Keras has no such layer.")
    default = (RELU,) if own.get("nonlinearity") == "relu" else KINDS[kind].general.activations
    functions = own.get("activations", default)
    if kind == "LSTM" and functions[1] != functions[2]:
        raise ArgumentError("to_keras: expected one activation function of candidate and cell state, got two.")
    config: dict[str, Any] = {"units": cell.hidden_size, "use_bias": cell.bias_ih is not None}
    config["activation"] = _name_of(functions[0 if kind == "RNN" else 1])
    if kind != "RNN":
        config["recurrent_activation"] = _name_of(functions[0])
    after = kind == "GRU" and own.get("reset_after", GeneralGRUCell.reset_after)
    if kind == "GRU":
        config["reset_after"] = after
    order = [int(k) for k in np.argsort(GATES_OF_KERAS[kind])]
    weights = [cell.weight_ih, cell.weight_hh]
    arrays = [np.ascontiguousarray(reorder(weight.numpy(), order).T) for weight in weights]
    if cell.bias_ih is not None and cell.bias_hh is not None:
        biases = [reorder(bias.numpy(), order) for bias in (cell.bias_ih, cell.bias_hh)]
        arrays.append(np.stack(biases) if after else biases[0] + biases[1])

    def assign(given: Sequence[np.ndarray]) -> None:
        part, _ = part_of(kind, list(given), class_name)
        with no_grad():
            for name, array in part.items():
                getattr(cell, name).copy_(array.astype(cell.dtype))

    class_name = next(name for name, each in LAYERS.items() if each == kind)
    return class_name, config, arrays, assign


_DEFAULTS = {
    "residual": False,
    "learn_initial_state": False,
    "return_all_states": False,
    "zoneout": 0.0,
    "drop_connect": 0.0,
    "stateful": False,
}


def _recurrent(layer: SequenceLayer, wrapper: KerasRecurrent | None = None) -> Iterator[Described]:
    """Yield one layer of Keras for each layer of a recurrent layer, with Dropout between them."""
    options: Any = layer.options
    changed = [name for name, default in _DEFAULTS.items() if options[name] != default]
    if layer.projections:
        changed.append("proj_size")
    backwards = options["go_backwards"]
    if backwards and wrapper is None:
        changed.append("go_backwards")
    if changed:
        raise ArgumentError(
            f"to_keras: expected a {type(layer).__name__} without {', '.join(changed)}, got one with it; Keras has no "
            "such option."
        )
    count = 1 + layer.bidirectional
    cells = list(layer._pass_cells())
    names = {"concat": "concat", "sum": "sum", "mean": "ave", "mul": "mul"}
    for first in range(0, len(cells), count):
        if first and layer.dropout:
            yield Described("Dropout", {"rate": layer.dropout})
        found = [_cell(cell) for cell in cells[first : first + count]]
        more: dict[str, Any] = {
            "return_sequences": wrapper is None or wrapper.return_sequences,
            "dropout": options["variational_dropout"],
            "recurrent_dropout": options["recurrent_dropout"],
            "zero_output_for_mask": bool(wrapper and wrapper.zero_output_for_mask),
        }
        (class_name, config, arrays, assign), inputs = found[0], cells[first].input_size
        if count == 1:
            yield Described(class_name, {**config, **more, "go_backwards": backwards}, arrays, assign, inputs)
            continue
        merge = wrapper.merge_mode if wrapper is not None else names.get(options["merge"])
        both = [
            {
                "module": "keras.layers",
                "class_name": name,
                "config": {"name": f"{way}_layer", **each, **more, "go_backwards": way == "backward"},
                "registered_name": None,
            }
            for way, (name, each, _, _) in zip(("forward", "backward"), found, strict=True)
        ]
        yield Described(
            "Bidirectional",
            {"merge_mode": merge, "layer": both[0], "backward_layer": both[1]},
            [array for _, _, each, _ in found for array in each],
            _both([each for _, _, _, each in found], [len(each) for _, _, each, _ in found]),
            inputs,
        )


def _both(functions: Sequence[Callable[..., None]], counts: Sequence[int]) -> Assign:
    def assign(arrays: Sequence[np.ndarray]) -> None:
        functions[0](arrays[: counts[0]])
        functions[1](arrays[counts[0] :])

    return assign


def _language_model(model: LanguageModel) -> Iterator[Described]:
    yield from describe([model.embedding, model.dropout, model.recurrent, model.dropout, model.decoder])


def _fixed(class_name: str, **config: Any) -> Callable[[Any], Iterator[Described]]:
    return lambda _module: iter([Described(class_name, config)])


def _flatten(module: nn.Flatten) -> Iterator[Described]:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise ArgumentError("to_keras: expected Flatten(1), as in Keras, got other axes; use Flatten().")
    yield Described("Flatten")


def _softplus(module: nn.Softplus) -> Iterator[Described]:
    if (module.beta, module.threshold) != (1, 20):
        raise ArgumentError(
            "to_keras: expected Softplus(), as in Keras, got another beta or threshold; leave them out."
        )
    yield from _activation(("softplus",))


def _softmax(module: Any) -> Iterator[Described]:
    if module.dim not in (-1, None):
        raise ArgumentError(f"to_keras: expected dim=-1, got {module.dim}; move the axis to the end.")
    yield from _activation(("softmax",) if isinstance(module, nn.Softmax) else ("log_softmax",))


WRITERS: dict[type[Any], Callable[[Any], Iterable[Described]]] = {
    LanguageModel: _language_model,
    Chain: lambda module: describe(list(module.layers.values())),
    nn.Sequential: lambda module: describe(list(module)),
    nn.Embedding: _embedding,
    KerasEmbedding: lambda module: _embedding(module.embedding, module.mask_zero),
    nn.Linear: _linear,
    nn.LayerNorm: _layer_norm,
    SequenceLayer: _recurrent,
    nn.LSTM.__base__: _recurrent,  # type: ignore[dict-item]
    nn.Recurrent: _recurrent,
    KerasRecurrent: lambda module: _recurrent(module.layer, module),
    nn.Dropout: lambda module: iter([Described("Dropout", {"rate": module.p})]),
    SpatialDropout: lambda module: iter([Described("SpatialDropout1D", {"rate": module.p})]),
    Masking: lambda module: iter([Described("Masking", {"mask_value": module.mask_value})]),
    Repeat: lambda module: iter([Described("RepeatVector", {"n": module.count})]),
    Pool: lambda module: iter([Described(f"Global{'Max' if module.how == 'max' else 'Average'}Pooling1D")]),
    PoolSteps: lambda module: iter(
        [Described(f"{'Max' if module.how == 'max' else 'Average'}Pooling1D", {"pool_size": module.size})]
    ),
    KerasConv: _conv,
    KerasBatchNorm: _batch_norm,
    Activate: lambda module: _activation(module.activation),
    nn.Flatten: _flatten,
    nn.Identity: _fixed("Identity"),
    nn.Tanh: _fixed("Activation", activation="tanh"),
    nn.Sigmoid: _fixed("Activation", activation="sigmoid"),
    nn.ReLU: _fixed("Activation", activation="relu"),
    nn.SiLU: _fixed("Activation", activation="silu"),
    nn.Softplus: _softplus,
    nn.Softsign: _fixed("Activation", activation="softsign"),
    nn.LeakyReLU: lambda module: _activation(("leaky_relu", module.negative_slope)),
    nn.GELU: lambda module: _activation(("gelu",) if module.approximate == "none" else ("gelu", module.approximate)),
    nn.ELU: lambda module: _activation(("elu", module.alpha)),
    nn.Softmax: _softmax,
    nn.LogSoftmax: _softmax,
}
"""The writers of the modules that Keras has too; a class derived from one of them must have its `forward`."""

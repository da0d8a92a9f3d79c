"""The ONNX operators LSTM, GRU and RNN as recurrent layers of this package."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..nn.recurrence.layer import SequenceLayer
from ..ops.joining import split, stack
from ..ops.shape import reshape, swapaxes
from .general_cells import KINDS, Activation, make_layer, reorder
from .onnx_graph import Node
from .onnx_shapes import concrete

# The activation functions by their names in ONNX, with the default values of alpha and beta.
_ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "affine": ("affine", (1.0, 0.0)),
    "elu": ("elu", (1.0,)),
    "hardsigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "relu": ("relu", ()),
    "scaledtanh": ("scaled_tanh", (1.0, 1.0)),
    "sigmoid": ("sigmoid", ()),
    "softplus": ("softplus", ()),
    "softsign": ("softsign", ()),
    "tanh": ("tanh", ()),
    "thresholdedrelu": ("thresholded_relu", (1.0,)),
}
_WAYS = ("forward", "reverse", "bidirectional")


def layer_of_node(node: Node, arguments: list[Any]) -> SequenceLayer:
    """Return the layer of a recurrent node, with the weights among its arguments.

    Raises
    ------
    ArgumentError, ShapeError
        If an attribute or the shape of a weight is not one of ONNX.
    """
    x, W, R, B, _lengths, _h, _c, P = [*arguments, *[None] * 8][:8]
    del x
    kind = KINDS[node.op]
    way = node.get("direction", "forward")
    gates, count = kind.general.gates, 2 if way == "bidirectional" else 1
    H = R.shape[-1]
    wanted = {"W": (count, gates * H, W.shape[-1]), "R": (count, gates * H, H), "B": (count, 2 * gates * H)}
    given = {"W": W, "R": R, "B": B, "P": P}
    for name, shape in {**wanted, "P": (count, 3 * H)}.items():
        if given[name] is not None and tuple(given[name].shape) != shape:
            raise ShapeError(f"expected {name} of shape {shape}, got {tuple(given[name].shape)}; check the model.")
    if way not in _WAYS or node.get("hidden_size", H) != H:
        raise ArgumentError(
            f"expected hidden_size={H} and a direction of {', '.join(_WAYS)}, got {node.get('hidden_size')} and "
            f"{way!r}; check the model."
        )
    functions = _activations(node, kind.general.activations, count)
    settings: list[dict[str, Any]] = [
        {"activations": functions[k], "clip": node.get("clip") or None} for k in range(count)
    ]
    if node.op == "GRU":
        settings = [each | {"reset_after": bool(node.get("linear_before_reset", 0))} for each in settings]
    if node.op == "LSTM":
        settings = [each | {"input_forget": bool(node.get("input_forget", 0))} for each in settings]
    parts = []
    for k in range(count):
        part = {"weight_ih": reorder(W[k], kind.order), "weight_hh": reorder(R[k], kind.order)}
        if B is not None:
            part["bias_ih"], part["bias_hh"] = (reorder(each, kind.order) for each in split(B[k], 2))
        if P is not None:
            part["peephole"] = P[k]
        parts.append(part)
    if not any(isinstance(weight, Tensor) for weight in (W, R, B, P)):
        parts = [{name: _as_numpy(value) for name, value in part.items()} for part in parts]
    return make_layer(node.op, parts, settings, go_backwards=way == "reverse")


def _as_numpy(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _activations(node: Node, default: tuple[Activation, ...], count: int) -> list[tuple[Activation, ...]]:
    """Return the activation functions of each direction."""
    names = node.get("activations")
    if not names:
        return [default] * count
    alphas, betas = list(node.get("activation_alpha") or []), list(node.get("activation_beta") or [])
    found: list[Activation] = []
    for name in names:
        known = _ACTIVATIONS.get(name.lower())
        if known is None:
            raise ArgumentError(
                f"expected activations of {', '.join(_ACTIVATIONS)}, got {name[:40]!r}; export the model with others."
            )
        function, defaults = known
        values = [source.pop(0) if source else value for source, value in zip((alphas, betas), defaults, strict=False)]
        found.append((function, *values))
    if len(found) != len(default) * count:
        raise ArgumentError(f"expected {len(default) * count} activations, got {len(found)}; check the model.")
    return [tuple(found[k * len(default) : (k + 1) * len(default)]) for k in range(count)]


def run_layer(node: Node, arguments: list[Any], layer: SequenceLayer | None) -> tuple[Any, ...]:
    """Return ``(Y, Y_h)`` or ``(Y, Y_h, Y_c)`` of a recurrent node; `layer` is None if its weights are not constant."""
    x, _w, _r, _b, lengths, h, c, _p = [*arguments, *[None] * 8][:8]
    if layer is None:
        layer = layer_of_node(node, arguments)
    batch_first = bool(node.get("layout", 0))
    if len(x.shape) != 3:
        raise ShapeError(f"expected X with 3 axes, got {tuple(x.shape)}; check the model and its inputs.")
    if batch_first:
        x, h, c = (None if part is None else swapaxes(part, 0, 1) for part in (x, h, c))
    T, N = x.shape[:2]
    state = None
    if h is not None or c is not None:
        passes = layer._passes()
        zeros = [one.initial_state(N) for one in passes]
        count = 2 if node.op == "LSTM" else 1
        parts = []
        for k, zero in enumerate(zeros):
            own = zero if count == 2 else (zero,)
            given = [zero if part is None else part[k] for part, zero in zip((h, c), own, strict=False)]
            parts.append(tuple(given) if count == 2 else given[0])
        state = layer._join(parts)
    if lengths is not None:
        lengths = concrete(lengths)
        lengths = None if (lengths == T).all() else lengths
    ys, final = layer(x, state, lengths=lengths)[:2]
    directions = 1 + layer.bidirectional
    ys = swapaxes(reshape(ys, (T, N, directions, ys.shape[-1] // directions)), 1, 2)
    finals = layer._split(final, N)
    columns = list(zip(*finals, strict=True)) if node.op == "LSTM" else [finals]
    states = [stack(list(column)) for column in columns]
    if batch_first:
        ys = ys.transpose((2, 0, 1, 3)) if hasattr(ys, "transpose") else ys
        states = [swapaxes(each, 0, 1) for each in states]
    return ys, *states

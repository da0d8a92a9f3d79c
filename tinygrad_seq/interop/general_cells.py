"""Recurrent cells in the generality of ONNX and Keras: any activations, clipping, peepholes, both forms of the GRU.

`make_layer` builds one of the package's own layers from the arrays of a recurrent layer of another library: `nn.LSTM`,
`nn.GRU` or `nn.RNN` where they can express it, and otherwise an `nn.Recurrent` of a cell of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ..autograd.tensor import Tensor
from ..base.modes import no_grad
from ..nn import GRU, LSTM, RNN, ElmanCell, GRUCell, LSTMCell, Parameter, Recurrent
from ..nn.cells.gated import GatedCell
from ..nn.recurrence.layer import SequenceLayer
from ..nn.recurrence.trace_cache import register_library
from ..ops.activation import elu, gelu, leaky_relu, relu, relu6, silu, softsign
from ..ops.arithmetic import clip
from ..ops.comparison import where
from ..ops.exponential import exp, log_sigmoid, sigmoid, softplus
from ..ops.joining import split
from ..ops.linear import linear
from ..ops.normalisation import log_softmax, softmax
from ..ops.trigonometric import tanh

Activation = tuple[Any, ...]
"""The name of an activation function in `ACTIVATIONS`, and its parameters."""

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "affine": lambda x, a, b: x * a + b,
    "elu": elu,
    "exponential": exp,
    "gelu": gelu,
    "hard_sigmoid": lambda x, a, b: clip(x * a + b, 0, 1),
    "hard_silu": lambda x, a, b: x * clip(x * a + b, 0, 1),
    "hard_tanh": lambda x: clip(x, -1, 1),
    "leaky_relu": leaky_relu,
    "linear": lambda x: x,
    "log_sigmoid": log_sigmoid,
    "log_softmax": log_softmax,
    "mish": lambda x: x * tanh(softplus(x)),
    "relu": relu,
    "relu6": relu6,
    "scaled_tanh": lambda x, a, b: tanh(x * b) * a,
    "selu": lambda x, a, b: elu(x, a) * b,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "tanh": tanh,
    "thresholded_relu": lambda x, a: where(x > a, x, x * 0),
}
SIGMOID: Activation = ("sigmoid",)
TANH: Activation = ("tanh",)
RELU: Activation = ("relu",)


def activate(activation: Activation, x: Any) -> Any:
    """Return the value of an activation function."""
    name, *parameters = activation
    return ACTIVATIONS[name](x, *parameters)


class _GeneralCell(GatedCell):
    """Base of the cells of this file; made by `of`, with the attributes of its class as options.

    Attributes
    ----------
    activations : tuple of Activation
        The activation functions, in ONNX's order.
    clip : float or None
        The inputs of the activation functions of the gates are clipped to this magnitude.
    """

    activations: tuple[Activation, ...]
    clip: float | None = None

    def _gate(self, number: int, x: Tensor) -> Tensor:
        """Return an activation function of a clipped value."""
        result: Tensor = activate(self.activations[number], x if self.clip is None else clip(x, -self.clip, self.clip))
        return result


class GeneralRNNCell(_GeneralCell):
    """``h' = f(W x + b_w + U h + b_u)`` with any activation f: ONNX ``RNN``, Keras ``SimpleRNN``."""

    gates = 1
    activations = (TANH,)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self._gate(0, linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh))
        return h, h


class GeneralGRUCell(_GeneralCell):
    """A GRU with any activations that resets before the product or after it: ONNX and Keras ``GRU``.

    ::

        r  = f(W_r x + b_wr + U_r h + b_ur)
        z  = f(W_z x + b_wz + U_z h + b_uz)
        n  = g(W_n x + b_wn + U_n (r * h) + b_un)          or g(W_n x + b_wn + r * (U_n h + b_un)) with `reset_after`
        h' = (1 - z) * n + z * h
    """

    gates = 3
    activations = (SIGMOID, TANH)
    reset_after: bool = True

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        xr, xz, xn = split(linear(x, self.weight_ih, self.bias_ih), 3, axis=-1)
        if self.reset_after:
            hr, hz, hn = split(linear(h, self.weight_hh, self.bias_hh), 3, axis=-1)
            candidate = xn + self._gate(0, xr + hr) * hn
        else:
            ur, uz, un = split(self.weight_hh, 3, axis=0)
            br, bz, bn = (None,) * 3 if self.bias_hh is None else split(self.bias_hh, 3, axis=0)
            hz = linear(h, uz, bz)
            candidate = xn + linear(self._gate(0, xr + linear(h, ur, br)) * h, un, bn)
        candidate, update = self._gate(1, candidate), self._gate(0, xz + hz)
        h = (1 - update) * candidate + update * h
        return h, h


class GeneralLSTMCell(_GeneralCell):
    """An LSTM with any activations, peepholes (3H,) and coupled gates: ONNX and Keras ``LSTM``.

    ::

        i  = f(W_i x + U_i h + p_i * c + b_i)
        f  = f(W_f x + U_f h + p_f * c + b_f)              or 1 - i with `input_forget`
        c' = f * c + i * g(W_g x + U_g h + b_g)
        o  = f(W_o x + U_o h + p_o * c' + b_o)
        h' = o * h(c')
    """

    states = 2
    state_names = ("h", "c")
    gates = 4
    activations = (SIGMOID, TANH, TANH)
    input_forget: bool = False
    peephole: Parameter | None = None

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = split(gates, 4, axis=-1)
        if self.peephole is not None:
            pi, po, pf = split(self.peephole, 3, axis=0)
            i, f = i + pi * c, f + pf * c
        i = self._gate(0, i)
        f = 1 - i if self.input_forget else self._gate(0, f)
        c = f * c + i * self._gate(1, g)
        if self.peephole is not None:
            o = o + po * c
        h = self._gate(0, o) * activate(self.activations[2], c)
        return h, (h, c)


register_library([GeneralRNNCell, GeneralGRUCell, GeneralLSTMCell])


class Kind(NamedTuple):
    """One kind of recurrent layer: its general cell, its layer and cell in PyTorch's form, and the order of its gates.

    Attributes
    ----------
    general, cell, layer
        The classes.
    order
        Where the blocks of our weights are in those of ONNX: ours is ``[theirs[k] for k in order]``.
    """

    general: type[_GeneralCell]
    cell: type[GatedCell]
    layer: type[LSTM | GRU | RNN]
    order: tuple[int, ...]


KINDS = {
    "RNN": Kind(GeneralRNNCell, ElmanCell, RNN, (0,)),
    "GRU": Kind(GeneralGRUCell, GRUCell, GRU, (1, 0, 2)),  # ours r, z, n
    "LSTM": Kind(GeneralLSTMCell, LSTMCell, LSTM, (0, 2, 3, 1)),  # ours i, f, g, o
}

A = TypeVar("A", bound=Any)


def reorder(blocks: A, order: Sequence[int]) -> A:
    """Return an array whose first axis is len(order) blocks, with the blocks in another order."""
    size = blocks.shape[0] // len(order)
    parts = blocks.reshape((len(order), size, *blocks.shape[1:]))
    return parts[list(order)].reshape(blocks.shape)  # type: ignore[no-any-return]


def make_layer(
    kind: str,
    parts: Sequence[Mapping[str, Any]],
    settings: Sequence[Mapping[str, Any]],
    batch_first: bool = False,
    **options: Any,
) -> SequenceLayer:
    """Return a layer of one or two directions.

    Parameters
    ----------
    kind
        A key of `KINDS`.
    parts
        The arrays of each direction by the names of a `GatedCell`: ndarrays, which become parameters, or Tensors, which
        are used as they are.
    settings
        The options of the general cell, for each direction.
    batch_first, **options
        As for `nn.Recurrent`.
    """
    general, cell, layer, _ = KINDS[kind]
    settings = [{name: value for name, value in each.items() if value != getattr(general, name)} for each in settings]
    extra: dict[str, Any] = {"nonlinearity": "tanh"} if kind == "RNN" else {}
    if kind == "RNN" and all(each == {"activations": (RELU,)} for each in settings):
        settings, extra = [{} for _ in settings], {"nonlinearity": "relu"}
    both, first = len(parts) == 2, parts[0]
    plain = [not each and "peephole" not in part for part, each in zip(parts, settings, strict=True)]
    alike = first["weight_hh"].shape == parts[-1]["weight_hh"].shape and first.keys() == parts[-1].keys()
    arrays = [array for part in parts for array in part.values()]
    if all(plain) and alike and not any(isinstance(array, Tensor) for array in arrays):
        rows, size = first["weight_ih"].shape
        made: Any = layer(
            size,
            rows // general.gates,
            bias="bias_ih" in first,
            bidirectional=both,
            batch_first=batch_first,
            dtype=arrays[0].dtype,
            **extra,
            **options,
        )
        with no_grad():
            for part, suffix in zip(parts, ("_l0", "_l0_reverse"), strict=False):
                for name, array in part.items():
                    getattr(made, name + suffix).copy_(array)
        return made  # type: ignore[no-any-return]
    cells = [
        cell.of(_held(part), **extra) if simple else general.of(_held(part), **each)
        for part, each, simple in zip(parts, settings, plain, strict=True)
    ]
    layers: Any = [tuple(cells)] if both else cells
    return Recurrent(layers, batch_first=batch_first, bidirectional=both, **options)


def _held(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of a cell: ndarrays as parameters, and None for biases that are missing."""
    held = {name: x if isinstance(x, Tensor) else Parameter(x, dtype=x.dtype) for name, x in part.items()}
    return {"bias_ih": None, "bias_hh": None} | held

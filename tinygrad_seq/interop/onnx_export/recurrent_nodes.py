"""Passes of `RNN`, `GRU` and `LSTM` cells as the nodes of the same names."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from ...base.tree import flatten
from ...nn.cells.elman import ElmanCell, RNNCell
from ...nn.cells.gru import GRUCell
from ...nn.cells.lstm import LSTMCell
from ...nn.recurrence.passes import is_only_cell
from ...nn.recurrence.trace_cache import is_library
from ...nn.recurrence.transforms.inputs import Leaves
from ...ops.comparison import where
from ...ops.primitive import Primitive
from ...scan.ir.step import Aval, Eqn, Var
from ...scan.ir.trace import as_leaf

NATIVE: Final = Primitive("onnx_recurrent", lambda *_arrays, **_params: (), multiple=True)
"""A node RNN, GRU or LSTM: operands x, W, R, B, the initial state and, if there are any, the lengths."""


class _Kind(NamedTuple):
    op: str
    order: tuple[int, ...]  # where ONNX's gates are among ours


_KINDS = {
    ElmanCell: _Kind("RNN", (0,)),
    RNNCell: _Kind("RNN", (0,)),
    GRUCell: _Kind("GRU", (1, 0, 2)),  # z r n of r z n
    LSTMCell: _Kind("LSTM", (0, 3, 1, 2)),  # i o f g of i f g o
}


def native_pass(recorder: Any, one: Any, xs: Leaves, state: Any, flags: Any, options: Any) -> Any:
    """Write a pass as a native node and return ``(ys, state)``; None if there is no such node."""
    cell, kind = one.cell, _KINDS.get(type(one.cell))
    plain = flags.mask is None and flags.reset is None and not options["return_all_states"]
    zeros = flags.lengths is None or options["masked_output"] == "zeros"
    if kind is None or not (plain and zeros and is_library(cell) and is_only_cell(one, options, training=False)):
        return None
    if getattr(cell, "weight_hr", None) is not None or cell._precision != "float32" or cell.dtype != np.float32:
        return None
    (x,) = xs.arrays
    hidden = cell.weight_hh.shape[1]

    def ordered(parameter: Any) -> np.ndarray:
        gates = np.split(parameter.numpy(), len(kind.order))
        return np.concatenate([gates[k] for k in kind.order])[None]

    operands = [x, ordered(cell.weight_ih), ordered(cell.weight_hh)]
    if cell.bias_ih is not None:
        operands.append(np.concatenate([ordered(cell.bias_ih), ordered(cell.bias_hh)], axis=1))
    begin, rebuild = flatten(state)
    begin = [as_leaf(part) for part in begin]
    operands += begin
    if flags.lengths is not None:
        operands.append(flags.lengths)
    T, N = x.shape[:2]
    results = [Var(Aval((T, N, hidden), x.dtype)), *[Var(Aval((N, hidden), x.dtype)) for _ in begin]]
    params = {
        "op": kind.op,
        "hidden": hidden,
        "reverse": one.reverse,
        "bias": cell.bias_ih is not None,
        "states": len(begin),
        "lengths": flags.lengths is not None,
        "relu": getattr(cell, "nonlinearity", "tanh") == "relu",
    }
    ys, *last = recorder.append(
        Eqn(NATIVE, tuple([recorder.var(operand) for operand in operands]), params, tuple(results))
    )
    if flags.lengths is not None:  # the state of a sequence of length 0 stays; the node's would be 0
        last = [where((flags.lengths > 0)[:, None], new, old) for new, old in zip(last, begin, strict=True)]
    return Leaves([ys], lambda arrays: arrays[0]), rebuild(last)


def write_native(g: Any, eqn: Eqn) -> list[str]:
    """Write the node."""
    params, names = eqn.params, [g.value(operand, operand.dtype) for operand in eqn.operands]
    x, W, R = names[:3]
    rest = names[3:]
    bias = rest.pop(0) if params["bias"] else ""
    lengths = g.node("Cast", rest.pop(), to=g.INT32) if params["lengths"] else ""
    axis = g.constant(np.array([0], np.int64))
    begin = [g.node("Unsqueeze", name, axis) for name in rest]
    attributes: dict[str, Any] = {"hidden_size": params["hidden"]}
    if params["reverse"]:
        attributes["direction"] = "reverse"
    if params["op"] == "GRU":
        attributes["linear_before_reset"] = 1
    if params["relu"]:
        attributes["activations"] = ["Relu"]
    found = g.several(params["op"], 1 + len(begin), x, W, R, bias, lengths, *begin, **attributes)
    ys = g.node("Squeeze", found[0], g.constant(np.array([1], np.int64)))
    return [ys, *[g.node("Squeeze", name, axis) for name in found[1:]]]

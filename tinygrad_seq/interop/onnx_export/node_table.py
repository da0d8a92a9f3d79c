"""What ONNX calls the operations of the table: one function per primitive that writes its nodes.

A function takes the `Graph` and the equation and returns the names of the results. An operation that is neither here
nor replaced by others (`formula`, `structure` in its row) cannot be exported; `REFUSED` says what to write instead.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ...ops.primitive import TABLE, Primitive
from ...scan.ir.step import Eqn
from .elementwise_nodes import BOOL, ELEMENTWISE, Name, Write, values
from .graph import Graph
from .product_nodes import write_matmul

_INT64 = np.dtype(np.int64)

# ------------------------------------------------------------------------------------------------ axes and shapes


def _reduction(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        x, dtype = eqn.operands[0], eqn.result.dtype
        inner = np.dtype(np.int32) if dtype == BOOL else dtype
        name = g.value(g.value(x, BOOL, of=x.dtype), inner, of=BOOL) if dtype == BOOL else g.value(x, inner)
        axes = eqn.params["axes"]
        if axes:
            name = g.node(op, name, g.constant(np.array(axes, np.int64)), keepdims=int(eqn.params["keepdims"]))
        return g.value(name, dtype, of=inner)

    return write


def _over_axes(op: str) -> Write:
    """Return what writes a node with one axis, softmax and its like."""
    return lambda g, eqn: g.node(op, *values(g, eqn), axis=eqn.params["axis"])


def _index_of(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        x, axis, keepdims = g.value(eqn.operands[0], eqn.operands[0].dtype), eqn.params["axis"], eqn.params["keepdims"]
        if axis is None:
            x, axis, keepdims = g.node("Reshape", x, g.constant(np.array([-1]))), 0, False
            found = g.node(op, x, axis=0, keepdims=0)
            shape = g.shape(eqn.result.shape)
            return g.node("Reshape", found, shape)
        return g.node(op, x, axis=axis, keepdims=int(keepdims))

    return write


def _reshape(g: Graph, eqn: Eqn) -> str:
    x = eqn.operands[0]
    return g.reshape(g.value(x, eqn.result.dtype), eqn.params["shape"])


def _permute(g: Graph, eqn: Eqn) -> str:
    return g.node("Transpose", *values(g, eqn), perm=list(eqn.params["axes"]))


def _broadcast(g: Graph, eqn: Eqn) -> str:
    return g.node("Expand", *values(g, eqn), g.shape(eqn.params["shape"]))


def _concat(g: Graph, eqn: Eqn) -> str:
    return g.node("Concat", *values(g, eqn), axis=eqn.params["axis"])


def _split(g: Graph, eqn: Eqn) -> Any:
    axis, names = eqn.params["axis"], values(g, eqn)
    if len(eqn.results) == 1:
        return names
    sizes = [g.sizes_of(result)[axis] for result in eqn.results]
    return g.several("Split", len(sizes), names[0], g.shape(sizes), axis=axis)


def _index(g: Graph, eqn: Eqn) -> str:
    key, sizes = eqn.params["key"], g.sizes_of(eqn.operands[0])
    cut = [
        axis
        for axis, (part, size) in enumerate(zip(key, sizes, strict=True))
        if (part.start, part.stop, part.step) != (0, size, 1)
    ]
    starts = [key[axis].start for axis in cut]
    ends = [-(2**62) if key[axis].stop is None else key[axis].stop for axis in cut]
    return g.node(
        "Slice",
        *values(g, eqn),
        g.shape(starts),
        g.shape(ends),
        g.constant(np.array(cut, np.int64)),
        g.constant(np.array([key[axis].step for axis in cut], np.int64)),
    )


def _pad(g: Graph, eqn: Eqn) -> str:
    widths = eqn.params["widths"]
    pads = g.shape([before for before, _ in widths] + [after for _, after in widths])
    return g.node("Pad", *values(g, eqn), pads, g.value(eqn.params["value"], eqn.result.dtype))


def _windows(g: Graph, eqn: Eqn) -> str:
    """Write the windows of a convolution: slices with a stride, one for each element of the kernel."""
    (x,), options = values(g, eqn), eqn.params
    axis, (before, after) = len(eqn.operands[0].shape) - 1, options["padding"]
    if before or after:
        x = g.node("Pad", x, g.constant(np.array([*[0] * axis, before, *[0] * axis, after])))
    count = g.sizes_of(eqn.result)[-1]
    reach = g.affine(count, options["stride"], 1 - options["stride"])
    parts = []
    for tap in range(options["size"]):
        start = tap * options["dilation"]
        ends = (g.shape([start]), g.shape([g.affine(reach, 1, start)]))
        slices = g.node("Slice", x, *ends, g.constant(np.array([axis])), g.constant(np.array([options["stride"]])))
        parts.append(g.node("Unsqueeze", slices, g.constant(np.array([axis]))))
    return g.node("Concat", *parts, axis=axis)


# ---------------------------------------------------------------------------------------------- lookups and orders


def _gather(g: Graph, eqn: Eqn) -> str:
    x, indices = eqn.operands[:2]
    return g.node("Gather", g.value(x, x.dtype), g.value(indices, _INT64), axis=eqn.params.get("axis", 0))


def _gather_elements(g: Graph, eqn: Eqn) -> str:
    x, indices = eqn.operands[:2]
    return g.node("GatherElements", g.value(x, x.dtype), g.value(indices, _INT64), axis=eqn.params["axis"])


def _scatter_add(g: Graph, eqn: Eqn) -> str:
    x, dtype, shape = eqn.operands[0], eqn.result.dtype, g.shape(eqn.params["shape"])
    zeros = g.node("Expand", g.value(0, dtype), shape)
    indices = g.value(eqn.operands[1], _INT64)
    return g.node("ScatterElements", zeros, indices, g.value(x, dtype), axis=eqn.params["axis"], reduction="add")


def _top(g: Graph, eqn: Eqn) -> Any:
    x, axis = eqn.operands[0], eqn.params["axis"]
    k, largest = eqn.params["k"], int(eqn.params["largest"])
    return g.several("TopK", 2, g.value(x, x.dtype), g.shape([k]), axis=axis, largest=largest)


def _argsort(g: Graph, eqn: Eqn) -> Any:
    x, axis = eqn.operands[0], eqn.params["axis"]
    size, largest = g.sizes_of(x)[axis], int(eqn.params["descending"])
    return g.several("TopK", 2, g.value(x, x.dtype), g.shape([size]), axis=axis, largest=largest)[1]


def _cumsum(g: Graph, eqn: Eqn) -> str:
    axis = g.constant(np.array(eqn.params["axis"], np.int64))
    return g.node("CumSum", *values(g, eqn), axis, reverse=int(eqn.params["reverse"]))


def is_layer_norm(g: Graph, eqn: Eqn) -> bool:
    """Return whether an equation is what LayerNormalization does: over the last axes, of fixed sizes."""
    axes, sizes = eqn.params["axes"], g.sizes_of(eqn.operands[0])
    last = list(axes) == list(range(len(sizes) - len(axes), len(sizes)))
    fixed = all(isinstance(sizes[axis], int) for axis in axes)
    return bool(eqn.params["centre"]) and last and fixed and g.reads(eqn.results[1]) == 0


def write_layer_norm(g: Graph, eqn: Eqn, scale: Any = None, shift: Any = None) -> str:
    """Write a norm, with a scale and a shift, as the node that onnxruntime computes in one go."""
    axes, dtype, sizes = eqn.params["axes"], eqn.results[0].dtype, g.sizes_of(eqn.operands[0])
    ones = g.constant(np.ones([sizes[axis] for axis in axes], dtype)) if scale is None else g.value(scale, dtype)
    names = [*values(g, eqn), ones, *([] if shift is None else [g.value(shift, dtype)])]
    return g.node("LayerNormalization", *names, axis=axes[0] - len(sizes), epsilon=eqn.params["eps"])


def _standardise(g: Graph, eqn: Eqn) -> Any:
    """Write a norm: that without a mean, or over other axes, as its formula."""
    if is_layer_norm(g, eqn):
        return write_layer_norm(g, eqn), None
    axes, eps, centre = (eqn.params[name] for name in ("axes", "eps", "centre"))
    (x,), dtype = values(g, eqn), eqn.results[0].dtype
    where = g.constant(np.array(axes, np.int64))
    value = Name(g, x, dtype)
    if centre:
        value = value - Name(g, g.node("ReduceMean", x, where, keepdims=1), dtype)
    squares = Name(g, g.node("ReduceMean", (value * value).name, where, keepdims=1), dtype)
    scale = (squares + eps).op("Sqrt").op("Reciprocal")
    return (value * scale).name, scale.name


OPERATIONS: Final[dict[Primitive, Write]] = {
    TABLE[name]: write
    for name, write in {
        **ELEMENTWISE,
        "sum": _reduction("ReduceSum"),
        "mean": _reduction("ReduceMean"),
        "max": _reduction("ReduceMax"),
        "min": _reduction("ReduceMin"),
        "prod": _reduction("ReduceProd"),
        "any": _reduction("ReduceMax"),
        "all": _reduction("ReduceMin"),
        "logsumexp": _reduction("ReduceLogSumExp"),
        "softmax": _over_axes("Softmax"),
        "log_softmax": _over_axes("LogSoftmax"),
        "standardise": _standardise,
        "argmax": _index_of("ArgMax"),
        "argmin": _index_of("ArgMin"),
        "argsort": _argsort,
        "topk": _top,
        "cumsum": _cumsum,
        "reshape": _reshape,
        "permute_dims": _permute,
        "broadcast_to": _broadcast,
        "concat": _concat,
        "split": _split,
        "index": _index,
        "pad": _pad,
        "windows": _windows,
        "embedding": _gather,
        "one_hot_lookup": _gather,
        "take": _gather,
        "gather": _gather_elements,
        "gather_add": _scatter_add,
        "matmul": write_matmul,
    }.items()
}
"""By primitive: what writes its nodes."""

_VALUES = "its size depends on values: use a mask and ts.where"
_GRADIENT = "it belongs to a gradient: export the forward pass alone"
_LOSS = "export what the loss reads, and compute the loss outside"
REFUSED: Final[dict[str, str]] = {
    "categorical": "export the logits, and draw outside",
    "cummax": "run a ts.scan with ts.maximum over that axis",
    "cummin": "run a ts.scan with ts.minimum over that axis",
    "cumprod": "write ts.exp(ts.cumsum(ts.log(x), axis)) for positive x, or a ts.scan",
    "custom_gradient": "call the function without its gradient",
    "diagonal": "write ts.take_along_axis with the indices of the diagonal",
    "trace": "write ts.sum(x * ts.eye(n), axis=(-2, -1))",
    "bitwise_left_shift": "write x * 2**n",
    "bitwise_right_shift": "write x // 2**n",
    "nextafter": "add a small number",
    "nonzero": _VALUES,
    "unique": _VALUES,
    "logcumsumexp": "write ts.log(ts.cumsum(ts.exp(x), axis)) where exp cannot overflow",
    "lookup": "look up along one axis with ts.take(x, indices, axis)",
    "at_least": _LOSS,
    "linear_cross_entropy": _LOSS,
    "nll_of_logits": _LOSS,
    "scattered_from": "write ts.where with a mask, or ts.scatter_add",
    "scan": "leave grad, vjp and the like outside the model",
    **dict.fromkeys(
        (
            "diagonal_place", "lookup_add", "nll_of_logits_adjoint", "power_log", "ratio",
            "running_extreme_index", "scan_gradient", "take_add", "windows_sum",
        ),
        _GRADIENT,
    ),
}  # fmt: skip
"""By name of an operation that ONNX has not: what to write instead."""

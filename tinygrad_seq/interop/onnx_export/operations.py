"""What ONNX calls the operations of the table: one function per primitive that writes its nodes.

A function takes the `Graph` and the equation and returns the names of the results. An operation that is neither here
nor replaced by others (`formula`, `structure` in its row) cannot be exported; `REFUSED` says what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...ops.primitive import TABLE, Primitive
from .products import write_matmul

if TYPE_CHECKING:
    from ...scan.ir.step import Eqn
    from .graph import Graph

Write = Callable[["Graph", "Eqn"], Any]
_BOOL, _INT64 = np.dtype(bool), np.dtype(np.int64)

# ------------------------------------------------------------------------------------------------------ elementwise

# Operations that are one node, on operands of the dtype of the result.
_NODES = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "asin": "Asin", "asinh": "Asinh", "atan": "Atan",
    "atanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "divide": "Div", "erf": "Erf", "exp": "Exp",
    "floor": "Floor", "log": "Log", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "negative": "Neg",
    "pow": "Pow", "reciprocal": "Reciprocal", "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign",
    "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "subtract": "Sub", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip
# The same for operands of their common dtype, with a boolean result.
_COMPARISONS = {
    "equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual",
}  # fmt: skip
_LOGIC = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"}
_BITS = {"bitwise_and": "BitwiseAnd", "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor", "invert": "BitwiseNot"}
# Of booleans, arithmetic is logic.
_OF_BOOLEANS = {"Add": "Or", "Max": "Or", "Mul": "And", "Min": "And"} | {
    "BitwiseAnd": "And", "BitwiseOr": "Or", "BitwiseXor": "Xor", "BitwiseNot": "Not"
}  # fmt: skip


def _values(g: Graph, eqn: Eqn, dtype: np.dtype | None = None) -> list[str]:
    """Return the operands, cast to `dtype`, by default that of the result."""
    return [g.value(operand, eqn.results[0].dtype if dtype is None else dtype) for operand in eqn.operands]


def _common(eqn: Eqn) -> np.dtype:
    return np.result_type(*[getattr(operand, "dtype", operand) for operand in eqn.operands])


def _node(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        dtype, values = eqn.result.dtype, _values(g, eqn)
        if dtype == np.float64 and op in _OF_FLOAT64:
            return _OF_FLOAT64[op](Name(g, values[0], dtype)).name
        return g.node(_OF_BOOLEANS.get(op, op) if dtype == _BOOL else op, *values)

    return write


def _comparison(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        dtype = _common(eqn)
        if dtype == _BOOL and op != "Equal":
            dtype = np.dtype(np.int32)
        return g.node(op, *_values(g, eqn, dtype))

    return write


def _logic(op: str) -> Write:
    return lambda g, eqn: g.node(op, *_values(g, eqn, _BOOL))


def _predicate(op: str) -> Write:
    return lambda g, eqn: g.node(op, *_values(g, eqn, _common(eqn)))


def _formula(formula: Callable[..., Name]) -> Write:
    """Return what writes ``formula(names)``, where names compute: see `Name`."""

    def write(g: Graph, eqn: Eqn) -> str:
        dtype = eqn.result.dtype
        names = [Name(g, name, dtype) for name in _values(g, eqn)]
        return formula(*names).name

    return write


class Name:
    """A value of the graph that is computed with, for formulas of several nodes."""

    def __init__(self, g: Graph, name: str, dtype: np.dtype) -> None:
        self.g, self.name, self.dtype = g, name, dtype

    def _of(self, other: Any) -> str:
        return other.name if isinstance(other, Name) else self.g.value(other, self.dtype)

    def op(self, op: str, *others: Any) -> Name:
        """Return the result of a node on this value and others."""
        if op in _OF_FLOAT64 and self.dtype == np.float64:
            return _OF_FLOAT64[op](self)
        return Name(self.g, self.g.node(op, self.name, *map(self._of, others)), self.dtype)

    def __add__(self, other: Any) -> Name:
        return self.op("Add", other)

    def __sub__(self, other: Any) -> Name:
        return self.op("Sub", other)

    def __mul__(self, other: Any) -> Name:
        return self.op("Mul", other)

    def __truediv__(self, other: Any) -> Name:
        return self.op("Div", other)

    def __neg__(self) -> Name:
        return self.op("Neg")

    def where(self, other: Any, otherwise: Any) -> Name:
        """Return `other` where this is true, `otherwise` elsewhere."""
        dtype = next((x.dtype for x in (other, otherwise) if isinstance(x, Name)), self.dtype)
        one, two = (x.name if isinstance(x, Name) else self.g.value(x, dtype) for x in (other, otherwise))
        return Name(self.g, self.g.node("Where", self.name, one, two), dtype)


def _in_float32(op: str) -> Callable[[Name], Name]:
    """Return a function with values near 1 in float32, because onnxruntime has no other."""

    def computed(x: Name) -> Name:
        g, single = x.g, np.dtype(np.float32)
        return Name(g, g.value(g.node(op, g.value(x.name, single, of=x.dtype)), x.dtype, of=single), x.dtype)

    return computed


# What onnxruntime has for float32 only.
_OF_FLOAT64: Final[dict[str, Callable[[Name], Name]]] = {
    **{op: _in_float32(op) for op in ("Acos", "Asin", "Atan", "Erf")},
    "Acosh": lambda x: (x + (x * x - 1.0).op("Sqrt")).op("Log"),
    "Asinh": lambda x: x.op("Sign") * (x.op("Abs") + (x * x + 1.0).op("Sqrt")).op("Log"),
    "Atanh": lambda x: ((x + 1.0) / (-x + 1.0)).op("Log") * 0.5,
    "Cosh": lambda x: (x.op("Exp") + (-x).op("Exp")) * 0.5,
    "Sinh": lambda x: (x.op("Exp") - (-x).op("Exp")) * 0.5,
    "Tan": lambda x: x.op("Sin") / x.op("Cos"),
}


def _softplus(x: Name) -> Name:
    return x.op("Max", 0.0) + ((-x.op("Abs")).op("Exp") + 1.0).op("Log")


def _gelu(x: Name) -> Name:
    return x * 0.5 * ((x * math.sqrt(0.5)).op("Erf") + 1.0)


def _gelu_tanh(x: Name) -> Name:
    return x * (x * (x * x * 0.07135481627260025 + 1.5957691216057308)).op("Sigmoid")


def _atan2(y: Name, x: Name) -> Name:
    quotient = (y / x).op("Atan")
    half = y.op("Less", 0.0).where(Name(y.g, y.g.value(-math.pi, y.dtype), y.dtype), math.pi)
    turned = x.op("Less", 0.0).where(quotient + half, quotient)
    straight = y.op("Sign") * (math.pi / 2)
    return x.op("Equal", 0.0).where(straight, turned)


def _logaddexp(a: Name, b: Name) -> Name:
    apart = a.op("Equal", b).where(Name(a.g, a.g.value(0.0, a.dtype), a.dtype), a - b)
    return a.op("Max", b) + ((-apart.op("Abs")).op("Exp") + 1.0).op("Log")


def _truncated(x: Name) -> Name:
    return x.op("Sign") * x.op("Abs").op("Floor")


def _expm1(x: Name) -> Name:
    """Return ``exp(x) - 1``, exact near 0 too (Kahan)."""
    u = x.op("Exp")
    near = u.op("Equal", 1.0)
    quotient = (u - 1.0) * x / near.where(u + 1.0, u).op("Log")
    far = x.op("Abs").op("Greater", 1.0)
    return far.where(u - 1.0, near.where(x, quotient))


def _log1p(x: Name) -> Name:
    """Return ``log(1 + x)``, exact near 0 too (Kahan)."""
    u = x + 1.0
    near = u.op("Equal", 1.0)
    usual = u.op("Log") * (x / near.where(u, u - 1.0))
    far = x.op("Abs").op("Greater", 1.0)
    return far.where(u.op("Log"), near.where(x, usual))


def _floor_divide(g: Graph, eqn: Eqn) -> str:
    a, b = _values(g, eqn)
    if eqn.result.dtype.kind == "f":
        return g.node("Floor", g.node("Div", a, b))
    return g.node("Div", g.node("Sub", a, g.node("Mod", a, b)), b)


def _remainder(g: Graph, eqn: Eqn) -> str:
    a, b = _values(g, eqn)
    if eqn.result.dtype.kind != "f":
        return g.node("Mod", a, b)
    return g.node("Sub", a, g.node("Mul", g.node("Floor", g.node("Div", a, b)), b))


def _where(g: Graph, eqn: Eqn) -> str:
    condition, *rest = eqn.operands
    return g.node("Where", g.value(condition, _BOOL), *[g.value(x, eqn.result.dtype) for x in rest])


def _finite(g: Graph, eqn: Eqn) -> str:
    (x,) = _values(g, eqn, _common(eqn))
    return g.node("Not", g.node("Or", g.node("IsNaN", x), g.node("IsInf", x)))


def _cast(g: Graph, eqn: Eqn) -> str:
    return g.value(eqn.operands[0], eqn.result.dtype)


_FORMULAS: dict[str, Callable[..., Name]] = {
    "atan2": _atan2,
    "bounded": lambda x: x.op("Max", -1000.0).op("Min", 1000.0),
    "cbrt": lambda x: x.op("Sign") * x.op("Abs").op("Pow", 1 / 3),
    "clamped_log": lambda x: (
        x.op("Max", math.exp(-100) if x.dtype == np.float64 else 1e-38).op("Log").op("Max", -100.0)
    ),
    "difference": lambda a, b: a.op("Equal", b).where(0.0, a - b),
    "elu": lambda x, alpha: x.op("Greater", 0.0).where(x, alpha * _expm1(x.op("Min", 0.0))),
    "erfc": lambda x: -(x.op("Erf") - 1.0),
    "exp2": lambda x: (x * math.log(2)).op("Exp"),
    "expm1": _expm1,
    "fmod": lambda a, b: a - _truncated(a / b) * b,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hypot": lambda a, b: (a * a + b * b).op("Sqrt"),
    "leaky_relu": lambda x, slope: x.op("Greater", 0.0).where(x, x * slope),
    "lerp": lambda a, b, weight: a - (a - b) * weight,
    "log10": lambda x: x.op("Log") / math.log(10),
    "log1p": _log1p,
    "log2": lambda x: x.op("Log") / math.log(2),
    "log_sigmoid": lambda x: -_softplus(-x),
    "logaddexp": _logaddexp,
    "ndtr": lambda x: ((x * math.sqrt(0.5)).op("Erf") + 1.0) * 0.5,
    "one_minus_square": lambda x: -(x * x) + 1.0,
    "rsqrt": lambda x: x.op("Sqrt").op("Reciprocal"),
    "scaled": lambda factor, x: factor.op("Equal", 0.0).where(factor, factor * x),
    "silu": lambda x: x * x.op("Sigmoid"),
    "softplus": _softplus,
    "softsign": lambda x: x / (x.op("Abs") + 1.0),
    "square": lambda x: x * x,
    "trunc": _truncated,
}


# ------------------------------------------------------------------------------------------------ axes and shapes


def _reduction(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        x, dtype = eqn.operands[0], eqn.result.dtype
        inner = np.dtype(np.int32) if dtype == _BOOL else dtype
        name = g.value(g.value(x, _BOOL, of=x.dtype), inner, of=_BOOL) if dtype == _BOOL else g.value(x, inner)
        axes = eqn.params["axes"]
        if axes:
            name = g.node(op, name, g.constant(np.array(axes, np.int64)), keepdims=int(eqn.params["keepdims"]))
        return g.value(name, dtype, of=inner)

    return write


def _over_axes(op: str) -> Write:
    """Return what writes a node with one axis, softmax and its like."""
    return lambda g, eqn: g.node(op, *_values(g, eqn), axis=eqn.params["axis"])


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
    return g.node("Transpose", *_values(g, eqn), perm=list(eqn.params["axes"]))


def _broadcast(g: Graph, eqn: Eqn) -> str:
    return g.node("Expand", *_values(g, eqn), g.shape(eqn.params["shape"]))


def _concat(g: Graph, eqn: Eqn) -> str:
    return g.node("Concat", *_values(g, eqn), axis=eqn.params["axis"])


def _split(g: Graph, eqn: Eqn) -> Any:
    axis, names = eqn.params["axis"], _values(g, eqn)
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
        *_values(g, eqn),
        g.shape(starts),
        g.shape(ends),
        g.constant(np.array(cut, np.int64)),
        g.constant(np.array([key[axis].step for axis in cut], np.int64)),
    )


def _pad(g: Graph, eqn: Eqn) -> str:
    widths = eqn.params["widths"]
    pads = g.shape([before for before, _ in widths] + [after for _, after in widths])
    return g.node("Pad", *_values(g, eqn), pads, g.value(eqn.params["value"], eqn.result.dtype))


def _windows(g: Graph, eqn: Eqn) -> str:
    """Write the windows of a convolution: slices with a stride, one for each element of the kernel."""
    (x,), options = _values(g, eqn), eqn.params
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
    return g.node("CumSum", *_values(g, eqn), axis, reverse=int(eqn.params["reverse"]))


def _standardise(g: Graph, eqn: Eqn) -> Any:
    """Write a layer norm as the node that onnxruntime computes in one go; the norm without a mean as its formula."""
    axes, eps, centre = (eqn.params[name] for name in ("axes", "eps", "centre"))
    (x,), dtype, sizes = _values(g, eqn), eqn.results[0].dtype, g.sizes_of(eqn.operands[0])
    last = list(axes) == list(range(len(sizes) - len(axes), len(sizes)))
    if centre and last and g.reads(eqn.results[1]) == 0 and all(isinstance(sizes[axis], int) for axis in axes):
        ones = g.constant(np.ones([sizes[axis] for axis in axes], dtype))
        return g.node("LayerNormalization", x, ones, axis=axes[0] - len(sizes), epsilon=eps), None
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
        **{name: _node(op) for name, op in (_NODES | _BITS).items()},
        **{name: _comparison(op) for name, op in _COMPARISONS.items()},
        **{name: _logic(op) for name, op in _LOGIC.items()},
        **{name: _formula(formula) for name, formula in _FORMULAS.items()},
        "not_equal": lambda g, eqn: g.node("Not", _comparison("Equal")(g, eqn)),
        "isnan": _predicate("IsNaN"),
        "isinf": _predicate("IsInf"),
        "isfinite": _finite,
        "floor_divide": _floor_divide,
        "remainder": _remainder,
        "where": _where,
        "astype": _cast,
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
        "take": _gather,
        "gather": _gather_elements,
        "matmul": write_matmul,
    }.items()
}
"""By primitive: what writes its nodes."""

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
    "lookup": "look up along one axis with ts.take(x, indices, axis)",
    "linear_cross_entropy": _LOSS,
    "nll_of_logits": _LOSS,
    "scan": "leave grad, vjp and the like outside the model",
    **dict.fromkeys(
        (
            "diagonal_place", "gather_add", "lookup_add", "nll_of_logits_adjoint", "power_log", "ratio",
            "running_extreme_index", "scan_gradient", "take_add", "windows_sum",
        ),
        _GRADIENT,
    ),
}  # fmt: skip
"""By name of an operation that ONNX has not: what to write instead."""

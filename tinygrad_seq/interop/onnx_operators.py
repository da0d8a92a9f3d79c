"""The operators of ONNX that are calls of the package's functions: one row per operator.

A function gets the node and its inputs, Tensors or ndarrays; an input that is left out is None or missing. Attributes
of earlier opsets that became inputs, such as ``axes``, are accepted in both forms.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import functional as F  # noqa: N812
from ..errors import ArgumentError
from ..scan.ir.trace import Tracer
from .onnx_graph import Node
from .onnx_shapes import SHAPES, Operator, concrete, listed

# ------------------------------------------------------------------------------------------------- arithmetic


def _is_float(x: Any) -> bool:
    return bool(x.dtype.kind == "f")


def _unary(function: Operator) -> Operator:
    return lambda node, x: function(x)


def _binary(function: Operator) -> Operator:
    def run(node: Node, a: Any, b: Any) -> Any:
        if node.get("broadcast"):  # before opset 7
            raise ArgumentError("expected NumPy's broadcasting, got that of opset 6; convert the model.")
        return function(a, b)

    return run


def _variadic(function: Operator) -> Operator:
    def run(node: Node, *xs: Any) -> Any:
        total = xs[0]
        for x in xs[1:]:
            total = function(total, x)
        return total

    return run


def _divide(a: Any, b: Any) -> Any:
    if _is_float(a):
        return F.divide(a, b)
    if not isinstance(b, Tracer) and (concrete(b) == 0).any():
        raise ArgumentError("expected integers other than 0 to divide by, got 0; check the model and its inputs.")
    quotient = F.floor_divide(F.abs(a), F.abs(b))
    return F.where(F.logical_xor(a < 0, b < 0), -quotient, quotient)


def _modulo(node: Node, a: Any, b: Any) -> Any:
    return F.fmod(a, b) if node.get("fmod") else F.remainder(a, b)


def _power(a: Any, b: Any) -> Any:
    if _is_float(a) or not _is_float(b):
        return F.pow(a, F.astype(b, a.dtype))
    return F.astype(F.pow(F.astype(a, np.float64), F.astype(b, np.float64)), a.dtype)


def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    return F.clip(x, node.get("min") if low is None else low, node.get("max") if high is None else high)


def _is_inf(node: Node, x: Any) -> Any:
    found = F.isinf(x)
    if not node.get("detect_positive", 1):
        found = F.logical_and(found, x < 0)
    return found if node.get("detect_negative", 1) else F.logical_and(found, x > 0)


def _gelu(node: Node, x: Any) -> Any:
    return F.gelu(x, node.get("approximate", "none"))


def _selu(node: Node, x: Any) -> Any:
    return F.elu(x, node.get("alpha", 1.6732632423543772)) * node.get("gamma", 1.0507009873554805)


def _celu(node: Node, x: Any) -> Any:
    alpha = node.get("alpha", 1.0)
    return F.elu(x / alpha, 1.0) * alpha


def _softmax(function: Operator) -> Operator:
    def run(node: Node, x: Any) -> Any:
        if node.opset >= 13:
            return function(x, axis=node.get("axis", -1))
        axis = node.get("axis", 1) % builtins.max(x.ndim, 1)  # all axes from this one on are one
        flat = F.reshape(x, (*x.shape[:axis], math.prod(x.shape[axis:])))
        return F.reshape(function(flat, axis=-1), x.shape)

    return run


# ------------------------------------------------------------------------------------------- products and norms


def _gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    a = F.matrix_transpose(a) if node.get("transA") else a
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if node.get("transB") and alpha == beta == 1 and c is not None and c.ndim == 1:
        return F.linear(a, b, c)
    y = F.matmul(a, F.matrix_transpose(b) if node.get("transB") else b)
    y = y if alpha == 1 else y * alpha
    return y if c is None else y + (c if beta == 1 else c * beta)


def _layer_norm(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    axis = node.get("axis", -1) % x.ndim
    return F.layer_norm(x, x.shape[axis:], scale, bias, node.get("epsilon", 1e-5))


def _rms_norm(node: Node, x: Any, scale: Any) -> Any:
    axis = node.get("axis", -1) % x.ndim
    return F.rms_norm(x, x.shape[axis:], scale, node.get("epsilon", 1e-5))


def _batch_norm(node: Node, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    if node.get("training_mode"):
        raise ArgumentError("expected a model for inference, got BatchNormalization that trains; export it again.")
    shape = (-1,) + (1,) * (x.ndim - 2)
    factor = scale / F.sqrt(var + node.get("epsilon", 1e-5))
    return x * F.reshape(factor, shape) + F.reshape(bias - mean * factor, shape)


def _conv(node: Node, x: Any, w: Any, b: Any = None) -> Any:
    if x.ndim != 3 or node.get("auto_pad", "NOTSET") != "NOTSET":
        raise ArgumentError(f"expected a convolution over one axis with explicit pads, got X {x.shape}; export it so.")
    before, after = node.get("pads") or (0, 0)
    if before or after:
        x = F.pad(x, ((0, 0), (0, 0), (before, after)))
    (stride,), (dilation,) = node.get("strides") or (1,), node.get("dilations") or (1,)
    return F.conv1d(x, w, b, stride=stride, dilation=dilation, groups=node.get("group", 1))


# -------------------------------------------------------------------------------------------------- reductions


def _reduction(function: Operator) -> Operator:
    def run(node: Node, x: Any, axes: Any = None) -> Any:
        chosen = listed(node, "axes", axes)
        if not chosen and node.get("noop_with_empty_axes"):
            return x
        return function(x, axis=tuple(chosen) if chosen else None, keepdims=bool(node.get("keepdims", 1)))

    return run


def _einsum(node: Node, *xs: Any) -> Any:
    return F.einsum(node.get("equation", "").replace(" ", ""), *xs)


def _identity(node: Node, x: Any, *_rest: Any) -> Any:
    return x


def _dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    if training is not None and concrete(training).any():
        raise ArgumentError("expected a model for inference, got Dropout that trains; export it again.")
    return x, np.ones(x.shape, np.bool_)


_UNARY: dict[str, Operator] = {
    "Abs": F.abs, "Acos": F.acos, "Acosh": F.acosh, "Asin": F.asin, "Asinh": F.asinh, "Atan": F.atan, "Atanh": F.atanh,
    "BitwiseNot": F.invert,
    "Ceil": F.ceil, "Cos": F.cos, "Cosh": F.cosh, "Erf": F.erf, "Exp": F.exp, "Floor": F.floor, "IsNaN": F.isnan,
    "Log": F.log, "Neg": F.negative, "Not": F.logical_not, "Reciprocal": F.reciprocal, "Relu": F.relu, "Round": F.round,
    "Sigmoid": F.sigmoid, "Sign": F.sign, "Sin": F.sin, "Sinh": F.sinh, "Softplus": F.softplus,
    "Softsign": F.softsign, "Sqrt": F.sqrt, "Tan": F.tan, "Tanh": F.tanh,
    "HardSwish": lambda x: x * F.clip(x / 6 + 0.5, 0, 1),
    "Mish": lambda x: x * F.tanh(F.softplus(x)),
    "Size": lambda x: np.array(math.prod(x.shape), np.int64),
}  # fmt: skip
_BINARY: dict[str, Operator] = {
    "Add": F.add, "Sub": F.subtract, "Mul": F.multiply, "Div": _divide, "Pow": _power, "Equal": F.equal,
    "Greater": F.greater, "GreaterOrEqual": F.greater_equal, "Less": F.less, "LessOrEqual": F.less_equal,
    "And": F.logical_and, "Or": F.logical_or, "Xor": F.logical_xor, "MatMul": F.matmul,
    "BitwiseAnd": F.bitwise_and, "BitwiseOr": F.bitwise_or, "BitwiseXor": F.bitwise_xor,
}  # fmt: skip
_REDUCTIONS: dict[str, Operator] = {
    "ReduceSum": F.sum, "ReduceMean": F.mean, "ReduceMax": F.max, "ReduceMin": F.min, "ReduceProd": F.prod,
    "ReduceLogSumExp": F.logsumexp,
    "ReduceL1": lambda x, **how: F.sum(F.abs(x), **how),
    "ReduceL2": lambda x, **how: F.sqrt(F.sum(F.square(x), **how)),
    "ReduceSumSquare": lambda x, **how: F.sum(F.square(x), **how),
    "ReduceLogSum": lambda x, **how: F.log(F.sum(x, **how)),
}  # fmt: skip

OPERATORS: dict[str, Operator] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    **{name: _reduction(function) for name, function in _REDUCTIONS.items()},
    "Sum": _variadic(F.add),
    "Max": _variadic(F.maximum),
    "Min": _variadic(F.minimum),
    "Mean": lambda node, *xs: _variadic(F.add)(node, *xs) / len(xs),
    "Mod": _modulo,
    "Clip": _clip,
    "Elu": lambda node, x: F.elu(x, node.get("alpha", 1.0)),
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "PRelu": lambda node, x, slope: F.leaky_relu(x, slope),
    "HardSigmoid": lambda node, x: F.clip(x * node.get("alpha", 0.2) + node.get("beta", 0.5), 0, 1),
    "Swish": lambda node, x: x * F.sigmoid(x * node.get("alpha", 1.0)),
    "Selu": _selu,
    "Celu": _celu,
    "Gelu": _gelu,
    "ThresholdedRelu": lambda node, x: F.where(x > node.get("alpha", 1.0), x, x * 0),
    "Softmax": _softmax(F.softmax),
    "LogSoftmax": _softmax(F.log_softmax),
    "Gemm": _gemm,
    "Einsum": _einsum,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    **SHAPES,
    "Where": lambda node, condition, a, b: F.where(condition, a, b),
    "IsInf": _is_inf,
    "Identity": _identity,
    "Dropout": _dropout,
}

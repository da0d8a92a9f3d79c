"""Elementwise operations as nodes: by name of a primitive, a function that writes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ...scan.ir.step import Eqn
from .graph import Graph

Write = Callable[[Graph, Eqn], Any]
BOOL = np.dtype(bool)

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
_OFBOOLEANS = {"Add": "Or", "Max": "Or", "Mul": "And", "Min": "And"} | {
    "BitwiseAnd": "And", "BitwiseOr": "Or", "BitwiseXor": "Xor", "BitwiseNot": "Not"
}  # fmt: skip


def values(g: Graph, eqn: Eqn, dtype: np.dtype | None = None) -> list[str]:
    """Return the operands, cast to `dtype`, by default that of the result."""
    return [g.value(operand, eqn.results[0].dtype if dtype is None else dtype) for operand in eqn.operands]


def _common(eqn: Eqn) -> np.dtype:
    return np.result_type(*[getattr(operand, "dtype", operand) for operand in eqn.operands])


def _node(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        dtype, names = eqn.result.dtype, values(g, eqn)
        if dtype == np.float64 and op in _OF_FLOAT64:
            return _OF_FLOAT64[op](Name(g, names[0], dtype)).name
        return g.node(_OFBOOLEANS.get(op, op) if dtype == BOOL else op, *names)

    return write


def _comparison(op: str) -> Write:
    def write(g: Graph, eqn: Eqn) -> str:
        dtype = _common(eqn)
        if dtype == BOOL and op != "Equal":
            dtype = np.dtype(np.int32)
        return g.node(op, *values(g, eqn, dtype))

    return write


def _logic(op: str) -> Write:
    return lambda g, eqn: g.node(op, *values(g, eqn, BOOL))


def _predicate(op: str) -> Write:
    return lambda g, eqn: g.node(op, *values(g, eqn, _common(eqn)))


def _formula(formula: Callable[..., Name]) -> Write:
    """Return what writes ``formula(names)``, where names compute: see `Name`."""

    def write(g: Graph, eqn: Eqn) -> str:
        dtype = eqn.result.dtype
        names = [Name(g, name, dtype) for name in values(g, eqn)]
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


def _negative(x: Name) -> Name:
    """Return whether a number has a minus sign; -0 has one."""
    below = x.op("Less", 0.0)
    return Name(x.g, x.g.node("Or", below.name, x.op("Reciprocal").op("Less", 0.0).name), x.dtype)


def _signbit(g: Graph, eqn: Eqn) -> str:
    dtype = _common(eqn)
    return _negative(Name(g, g.value(eqn.operands[0], dtype), dtype)).name


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


def _divmod(g: Graph, eqn: Eqn) -> tuple[Name, Name]:
    """Return the rounded down quotient and the remainder; of floating-point numbers as NumPy, by C's exact `fmod`."""
    a, b = [Name(g, name, eqn.result.dtype) for name in values(g, eqn)]
    if a.dtype.kind != "f":
        rest = a.op("Mod", b)
        return (a - rest) / b, rest
    rest = Name(g, g.node("Mod", a.name, b.name, fmod=1), a.dtype)
    below = (rest.op("Sign") * b.op("Sign")).op("Less", 0.0)
    quotient = (a - rest) / b
    quotient = below.where(quotient - 1.0, quotient).op("Round")
    return b.op("Equal", 0.0).where(a / b, quotient), below.where(rest + b, rest)


def _where(g: Graph, eqn: Eqn) -> str:
    condition, a, b = [
        g.value(x, dtype) for x, dtype in zip(eqn.operands, (BOOL, *[eqn.result.dtype] * 2), strict=True)
    ]
    if eqn.result.dtype == BOOL:  # onnxruntime chooses among numbers only
        return g.node("Or", g.node("And", condition, a), g.node("And", g.node("Not", condition), b))
    return g.node("Where", condition, a, b)


def _finite(g: Graph, eqn: Eqn) -> str:
    (x,) = values(g, eqn, _common(eqn))
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
    "copysign": lambda a, b: _negative(b).where(-a.op("Abs"), a.op("Abs")),
    "difference": lambda a, b: a.op("Equal", b).where(0.0, a - b),
    "elu": lambda x, alpha: x.op("Greater", 0.0).where(x, alpha * _expm1(x.op("Min", 0.0))),
    "erfc": lambda x: -(x.op("Erf") - 1.0),
    "exp2": lambda x: (x * math.log(2)).op("Exp"),
    "expm1": _expm1,
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


ELEMENTWISE: Final[dict[str, Write]] = {
    **{name: _node(op) for name, op in (_NODES | _BITS).items()},
    **{name: _comparison(op) for name, op in _COMPARISONS.items()},
    **{name: _logic(op) for name, op in _LOGIC.items()},
    **{name: _formula(formula) for name, formula in _FORMULAS.items()},
    "not_equal": lambda g, eqn: g.node("Not", _comparison("Equal")(g, eqn)),
    "isnan": _predicate("IsNaN"),
    "isinf": _predicate("IsInf"),
    "isfinite": _finite,
    "signbit": _signbit,
    "floor_divide": lambda g, eqn: _divmod(g, eqn)[0].name,
    "fmod": lambda g, eqn: g.node("Mod", *values(g, eqn), fmod=1),
    "remainder": lambda g, eqn: _divmod(g, eqn)[1].name,
    "where": _where,
    "astype": _cast,
}

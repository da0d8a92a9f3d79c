"""The reference table of elementwise operations: an independent reference and a domain per operand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_seq.ops.primitive import TABLE, Primitive

Domain = tuple[float, float]
ALL, POSITIVE, UNIT, NEGATIVE = (-3.0, 3.0), (0.2, 3.0), (-0.9, 0.9), (-3.0, -0.2)


class Row(NamedTuple):
    """One operation.

    Attributes
    ----------
    name : str
        The name of the primitive.
    reference : callable
        A function in NumPy or of Python floats that returns the correct values.
    domains : tuple of (float, float)
        The interval of random values, per operand.
    smooth : tuple of bool
        Whether the gradient is compared with finite differences, per operand.
    """

    name: str
    reference: Callable[..., Any]
    domains: tuple[Domain, ...]
    smooth: tuple[bool, ...]

    @property
    def primitive(self) -> Primitive:
        return TABLE[self.name]

    def operands(self, rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Return random float64 operands with the given shapes."""
        return [np.asarray(rng.uniform(*domain, shape)) for domain, shape in zip(self.domains, shapes, strict=True)]


def _row(name: str, reference: Callable[..., Any], *domains: Domain, smooth: tuple[bool, ...] | None = None) -> Row:
    return Row(name, reference, domains or (ALL,), smooth or (True,) * max(len(domains), 1))


def _scalar(function: Callable[..., float]) -> Callable[..., Any]:
    return np.vectorize(function, otypes=[np.float64])


def _gelu(x: float) -> float:
    return x * 0.5 * math.erfc(-x / math.sqrt(2))


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ROWS = [
    _row("add", np.add, ALL, ALL),
    _row("subtract", np.subtract, ALL, ALL),
    _row("multiply", np.multiply, ALL, ALL),
    _row("divide", np.divide, ALL, POSITIVE),
    _row("floor_divide", np.floor_divide, (7.1, 7.9), (2.1, 2.3)),
    _row("remainder", np.remainder, (-7.9, -7.1), (2.1, 2.3)),
    _row("fmod", np.fmod, (-7.9, -7.1), (2.1, 2.3)),
    _row("negative", np.negative),
    _row("abs", np.abs, NEGATIVE),
    _row("sign", np.sign, NEGATIVE),
    _row("floor", np.floor, (1.1, 1.9)),
    _row("ceil", np.ceil, (-1.9, -1.1)),
    _row("round", np.round, (0.6, 1.4)),
    _row("trunc", np.trunc, (-1.9, -1.1)),
    _row("square", np.square),
    _row("sqrt", np.sqrt, POSITIVE),
    _row("cbrt", np.cbrt, NEGATIVE),
    _row("reciprocal", lambda x: 1 / x, NEGATIVE),
    _row("rsqrt", lambda x: x**-0.5, POSITIVE),
    _row("pow", np.power, POSITIVE, ALL),
    _row("hypot", np.hypot, ALL, ALL),
    _row("maximum", np.maximum, ALL, ALL),
    _row("minimum", np.minimum, ALL, ALL),
    _row("lerp", lambda start, end, weight: start + weight * (end - start), (1.0, 2.0), (3.0, 4.0), ALL),
    _row("where", np.where, (1.0, 2.0), ALL, ALL, smooth=(False, True, True)),
    _row("exp", np.exp),
    _row("exp2", np.exp2),
    _row("expm1", np.expm1),
    _row("log", np.log, POSITIVE),
    _row("log2", np.log2, POSITIVE),
    _row("log10", np.log10, POSITIVE),
    _row("log1p", np.log1p, UNIT),
    _row("sigmoid", _scalar(lambda x: math.exp(x) / (1 + math.exp(x)))),
    _row("softplus", _scalar(lambda x: math.log1p(math.exp(x)))),
    _row("log_sigmoid", _scalar(lambda x: -math.log1p(math.exp(-x)))),
    _row("logaddexp", np.logaddexp, ALL, ALL),
    _row("copysign", np.copysign, NEGATIVE, POSITIVE),
    _row("sin", np.sin),
    _row("cos", np.cos),
    _row("tan", np.tan, UNIT),
    _row("asin", np.arcsin, UNIT),
    _row("acos", np.arccos, UNIT),
    _row("atan", np.arctan),
    _row("atan2", np.arctan2, ALL, POSITIVE),
    _row("sinh", np.sinh),
    _row("cosh", np.cosh),
    _row("tanh", np.tanh),
    _row("asinh", np.arcsinh),
    _row("acosh", np.arccosh, (1.2, 3.0)),
    _row("atanh", np.arctanh, UNIT),
    _row("erf", _scalar(math.erf)),
    _row("erfc", _scalar(math.erfc)),
    _row("ndtr", _scalar(lambda x: math.erfc(-x / math.sqrt(2)) / 2)),
    _row("relu", lambda x: np.where(x > 0, x, 0)),
    _row("leaky_relu", lambda x, slope: x * np.where(x > 0, 1, slope), ALL, POSITIVE),
    _row("elu", lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)), NEGATIVE, POSITIVE),
    _row("silu", _scalar(lambda x: x * math.exp(x) / (1 + math.exp(x)))),
    _row("softsign", lambda x: x / (1 + np.abs(x)), NEGATIVE),
    _row("gelu", _scalar(_gelu)),
    _row("gelu_tanh", _scalar(_gelu_tanh)),
    _row("difference", np.subtract, ALL, ALL),
    _row("ratio", np.divide, ALL, POSITIVE),
    _row("scaled", np.multiply, POSITIVE, ALL),
    _row("bounded", np.asarray),
    _row("one_minus_square", lambda x: 1 - x * x),
    _row("power_log", lambda a, b: a**b * np.log(a), (1.5, 3.0), ALL),
]

# Primitives of gradient rules; their operands are floats.
PARTS = {"difference", "ratio", "scaled", "bounded", "one_minus_square", "power_log"}

# Primitives with boolean results or integer operands, without gradients.
LOGIC = {
    "equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor, "logical_not": np.logical_not,
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "signbit": np.signbit,
}  # fmt: skip
BITS = {
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "invert": np.invert,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift,
}  # fmt: skip

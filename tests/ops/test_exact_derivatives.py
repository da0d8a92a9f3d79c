"""First, second and mixed derivatives of elementwise operations against 50 digits, from 1e-30 to 1e30.

The table of conventions lists kinks, singularities and infinities; here are all points where a derivative exists.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.testing.elementwise import PARTS, ROWS

mp = mpmath.mp.clone()
mp.dps = 50

POINTS = (0.0, 0.3, -0.3, 1.0, -1.0, 2.0, -2.5, 1e-30, -1e-8, 20.0, -20.0, 1e3, -1e3, 1e30, -1e30)
PAIRS = tuple(itertools.product((0.0, 0.4, -1.0, 2.0, -3.0, 1e3, -1e30, 1e-8), repeat=2))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(-abs(x))) + x if x > 1 else mp.log1p(mp.exp(x))


def logaddexp(a: Any, b: Any) -> Any:
    return b + softplus(a - b)


def ndtr(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


UNARY: dict[str, Callable[[Any], Any]] = {
    "negative": lambda x: -x, "abs": abs, "square": lambda x: x * x, "sqrt": mp.sqrt, "reciprocal": lambda x: 1 / x,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)), "rsqrt": lambda x: 1 / mp.sqrt(x), "exp": mp.exp, "expm1": mp.expm1,
    "exp2": lambda x: mp.mpf(2) ** x, "log": mp.log, "log2": lambda x: mp.log(x, 2), "log10": mp.log10,
    "log1p": lambda x: mp.log(1 + x), "sigmoid": sigmoid, "softplus": softplus, "log_sigmoid": lambda x: -softplus(-x),
    "sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "asin": mp.asin, "acos": mp.acos, "atan": mp.atan, "sinh": mp.sinh,
    "cosh": mp.cosh, "tanh": mp.tanh, "asinh": mp.asinh, "acosh": mp.acosh, "atanh": mp.atanh, "erf": mp.erf,
    "erfc": mp.erfc, "ndtr": ndtr, "relu": lambda x: max(x, 0), "silu": lambda x: x * sigmoid(x),
    "softsign": lambda x: x / (1 + abs(x)), "gelu": lambda x: x * ndtr(x),
    "gelu_tanh": lambda x: x * sigmoid(mp.sqrt(8 / mp.pi) * (x + mp.mpf("0.044715") * x**3)),
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b, "pow": lambda a, b: a**b, "hypot": mp.hypot, "atan2": mp.atan2, "maximum": max,
    "minimum": min, "logaddexp": logaddexp, "leaky_relu": lambda x, s: x if x > 0 else s * x,
    "elu": lambda x, s: x if x > 0 else s * mp.expm1(x),
    "copysign": lambda a, b: abs(a) if b > 0 else -abs(a),
}  # fmt: skip
STEPS = {"sign", "floor", "ceil", "round", "trunc", "floor_divide", "remainder", "fmod"}
"""Piecewise constant, or linear with slopes that are: the table of conventions and the tests of rows have them."""

# Points without a derivative, or outside the domain. Of a power only positive bases have one by the exponent.
KINKS: dict[str, Callable[..., bool]] = {
    "abs": lambda x: x == 0, "relu": lambda x: x == 0, "softsign": lambda x: x == 0, "cbrt": lambda x: x == 0,
    "reciprocal": lambda x: x == 0, **dict.fromkeys(("sqrt", "rsqrt", "log", "log2", "log10"), lambda x: x <= 0),
    "log1p": lambda x: x <= -1, **dict.fromkeys(("asin", "acos", "atanh"), lambda x: abs(x) >= 1),
    "acosh": lambda x: x <= 1, "divide": lambda a, b: b == 0, "pow": lambda a, b: a <= 0,
    "hypot": lambda a, b: a == b == 0, "atan2": lambda a, b: a == 0 >= b,
    **dict.fromkeys(("maximum", "minimum"), lambda a, b: a == b),
    **dict.fromkeys(("leaky_relu", "elu"), lambda x, s: x == 0), "copysign": lambda a, b: a * b == 0,
}  # fmt: skip

# In units of eps, an error that stays where a derivative is far below its usual size: see "Accuracy" in the document.
ABSOLUTE = {
    **dict.fromkeys(("sigmoid", "tanh", "softplus", "log_sigmoid", "logaddexp"), 4),
    **dict.fromkeys(("silu", "gelu", "gelu_tanh"), 64),
}


def derivative(function: Callable[..., Any], point: tuple[float, ...], order: tuple[int, ...]) -> float:
    """Return a derivative to about 16 digits by differences with a step far below everything in `point`."""
    sizes = [abs(x) for x in point if x]
    digits = 60 + int(2 * (mp.log10(max([*sizes, 1])) - mp.log10(min([*sizes, 1]))))
    with mp.workdps(digits * 2 + 40):
        step = mp.mpf(min([*sizes, 1])) / mp.mpf(10) ** 40
        found = mp.diff(function, tuple(map(mp.mpf, point)), order, h=step)
        found = found.real if isinstance(found, mp.mpc) else found
        return float(found)


def test_every_row_is_here() -> None:
    elsewhere = STEPS | PARTS | {"where", "lerp"}
    assert {row.name for row in ROWS} == {*UNARY, *BINARY} | elsewhere


def check(name: str, exact: Callable[..., Any], points: list[tuple[float, ...]], dtype) -> None:
    operands = [ts.tensor(np.array(column, dtype)) for column in zip(*points, strict=True)]
    rounded = list(zip(*[operand.numpy().astype(float).tolist() for operand in operands], strict=True))
    count, op = len(operands), TABLE[name]
    eps, largest = float(np.finfo(dtype).eps), float(np.finfo(dtype).max)
    wrong = []

    def slope(i: int):
        return ts.grad(lambda *x: op(*x).sum(), i, create_graph=True)

    orders = [(i,) for i in range(count)] + list(itertools.product(range(count), repeat=2))
    for order in orders:
        f = slope(order[0])
        found = f(*operands) if len(order) == 1 else ts.grad(lambda *x, f=f: f(*x).sum(), order[1])(*operands)
        for point, value in zip(rounded, found.numpy().astype(float).tolist(), strict=True):
            wanted = derivative(exact, point, tuple(order.count(i) for i in range(count)))
            if abs(wanted) > largest:
                right = value == np.copysign(np.inf, wanted)
            else:
                error = (ABSOLUTE.get(name, 0) + hypot_error(name, point)) * eps + np.finfo(dtype).tiny
                right = abs(value - wanted) <= 64 * eps * abs(wanted) + error
            if not right:
                wrong.append(f"d{order} {name}{point} = {value}, not {wanted}")
    assert not wrong, "\n".join(wrong)


def hypot_error(name: str, point: tuple[float, ...]) -> float:
    return 4 / max(map(abs, point)) ** (2 if name == "atan2" else 1) if name in ("hypot", "atan2") else 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", sorted(UNARY))
def test_one_operand(name, dtype) -> None:
    singular = KINKS.get(name, lambda x: False)
    check(name, UNARY[name], [(x,) for x in POINTS if not singular(x)], dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", sorted(BINARY))
def test_two_operands(name, dtype) -> None:
    singular = KINKS.get(name, lambda a, b: False)
    check(name, BINARY[name], [pair for pair in PAIRS if not singular(*pair)], dtype)


def test_a_rule_that_selects_a_constant_is_caught(monkeypatch) -> None:
    """As `logaddexp` had it: right once, but without curvature where both operands are equal."""
    shares = tuple(
        lambda g, _y, a, b, sign=sign: g * ts.sigmoid(ts.where(ts.equal(a, b), 0, (a - b) * sign)) for sign in (1, -1)
    )
    monkeypatch.setattr(TABLE["logaddexp"], "rules", shares)
    monkeypatch.setattr(TABLE["logaddexp"], "_plans", {})
    with pytest.raises(AssertionError, match=r"d\(0, 0\) logaddexp\(0.4, 0.4\)"):
        test_two_operands("logaddexp", np.float64)

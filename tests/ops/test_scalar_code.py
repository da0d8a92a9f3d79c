"""The scalar source of a row says the same as its forward, in plain Python and compiled by Numba as a scan does it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numba import njit

from tests.ops.elementwise_rows import BITS, LOGIC, ROWS
from tinygrad_seq.ops import arithmetic
from tinygrad_seq.primitive import TABLE

GRID = [0.0, 1.0, -1.0, 0.5, -0.5, 0.3, -0.7, 2.5, -2.5, 3.0, 20.0, -20.0]
EXTREMES = [-0.0, 1e-300, 40.0, -40.0, 800.0, -800.0, 1e15, 2.0**53 + 2, 1e300, -1e300, math.inf, -math.inf, math.nan]
NAMES = [*(row.name for row in ROWS), *LOGIC]
COUNTS = {row.name: len(row.domains) for row in ROWS} | {name: ufunc.nin for name, ufunc in LOGIC.items()}
# The cube root is a power of 1/3, whose rounding the logarithm of x magnifies.
TOLERANCES = {"cbrt": 3e-14, "ndtr": 1e-12, "gelu": 1e-12, "tan": 1e-13}
LETTERS = "abc"


def source(name: str) -> str:
    code = TABLE[name].code
    assert code is not None
    return code.format(*[f"({letter})" for letter in LETTERS])


def close(name: str, result, expected) -> bool:
    return bool(np.isclose(result, expected, rtol=TOLERANCES.get(name, 4e-15), atol=1e-320, equal_nan=True))


def forward(name: str, operands: tuple[float, ...]) -> float:
    with np.errstate(all="ignore"):
        return float(TABLE[name].forward(*[np.array(operand) for operand in operands]))


def points(name: str, values: list[float]):
    return itertools.product(values, repeat=COUNTS[name])


@pytest.mark.parametrize("name", NAMES)
def test_python_evaluates_the_source_to_the_forward(name) -> None:
    code = compile(source(name), name, "eval")
    compared = 0
    for operands in points(name, GRID if COUNTS[name] < 3 else GRID[:6]):
        try:
            result = eval(code, {"math": math}, dict(zip(LETTERS, operands, strict=False)))  # noqa: S307
        except (OverflowError, ZeroDivisionError, ValueError):
            continue  # Python raises where IEEE 754 has a value; the compiled form is held to it below
        if isinstance(result, complex):
            continue
        compared += 1
        assert close(name, result, forward(name, operands)), (operands, result, forward(name, operands))
    assert compared


@pytest.fixture(scope="module")
def compiled():
    """Return one compiled function per operand count that evaluates every row of that count."""
    functions = {}
    for count in (1, 2, 3):
        names = [name for name in NAMES if COUNTS[name] == count]
        lines = [f"    out[{i}] = {source(name)}" for i, name in enumerate(names)]
        scope = {"math": math}
        exec("\n".join([f"def run({', '.join(LETTERS[:count])}, out):", *lines]), scope)
        functions[count] = names, njit(error_model="numpy")(scope["run"])
    return functions


@pytest.mark.parametrize("count", [1, 2, 3])
def test_numba_evaluates_the_source_to_the_forward_up_to_infinity(compiled, count) -> None:
    names, run = compiled[count]
    out = np.empty(len(names))
    wrong = []
    for operands in itertools.product(GRID + EXTREMES if count < 3 else GRID[:4] + EXTREMES[-3:], repeat=count):
        run(*operands, out)
        for name, result in zip(names, out, strict=True):
            expected = forward(name, operands)
            if (name, *operands) == ("pow", -math.inf, 0.5):
                continue  # NumPy takes a square root (NaN), the C library's pow gives inf
            if not close(name, result, expected):
                wrong.append(f"{name}{operands}: {result} but the forward is {expected}")
    assert wrong == []


@pytest.mark.parametrize("name", BITS)
def test_source_of_bitwise_operations(name) -> None:
    for a, b in itertools.product([0, 1, 5, -3], repeat=2):
        operands = (a, b)[: BITS[name].nin]
        result = eval(source(name), {}, dict(zip(LETTERS, operands, strict=False)))  # noqa: S307
        assert result == int(BITS[name](*operands))


def test_a_planted_wrong_source_is_caught(monkeypatch) -> None:
    monkeypatch.setattr(arithmetic.square, "code", "{0} * {0} + 1e-12")
    with pytest.raises(AssertionError):
        test_python_evaluates_the_source_to_the_forward("square")

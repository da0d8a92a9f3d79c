"""The scalar source of a row says the same as its forward, in plain Python and compiled by Numba as a scan does it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numba import config, njit

from tinygrad_seq.ops import arithmetic
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.testing.elementwise import BITS, LOGIC, ROWS

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


def interpret(name: str, operands: tuple[float, ...]) -> float | None:
    """Return what Python makes of the source, or None where it raises and IEEE 754 has a value."""
    try:
        result = eval(source(name), {"math": math}, dict(zip(LETTERS, operands, strict=False)))  # noqa: S307
    except (OverflowError, ZeroDivisionError, ValueError):
        return None
    return None if isinstance(result, complex) else result


@pytest.mark.parametrize("name", NAMES)
def test_python_evaluates_the_source_to_the_forward(name) -> None:
    results = {point: interpret(name, point) for point in points(name, GRID if COUNTS[name] < 3 else GRID[:6])}
    compared = {point: result for point, result in results.items() if result is not None}
    assert len(compared) > len(results) // 4
    for point, result in compared.items():
        assert close(name, result, forward(name, point)), (point, result, forward(name, point))


def evaluate_all(names: list[str], count: int):
    """Return a function of `count` floats that evaluates the sources of `names`, compiled unless Numba is off."""
    if config.DISABLE_JIT:
        return lambda *operands: [interpret(name, operands) for name in names]
    lines = [f"    out[{i}] = {source(name)}" for i, name in enumerate(names)]
    scope: dict = {"math": math}
    exec("\n".join([f"def run({', '.join(LETTERS[:count])}, out):", *lines]), scope)
    run, out = njit(error_model="numpy")(scope["run"]), np.empty(len(names))

    def compiled(*operands):
        run(*operands, out)
        return out

    return compiled


@pytest.mark.parametrize("count", [1, 2, 3])
def test_numba_evaluates_the_source_to_the_forward_up_to_infinity(count) -> None:
    names = [name for name in NAMES if COUNTS[name] == count]
    evaluate = evaluate_all(names, count)
    wrong = []
    for point in itertools.product(GRID + EXTREMES if count < 3 else GRID[:4] + EXTREMES[-3:], repeat=count):
        for name, result in zip(names, evaluate(*point), strict=True):
            if (name, *point) == ("pow", -math.inf, 0.5):
                continue  # NumPy takes a square root (NaN), the C library's pow gives inf
            if result is not None and not close(name, result, forward(name, point)):
                wrong.append(f"{name}{point}: {result} but the forward is {forward(name, point)}")
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

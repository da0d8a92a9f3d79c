"""Every elementwise operation inside a compiled loop, at zeros, ties, infinities and huge and tiny values.

The operands of each operation travel through the carry, and so does its result: it is computed inside the loop, forward
and backward, and not before or after it by NumPy.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.testing.elementwise import LOGIC, ROWS

inf, nan = np.inf, np.nan
POINTS = {
    1: [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-30, -1e-30, 30.0, -30.0, 1e3, -1e3, 1e18, -1e18, 1e30, -1e30, inf,
        -inf, nan],
    2: [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -3.0, 1e3, -1e30, inf, -inf, nan],
    3: [0.0, 1.0, -2.0, inf, nan],
}  # fmt: skip
COUNTS = {row.name: len(row.domains) for row in ROWS} | {name: ufunc.nin for name, ufunc in LOGIC.items()}
GROUPS = [
    names[start : start + 12]
    for arity in POINTS
    for names in [sorted(name for name, count in COUNTS.items() if count == arity)]
    for start in range(0, len(names), 12)
]

# Where NumPy and the C library differ, or a result is the rounding of a huge number, which depends on the route.
TOLERANCE = {np.float32: 4e-6, np.float64: 4e-13}
TAILS = {"sigmoid", "tanh"}  # whose derivative errs by eps where the value is 1, see ops/README.md
UNEQUAL = {
    ("pow", -inf, 0.5),  # a square root (NaN) or a power (inf)
}


def operands_of(arity: int, dtype) -> list[np.ndarray]:
    points = np.array(list(itertools.product(POINTS[arity], repeat=arity)), dtype)
    return [np.ascontiguousarray(column) for column in points.T]


def run(names, dtype, compile: bool):
    """Return by name the results (T, N) and the gradients by each operand of the first and second step."""
    arity = COUNTS[names[0]]
    columns = operands_of(arity, dtype)
    first = {name: [ts.tensor(c, requires_grad=True) for c in columns] for name in names}
    later = {name: [ts.tensor(np.stack([np.roll(c, 7)] * 2), requires_grad=True) for c in columns] for name in names}
    start = {name: (tuple(first[name]), ts.zeros(len(columns[0]), dtype=dtype)) for name in names}
    never = ts.tensor(np.zeros((2, 1), bool))

    def step(carry, x):
        nexts, flag = x
        left, results = {}, {}
        for name in names:
            operands, before = carry[name]
            y = TABLE[name](ts.where(flag, before, operands[0]), *operands[1:]).astype(dtype)
            left[name], results[name] = (nexts[name], y), y
        return left, results

    _, ys = ts.scan(step, start, ({name: tuple(later[name]) for name in names}, never), compile=compile)
    weights = ts.tensor(np.linspace(0.5, 1.5, 2 * len(columns[0])).reshape(2, -1).astype(dtype))
    sum([(ys[name] * weights).sum() for name in names if name not in LOGIC], ts.tensor(0.0)).backward()
    gradients = {
        name: [
            np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in (*first[name], *later[name])
        ]
        for name in names
        if name not in LOGIC
    }
    return {name: ys[name].numpy() for name in names}, gradients


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"{names[0]}-{names[-1]}")
def test_compiled_equals_eager_at_special_values(names, dtype) -> None:
    with np.errstate(all="ignore"):
        (values, gradients), (expected, slopes) = run(names, dtype, True), run(names, dtype, False)
        columns = operands_of(COUNTS[names[0]], dtype)
    wrong = []
    for name in names:
        parts = [("value", values[name], expected[name])]
        for position, (one, other) in enumerate(zip(gradients.get(name, []), slopes.get(name, []), strict=True)):
            parts.append((f"gradient {position}", one, other))
        for what, one, other in parts:
            least = np.finfo(dtype).eps * 4 if name in TAILS else np.finfo(dtype).tiny
            close = np.isclose(one, other, rtol=TOLERANCE[dtype], atol=least, equal_nan=True)
            for at in np.argwhere(~close):
                n = at[-1]
                rolled = (len(at) == 2) and (what != "value" or at[0] == 1)
                point = tuple(float(np.roll(c, 7 if rolled else 0)[n]) for c in columns)
                if (name, *point) not in UNEQUAL:
                    wrong.append(f"{name}{point} {what}: compiled {one[tuple(at)]}, eager {other[tuple(at)]}")
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:60]])


# ------------------------------------------------------------------------------------------------ along an axis

ROWS_OF_VALUES = np.array([
    [0.0, 0.0, 0.0], [0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [2.0, 2.0, 1.0], [2.0, 2.0, 2.0], [-1.0, 0.0, 1.0],
    [-inf, -inf, -inf], [-inf, 1.0, 2.0], [-inf, 1.0, 1.0], [inf, 1.0, 2.0], [inf, inf, 0.0], [1e3, -1e3, 0.0],
    [1e4, 1e4, 0.0], [1e18, 1e18, -1e18], [1e-18, 2e-18, 0.0], [-0.0, 0.0, 1.0], [nan, 1.0, 2.0],
])  # fmt: skip
ALONG: dict[str, Any] = {
    "sum": lambda x: ts.sum(x, -1, True), "mean": lambda x: ts.mean(x, -1, True),
    "var": lambda x: ts.var(x, -1, 0, True), "std": lambda x: ts.std(x, -1, 1, True),
    "max": lambda x: ts.max(x, axis=-1, keepdims=True), "min": lambda x: ts.min(x, axis=-1, keepdims=True),
    "logsumexp": lambda x: ts.logsumexp(x, -1, True), "norm2": lambda x: ts.norm(x, 2, -1, True),
    "norm1": lambda x: ts.norm(x, 1, -1, True), "norminf": lambda x: ts.norm(x, inf, -1, True),
    "softmax": ts.softmax, "log_softmax": ts.log_softmax, "layer_norm": lambda x: ts.layer_norm(x, 3),
    "rms_norm": lambda x: ts.rms_norm(x, 3), "prod": lambda x: ts.prod(x, -1, True),
}  # fmt: skip


def run_along(dtype, compile: bool):
    first = {name: ts.tensor(ROWS_OF_VALUES.astype(dtype), requires_grad=True) for name in ALONG}
    later = {
        name: ts.tensor(np.stack([np.roll(ROWS_OF_VALUES, 5, 0)] * 2).astype(dtype), requires_grad=True)
        for name in ALONG
    }
    start = {name: (first[name], ts.zeros(ALONG[name](first[name]).shape, dtype=dtype)) for name in ALONG}
    never = ts.tensor(np.zeros((2, 1, 1), bool))

    def step(carry, x):
        nexts, flag = x
        results = {name: f(ts.where(flag, carry[name][1], carry[name][0])) for name, f in ALONG.items()}
        return {name: (nexts[name], results[name]) for name in ALONG}, results

    _, ys = ts.scan(step, start, (later, never), compile=compile)
    rng = np.random.default_rng(3)
    weighted = [(ys[name] * rng.uniform(0.5, 1.5, ys[name].shape).astype(dtype)).sum() for name in ALONG]
    sum(weighted[1:], weighted[0]).backward()
    return {name: [ys[name].numpy(), grad_of(first[name]).numpy(), grad_of(later[name]).numpy()] for name in ALONG}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_reductions_compiled_equal_eager_at_special_values(dtype) -> None:
    with np.errstate(all="ignore"):
        compiled, eager = run_along(dtype, True), run_along(dtype, False)
    wrong = []
    for name in ALONG:
        for what, one, other in zip(["value", "first", "later"], compiled[name], eager[name], strict=True):
            sizes = np.where(np.isfinite(other), np.abs(other), 0).max(axis=-1, keepdims=True)
            least = np.maximum(TOLERANCE[dtype] * sizes, 8 * np.finfo(dtype).eps)
            close = np.isclose(one, other, rtol=TOLERANCE[dtype], atol=least, equal_nan=True)
            wrong += [
                f"{name} {what}{at.tolist()}: {one[tuple(at)]}, eager {other[tuple(at)]}" for at in np.argwhere(~close)
            ]
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong])

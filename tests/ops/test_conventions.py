"""The conventions of docs/conventions.md: derivatives at kinks, ties, singularities and infinities, of two orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.ops.conventions import DOCUMENT, ELEMENTWISE, VECTORS, Row, document
from tinygrad_seq.ops.primitive import TABLE

W = np.array([0.5, -1.25, 0.75])
NAMES: dict[str, Any] = {
    **{name: getattr(ts, name) for name in dir(ts) if not name.startswith("_")},
    **{name: TABLE[name] for name in ("gelu_tanh", "ndtr", "leaky_relu", "elu", "round")},
    "huber_loss": lambda x, _: ts.huber_loss(x, ts.zeros_like(x), "sum"),
    "l1_loss": lambda x, _: ts.l1_loss(x, ts.zeros_like(x), "sum"),
    "cross_entropy": lambda x, k: ts.cross_entropy(x[None], [k]),
    "binary_cross_entropy_with_logits": lambda x, t: ts.binary_cross_entropy_with_logits(x, t, reduction="sum"),
    "cummax": lambda x: ts.cummax(x, axis=0),
    "sort": lambda x: ts.sort(x, axis=0),
    "std": lambda x: ts.std(x, correction=0),
    "var": lambda x: ts.var(x, correction=0),
    "cumprod": lambda x: ts.cumprod(x, 0),
}
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
WAYS = pytest.mark.parametrize(
    ("dtype", "compiled"),
    [(np.float64, False), (np.float32, False), (np.float64, True)],
    ids=["float64", "float32", "compiled"],
)


def expression(row: Row):
    return compile(row.function, "<row>", "eval")


def close(found, expected, dtype) -> None:
    limits = np.finfo(dtype)
    np.testing.assert_allclose(
        found, np.asarray(expected, dtype), rtol=max(16 * limits.eps, 1e-11), atol=4 * limits.eps
    )


def identify(row: Row) -> str:
    return f"{row.function} at {row.point}"


@WAYS
@pytest.mark.parametrize("row", ELEMENTWISE, ids=identify)
def test_elementwise(row, dtype, compiled) -> None:
    letters, code = ("x",) if len(row.point) == 1 else ("a", "b"), expression(row)

    def once(*operands):
        return eval(code, NAMES, dict(zip(letters, operands, strict=True)))  # noqa: S307

    def function(*operands):
        if not compiled:
            return once(*operands)
        first, *rest = [operand.reshape(1) for operand in operands]
        step = lambda carry, _: ((once(carry[0], *rest), carry[0]), None)  # noqa: E731
        return ts.scan(step, (first, first), ts.zeros((1, 1), dtype=dtype), compile=True)[0][0].sum()

    with np.errstate(over="ignore"):  # 1e200 is inf in float32
        operands = [ts.tensor(np.array(x, dtype)) for x in row.point]
    count = len(operands)
    first = [ts.grad(function, i)(*operands).numpy() for i in range(count)]
    second = {
        (i, j): ts.grad(lambda *x, i=i: ts.grad(function, i, create_graph=True)(*x), j)(*operands).numpy()
        for i in range(count)
        for j in range(count)
    }
    close(first, row.first, dtype)
    close([second[i, j] for i in range(count) for j in range(i, count)], row.second, dtype)
    for (i, j), value in second.items():
        close(value, second[j, i], dtype)


@DTYPES
@pytest.mark.parametrize("row", VECTORS, ids=identify)
def test_vectors(row, dtype) -> None:
    code = expression(row)

    def function(x):
        return eval(code, {**NAMES, "nan": np.nan, "inf": np.inf}, {"x": x, "w": W.astype(dtype)}).sum()  # noqa: S307

    x = ts.tensor(np.array(row.point, dtype))
    close(ts.grad(function)(x).numpy(), row.first, dtype)
    columns = [ts.hvp(function, (x,), (ts.tensor(unit),))[0].numpy() for unit in np.eye(x.size, dtype=dtype)]
    close(np.stack(columns, axis=1), row.second, dtype)
    np.testing.assert_array_equal(np.array(row.second), np.array(row.second).T)


def test_the_document_says_the_same() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run python -m tests.ops.conventions"

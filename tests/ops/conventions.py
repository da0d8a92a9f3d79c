"""Derivatives of functions at kinks, ties, singularities and infinite operands.

``python -m tests.ops.conventions`` writes the table of docs/conventions.md from this one.
"""

# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

inf, nan = np.inf, np.nan
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "conventions.md"
BEGIN, END = "<!-- made from tests/ops/conventions.py: begin -->", "<!-- end -->"


class Row(NamedTuple):
    """One function at one point.

    Attributes
    ----------
    function
        A Python expression of ``x``, or of ``a`` and ``b``; or of a vector ``x``, with ``w = (0.5, -1.25, 0.75)``.
    point
        The operands, or the elements of the vector.
    first
        The derivative with respect to each operand or element.
    second
        For one operand the second derivative; for two those by a and a, a and b, b and b; for a vector the Hessian.
    jax
        The result of JAX 0.10.2 in float64: "same", "-" if it has no such function, or its first and second derivatives.
    """

    function: str
    point: tuple[float, ...]
    first: tuple[float, ...]
    second: tuple[Any, ...]
    jax: str


# fmt: off
ELEMENTWISE = [
    Row("abs(x)", (0,), (0,), (0,), "(1,); (0,)"),
    Row("abs(x)", (-0.0,), (0,), (0,), "(1,); (0,)"),
    Row("sign(x)", (0,), (0,), (0,), "same"),
    Row("floor(x)", (1,), (0,), (0,), "same"),
    Row("round(x)", (0.5,), (0,), (0,), "same"),
    Row("relu(x)", (0,), (0,), (0,), "same"),
    Row("relu(x)", (nan,), (0,), (0,), "same"),
    Row("leaky_relu(a, b)", (0, 0.1), (0.1, 0), (0, 1, 0), "(1, 0); (0, 0, 0)"),
    Row("elu(a, b)", (0, 2), (2, 0), (2, 1, 0), "same"),
    Row("softsign(x)", (0,), (1,), (0,), "(1,); (-2,)"),
    Row("softsign(x)", (inf,), (0,), (0,), "(nan,); (nan,)"),
    Row("softsign(x)", (-inf,), (0,), (0,), "(nan,); (nan,)"),
    Row("sqrt(x)", (0,), (inf,), (-inf,), "same"),
    Row("sqrt(x)", (-1,), (nan,), (nan,), "same"),
    Row("cbrt(x)", (0,), (inf,), (-inf,), "same"),
    Row("rsqrt(x)", (0,), (-inf,), (inf,), "same"),
    Row("reciprocal(x)", (0,), (-inf,), (inf,), "same"),
    Row("square(x)", (inf,), (inf,), (2,), "same"),
    Row("log(x)", (0,), (inf,), (-inf,), "same"),
    Row("log(x)", (-1,), (-1,), (-1,), "same"),
    Row("log1p(x)", (-1,), (inf,), (-inf,), "same"),
    Row("exp(x)", (-inf,), (0,), (0,), "same"),
    Row("exp(x)", (1000,), (inf,), (inf,), "same"),
    Row("expm1(x)", (-inf,), (0,), (0,), "same"),
    Row("sigmoid(x)", (inf,), (0,), (0,), "same"),
    Row("sigmoid(x)", (-inf,), (0,), (0,), "same"),
    Row("tanh(x)", (inf,), (0,), (0,), "same"),
    Row("tanh(x)", (-inf,), (0,), (0,), "same"),
    Row("softplus(x)", (inf,), (1,), (0,), "same"),
    Row("softplus(x)", (-inf,), (0,), (0,), "same"),
    Row("log_sigmoid(x)", (inf,), (0,), (0,), "same"),
    Row("log_sigmoid(x)", (-inf,), (1,), (0,), "same"),
    Row("silu(x)", (inf,), (1,), (0,), "(nan,); (nan,)"),
    Row("silu(x)", (-inf,), (0,), (0,), "(nan,); (nan,)"),
    Row("gelu(x)", (inf,), (1,), (0,), "(nan,); (nan,)"),
    Row("gelu(x)", (-inf,), (0,), (0,), "(nan,); (nan,)"),
    Row("gelu_tanh(x)", (inf,), (1,), (0,), "(nan,); (nan,)"),
    Row("gelu_tanh(x)", (-inf,), (0,), (0,), "(nan,); (nan,)"),
    Row("gelu_tanh(x)", (1e+200,), (1,), (0,), "(nan,); (nan,)"),
    Row("erf(x)", (inf,), (0,), (0,), "(0,); (nan,)"),
    Row("erfc(x)", (-inf,), (0,), (0,), "(0,); (nan,)"),
    Row("ndtr(x)", (inf,), (0,), (0,), "(0,); (nan,)"),
    Row("atan(x)", (inf,), (0,), (0,), "(0,); (nan,)"),
    Row("asinh(x)", (inf,), (0,), (0,), "(0,); (nan,)"),
    Row("acosh(x)", (1,), (inf,), (-inf,), "same"),
    Row("acosh(x)", (inf,), (0,), (0,), "(0,); (nan,)"),
    Row("asin(x)", (1,), (inf,), (inf,), "same"),
    Row("acos(x)", (-1,), (-inf,), (inf,), "same"),
    Row("atanh(x)", (1,), (inf,), (inf,), "(inf,); (nan,)"),
    Row("maximum(a, b)", (2, 2), (0.5, 0.5), (0, 0, 0), "same"),
    Row("maximum(a, b)", (0, -0.0), (0.5, 0.5), (0, 0, 0), "same"),
    Row("maximum(a, b)", (inf, inf), (0.5, 0.5), (0, 0, 0), "same"),
    Row("maximum(a, b)", (nan, 1), (0, 0), (0, 0, 0), "same"),
    Row("minimum(a, b)", (2, 2), (0.5, 0.5), (0, 0, 0), "same"),
    Row("minimum(a, b)", (-inf, -inf), (0.5, 0.5), (0, 0, 0), "same"),
    Row("logaddexp(a, b)", (0.4, 0.4), (0.5, 0.5), (0.25, -0.25, 0.25), "same"),
    Row("logaddexp(a, b)", (-inf, -inf), (0.5, 0.5), (0.25, -0.25, 0.25), "(nan, nan); (nan, nan, nan)"),
    Row("logaddexp(a, b)", (inf, inf), (0.5, 0.5), (0.25, -0.25, 0.25), "(1, 1); (0, 0, 0)"),
    Row("logaddexp(a, b)", (-inf, 1), (0, 1), (0, 0, 0), "same"),
    Row("logaddexp(a, b)", (inf, 1), (1, 0), (0, 0, 0), "(1, 2.71828182846); (0, 0, 2.71828182846)"),
    Row("hypot(a, b)", (0, 0), (0, 0), (0, 0, 0), "(0.5, 0.5); (0, 0, 0)"),
    Row("hypot(a, b)", (3, 3), (0.707106781187, 0.707106781187), (0.117851130198, -0.117851130198, 0.117851130198), "(0.707106781187, 0.707106781187); (3.46944695195e-18, 3.46944695195e-18, 3.46944695195e-18)"),
    Row("hypot(a, b)", (inf, 1), (1, 0), (0, 0, 0), "(nan, nan); (nan, nan, nan)"),
    Row("atan2(a, b)", (0, 0), (0, 0), (0, 0, 0), "(nan, nan); (nan, nan, nan)"),
    Row("atan2(a, b)", (1, inf), (0, 0), (0, 0, 0), "(nan, 0); (nan, nan, nan)"),
    Row("divide(a, b)", (1, 0), (inf, -inf), (0, -inf, inf), "same"),
    Row("divide(a, b)", (0, 0), (inf, nan), (0, -inf, nan), "same"),
    Row("divide(a, b)", (inf, inf), (0, nan), (0, 0, nan), "same"),
    Row("pow(a, b)", (0, 0), (0, 0), (0, 0, 0), "(nan, 0); (nan, nan, 0)"),
    Row("pow(a, b)", (0, 1), (1, 0), (0, 1, 0), "(1, 0); (nan, 1, 0)"),
    Row("pow(a, b)", (0, 2), (0, 0), (2, 0, 0), "same"),
    Row("pow(a, b)", (0, 0.5), (inf, 0), (-inf, nan, 0), "same"),
    Row("pow(a, b)", (0, -1), (-inf, -inf), (inf, inf, inf), "(-inf, nan); (inf, nan, nan)"),
    Row("pow(a, b)", (2, 0), (0, 0.69314718056), (0, 0.5, 0.480453013918), "same"),
    Row("pow(a, b)", (2, 1), (1, 1.38629436112), (0, 1.69314718056, 0.960906027836), "same"),
    Row("pow(a, b)", (1, 0), (0, 0), (0, 1, 0), "same"),
    Row("pow(a, b)", (-2, 2), (-4, nan), (2, nan, nan), "same"),
    Row("pow(a, b)", (-2, 0), (0, nan), (0, nan, nan), "same"),
    Row("pow(a, b)", (-2, 0.5), (nan, nan), (nan, nan, nan), "same"),
    Row("remainder(a, b)", (6, 3), (1, -2), (0, 0, 0), "same"),
    Row("remainder(a, b)", (1, 0), (1, -inf), (0, 0, 0), "same"),
    Row("fmod(a, b)", (6, 3), (1, -2), (0, 0, 0), "same"),
    Row("fmod(a, b)", (1, 0), (1, nan), (0, 0, 0), "(1, -inf); (0, 0, 0)"),
    Row("multiply(a, b)", (0, inf), (inf, 0), (0, 1, 0), "same"),
]
VECTORS = [
    Row("clip(x, -1, 1)", (-1, 1, 2), (1, 1, 0), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), "(0.5, 0.5, 0); ((0, 0, 0), (0, 0, 0), (0, 0, 0))"),
    Row("hard_tanh(x)", (-1, 1, 2), (1, 1, 0), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), "same"),
    Row("relu6(x)", (0, 6), (1, 1), ((0, 0), (0, 0)), "(0, 0); ((0, 0), (0, 0))"),
    Row("hard_sigmoid(x)", (-3, 3), (0.166666666667, 0.166666666667), ((0, 0), (0, 0)), "(0, 0); ((0, 0), (0, 0))"),
    Row("max(x)", (2, 2, 1), (0.5, 0.5, 0), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), "same"),
    Row("max(x)", (nan, 1), (0, 0), ((0, 0), (0, 0)), "(nan, nan); ((0, 0), (0, 0))"),
    Row("min(x)", (1, 2, 1), (0.5, 0, 0.5), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), "same"),
    Row("sum(sort(x) * w)", (2, 2, 1), (-1.25, 0.75, 0.5), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), "same"),
    Row("sum(cummax(x) * w)", (2, 2, 1), (0, 0, 0), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), "(0.25, -0.25, 0); ((0, 0, 0), (0, 0, 0), (0, 0, 0))"),
    Row("prod(x)", (0, 2, 3), (6, 0, 0), ((0, 3, 2), (3, 0, 0), (2, 0, 0)), "same"),
    Row("prod(x)", (0, 0, 3), (0, 0, 0), ((0, 3, 0), (3, 0, 0), (0, 0, 0)), "same"),
    Row("sum(cumprod(x) * w)", (0, 2, 3), (2.5, 0, 0), ((0, 1, 1.5), (1, 0, 0), (1.5, 0, 0)), "same"),
    Row("norm(x)", (0, 0), (0, 0), ((0, 0), (0, 0)), "(nan, nan); ((nan, nan), (nan, nan))"),
    Row("norm(x, 1)", (0, 2), (0, 1), ((0, 0), (0, 0)), "(1, 1); ((0, 0), (0, 0))"),
    Row("norm(x, 3)", (0, 0), (0, 0), ((0, 0), (0, 0)), "(nan, nan); ((nan, nan), (nan, nan))"),
    Row("norm(x, 3)", (0, 2), (0, 1), ((0, 0), (0, 0)), "same"),
    Row("norm(x, 1.5)", (0, 2), (0, 1), ((0, 0), (0, 0)), "(0, 1); ((inf, nan), (0, -2.76369913771e-17))"),
    Row("norm(x, inf)", (2, -2), (0.5, -0.5), ((0, 0), (0, 0)), "same"),
    Row("norm(x, inf)", (0, 0), (0, 0), ((0, 0), (0, 0)), "(0.25, 0.25); ((0, 0), (0, 0))"),
    Row("std(x)", (1, 1), (0, 0), ((0, 0), (0, 0)), "(nan, nan); ((nan, nan), (nan, nan))"),
    Row("var(x)", (1, 1), (0, 0), ((0.5, -0.5), (-0.5, 0.5)), "same"),
    Row("logsumexp(x)", (-inf, -inf), (0, 0), ((0, 0), (0, 0)), "(nan, nan); ((nan, nan), (nan, nan))"),
    Row("logsumexp(x)", (-inf, 1), (0, 1), ((0, 0), (0, 0)), "same"),
    Row("logsumexp(x)", (inf, 1), (1, 0), ((0, 0), (0, 0)), "(nan, 0); ((nan, nan), (nan, nan))"),
    Row("logsumexp(x)", (inf, inf), (0.5, 0.5), ((0.25, -0.25), (-0.25, 0.25)), "(nan, nan); ((nan, nan), (nan, nan))"),
    Row("logsumexp(x)", (1e+30, 1e+30), (0.5, 0.5), ((0.25, -0.25), (-0.25, 0.25)), "same"),
    Row("softmax(x)[0]", (-inf, -inf), (nan, nan), ((nan, nan), (nan, nan)), "same"),
    Row("softmax(x)[0]", (-inf, 1), (0, 0), ((0, 0), (0, 0)), "same"),
    Row("softmax(x)[0]", (inf, 1), (nan, nan), ((nan, nan), (nan, nan)), "same"),
    Row("log_softmax(x)[0]", (-inf, -inf), (nan, nan), ((nan, nan), (nan, nan)), "same"),
    Row("log_softmax(x)[0]", (-inf, 1), (1, -1), ((0, 0), (0, 0)), "same"),
    Row("log_softmax(x)[0]", (inf, 1), (nan, nan), ((nan, nan), (nan, nan)), "same"),
    Row("cross_entropy(x, 1)", (-inf, 1), (0, 0), ((0, 0), (0, 0)), "same"),
    Row("cross_entropy(x, 1)", (1, -inf), (1, -1), ((0, 0), (0, 0)), "same"),
    Row("cross_entropy(x, 1)", (-inf, -inf), (nan, nan), ((nan, nan), (nan, nan)), "same"),
    Row("where(x > 0, x, nan)", (1, -1), (1, 0), ((0, 0), (0, 0)), "same"),
    Row("where(x > 0, sqrt(where(x > 0, x, 1)), 0)", (0, 4), (0, 0.25), ((0, 0), (0, -0.03125)), "same"),
    Row("huber_loss(x, 0)", (0, 1), (0, 1), ((1, 0), (0, 1)), "-"),
    Row("l1_loss(x, 0)", (0,), (0,), ((0,),), "-"),
    Row("binary_cross_entropy_with_logits(x, [1, 0])", (inf, -inf), (0, 0), ((0, 0), (0, 0)), "-"),
    Row("binary_cross_entropy_with_logits(x, [1, 0])", (0, 0), (-0.5, 0.5), ((0.25, 0), (0, 0.25)), "-"),
]
# fmt: on

# The reason for the value, by the name of the function.
REMARKS = {
    "abs": "0, the midpoint of the subgradients, as in PyTorch",
    "sign": "a step function: 0 everywhere",
    "floor": "a step function: 0 everywhere",
    "round": "a step function: 0 everywhere",
    "relu": "0 at the kink, as in PyTorch, and at NaN",
    "leaky_relu": "at 0 the slope of the negative side, as in PyTorch",
    "elu": "at 0 the slope of the negative side, as in PyTorch",
    "softsign": "the limit; at 0, where the curvature jumps from 2 to -2, the midpoint",
    "sqrt": "the limit from above; NaN outside the domain",
    "cbrt": "the limit",
    "rsqrt": "the limit from above",
    "reciprocal": "the limit from above",
    "square": "exact",
    "log": "the limit from above; below 0 the formula 1 / x",
    "log1p": "the limit from above",
    "maximum": "ties share equally, as in PyTorch; NaN gets no gradient",
    "minimum": "ties share equally, as in PyTorch; NaN gets no gradient",
    "logaddexp": "exact; equal infinities are treated like other equal operands",
    "hypot": "0 at the origin, where there is no slope; JAX is wrong for equal operands",
    "atan2": "0 at the origin, where there is no slope; elsewhere the limit",
    "divide": "the formulas 1 / b and -(a / b) / b",
    "pow": "the formulas, with a**b ln a = 0 at a = 0 <= b, and all 0 at a = b = 0, as in PyTorch; symmetric",
    "remainder": "the quotient is treated as a constant",
    "fmod": "the quotient is treated as a constant",
    "multiply": "exact",
    "clip": "passes the gradient at its bounds, as in PyTorch",
    "hard_tanh": "passes the gradient at its bounds",
    "relu6": "passes the gradient at its bounds",
    "hard_sigmoid": "passes the gradient at its bounds",
    "max": "ties share equally, as in PyTorch's amax; NaN gets no gradient",
    "min": "ties share equally, as in PyTorch's amin; NaN gets no gradient",
    "sum(sort": "equal elements keep their order",
    "sum(cummax": "goes to the first element that reached the maximum",
    "prod": "exact",
    "sum(cumprod": "exact",
    "norm": "0 at 0, as in PyTorch; components that are 0 have no curvature",
    "std": "0 if all elements are equal, as in PyTorch",
    "var": "exact",
    "logsumexp": "softmax; 0 for a row of -inf; several +inf share equally",
    "softmax": "NaN for a row of -inf, and if there is a +inf, as in PyTorch",
    "log_softmax": "NaN for a row of -inf, and if there is a +inf, as in PyTorch",
    "cross_entropy": "NaN for a row of -inf, as in PyTorch, unless it is ignored",
    "where": "exactly 0 for the side that is not selected",
    "huber_loss": "exact; at the joint the curvature of the quadratic part",
    "l1_loss": "like abs",
    "binary_cross_entropy_with_logits": "exact",
}


def remark(row: Row) -> str:
    """Return the reason for a row: the remark on its function, by default "the limit"."""
    name = row.function.rsplit("(", 1)[0] if row.function.startswith("sum(") else row.function.split("(")[0]
    return REMARKS.get(name, "the limit")


def number(value: float) -> str:
    return f"{value:.6g}"


def numbers(values: tuple[Any, ...]) -> str:
    parts = [numbers(value) if isinstance(value, tuple) else number(value) for value in values]
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def table() -> str:
    """Return the rows in Markdown."""
    lines = ["| function | at | first | second | JAX 0.10.2 | |", "|---|---|---|---|---|---|"]
    for row in ELEMENTWISE + VECTORS:
        cells = (numbers(row.point), numbers(row.first), numbers(row.second), row.jax, remark(row))
        lines.append(f"| `{row.function}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def document() -> str:
    """Return the document with its table rewritten."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")

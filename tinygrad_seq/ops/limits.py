"""Building blocks of gradient rules, for the points where the plain formula is 0 / 0, inf - inf, 0 * inf or inf / inf.

A rule that selects a constant with `where` at such a point is right once, but its own derivative there is that of the
constant: 0. These operations have the right limit as their value, and their rules use only themselves, so that what is
built from them is right at every order. docs/conventions.md lists the resulting values.
"""

from __future__ import annotations

import numpy as np

from .comparison import equal, where
from .primitive import Array, elementwise


def _difference(a: Array, b: Array) -> Array:
    return np.where(np.equal(a, b), 0, np.subtract(a, b))


difference = elementwise(
    "difference",
    _difference,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g),
    code="{0} - {1} if {0} != {1} else 0.0",
    doc="Return ``a - b``, and 0 for two equal infinities.",
)


def _ratio(a: Array, b: Array) -> Array:
    y = np.asarray(a / b)
    if not np.isfinite(y).all():  # rare
        y = np.where(np.isinf(a) & np.isinf(b), np.sign(a) * np.sign(b), y).astype(y.dtype, copy=False)
        y = np.where(np.equal(b, 0), 0, y).astype(y.dtype, copy=False)
    return y


ratio = elementwise(
    "ratio",
    _ratio,
    vjp=(lambda g, _y, _a, b: ratio(g, b), lambda g, y, _a, b: -ratio(g * y, b)),
    code=(
        "(0.0 if {1} == 0 else math.copysign(1.0, {0}) * math.copysign(1.0, {1}) "
        "if math.isinf({0}) and math.isinf({1}) else {0} / {1})"
    ),
    doc="Return ``a / b``, 0 where b is 0, and ±1 for two infinities: a component of a vector over its length.",
)


def _scaled(factor: Array, x: Array) -> Array:
    y = np.asarray(np.multiply(factor, x))
    return y if np.isfinite(y).all() else np.where(np.equal(factor, 0), 0, y).astype(y.dtype, copy=False)


scaled = elementwise(
    "scaled",
    _scaled,
    vjp=(lambda g, _y, _factor, x: scaled(g, x), lambda g, _y, factor, _x: scaled(factor, g)),
    code="{0} * {1} if {0} != 0 else 0.0",
    doc="Return ``factor * x``, and 0 where the factor is 0, whatever `x` is.",
)
bounded = elementwise(
    "bounded",
    lambda x: np.clip(x, -1000, 1000),
    vjp=(lambda g, y, x: where(equal(y, x), g, 0),),
    code="1000.0 if {0} > 1000.0 else -1000.0 if {0} < -1000.0 else {0}",
    doc="Return `x` limited to ±1000, where exponentials have vanished; a constant beyond.",
)
one_minus_square = elementwise(
    "one_minus_square",
    lambda x: (1 - x) * (1 + x),
    vjp=(lambda g, _y, x: g * (x * -2),),
    code="(1 - {0}) * (1 + {0})",
    doc="Return ``1 - x * x`` without cancellation near 1.",
)

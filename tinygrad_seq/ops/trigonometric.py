"""Trigonometric and hyperbolic functions and their inverses; angles in radians."""

from __future__ import annotations

import numpy as np

from .arithmetic import hypot, reciprocal, rsqrt, square
from .limits import one_minus_square, ratio
from .primitive import Array, elementwise
from .public import Public

sin = elementwise(
    "sin", np.sin, vjp=(lambda g, _y, x: g * cos(x),), code="math.sin({0})", doc="Return the sine.", public=Public()
)
cos = elementwise(
    "cos", np.cos, vjp=(lambda g, _y, x: -g * sin(x),), code="math.cos({0})", doc="Return the cosine.", public=Public()
)
tan = elementwise(
    "tan",
    np.tan,
    vjp=(lambda g, y, _x: g * (y * y + 1),),
    code="math.tan({0})",
    doc="Return the tangent.",
    public=Public(),
)


asin = elementwise(
    "asin",
    np.arcsin,
    vjp=(lambda g, _y, x: g * rsqrt(one_minus_square(x)),),
    code="math.asin({0})",
    doc="Return the inverse sine, in [-π/2, π/2].",
    public=Public("arcsin"),
)
acos = elementwise(
    "acos",
    np.arccos,
    vjp=(lambda g, _y, x: -g * rsqrt(one_minus_square(x)),),
    code="math.acos({0})",
    doc="Return the inverse cosine, in [0, π].",
    public=Public("arccos"),
)
atan = elementwise(
    "atan",
    np.arctan,
    vjp=(lambda g, _y, x: g * square(reciprocal(hypot(x, 1.0))),),
    code="math.atan({0})",
    doc="Return the inverse tangent, in [-π/2, π/2].",
    public=Public("arctan"),
)


def _per_radius(a: Array, b: Array, x: Array) -> Array:
    """Return ``x / (a² + b²)`` without overflow, and 0 at the origin."""
    radius = hypot(a, b)
    return ratio(ratio(x, radius), radius)


atan2 = elementwise(
    "atan2",
    np.arctan2,
    vjp=(lambda g, _y, a, b: g * _per_radius(a, b, b), lambda g, _y, a, b: -g * _per_radius(a, b, a)),
    code="math.atan2({0}, {1})",
    doc="Return the angle of the point ``(b, a)``, in [-π, π]; gradient 0 at the origin.",
    public=Public("arctan2"),
)

sinh = elementwise(
    "sinh",
    np.sinh,
    vjp=(lambda g, _y, x: g * cosh(x),),
    code="math.sinh({0})",
    doc="Return the hyperbolic sine.",
    public=Public(),
)
cosh = elementwise(
    "cosh",
    np.cosh,
    vjp=(lambda g, _y, x: g * sinh(x),),
    code="math.cosh({0})",
    doc="Return the hyperbolic cosine.",
    public=Public(),
)
tanh = elementwise(
    "tanh",
    np.tanh,
    vjp=(lambda g, y, _x: g - g * (y * y),),
    code="math.tanh({0})",
    vectorised=True,
    doc="Return the hyperbolic tangent.",
    public=Public(),
)
asinh = elementwise(
    "asinh",
    np.arcsinh,
    vjp=(lambda g, _y, x: g * reciprocal(hypot(x, 1.0)),),
    code="math.asinh({0})",
    doc="Return the inverse hyperbolic sine.",
    public=Public("arcsinh"),
)
acosh = elementwise(
    "acosh",
    np.arccosh,
    vjp=(lambda g, _y, x: g * (rsqrt(x - 1) * rsqrt(x + 1)),),
    code="math.acosh({0})",
    doc="Return the inverse hyperbolic cosine of ``x >= 1``.",
    public=Public("arccosh"),
)
atanh = elementwise(
    "atanh",
    np.arctanh,
    vjp=(lambda g, _y, x: g * reciprocal(one_minus_square(x)),),
    code="math.atanh({0})",
    doc="Return the inverse hyperbolic tangent of ``-1 <= x <= 1``.",
    public=Public("arctanh"),
)

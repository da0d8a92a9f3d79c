"""Trigonometric and hyperbolic functions and their inverses; angles in radians."""

from __future__ import annotations

import numpy as np

from .arithmetic import hypot, reciprocal, rsqrt, square
from .limits import one_minus_square, ratio
from .primitive import Array, elementwise
from .public import Public

sin = elementwise(
    "sin",
    np.sin,
    vjp=(lambda g, _y, x: g * cos(x),),
    code="math.sin({0})",
    doc="Return the sine.",
    public=Public(example="[0.0, ts.pi / 2] -> [0., 1.]"),
)
cos = elementwise(
    "cos",
    np.cos,
    vjp=(lambda g, _y, x: -g * sin(x),),
    code="math.cos({0})",
    doc="Return the cosine.",
    public=Public(example="[0.0, ts.pi] -> [ 1., -1.]"),
)
tan = elementwise(
    "tan",
    np.tan,
    vjp=(lambda g, y, _x: g * (y * y + 1),),
    code="math.tan({0})",
    doc="Return the tangent.",
    public=Public(example="[0.0, ts.pi / 4] -> [0., 1.]"),
)


asin = elementwise(
    "asin",
    np.arcsin,
    vjp=(lambda g, _y, x: g * rsqrt(one_minus_square(x)),),
    code="math.asin({0})",
    doc="Return the inverse sine, in [-π/2, π/2]. NaN outside of [-1, 1]; the gradient at ±1 is inf.",
    public=Public("arcsin", example="[0.0, 1.0] -> [0.    , 1.5708]"),
)
acos = elementwise(
    "acos",
    np.arccos,
    vjp=(lambda g, _y, x: -g * rsqrt(one_minus_square(x)),),
    code="math.acos({0})",
    doc="Return the inverse cosine, in [0, π]. NaN outside of [-1, 1]; the gradient at ±1 is -inf.",
    public=Public("arccos", example="[0.0, 1.0] -> [1.5708, 0.    ]"),
)
atan = elementwise(
    "atan",
    np.arctan,
    vjp=(lambda g, _y, x: g * square(reciprocal(hypot(x, 1.0))),),
    code="math.atan({0})",
    doc="Return the inverse tangent, in [-π/2, π/2].",
    public=Public("arctan", example="[0.0, 1.0] -> [0.    , 0.7854]"),
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
    doc="Return the angle of the point ``(b, a)``, in [-π, π]. The gradient at the origin is 0.",
    public=Public("arctan2", example="[1.0, -1.0], [1.0, 0.0] -> [ 0.7854, -1.5708]"),
)

sinh = elementwise(
    "sinh",
    np.sinh,
    vjp=(lambda g, _y, x: g * cosh(x),),
    code="math.sinh({0})",
    doc="Return the hyperbolic sine.",
    public=Public(example="[0.0, 1.0] -> [0.    , 1.1752]"),
)
cosh = elementwise(
    "cosh",
    np.cosh,
    vjp=(lambda g, _y, x: g * sinh(x),),
    code="math.cosh({0})",
    doc="Return the hyperbolic cosine.",
    public=Public(example="[0.0, 1.0] -> [1.    , 1.5431]"),
)
tanh = elementwise(
    "tanh",
    np.tanh,
    vjp=(lambda g, y, _x: g - g * (y * y),),
    code="math.tanh({0})",
    vectorised=True,
    doc="Return the hyperbolic tangent.",
    public=Public(example="[-1.0, 0.0, 1.0] -> [-0.7616,  0.    ,  0.7616]"),
)
asinh = elementwise(
    "asinh",
    np.arcsinh,
    vjp=(lambda g, _y, x: g * reciprocal(hypot(x, 1.0)),),
    code="math.asinh({0})",
    doc="Return the inverse hyperbolic sine.",
    public=Public("arcsinh", example="[0.0, 1.0] -> [0.    , 0.8814]"),
)
acosh = elementwise(
    "acosh",
    np.arccosh,
    vjp=(lambda g, _y, x: g * (rsqrt(x - 1) * rsqrt(x + 1)),),
    code="math.acosh({0})",
    doc="Return the inverse hyperbolic cosine. NaN below 1; the gradient at 1 is inf.",
    public=Public("arccosh", example="[1.0, 2.0] -> [0.   , 1.317]"),
)
atanh = elementwise(
    "atanh",
    np.arctanh,
    vjp=(lambda g, _y, x: g * reciprocal(one_minus_square(x)),),
    code="math.atanh({0})",
    doc="Return the inverse hyperbolic tangent. Infinite at ±1, where its gradient is inf, and NaN beyond.",
    public=Public("arctanh", example="[0.0, 0.5] -> [0.    , 0.5493]"),
)

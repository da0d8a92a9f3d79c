"""Arithmetic, element by element with NumPy broadcasting."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DtypeError
from .comparison import equal, greater, greater_equal, less, logical_and, where
from .exponential import log
from .limits import ratio
from .primitive import Array, Primitive, elementwise
from .public import Public, named


def _zero(g: Array, _y: None, _a: None, _b: None = None) -> np.ndarray:
    """Return the gradient of a step function: zeros, also where `g` is not finite."""
    return np.zeros(g.shape, g.dtype)


add = elementwise(
    "add",
    np.add,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g),
    symbol="+",
    cheap=True,
    doc="Return ``a + b``.",
    public=Public(operator="add", example="[1.0, 2.0], [3.0, 2.0] -> [4., 4.]"),
)
subtract = elementwise(
    "subtract",
    np.subtract,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g),
    symbol="-",
    cheap=True,
    doc="Return ``a - b``.",
    public=Public("sub", operator="sub", example="[1.0, 2.0], [3.0, 2.0] -> [-2.,  0.]"),
)
multiply = elementwise(
    "multiply",
    np.multiply,
    vjp=(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a),
    symbol="*",
    cheap=True,
    doc="Return ``a * b``.",
    public=Public("mul", operator="mul", example="[1.0, 2.0], [3.0, 2.0] -> [3., 4.]"),
)
divide = elementwise(
    "divide",
    np.divide,
    vjp=(lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -(g * y) / b),
    symbol="/",
    doc="Return ``a / b``. A nonzero number over 0 is infinite, and 0 / 0 is NaN.",
    public=Public("true_divide", "div", operator="truediv", example="[1.0, 2.0], [3.0, 2.0] -> [0.3333, 1.    ]"),
)
floor_divide = elementwise(
    "floor_divide",
    np.floor_divide,
    vjp=(_zero, _zero),
    code="{0} // {1}",
    doc="Return ``floor(a / b)``. The gradient is zero.",
    public=Public(operator="floordiv", example="[5.0, -5.0], 3.0 -> [ 1., -2.]"),
)
remainder = elementwise(
    "remainder",
    np.remainder,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * floor_divide(a, b)),
    symbol="%",
    doc="Return ``a - floor(a / b) * b``, which has the sign of `b`.",
    public=Public("mod", operator="mod", example="[5.0, -5.0], 3.0 -> [2., 1.]"),
)
fmod = elementwise(
    "fmod",
    np.fmod,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * (floor_divide(abs(a), abs(b)) * sign(a) * sign(b))),
    code="math.copysign(abs({0}) % abs({1}), {0})",
    integer_code="{0} % {1} - {1} if {0} % {1} != 0 and ({0} < 0) != ({1} < 0) else {0} % {1}",
    doc="Return ``a - trunc(a / b) * b``, which has the sign of `a`.",
    public=Public(example="[5.0, -5.0], 3.0 -> [ 2., -2.]"),
)
negative = elementwise(
    "negative",
    np.negative,
    vjp=(lambda g, _y, _x: -g,),
    code="-{0}",
    cheap=True,
    doc="Return ``-x``.",
    public=Public("neg", operator="neg", example="[-2.0, 3.0] -> [ 2., -3.]"),
)
abs = elementwise(
    "abs",
    np.absolute,
    vjp=(lambda g, _y, x: g * sign(x),),
    code="abs({0})",
    cheap=True,
    doc="Return ``|x|``. The gradient at 0 is 0.",
    public=Public("absolute", operator="abs", example="[-2.0, 3.0] -> [2., 3.]"),
)
sign = elementwise(
    "sign",
    np.sign,
    vjp=(_zero,),
    code="1.0 if {0} > 0 else -1.0 if {0} < 0 else {0}",
    cheap=True,
    doc="Return the sign: -1, 0 or 1. The gradient is zero.",
    public=Public(example="[-2.0, 0.0, 3.0] -> [-1.,  0.,  1.]"),
)


# Python rounds to an int, which in compiled code cannot hold what floats of 2**53 and more, all of them integers, can.
def _rounding(name: str, forward: Callable[[Array], Array], function: str, **traits: Any) -> Primitive:
    code = f"{function}({{0}}) if abs({{0}}) < 9007199254740992.0 else {{0}}"
    return elementwise(name, forward, vjp=(_zero,), code=code, integer_code="{0}", **traits)


def _round(x: Array) -> Array:
    array = np.asarray(x)
    return np.rint(array) if array.dtype.kind == "f" else array  # np.rint makes floats of integers


floor = _rounding(
    "floor",
    np.floor,
    "math.floor",
    doc="Return the floor. The gradient is zero.",
    public=Public(example="[-1.5, 1.5] -> [-2.,  1.]"),
)
ceil = _rounding(
    "ceil",
    np.ceil,
    "math.ceil",
    doc="Return the ceiling. The gradient is zero.",
    public=Public(example="[-1.5, 1.5] -> [-1.,  2.]"),
)
round = _rounding(
    "round",
    _round,
    "round",
    doc="Return the nearest integer, halves to even. The gradient is zero.",
    public=Public("rint", example="[0.5, 1.5, 2.4] -> [0., 2., 2.]"),
)
trunc = _rounding(
    "trunc",
    np.trunc,
    "math.trunc",
    doc="Return the integer part. The gradient is zero.",
    public=Public(example="[-1.5, 1.5] -> [-1.,  1.]"),
)

# --------------------------------------------------------------------------------------------------- powers

square = elementwise(
    "square",
    np.square,
    vjp=(lambda g, _y, x: g * (x * 2),),
    code="{0} * {0}",
    cheap=True,
    doc="Return ``x * x``.",
    public=Public(example="[-2.0, 3.0] -> [4., 9.]"),
)
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    vjp=(lambda g, y, _x: g / (y * 2),),
    code="math.sqrt({0})",
    doc="Return ``√x``. NaN below 0; the gradient at 0 is inf.",
    public=Public(example="[4.0, 9.0] -> [2., 3.]"),
)
cbrt = elementwise(
    "cbrt",
    np.cbrt,
    vjp=(lambda g, y, _x: g * (square(reciprocal(y)) * (1 / 3)),),
    code="math.copysign(abs({0}) ** (1 / 3), {0})",
    doc="Return the real cube root. The gradient at 0 is inf.",
    public=Public(example="[2.0] -> [1.2599]"),
)
reciprocal = elementwise(
    "reciprocal",
    lambda x: 1 / x,
    vjp=(lambda g, y, _x: -g * (y * y),),
    code="1 / {0}",
    doc="Return ``1 / x``. Infinite at 0, with the sign of the zero.",
    public=Public(example="[2.0, 4.0] -> [0.5 , 0.25]"),
)
rsqrt = elementwise(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    vjp=(lambda g, y, _x: g * (y * y * y) * -0.5,),
    code="1 / math.sqrt({0})",
    doc="Return ``1 / √x``. inf at 0 and NaN below.",
    public=Public(example="[4.0, 0.25] -> [0.5, 2. ]"),
)


def _pow(a: Array, b: Array) -> Array:
    exponent = np.asarray(b)
    if exponent.dtype.kind == "i" and np.asarray(a).dtype.kind in "iub" and (exponent < 0).any():
        raise DtypeError(
            f"pow: expected integers with exponents of 0 or more, got {exponent.min()}; "
            "cast the base with .astype('float32') first."
        )
    if b.__class__ is int and b == 3:
        return a * a * a  # the C library's pow takes 200 times as long, 60 ns an element
    return a**b  # unlike np.power, quick for exponents 2, 1, 0.5, 0 and -1


# The derivative of a power by its exponent is an operation of its own: the mixed second derivatives, by its base here
# and by the exponent in `_slope`, are then the same two terms, also at a = 0.


def _pow_log(a: Array, b: Array) -> Array:
    y = np.asarray(a**b)
    y = y * np.log(np.asarray(a, y.dtype))
    limit = np.equal(a, 0) & np.greater_equal(b, 0)
    return np.where(limit, 0, y).astype(y.dtype, copy=False) if limit.any() else y


def _slope(g: Array, a: Array, b: Array, function: Callable[[Array, Array], Array], more: bool) -> Array:
    """Return g times ``b function(a, b - 1)``, plus ``a**(b - 1)`` if `more`; 0 at a = b = 0, where no slope exists."""
    origin = logical_and(equal(a, 0), equal(b, 0))
    a, before = where(origin, 1, a), b - 1.0  # 1.0: unsigned integers wrap
    slope = b * function(a, before)
    return g * where(origin, 0, slope + a**before if more else slope)


def _pow_rule_a(g: Array, _y: None, a: Array, b: Array) -> Array:
    if isinstance(b, int | float):
        return g * (b * a ** (b - 1)) if b else _zero(g, None, None)
    return _slope(g, a, b, operator.pow, more=False)


_power_log = elementwise(
    "power_log",
    _pow_log,
    vjp=(
        lambda g, _y, a, b: _slope(g, a, b, _power_log, more=True),
        lambda g, y, a, b: g * (y * log(where(logical_and(equal(a, 0), greater_equal(b, 0)), 1, a))),
    ),
    code="0.0 if {0} == 0 and {1} >= 0 else {0} ** {1} * math.log({0})",
    doc="Return ``a**b ln a``, and its limit 0 at a = 0 for b >= 0.",
)
pow = elementwise(
    "pow",
    _pow,
    vjp=(_pow_rule_a, lambda g, _y, a, b: g * _power_log(a, b)),
    symbol="**",
    static=(0, 1),
    doc="Return ``a ** b``. A negative base needs integer exponents (NaN otherwise).",
    public=Public("power", operator="pow", example="[2.0, 3.0], 2 -> [4., 9.]"),
)
hypot = elementwise(
    "hypot",
    np.hypot,
    vjp=(lambda g, y, a, _b: g * ratio(a, y), lambda g, y, _a, b: g * ratio(b, y)),
    code="math.hypot({0}, {1})",
    doc="Return ``√(a² + b²)`` without overflow. The gradient at the origin is 0.",
    public=Public(example="[3.0, 5.0], [4.0, 12.0] -> [ 5., 13.]"),
)

# --------------------------------------------------------------------------------------------------- choices


def _share(wins: Array, ties: Array, g: Array) -> Array:
    """Return the gradient of a choice of one of two: all of it to the winner, half each on a tie."""
    return where(wins, g, where(ties, g * 0.5, 0))


maximum = elementwise(
    "maximum",
    np.maximum,
    vjp=(
        lambda g, _y, a, b: _share(less(b, a), equal(a, b), g),
        lambda g, _y, a, b: _share(less(a, b), equal(a, b), g),
    ),
    code="{0} if {0} > {1} or {0} != {0} else {1}",
    cheap=True,
    doc="Return the larger of `a` and `b`. A tie shares the gradient evenly.",
    public=Public(example="[1.0, 2.0], [3.0, 2.0] -> [3., 2.]"),
)
minimum = elementwise(
    "minimum",
    np.minimum,
    vjp=(
        lambda g, _y, a, b: _share(less(a, b), equal(a, b), g),
        lambda g, _y, a, b: _share(less(b, a), equal(a, b), g),
    ),
    code="{0} if {0} < {1} or {0} != {0} else {1}",
    cheap=True,
    doc="Return the smaller of `a` and `b`. A tie shares the gradient evenly.",
    public=Public(example="[1.0, 2.0], [3.0, 2.0] -> [1., 2.]"),
)


@Public("clamp")
@named
def clip(x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """Return `x` limited to ``[min, max]``; the gradient passes where ``min <= x <= max``.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    min : array_like, default None
        The lower limit, which broadcasts; None for no limit.
    max : array_like, default None
        The upper limit, which broadcasts; None for no limit.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.clip(ts.tensor([-3.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is not None:
        x = where(less(x, min), min, x)
    if max is not None:
        x = where(greater(x, max), max, x)
    return x


lerp = elementwise(
    "lerp",
    lambda start, end, weight: start * (1 - weight) + end * weight,
    vjp=(
        lambda g, _y, _start, _end, weight: g * (1 - weight),
        lambda g, _y, _start, _end, weight: g * weight,
        lambda g, _y, start, end, _weight: g * (end - start),
    ),
    code="{0} * (1 - {2}) + {1} * {2}",
    cheap=True,
    doc="Return ``start * (1 - weight) + end * weight``, which is exact at weights 0 and 1.",
    public=Public(example="[0.0, 10.0], [1.0, 20.0], 0.5 -> [ 0.5, 15. ]"),
)

"""Exponentials, logarithms and the logistic functions built on them."""

from __future__ import annotations

import numpy as np

from .compiled_forward import compiled, compiled_pair
from .limits import difference
from .primitive import Array, elementwise
from .public import Public

_LN2 = 0.6931471805599453
_LN10 = 2.302585092994046


def as_real(x: Array) -> np.ndarray:
    """Return `x` as a floating-point array, integers and booleans as float64: ``-x`` of an unsigned one wraps."""
    array: np.ndarray = x if x.__class__ is np.ndarray else np.asarray(x)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


exp = elementwise(
    "exp",
    np.exp,
    vjp=(lambda g, y, _x: g * y,),
    code="math.exp({0})",
    vectorised=True,
    doc="Return ``e**x``.",
    public=Public(example="[0.0, 1.0] -> [1.    , 2.7183]"),
)
exp2 = elementwise(
    "exp2",
    np.exp2,
    vjp=(lambda g, y, _x: g * y * _LN2,),
    code="math.exp2({0})",
    doc="Return ``2**x``.",
    public=Public(example="[0.0, 3.0] -> [1., 8.]"),
)
expm1 = elementwise(
    "expm1",
    np.expm1,
    vjp=(lambda g, _y, x: g * exp(x),),  # y + 1 would cancel for x << 0
    code="math.expm1({0})",
    vectorised=True,
    doc="Return ``e**x - 1``, accurate near 0.",
    public=Public(example="[0.0, 1.0] -> [0.    , 1.7183]"),
)
log = elementwise(
    "log",
    np.log,
    vjp=(lambda g, _y, x: g / x,),
    code="math.log({0})",
    vectorised=True,
    doc="Return ``ln x``. -inf at 0 and NaN below; the gradient at 0 is inf.",
    public=Public(example="[1.0, 2.0] -> [0.    , 0.6931]"),
)
log2 = elementwise(
    "log2",
    np.log2,
    vjp=(lambda g, _y, x: g / (x * _LN2),),
    code="math.log2({0})",
    doc="Return the binary logarithm. -inf at 0 and NaN below; the gradient at 0 is inf.",
    public=Public(example="[1.0, 8.0] -> [0., 3.]"),
)
log10 = elementwise(
    "log10",
    np.log10,
    vjp=(lambda g, _y, x: g / (x * _LN10),),
    code="math.log10({0})",
    doc="Return the decimal logarithm. -inf at 0 and NaN below; the gradient at 0 is inf.",
    public=Public(example="[50.0] -> [1.6990]"),
)
log1p = elementwise(
    "log1p",
    np.log1p,
    vjp=(lambda g, _y, x: g / (x + 1),),
    code="math.log1p({0})",
    vectorised=True,
    doc="Return ``ln(1 + x)``, accurate near 0. -inf at -1 and NaN below.",
    public=Public(example="[0.0, 1.0] -> [0.    , 0.6931]"),
)

# ------------------------------------------------------------------------------------------------- logistic functions


def _sigmoid(x: Array) -> Array:
    # Where exp overflows, 1 / inf is the 0 wanted; every other value has full relative accuracy, in both tails.
    y = np.exp(np.negative(as_real(x)))
    y += 1
    return np.reciprocal(y)


def _sigmoid_rule(g: Array, y: Array, _x: None) -> Array:
    g = g * y
    return g - g * y


sigmoid = elementwise(
    "sigmoid",
    compiled("sigmoid", _sigmoid),
    vjp=(_sigmoid_rule,),
    code="1 / (1 + math.exp(-{0}))",
    vectorised=True,
    doc="Return ``1 / (1 + e**-x)``.",
    public=Public(example="[2.0] -> [0.8808]"),
)


def _softplus_of_minus_abs(x: np.ndarray) -> Array:
    return np.log1p(np.exp(np.negative(np.absolute(x))))


def _softplus(x: Array) -> Array:
    x = as_real(x)
    return _softplus_of_minus_abs(x) + np.maximum(x, 0)


def _log_sigmoid(x: Array) -> Array:
    x = as_real(x)
    return np.minimum(x, 0) - _softplus_of_minus_abs(x)


softplus = elementwise(
    "softplus",
    compiled("softplus", _softplus),
    vjp=(lambda g, _y, x: g * sigmoid(x),),
    code="max({0}, 0.0) + math.log1p(math.exp(-abs({0})))",
    vectorised=True,
    doc="Return ``ln(1 + e**x)`` without overflow, accurate in both tails.",
    public=Public(example="[0.0, 100.0] -> [  0.6931, 100.    ]"),
)
log_sigmoid = elementwise(
    "log_sigmoid",
    compiled("log_sigmoid", _log_sigmoid),
    vjp=(lambda g, _y, x: g * sigmoid(-x),),
    code="min({0}, 0.0) - math.log1p(math.exp(-abs({0})))",
    vectorised=True,
    doc="Return ``ln(sigmoid(x))`` without overflow, accurate in both tails.",
    public=Public("logsigmoid", example="[0.0, -100.0] -> [  -0.6931, -100.    ]"),
)
logaddexp = elementwise(
    "logaddexp",
    compiled_pair("logaddexp", np.logaddexp),
    vjp=(
        # Equal operands share evenly, two of -inf as well.
        lambda g, _y, a, b: g * sigmoid(difference(a, b)),
        lambda g, _y, a, b: g * sigmoid(difference(b, a)),
    ),
    code="max({0}, {1}) + (math.log1p(math.exp(-abs({0} - {1}))) if {0} != {1} else 0.6931471805599453)",
    vectorised=True,
    doc="Return ``ln(e**a + e**b)`` without overflow.",
    public=Public(example="[100.0], [100.0] -> [100.6931]"),
)

"""Elementary functions of one float32 or float64, inlined and branch-free, so that loops over them vectorise.

Each keeps the dtype of its argument and is correct at ±inf, nan, ±0 and in the subnormal range. The stated errors are
the largest found (tests/kernels/test_scalar.py), in units in the last place of the exact result, float32 / float64,
wherever that is not subnormal.
"""

# A comparison defines the result for nan; max and min do not.
# ruff: noqa: FURB136

from __future__ import annotations

import numpy as np

from .llvm.inline import (
    Function,
    Scalar,
    constant,
    exponent_bits,
    halved,
    inlined,
    mantissa,
    polynomial,
    power,
    real,
    real_constant,
    signed,
    unsigned,
    upper,
    word,
)

_SMALLEST_NORMAL = real_constant(2.0**-126, 2.0**-1022)
_NEGLIGIBLE = real_constant(2.0**-13, 2.0**-27)  # its square does not affect 1 + x²
_LOG2_E = real_constant(1.4426950408889634, 1.4426950408889634)
_LN2 = real_constant(0.6931471805599453, 0.6931471805599453)
_LN2_HIGH = real_constant(0.693145751953125, float.fromhex("0x1.62e42fefa3000p-1"))  # times any exponent: exact
_LN2_LOW = real_constant(1.4286068e-06, 2.8235290563031577e-13)
_ROOT_HALF = constant(np.uint32(0x3F3504F3), np.uint64(0x3FE6A09E667F3BCD))
_ONE_LESS_ROOT_HALF = constant(np.uint32(0x3F800000 - 0x3F3504F3), np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD))

# ------------------------------------------------------------------------------------------------------- exponentials
#
# e**x = 2**k e**r with |r| <= ln(2) / 2. Adding 3/2 times the power of two whose unit in the last place is 1 rounds to
# an integer and leaves it in the lowest bits; with the exponent bias added, shifting these bits gives an exponent.


def _rounder(single: int, double: int) -> Function:
    return real_constant(1.5 * 2.0**23 + single, 1.5 * 2.0**52 + double)


_LOWEST = real_constant(-109.0, -752.0)  # x e**x is 0 there, and so is e**x
_HIGHEST = real_constant(89.0, 710.0)
_TO_EXPONENT = _rounder(127, 1023)
_TO_EXPONENT_OF_HALF = _rounder(126, 1022)
_TO_EXPONENT_OF_SMALL = _rounder(127 - 32, 1023 - 64)
_TO_TWO_EXPONENTS = _rounder(2 * 127, 2 * 1023)
_SMALL = real_constant(2.0**-32, 2.0**-64)
_EXP = polynomial(  # (e**r - 1 - r) / r²
    (0.001394066, 0.008366406, 0.041666403, 0.16666545, 0.5),
    (
        2.511277700711058e-08,
        2.7622345096930463e-07,
        2.7557233797187735e-06,
        2.480151607178129e-05,
        0.00019841269895847226,
        0.0013888888920708773,
        0.00833333333331826,
        0.04166666666661955,
        0.1666666666666668,
        0.5,
    ),
)


@inlined
def _clamp(x: Scalar, low: Scalar, high: Scalar) -> Scalar:
    x = low if x < low else x
    return high if x > high else x


@inlined
def _exp_times(x: Scalar, rest: Scalar, factor: Scalar) -> Scalar:
    """Return ``e**(x + rest) * factor`` for a tiny `rest` and an `x` in the range of `exp`."""
    rounded = x * _LOG2_E(x) + _TO_TWO_EXPONENTS(x)
    k = rounded - _TO_TWO_EXPONENTS(x)
    r = ((x - k * _LN2_HIGH(x)) - k * _LN2_LOW(x)) + rest
    y = factor + factor * (r + r * r * _EXP(r))
    first = halved(x, word(rounded))  # in two steps, so that neither overflows unless the result does
    return y * power(x, first) * power(x, word(rounded) - first)


@inlined
def exp(x: Scalar) -> Scalar:
    """Return ``e**x``; error 1.1 / 1.1 ulp."""
    return _exp_times(_clamp(x, _LOWEST(x), _HIGHEST(x)), -type(x)(0), type(x)(1))


@inlined
def expm1(x: Scalar) -> Scalar:
    """Return ``e**x - 1``, accurate near 0; error 1.7 / 1.8 ulp."""
    one = type(x)(1)
    inside = _clamp(x, type(x)(-40), _HIGHEST(x))
    rounded = inside * _LOG2_E(x) + _TO_EXPONENT_OF_HALF(x)
    k = rounded - _TO_EXPONENT_OF_HALF(x)
    high = inside - k * _LN2_HIGH(x)
    r = high - k * _LN2_LOW(x)
    rest = (high - r) - k * _LN2_LOW(x)
    half = power(x, word(rounded))  # half of the power of two, which may overflow
    y = half * (r + (rest + r * r * _EXP(r))) + (half - type(x)(0.5))
    return x if abs(x) < _NEGLIGIBLE(x) * _NEGLIGIBLE(x) else (one + one) * y


@inlined
def tanh(x: Scalar) -> Scalar:
    """Return the hyperbolic tangent, ``(1 - t) / (1 + t)`` with ``t = e**-2|x|``; error 2.0 / 2.2 ulp."""
    a = -abs(x)
    a = type(x)(-20) if a < type(x)(-20) else a
    rounded = (a + a) * _LOG2_E(x) + _TO_EXPONENT(x)
    r = (a + a) - (rounded - _TO_EXPONENT(x)) * _LN2(x)  # less exact for a smaller t, which contributes less
    s = power(x, word(rounded))
    rest = s * (r + r * r * _EXP(r))  # t = s + rest
    return signed(((type(x)(1) - s) - rest) / ((type(x)(1) + s) + rest), x)


@inlined
def _times_sigmoid(factor: Scalar, x: Scalar) -> Scalar:
    """Return ``factor * sigmoid(x)`` for a `factor` of moderate size."""
    x = _clamp(x, _LOWEST(x), type(x)(40))
    rounded = _TO_EXPONENT_OF_SMALL(x) - x * _LOG2_E(x)
    k = rounded - _TO_EXPONENT_OF_SMALL(x)
    r = (-x - k * _LN2_HIGH(x)) - k * _LN2_LOW(x)
    s = power(x, word(rounded))
    return factor * _SMALL(x) / ((_SMALL(x) + s) + s * (r + r * r * _EXP(r)))  # s e**r, times a small number


@inlined
def sigmoid(x: Scalar) -> Scalar:
    """Return ``1 / (1 + e**-x)``, accurate in both tails; error 2.5 / 2.5 ulp."""
    return _times_sigmoid(type(x)(1), x)


@inlined
def _times_its_sigmoid(x: Scalar, u: Scalar, limit: Scalar) -> Scalar:
    """Return ``x * sigmoid(u)`` for `u` equal to `x` times a moderate factor; `x` itself above the limit."""
    y = _times_sigmoid(_clamp(x, -limit, limit), u)
    y = x * type(x)(0.5) if abs(x) < _NEGLIGIBLE(x) * _NEGLIGIBLE(x) else y
    return x if x > limit else y


@inlined
def silu(x: Scalar) -> Scalar:
    """Return ``x * sigmoid(x)``, -0 at -inf; error 2.5 / 2.5 ulp."""
    return _times_its_sigmoid(x, x, -_LOWEST(x))


@inlined
def gelu_tanh(x: Scalar) -> Scalar:
    """Return ``x * sigmoid(u)``, with ``u = √(8/π) (x + 0.044715 x³)``; error 3 ulp, and for x < 0 3 + 3 |u| ulp."""
    u = x * (x * x * type(x)(0.07135481627260025) + type(x)(1.5957691216057308))
    return _times_its_sigmoid(x, u, type(x)(100))


# --------------------------------------------------------------------------------------------------------- logarithms
#
# x = 2**k (1 + f) with 1 + f in [√½, √2); ln(1 + f) = 2 artanh(s) with s = f / (2 + f).

_INTEGER = real_constant(2.0**23, 2.0**52)  # its last bits count
_SHIFT_OF_SUBNORMALS = real_constant(23, 52)
_INTEGER_WORD = constant(np.uint32(0x4B000000), np.uint64(0x4330000000000000))
_INTEGER_AND_BIAS = real_constant(2.0**23 + 127, 2.0**52 + 1023)
_TWICE_BIAS = constant(np.uint32(255), np.uint64(2047))
_LOG = polynomial(  # (2 artanh(s) - 2 s) / s³, of s²
    (0.23758795857429504, 0.28532135486602783, 0.40000319480895996, 0.6666666865348816),
    (
        0.1361636497318448,
        0.13208728166872644,
        0.1538891511440899,
        0.18181736298381176,
        0.22222223065933577,
        0.28571428567165513,
        0.400000000000082,
        0.6666666666666666,
    ),
)


@inlined
def _log1p_near_0(f: Scalar, k: Scalar, rest: Scalar) -> Scalar:
    """Return ``ln(2**k (1 + f + rest))`` for a tiny `rest`."""
    s = f / (type(f)(2) + f)
    z = s * s
    half_square = type(f)(0.5) * f * f
    low = s * (half_square + z * _LOG(z)) + (k * _LN2_LOW(f) + rest)
    return k * _LN2_HIGH(f) - ((half_square - low) - f)


@inlined
def _at_the_edges_of_log(x: Scalar, inside: Scalar, y: Scalar) -> Scalar:
    """Return `y`, the logarithm of `inside`, or its value at 0, below 0, at inf and at nan."""
    zero = type(x)(0)
    y = y if inside < type(x)(np.inf) else x
    y = type(x)(-np.inf) if inside == zero else y
    return type(x)(np.nan) if inside < zero else y


@inlined
def log(x: Scalar) -> Scalar:
    """Return ``ln x``; error 0.9 / 0.9 ulp."""
    subnormal = x < _SMALLEST_NORMAL(x)
    zero = type(x)(0)
    w = unsigned(x, word(x * _INTEGER(x) if subnormal else x) + _ONE_LESS_ROOT_HALF(x))
    k = (real(x, (w >> exponent_bits(x)) | _INTEGER_WORD(x)) - _INTEGER_AND_BIAS(x)) - (
        _SHIFT_OF_SUBNORMALS(x) if subnormal else zero
    )
    f = real(x, (w & mantissa(x)) + _ROOT_HALF(x)) - type(x)(1)
    return _at_the_edges_of_log(x, x, _log1p_near_0(f, k, zero))


@inlined
def log1p(x: Scalar) -> Scalar:
    """Return ``ln(1 + x)``, accurate near 0; error 0.9 / 0.9 ulp."""
    one = type(x)(1)
    u = one + x
    lost = x - (u - one) if x < one else one - (u - x)
    w = unsigned(x, word(u) + _ONE_LESS_ROOT_HALF(x))
    biased = w >> exponent_bits(x)
    k = real(x, biased | _INTEGER_WORD(x)) - _INTEGER_AND_BIAS(x)
    near = real(x, (w & mantissa(x)) + _ROOT_HALF(x)) - one
    lost *= type(x)(0.5) * power(x, _TWICE_BIAS(x) - biased)
    f = near + lost
    y = _at_the_edges_of_log(x, u, _log1p_near_0(f, k, lost - (f - near)))
    return x if abs(x) < _NEGLIGIBLE(x) * _NEGLIGIBLE(x) else y


@inlined
def _log1p_unit(x: Scalar) -> Scalar:
    """Return ``ln(1 + x)`` for an `x` from 0 to 1."""
    one, zero = type(x)(1), type(x)(0)
    above = x > type(x)(0.5)
    return _log1p_near_0((x - one) * type(x)(0.5) if above else x, one if above else zero, zero)


@inlined
def softplus(x: Scalar) -> Scalar:
    """Return ``ln(1 + e**x)``, accurate in both tails; error 1.7 / 1.6 ulp."""
    zero = type(x)(0)
    return (zero if x < zero else x) + _log1p_unit(exp(-abs(x)))


@inlined
def log_sigmoid(x: Scalar) -> Scalar:
    """Return ``ln(sigmoid(x))``, accurate in both tails; error 1.7 / 1.6 ulp."""
    return -softplus(-x)


@inlined
def logaddexp(a: Scalar, b: Scalar) -> Scalar:
    """Return ``ln(e**a + e**b)``; error 3 ulp of the larger of the result, `a` and `b`."""
    distance = type(a)(0) if a == b else abs(a - b)
    return (a if a > b else b) + _log1p_unit(exp(-distance))


# ------------------------------------------------------------------------------------------------- the error function
#
# In the tail, erfc(a) = e**(-a²) F(q) / (a + c) with q = (a - c) / (a + c): F is smooth from 1/2 up to where e**(-a²)
# vanishes. The exponent needs twice the precision, since a² magnifies its rounding.

_ERF = polynomial(  # erf(x) / x - 1, of x² <= 1
    (
        -9.680136827228125e-06,
        0.00011270548566244543,
        -0.0008484712452627718,
        0.005221074912697077,
        -0.02686544507741928,
        0.11283782869577408,
        -0.37612637877464294,
        0.1283792257308960,
    ),
    (
        5.960685338520971e-11,
        -1.137495573607015e-09,
        1.466032872274226e-08,
        -1.6350396222864617e-07,
        1.64610084778027e-06,
        -1.4925595772180906e-05,
        0.0001205533113295582,
        -0.0008548326981425542,
        0.005223977624828431,
        -0.026866170645077875,
        0.11283791670954885,
        -0.3761263890318375,
        0.12837916709551257,
    ),
)
_CENTRE = real_constant(2.0, 4.0)
_FARTHEST = real_constant(10.3, 27.4)
_FARTHEST_NORMAL = real_constant(14.6, 38.7)
_F = polynomial(
    (
        0.00010063221998279914,
        -0.0005363185191527009,
        -0.0008785221725702286,
        0.0030486893374472857,
        0.006489170249551535,
        -0.021504847332835197,
        -0.03644315525889397,
        0.27947181463241577,
        -0.6871606707572937,
        1.0215827226638794,
    ),
    (
        -1.1858455245133364e-08,
        1.401778266982493e-09,
        1.1867919615893751e-07,
        -7.632496765716248e-08,
        -8.416162721995816e-07,
        1.4248128502305748e-06,
        4.6920731407219075e-06,
        -1.8861170846097965e-05,
        -3.634411163013433e-06,
        0.00017681289922381042,
        -0.00045505284198309203,
        -0.00028095887977769085,
        0.00611205567623534,
        -0.026370053338805283,
        0.07638151490774014,
        -0.1740109372400237,
        0.3308515878780739,
        -0.5408538313132326,
        0.7732087022652362,
        -0.976548729080882,
        1.095995661000491,
    ),
)


@inlined
def _over_sum(n: Scalar, high: Scalar, low: Scalar) -> Scalar:
    """Return ``n / (high + low)``, corrected for the rounding of the sum (for high >= low) and of the quotient."""
    d = high + low
    inverse = type(n)(1) / d
    y = n * inverse
    return y - ((y * d - n) + y * (low - (d - high))) * inverse


@inlined
def _tail(a: Scalar, square: Scalar, rest: Scalar, factor: Scalar) -> Scalar:
    """Return ``factor * erfc(a)`` for an `a` of at least 3/4, whose square is ``square + rest``."""
    c = _CENTRE(a)
    total = square + rest
    high, low = (a, c) if a > c else (c, a)
    f = _F(_over_sum(a - c, high, low))
    return _exp_times(-total, (total - square) - rest, factor * _over_sum(f, high, low))


@inlined
def erf(x: Scalar) -> Scalar:
    """Return the error function; error 2.1 / 1.1 ulp."""
    one = type(x)(1)
    a = _clamp(abs(x), type(x)(0), _FARTHEST(x))
    y = one - _tail(a, a * a, type(x)(0), one)
    return x + x * _ERF(a * a) if a < one else -y if x < type(x)(0) else y


@inlined
def erfc(x: Scalar) -> Scalar:
    """Return ``1 - erf(x)``, accurate in the upper tail; error 3.0 / 3.0 ulp."""
    one, zero = type(x)(1), type(x)(0)
    a = _clamp(abs(x), zero, _FARTHEST(x))
    high = upper(a)
    y = _tail(a, high * high, (a - high) * (a + high), one)
    y = type(x)(2) - y if x < zero else y
    return (one - x) - x * _ERF(a * a) if a < type(x)(0.75) else y


@inlined
def _times_ndtr(factor: Scalar, limited: Scalar, x: Scalar) -> Scalar:
    """Return ``factor * ndtr(x)``; `limited` is the factor, clipped where `x` is large."""
    one, zero, half = type(x)(1), type(x)(0), type(x)(0.5)
    b = _clamp(abs(x), zero, _FARTHEST_NORMAL(x))
    a = b * type(x)(0.7071067811865476)
    high = upper(b)
    y = _tail(a, half * high * high, half * (b - high) * (b + high), half * limited)
    y = factor - y if x > zero else y
    signed = -a if x < zero else a
    return half * factor * ((one + signed) + signed * _ERF(a * a)) if a < type(x)(0.75) else y


@inlined
def ndtr(x: Scalar) -> Scalar:
    """Return the standard normal distribution function, accurate in the lower tail; error 4.0 / 4.0 ulp."""
    return _times_ndtr(type(x)(1), type(x)(1), x)


@inlined
def gelu(x: Scalar) -> Scalar:
    """Return ``x * ndtr(x)``, -0 at -inf; error 4.1 / 4.1 ulp."""
    return _times_ndtr(x, _clamp(x, -_FARTHEST_NORMAL(x), _FARTHEST_NORMAL(x)), x)

"""Signs, bits and neighbours of numbers; and which numbers are close."""

from __future__ import annotations

import numpy as np

from .arithmetic import abs, sign
from .casting import as_array, astype
from .comparison import equal, isfinite, isnan, less_equal, logical_and, logical_or
from .extrema import all
from .primitive import Array, OpKind, Primitive, elementwise
from .public import Public, named

copysign = elementwise(
    "copysign",
    np.copysign,
    vjp=(lambda g, y, a, _b: g * (sign(a) * sign(y)), lambda g, _y, _a, b_like: np.zeros(b_like.shape, b_like.dtype)),
    code="math.copysign({0}, {1})",
    cheap=True,
    doc="Return ``|a|`` with the sign of `b`, also of a zero. The gradient at a = 0 is 0.",
    public=Public(example="[1.0, -2.0], [-0.0, 3.0] -> [-1.,  2.]"),
)
signbit = elementwise(
    "signbit",
    np.signbit,
    vjp=(None,),
    code="math.copysign(1.0, {0}) < 0",
    integer_code="{0} < 0",
    cheap=True,
    doc="Return whether the sign is negative, also that of a zero or NaN.",
    public=Public(example="[-0.0, 3.0] -> [ True, False]"),
)
nextafter = Primitive(
    "nextafter",
    np.nextafter,
    (lambda g, _y, _a, _b: g, lambda g, _y, _a, b_like: np.zeros(b_like.shape, b_like.dtype)),
    kind=OpKind.ELEMENTWISE,
    doc="Return the floating-point number next to `a` in the direction of `b`. The gradient goes to `a`.",
    public=Public(example="[1.0], [2.0] -> [1.0000001]"),
)
bitwise_left_shift = elementwise(
    "bitwise_left_shift",
    np.left_shift,
    vjp=(None, None),
    code="{0} << {1} if {1} >= 0 and {1} < 64 else {0} ^ {0}",  # an undefined shift is 0, as in NumPy
    doc="Return the integers `a` with their bits moved `b` places to the left: ``a * 2**b``.",
    public=Public(operator="lshift", example="[1, 3], 2 -> [ 4, 12]"),
)
bitwise_right_shift = elementwise(
    "bitwise_right_shift",
    np.right_shift,
    vjp=(None, None),
    code="{0} >> {1} if {1} >= 0 and {1} < 64 else {0} >> 63 >> 1",
    doc="Return the integers `a` with their bits moved `b` places to the right: ``floor(a / 2**b)``.",
    public=Public(operator="rshift", example="[4, -3], 1 -> [ 2, -2]"),
)


@Public()
def positive(x: Array) -> Array:
    """Return `x` itself, as the operator ``+x`` does.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.

    Returns
    -------
    Tensor
        `x` itself.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.positive([1.0, -2.0])
    tensor([ 1., -2.])
    """
    return x


@Public()
@named
def isclose(a: Array, b: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """Return where ``|a - b| <= atol + rtol * |b|``; infinities are close to themselves only.

    Parameters
    ----------
    a, b : array_like
        Numbers whose shapes broadcast.
    rtol : float, default 1e-05
        The tolerance relative to `b`.
    atol : float, default 1e-08
        The absolute tolerance.
    equal_nan : bool, default False
        Whether two NaN are close.

    Returns
    -------
    Tensor
        Of the broadcast shape, bool.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.isclose([1.0, 2.0], [1.000001, 2.1])
    tensor([ True, False])
    """
    close = equal(a, b)
    a, b = (x if x.dtype.kind == "f" else astype(x, "float64") for x in (as_array(a), as_array(b)))
    close = logical_or(close, logical_and(isfinite(b), less_equal(abs(a - b), atol + rtol * abs(b))))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


@Public()
@named
def allclose(a: Array, b: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """Return whether `isclose` holds for all elements.

    Parameters
    ----------
    a, b : array_like
        Numbers whose shapes broadcast.
    rtol : float, default 1e-05
        The tolerance relative to `b`.
    atol : float, default 1e-08
        The absolute tolerance.
    equal_nan : bool, default False
        Whether two NaN are close.

    Returns
    -------
    Tensor
        One bool, which ``if`` reads.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.allclose([1.0, 2.0], [1.000001, 2.0])
    tensor(True)
    """
    return all(isclose(a, b, rtol, atol, equal_nan))

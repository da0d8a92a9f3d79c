"""Comparison, logic and selection: boolean results carry no gradient; `where` and `masked_fill` pass it on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DtypeError
from .primitive import Array, Primitive, elementwise
from .public import Public, named


def _row(function: np.ufunc, **traits: Any) -> Primitive:
    """Return the row of a cheap operation through which no gradient flows."""
    return elementwise(function.__name__, function, vjp=(None,) * function.nin, cheap=True, **traits)


equal = _row(
    np.equal,
    symbol="==",
    doc="Return ``a == b`` as booleans.",
    public=Public("eq", operator="eq", example="[1.0, 2.0], [3.0, 2.0] -> [False,  True]"),
)
not_equal = _row(
    np.not_equal,
    symbol="!=",
    doc="Return ``a != b`` as booleans.",
    public=Public("ne", operator="ne", example="[1.0, 2.0], [3.0, 2.0] -> [ True, False]"),
)
less = _row(
    np.less,
    symbol="<",
    doc="Return ``a < b`` as booleans.",
    public=Public("lt", operator="lt", example="[1.0, 2.0], [3.0, 2.0] -> [ True, False]"),
)
less_equal = _row(
    np.less_equal,
    symbol="<=",
    doc="Return ``a <= b`` as booleans.",
    public=Public("le", operator="le", example="[1.0, 2.0], [3.0, 2.0] -> [ True,  True]"),
)
greater = _row(
    np.greater,
    symbol=">",
    doc="Return ``a > b`` as booleans.",
    public=Public("gt", operator="gt", example="[1.0, 2.0], [3.0, 2.0] -> [False, False]"),
)
greater_equal = _row(
    np.greater_equal,
    symbol=">=",
    doc="Return ``a >= b`` as booleans.",
    public=Public("ge", operator="ge", example="[1.0, 2.0], [3.0, 2.0] -> [False,  True]"),
)

bitwise_and = _row(
    np.bitwise_and,
    code="{0} & {1}",
    doc="Return ``a & b`` of booleans or integers.",
    public=Public(operator="and", example="[6, 5], 3 -> [2, 1]"),
)
bitwise_or = _row(
    np.bitwise_or,
    code="{0} | {1}",
    doc="Return ``a | b`` of booleans or integers.",
    public=Public(operator="or", example="[6, 5], 3 -> [7, 7]"),
)
bitwise_xor = _row(
    np.bitwise_xor,
    code="{0} ^ {1}",
    doc="Return ``a ^ b`` of booleans or integers.",
    public=Public(operator="xor", example="[6, 5], 3 -> [5, 6]"),
)
invert = _row(
    np.invert,
    code="~{0}",
    doc="Return ``~x`` of booleans or integers.",
    public=Public("bitwise_invert", "bitwise_not", operator="invert", example="[True, False] -> [False,  True]"),
)
logical_and = _row(
    np.logical_and,
    code="({0} != 0) and ({1} != 0)",
    doc="Return whether both `a` and `b` are nonzero.",
    public=Public(example="[True, True], [True, False] -> [ True, False]"),
)
logical_or = _row(
    np.logical_or,
    code="({0} != 0) or ({1} != 0)",
    doc="Return whether `a` or `b` is nonzero.",
    public=Public(example="[True, False], [False, False] -> [ True, False]"),
)
logical_xor = _row(
    np.logical_xor,
    code="({0} != 0) != ({1} != 0)",
    doc="Return whether exactly one of `a` and `b` is nonzero.",
    public=Public(example="[True, True], [True, False] -> [False,  True]"),
)
logical_not = _row(
    np.logical_not,
    code="{0} == 0",
    doc="Return whether `x` is zero.",
    public=Public(example="[0.0, 2.0] -> [ True, False]"),
)

isnan = _row(
    np.isnan,
    code="math.isnan({0})",
    doc="Return where `x` is not a number.",
    public=Public(example="[1.0, ts.nan] -> [False,  True]"),
)
isinf = _row(
    np.isinf,
    code="math.isinf({0})",
    doc="Return where `x` is infinite.",
    public=Public(example="[1.0, -ts.inf] -> [False,  True]"),
)
isfinite = _row(
    np.isfinite,
    code="math.isfinite({0})",
    doc="Return where `x` is finite.",
    public=Public(example="[1.0, ts.inf] -> [ True, False]"),
)


def _choose(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)  # without `a` and `b`, np.where is another function


where = elementwise(
    "where",
    _choose,
    vjp=(
        None,
        lambda g, _y, condition, _a, _b: where(condition, g, 0),
        lambda g, _y, condition, _a, _b: where(condition, 0, g),
    ),
    code="{1} if {0} else {2}",
    static=(0,),
    cheap=True,
    doc="Return `a` where `condition` is true and `b` elsewhere. The side not chosen gets a gradient of exactly zero.",
    public=Public(method=False, example="[True, False], [1.0, 2.0], 0.0 -> [1., 0.]"),
)


@Public()
@named
def masked_fill(x: Array, mask: Array, value: Array) -> Array:
    """Return `x` with `value` where `mask` is true; gradient flows to `x` elsewhere only.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    mask : array_like
        Booleans whose shape broadcasts with that of `x`.
    value : array_like
        The number that stands where `mask` is true.

    Returns
    -------
    Tensor
        Of the broadcast shape and the dtype of `x`.

    Raises
    ------
    DtypeError
        If the dtype of `x` cannot hold `value`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.masked_fill(ts.tensor([1.0, 2.0]), ts.tensor([True, False]), 0.0)
    tensor([0., 2.])
    """
    held = value.dtype if hasattr(value, "dtype") else type(value)
    if held is int and x.dtype.kind in "iu":  # whatever its size, an int64 to NumPy
        limits = np.iinfo(x.dtype)
        held = x.dtype if limits.min <= value <= limits.max else np.float64
    if x.dtype.kind == "b":
        value = where(value, True, False) if hasattr(value, "dtype") else bool(value)
    elif not np.can_cast(held, x.dtype, "same_kind"):
        raise DtypeError(
            f"masked_fill: expected a value that {x.dtype} can hold, got {value!r}; cast the array first, as by "
            "x.float()."
        )
    elif hasattr(value, "dtype"):
        value = value.astype(x.dtype)
    return where(mask, value, x)

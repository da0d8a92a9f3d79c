"""Data as arrays, and arrays of another dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import DtypeError
from .primitive import Array, OpKind, Primitive
from .public import Public

SUPPORTED = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
_NATIVE = frozenset(map(np.dtype, SUPPORTED))

_astype = Primitive(
    "astype",
    lambda x, dtype: x.astype(dtype),
    (lambda g, _y, x_like, dtype: astype(g, x_like.dtype),),
    kind=OpKind.CAST,
    cheap=True,
)


def as_array(data: Any) -> Array:
    """Return `data`, an array of any kind or nested lists, as an array."""
    return data if hasattr(data, "dtype") else np.asarray(data)


def as_dtype(name: str, dtype: DTypeLike) -> np.dtype:
    """Return `dtype` in this machine's byte order, for the operation `name`.

    Raises
    ------
    DtypeError
        If it is no dtype, or one that a Tensor cannot have.
    """
    if isinstance(dtype, np.dtype) and dtype in _NATIVE:
        return dtype
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"{name}: expected a dtype, got {dtype!r}; use e.g. 'float32' or np.int64.") from None
    if found.name not in SUPPORTED:
        raise DtypeError(
            f"{name}: expected one of float32, float64, the integers or bool, got {found}; cast with astype first."
        )
    return found.newbyteorder("=")


@Public()
def astype(x: Array, dtype: DTypeLike, *, copy: bool = True) -> Array:
    """Return `x` as `dtype`; the gradient comes back in the dtype of `x`, and stops at integers and booleans.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    dtype : dtype
        A dtype or its name: float32, float64, an integer type or bool.
    copy : bool, default True
        Whether to copy `x` where it has that dtype already; otherwise it is returned itself.

    Returns
    -------
    Tensor
        Of the shape of `x` and of `dtype`.

    Raises
    ------
    DtypeError
        If `dtype` is not one that a Tensor can have.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.astype([1.5, -1.5], "int64")
    tensor([ 1, -1])
    """
    wanted = as_dtype("astype", dtype)
    return x if not copy and x.dtype == wanted else _astype(x, dtype=wanted)


# The same values under another name, which a gradient can be taken with respect to by itself.
alias = Primitive("alias", lambda x: x, (lambda g, _y, _x: g,), kind=OpKind.CAST, structure=lambda x: x)
clone = Primitive(
    "clone",
    lambda x: x.copy(),
    (lambda g, _y, _x: g,),
    kind=OpKind.CAST,
    structure=lambda x: x,
    doc="Return a copy that gradient flows through.",
    public=Public("copy", example="[1.0, 2.0] -> [1., 2.]"),
)

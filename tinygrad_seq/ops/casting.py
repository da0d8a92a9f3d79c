"""Change of dtype."""

from __future__ import annotations

import numpy as np

from ..primitive import Array, Primitive

_astype = Primitive(
    "astype",
    lambda x, dtype: x.astype(dtype),
    (lambda g, _y, x_like, dtype: astype(g, x_like.dtype),),
)


def astype(x: Array, dtype: np.typing.DTypeLike) -> Array:
    """Return `x` as `dtype`; the gradient comes back in the dtype of `x`, and stops at integers and booleans."""
    return _astype(x, dtype=np.dtype(dtype))


# The same values under another name, which a gradient can be taken with respect to by itself.
alias = Primitive("alias", lambda x: x, (lambda g, _y, _x: g,))
clone = Primitive("clone", lambda x: x.copy(), (lambda g, _y, _x: g,), doc="Return a copy that gradient flows through.")

"""The error function and its relatives, which NumPy lacks: compiled at the first call, then read from disk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..kernels import special as _kernels
from ..primitive import Array, elementwise
from .exponential import exp

_TWO_OVER_ROOT_PI = 1.1283791670955126
_ONE_OVER_ROOT_TWO_PI = 0.3989422804014327


def _mapped(kernel: Callable[[np.ndarray], None]) -> Callable[[Array], np.ndarray]:
    """Return the forward of an in-place kernel: a C-contiguous copy keeps it to one compilation per dtype."""

    def forward(x: Array) -> np.ndarray:
        dtype = np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64
        y = np.array(x, dtype, order="C")
        kernel(y.reshape(-1))
        return y

    return forward


erf = elementwise(
    "erf",
    _mapped(_kernels.erf),
    vjp=(lambda g, _y, x: g * (exp(-x * x) * _TWO_OVER_ROOT_PI),),
    code="math.erf({0})",
    doc="Return the error function, to 1 ulp.",
)
erfc = elementwise(
    "erfc",
    _mapped(_kernels.erfc),
    vjp=(lambda g, _y, x: g * (exp(-x * x) * -_TWO_OVER_ROOT_PI),),
    code="math.erfc({0})",
    doc="Return ``1 - erf(x)``, accurate where that is tiny.",
)
ndtr = elementwise(
    "ndtr",
    _mapped(_kernels.ndtr),
    vjp=(lambda g, _y, x: g * (exp(x * x * -0.5) * _ONE_OVER_ROOT_TWO_PI),),
    code="0.5 * math.erfc({0} * -0.7071067811865476)",
    doc="Return the distribution function of the standard normal law, accurate in its lower tail.",
)

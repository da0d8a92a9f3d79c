"""The error function and its relatives, which NumPy lacks: compiled at the first call, then read from disk."""

from __future__ import annotations

from .compiled_forward import compiled
from .exponential import exp
from .limits import bounded
from .primitive import Array, elementwise
from .public import Public

_TWO_OVER_ROOT_PI = 1.1283791670955126
_ONE_OVER_ROOT_TWO_PI = 0.3989422804014327


def _gauss(x: Array, sharpness: float) -> Array:
    """Return ``exp(-sharpness x²)``, whose derivatives vanish at infinity."""
    x = bounded(x)
    return exp(x * x * -sharpness)


erf = elementwise(
    "erf",
    compiled("erf"),
    vjp=(lambda g, _y, x: g * (_gauss(x, 1) * _TWO_OVER_ROOT_PI),),
    code="math.erf({0})",
    vectorised=True,
    doc="Return the error function, to 2 ulp.",
    public=Public(example="[0.0, 1.0] -> [0.    , 0.8427]"),
)
erfc = elementwise(
    "erfc",
    compiled("erfc"),
    vjp=(lambda g, _y, x: g * (_gauss(x, 1) * -_TWO_OVER_ROOT_PI),),
    code="math.erfc({0})",
    vectorised=True,
    doc="Return ``1 - erf(x)``, accurate where that is tiny.",
    public=Public(method=False, example="[0.0, 1.0] -> [1.    , 0.1573]"),
)


def density(x: Array) -> Array:
    """Return the density of the standard normal law, ``exp(-x² / 2) / √(2π)``."""
    return _gauss(x, 0.5) * _ONE_OVER_ROOT_TWO_PI


ndtr = elementwise(
    "ndtr",
    compiled("ndtr"),
    vjp=(lambda g, _y, x: g * density(x),),
    code="0.5 * math.erfc({0} * -0.7071067811865476)",
    vectorised=True,
    doc="Return the distribution function of the standard normal law, accurate in its lower tail.",
)
